"""What each layer costs in theory, and how far a signal has to go."""

from typing import NamedTuple

from attn_course.common.arguments import check_at_least, check_choice

LAYER_KINDS = ("GRU", "CNN", "dilated CNN", "attention")


class LayerCost(NamedTuple):
    """What a layer costs on a sequence, and how far a signal has to go."""

    path: int  # layers, or cell steps, from the first position to the last
    sequential_operations: int  # that wait for each other, in one layer
    multiply_adds: int  # of one layer
    layers: int  # until the last position can have heard of the first

    @property
    def sequential_operations_in_all(self) -> int:
        """Count those of all the layers that it takes to connect all."""
        return self.sequential_operations * self.layers

    @property
    def multiply_adds_in_all(self) -> int:
        """Count those of all the layers that it takes to connect all."""
        return self.multiply_adds * self.layers


def path_length(kind: str, distance: int, kernel: int = 3) -> int:
    """Count the steps from one position to another, ``distance`` later.

    GRU: ``distance + 1`` cell steps. CNN: ``ceil(distance / (k - 1))``
    layers. Dilated CNN, dilations 1, k, k^2, ...: the least L with
    ``k^L > distance``. Attention: 1 layer. No path is shorter than 1.

    Raises:
        ValueError: if ``kind`` is unknown, ``distance`` is negative, or
            ``kernel`` is below 2.

    Source: Vaswani et al. (2017), "Attention is all you need", section 4.
    """
    check_choice("kind", kind, LAYER_KINDS)
    check_at_least(0, distance=distance)
    check_at_least(2, kernel=kernel)
    if kind == "GRU":
        return distance + 1
    if kind == "attention":
        return 1
    if kind == "CNN":
        return max(1, -(-distance // (kernel - 1)))  # rounded up
    layers = 1
    while kernel**layers <= distance:
        layers += 1
    return layers


def layer_cost(kind: str, length: int, dim: int, kernel: int = 3) -> LayerCost:
    """Return path, sequential operations and multiply-adds of a layer.

    Multiply-adds, without biases: GRU ``6 n d^2`` (three products with the
    input, three with the state); CNN ``k n d^2``; attention ``3 n d^2`` for
    query, key and value and ``2 n^2 d`` for scores and mixture.

    Raises:
        ValueError: if a number is too small, or ``kind`` is unknown.

    Source: Vaswani et al. (2017), section 4, table 1, which gives the orders
    ``n d^2``, ``k n d^2`` and ``n^2 d``.
    """
    check_choice("kind", kind, LAYER_KINDS)
    check_at_least(1, length=length, dim=dim)
    path = path_length(kind, length - 1, kernel)
    if kind == "GRU":
        return LayerCost(path, length, 6 * length * dim**2, 1)
    if kind == "attention":
        cost = 3 * length * dim**2 + 2 * length**2 * dim
        return LayerCost(1, 1, cost, 1)
    return LayerCost(path, 1, kernel * length * dim**2, path)
