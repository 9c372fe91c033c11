"""The same, measured: by gradient, by autograd's graph, by torch's count."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_course.common.arguments import check_at_least, check_choice
from attn_course.common.measuring import count_flops
from attn_course.rnn_cnn_attention.layers import CausalConv
from attn_course.rnn_cnn_attention.theory import LAYER_KINDS
from attn_course.self_attention import SelfAttention


def make_layer(
    kind: str, dim: int, kernel: int = 3, depth: int = 0
) -> nn.Module:
    """Make one bare layer; of a dilated CNN the layer at ``depth``.

    Raises:
        ValueError: if ``kind`` is unknown or a number too small.
    """
    check_choice("kind", kind, LAYER_KINDS)
    check_at_least(1, dim=dim)
    if kind == "GRU":
        return nn.GRU(dim, dim, batch_first=True)
    if kind == "attention":
        return SelfAttention(dim, causal=True)
    dilation = kernel**depth if kind == "dilated CNN" else 1
    return CausalConv(dim, kernel, dilation)


def layer_output(layer: nn.Module, x: Tensor) -> Tensor:
    """Return a layer's output alone: GRU and attention give a pair."""
    output = layer(x)
    return output[0] if isinstance(output, tuple) else output


def receptive_field(
    function: Callable[[Tensor], Tensor], length: int, dim: int = 4
) -> Bool[Tensor, "out into"]:
    """Say which inputs each output hears, by gradient.

    ``field[i, j]`` is True where the gradient of output i with respect to
    input j is not 0. In float64, with random inputs.

    Args:
        function: from ``(batch, length, dim)`` to ``(batch, length, size)``,
            in float64.
        length: how many positions.
        dim: numbers per position.
    """
    return gradient_norms(function, length, dim) > 0


def gradient_norms(
    function: Callable[[Tensor], Tensor], length: int, dim: int = 4
) -> Float[Tensor, "out into"]:
    """Measure how much each output hears of each input.

    ``norm[i, j]`` is the length of the gradient of the sum of output i with
    respect to input j.
    """
    check_at_least(1, length=length, dim=dim)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, length, dim, generator=generator).double()
    x = x.repeat(length, 1, 1).requires_grad_()  # a copy for each output
    output = function(x)  # (length, length, size)
    own = torch.arange(length)
    (gradient,) = torch.autograd.grad(output[own, own].sum(), x)
    return gradient.norm(dim=-1)  # (out, into)


def truncate_steps(layer: nn.GRU, steps: int) -> Callable[[Tensor], Tensor]:
    """Make a GRU stop after ``steps`` cell steps: each position starts anew.

    Position i reads only ``x_(i - steps + 1) ... x_i`` from a state of zeros:
    all that can have arrived in so many steps.
    """
    check_at_least(1, steps=steps)

    def function(x: Tensor) -> Tensor:
        ends = []
        for i in range(x.shape[1]):
            ends.append(layer(x[:, max(0, i - steps + 1) : i + 1])[0][:, -1])
        return torch.stack(ends, dim=1)

    return function


def after_n_layers(
    kind: str, rounds: int, dim: int = 4, kernel: int = 3
) -> Callable[[Tensor], Tensor]:
    """Make what a kind can do in a number of rounds, with random weights.

    A round is a layer (CNN, dilated CNN, attention) or a cell step (GRU).
    """
    check_choice("kind", kind, LAYER_KINDS)
    check_at_least(1, rounds=rounds)
    if kind == "GRU":
        return truncate_steps(make_layer(kind, dim).double(), rounds)
    stack = [make_layer(kind, dim, kernel, i).double() for i in range(rounds)]

    def function(x: Tensor) -> Tensor:
        for layer in stack:
            x = torch.tanh(layer_output(layer, x))
        return x

    return function


def critical_path_length(output: Tensor) -> int:
    """Count the longest chain of operations that led to a tensor.

    Each has to wait for the one before it. Read from the graph that autograd
    keeps: 1 for an operation on inputs.

    Raises:
        ValueError: if the tensor has no graph.
    """
    if output.grad_fn is None:
        raise ValueError(
            "output: expected a tensor with a graph, got one without grad_fn"
        )
    longest: dict = {}
    waiting = [output.grad_fn]
    while waiting:  # no recursion: a GRU's graph is deep
        step = waiting[-1]
        before = [s for s, _ in step.next_functions if s is not None]
        todo = [s for s in before if s not in longest]
        if todo:
            waiting += todo
            continue
        waiting.pop()
        longest[step] = 1 + max((longest[s] for s in before), default=-1)
    return longest[output.grad_fn]


def count_multiply_adds(layer: nn.Module, x: Tensor) -> int:
    """Let torch count the multiply-adds of all matrix products in a call."""
    return count_flops(lambda: layer(x)) // 2  # it counts both halves


def crossover_length(
    lengths: Sequence[float], first: Sequence[float], second: Sequence[float]
) -> float | None:
    """Find the length from which ``first`` costs more than ``second``.

    Between two lengths both curves are taken as straight lines in a plot with
    two logarithmic scales. None if ``first`` is cheaper to the end; the first
    length if it is never cheaper. Of several crossovers the last counts.

    Raises:
        ValueError: if the three are not equally long.
    """
    if not len(lengths) == len(first) == len(second) > 0:
        raise ValueError(
            "first, second: expected as many numbers as lengths, "
            f"{len(lengths)}, got {len(first)} and {len(second)}"
        )
    lead = [math.log(a / b) for a, b in zip(first, second)]
    if lead[-1] <= 0:
        return None
    last = len(lead) - 1
    while last and lead[last - 1] > 0:
        last -= 1
    if not last:
        return float(lengths[0])
    share = -lead[last - 1] / (lead[last] - lead[last - 1])
    low, high = math.log(lengths[last - 1]), math.log(lengths[last])
    return math.exp(low + share * (high - low))
