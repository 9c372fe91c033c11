"""Lesson 12: three ways in which one position can learn of another.

Reading order: ``gru`` passes a state on, ``CausalConv`` looks at neighbours,
attention is lesson 03's ``SelfAttention``. ``price`` is the table of theory:
path, steps and multiply-adds of each; ``reach``, ``chain_length``,
``count_multiply_adds`` and ``median_seconds`` measure the same. ``Reader``
puts each kind of layer into a model of a given size, ``recall_batch``,
``parity_batch`` and ``rise_batch`` are three tasks for it, and ``Course``
spends an equal time on each.
"""

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from attn_course.common.measuring import count_parameters
from attn_course.self_attention import SelfAttention
from attn_course.transformer import feed_forward

KINDS = ("GRU", "CNN", "dilated CNN", "attention")
DEPTH = {"GRU": 1, "CNN": 6, "dilated CNN": 6, "attention": 2}

# The three layers ----------------------------------------------------------


def gru_step(
    x: Float[Tensor, "*batch dim"],
    state: Float[Tensor, "*batch size"],
    weight_in: Float[Tensor, "three_size dim"],
    weight_state: Float[Tensor, "three_size size"],
    bias_in: Float[Tensor, " three_size"] | None = None,
    bias_state: Float[Tensor, " three_size"] | None = None,
) -> Float[Tensor, "*batch size"]:
    """Read one input, and return the new state.

    ``r = sigmoid(W_r x + U_r h)``, ``z = sigmoid(W_z x + U_z h)``,
    ``n = tanh(W_n x + r * (U_n h))``, ``new h = (1 - z) n + z h``, with a
    bias beside each product. The rows of both matrices stand in torch's
    order: r, z, n.

    Raises:
        ValueError: if the sizes do not fit.

    Source: Cho et al. (2014), "Learning phrase representations using RNN
    encoder-decoder", section 2.3, where r multiplies h before U_n does;
    torch's ``nn.GRU`` multiplies after, and so do we.
    """
    size = state.shape[-1]
    wanted = {
        "weight_in": (3 * size, x.shape[-1]),
        "weight_state": (3 * size, size),
    }
    for name, found in (
        ("weight_in", weight_in),
        ("weight_state", weight_state),
    ):
        if tuple(found.shape) != wanted[name]:
            raise ValueError(
                f"{name}: expected shape {wanted[name]}, got "
                f"{tuple(found.shape)}"
            )
    return _gru_step(
        F.linear(x, weight_in, bias_in), state, weight_state, bias_state
    )


def _gru_step(from_input, state, weight_state, bias_state) -> Tensor:
    """Do the part of a step that has to wait for the state."""
    r_x, z_x, n_x = from_input.chunk(3, dim=-1)  # each (*batch, size)
    from_state = F.linear(state, weight_state, bias_state)
    r_h, z_h, n_h = from_state.chunk(3, dim=-1)
    reset, keep = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    new = torch.tanh(n_x + reset * n_h)
    return (1 - keep) * new + keep * state


def gru(
    x: Float[Tensor, "*batch length dim"],
    weight_in: Float[Tensor, "three_size dim"],
    weight_state: Float[Tensor, "three_size size"],
    bias_in: Float[Tensor, " three_size"] | None = None,
    bias_state: Float[Tensor, " three_size"] | None = None,
) -> Float[Tensor, "*batch length size"]:
    """Read a sequence from a state of zeros, and return the state at each place.

    What concerns the inputs is one matrix product for all of them; the states
    have to wait for each other.

    Raises:
        ValueError: if the sequence is empty.

    Source: Cho et al. (2014), section 2.3.
    """
    if x.shape[-2] < 1:
        raise ValueError("x: expected a length of 1 or more, got 0")
    from_input = F.linear(x, weight_in, bias_in)  # (*batch, length, 3 size)
    state = x.new_zeros(*x.shape[:-2], weight_state.shape[-1])
    states = []
    for one in from_input.unbind(dim=-2):
        state = _gru_step(one, state, weight_state, bias_state)
        states.append(state)
    return torch.stack(states, dim=-2)


def windows(
    x: Float[Tensor, "*batch length dim"], kernel: int, dilation: int = 1
) -> Float[Tensor, "*batch length kernel_dim"]:
    """Lay beside each vector those that a causal convolution sees with it.

    ``window_t = [x_(t - (k-1) s), ..., x_(t - s), x_t]`` for kernel k and
    dilation s, the oldest first; zeros stand for what is before the start.

    Raises:
        ValueError: if ``kernel`` or ``dilation`` is below 1.
    """
    _at_least_1(kernel=kernel, dilation=dilation)
    length = x.shape[-2]
    longer = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))  # zeros in front
    parts = [
        longer[..., j * dilation : j * dilation + length, :]
        for j in range(kernel)
    ]
    return torch.cat(parts, dim=-1)  # (*batch, length, kernel * dim)


class CausalConv(nn.Module):
    """Mix each vector with the neighbours before it, by fixed weights.

    ``y_t = b + sum_j W_j x_(t - (k-1-j) s)`` with j = 0 ... k-1, kernel k and
    dilation s: the same matrices W_j at every place.

    Shapes: x ``(*batch, length, dim)``, output ``(*batch, length, dim)``.

    Source: van den Oord et al. (2016), "WaveNet: A generative model for raw
    audio", section 2.1.
    """

    def __init__(
        self, dim: int, kernel: int = 3, dilation: int = 1, bias: bool = True
    ) -> None:
        """Create the k matrices, side by side in ``mix``.

        Raises:
            ValueError: if a number is below 1.
        """
        super().__init__()
        _at_least_1(dim=dim, kernel=kernel, dilation=dilation)
        self.kernel, self.dilation = kernel, dilation
        self.mix = nn.Linear(kernel * dim, dim, bias=bias)

    def forward(
        self, x: Float[Tensor, "*batch length dim"]
    ) -> Float[Tensor, "*batch length dim"]:
        """Return the mixed vectors."""
        return self.mix(windows(x, self.kernel, self.dilation))

    def to_torch(self) -> nn.Conv1d:
        """Make torch's layer with our weights.

        It takes ``(batch, dim, length)`` and does not pad: put
        ``(kernel - 1) * dilation`` zeros in front.
        """
        dim = self.mix.out_features
        theirs = nn.Conv1d(
            dim,
            dim,
            self.kernel,
            dilation=self.dilation,
            bias=self.mix.bias is not None,
        ).to(self.mix.weight)
        weight = self.mix.weight.view(dim, self.kernel, dim)
        with torch.no_grad():
            theirs.weight.copy_(weight.transpose(1, 2))  # (out, in, kernel)
            if theirs.bias is not None:
                theirs.bias.copy_(self.mix.bias)
        return theirs


# The table of theory -------------------------------------------------------


class Price(NamedTuple):
    """What a layer costs on a sequence, and how far apart two places are."""

    path: int  # layers, or cell steps, from the first place to the last
    steps: int  # that have to wait for each other, in one layer
    multiply_adds: int  # of one layer
    layers: int  # until the last place can have heard of the first

    @property
    def multiply_adds_in_all(self) -> int:
        """Count those of all the layers that it takes to connect all."""
        return self.multiply_adds * self.layers


def path_length(kind: str, distance: int, kernel: int = 3) -> int:
    """Count the steps from one place to another, ``distance`` later.

    GRU: ``distance + 1`` cell steps. CNN: ``ceil(distance / (k - 1))``
    layers. Dilated CNN, dilations 1, k, k^2, ...: the least L with
    ``k^L > distance``. Attention: 1 layer. No path is shorter than 1.

    Raises:
        ValueError: if ``kind`` is unknown, ``distance`` is negative, or
            ``kernel`` is below 2.

    Source: Vaswani et al. (2017), "Attention is all you need", section 4.
    """
    _known(kind)
    if distance < 0:
        raise ValueError(f"distance: expected 0 or more, got {distance}")
    if kernel < 2:
        raise ValueError(f"kernel: expected 2 or more, got {kernel}")
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


def price(kind: str, length: int, dim: int, kernel: int = 3) -> Price:
    """Return path, sequential steps and multiply-adds of one kind of layer.

    Multiply-adds, without biases: GRU ``6 n d^2`` (three products with the
    input, three with the state); CNN ``k n d^2``; attention ``3 n d^2`` for
    query, key and value and ``2 n^2 d`` for scores and mixture.

    Raises:
        ValueError: if a number is too small, or ``kind`` is unknown.

    Source: Vaswani et al. (2017), section 4, table 1, which gives the orders
    ``n d^2``, ``k n d^2`` and ``n^2 d``.
    """
    _known(kind)
    _at_least_1(length=length, dim=dim)
    path = path_length(kind, length - 1, kernel)
    if kind == "GRU":
        return Price(path, length, 6 * length * dim**2, 1)
    if kind == "attention":
        cost = 3 * length * dim**2 + 2 * length**2 * dim
        return Price(1, 1, cost, 1)
    return Price(path, 1, kernel * length * dim**2, path)


# The same, measured --------------------------------------------------------


def make_layer(
    kind: str, dim: int, kernel: int = 3, depth: int = 0
) -> nn.Module:
    """Make one bare layer; of a dilated CNN the layer at ``depth``.

    Raises:
        ValueError: if ``kind`` is unknown or a number too small.
    """
    _known(kind)
    _at_least_1(dim=dim)
    if kind == "GRU":
        return nn.GRU(dim, dim, batch_first=True)
    if kind == "attention":
        return SelfAttention(dim, causal=True)
    dilation = kernel**depth if kind == "dilated CNN" else 1
    return CausalConv(dim, kernel, dilation)


def run(layer: nn.Module, x: Tensor) -> Tensor:
    """Return a layer's output alone: GRU and attention give a pair."""
    found = layer(x)
    return found[0] if isinstance(found, tuple) else found


def reach(
    function: Callable[[Tensor], Tensor], length: int, dim: int = 4
) -> Bool[Tensor, "out into"]:
    """Say which inputs each output hears, by gradient.

    ``reach[i, j]`` is True where the gradient of output i with respect to
    input j is not 0. In float64, with random inputs.

    Args:
        function: from ``(batch, length, dim)`` to ``(batch, length, size)``,
            in float64.
        length: how many places.
        dim: numbers per place.
    """
    return gradient_sizes(function, length, dim) > 0


def gradient_sizes(
    function: Callable[[Tensor], Tensor], length: int, dim: int = 4
) -> Float[Tensor, "out into"]:
    """Measure how much each output hears of each input.

    ``size[i, j]`` is the length of the gradient of the sum of output i with
    respect to input j.
    """
    _at_least_1(length=length, dim=dim)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, length, dim, generator=generator).double()
    x = x.repeat(length, 1, 1).requires_grad_()  # a copy for each output
    output = function(x)  # (length, length, size)
    own = torch.arange(length)
    (slope,) = torch.autograd.grad(output[own, own].sum(), x)
    return slope.norm(dim=-1)  # (out, into)


def few_steps(layer: nn.GRU, steps: int) -> Callable[[Tensor], Tensor]:
    """Make a GRU stop after ``steps`` cell steps: each place starts anew.

    Place i reads only ``x_(i - steps + 1) ... x_i`` from a state of zeros:
    all that can have arrived in so many steps.
    """
    _at_least_1(steps=steps)

    def function(x: Tensor) -> Tensor:
        ends = []
        for i in range(x.shape[1]):
            ends.append(layer(x[:, max(0, i - steps + 1) : i + 1])[0][:, -1])
        return torch.stack(ends, dim=1)

    return function


def after(kind: str, rounds: int, dim: int = 4, kernel: int = 3):
    """Make what a kind can do in a number of rounds, with random weights.

    A round is a layer (CNN, dilated CNN, attention) or a cell step (GRU).
    """
    _known(kind)
    _at_least_1(rounds=rounds)
    if kind == "GRU":
        return few_steps(make_layer(kind, dim).double(), rounds)
    stack = [make_layer(kind, dim, kernel, i).double() for i in range(rounds)]

    def function(x: Tensor) -> Tensor:
        for layer in stack:
            x = torch.tanh(run(layer, x))
        return x

    return function


def chain_length(output: Tensor) -> int:
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
    with FlopCounterMode(display=False) as counter:
        layer(x)
    return counter.get_total_flops() // 2  # it counts both halves


@torch.no_grad()
def median_seconds(
    layers: Mapping[str, nn.Module], x: Tensor, repeats: int = 5
) -> dict[str, float]:
    """Measure layers on one input, by turns, and return medians in seconds.

    By turns, so that a moment of trouble hits all alike, and each turn in
    another order, since who comes after a large one finds a cold cache. The
    first turn is not counted.

    Raises:
        ValueError: if ``repeats`` is below 1.
    """
    _at_least_1(repeats=repeats)
    seen: dict[str, list[float]] = {name: [] for name in layers}
    order, shuffle = list(layers), random.Random(0).shuffle
    for _ in range(repeats + 1):
        shuffle(order)
        for name in order:
            start = time.perf_counter()
            layers[name](x)
            seen[name].append(time.perf_counter() - start)
    return {name: statistics.median(s[1:]) for name, s in seen.items()}


def crossing(
    lengths: Sequence[float], first: Sequence[float], second: Sequence[float]
) -> float | None:
    """Find the length from which ``first`` costs more than ``second``.

    Between two lengths both curves are taken as straight lines in a plot with
    two logarithmic scales. None if ``first`` is cheaper to the end; the first
    length if it is never cheaper. Of several crossings the last counts.

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
    place = len(lead) - 1
    while place and lead[place - 1] > 0:
        place -= 1
    if not place:
        return float(lengths[0])
    share = -lead[place - 1] / (lead[place] - lead[place - 1])
    low, high = math.log(lengths[place - 1]), math.log(lengths[place])
    return math.exp(low + share * (high - low))


# One model for each kind ---------------------------------------------------


class ConvBlock(nn.Module):
    """A convolution beside which the input goes on: ``x + relu(conv(norm x))``.

    Source: after Bai, Kolter and Koltun (2018), "An empirical evaluation of
    generic convolutional and recurrent networks for sequence modeling",
    section 3, with one convolution in place of their two.
    """

    def __init__(self, dim: int, kernel: int, dilation: int) -> None:
        """Create norm and convolution."""
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.conv = CausalConv(dim, kernel, dilation)

    def forward(
        self, x: Float[Tensor, "batch length dim"]
    ) -> Float[Tensor, "batch length dim"]:
        """Return the sum."""
        return x + torch.relu(self.conv(self.norm(x)))


class AttentionBlock(nn.Module):
    """Lesson 06's pre-norm layer around lesson 03's causal self-attention.

    ``x = x + attention(norm(x))``, then ``x = x + mlp(norm(x))``.

    Source: Vaswani et al. (2017), section 3.1; Xiong et al. (2020).
    """

    def __init__(self, dim: int, rotary: bool = False) -> None:
        """Create attention and MLP; ``rotary`` lets it see distance (RoPE)."""
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, causal=True, rotary=rotary)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = feed_forward(dim, 2 * dim)

    def forward(
        self, x: Float[Tensor, "batch length dim"]
    ) -> Float[Tensor, "batch length dim"]:
        """Return the new vectors."""
        found, _ = self.attention(self.norm_attention(x), need_weights=False)
        x = x + found
        return x + self.mlp(self.norm_mlp(x))


class GRUBlock(nn.Module):
    """torch's GRU, the states alone."""

    def __init__(self, dim: int) -> None:
        """Create the GRU."""
        super().__init__()
        self.gru = nn.GRU(dim, dim, batch_first=True)

    def forward(
        self, x: Float[Tensor, "batch length dim"]
    ) -> Float[Tensor, "batch length dim"]:
        """Return the state at each place."""
        return self.gru(x)[0]


class Reader(nn.Module):
    """Embed tokens, let one kind of layer mix them, and decide at each place.

    GRU: one layer. CNN and dilated CNN: six blocks of kernel 3, dilations 1
    or 1, 3, 9, ... 243, which see 13 and 729 places. Attention: two layers.
    All are causal: no place hears of a later one.
    """

    def __init__(
        self,
        kind: str,
        tokens: int,
        classes: int,
        dim: int,
        *,
        rotary: bool = False,
    ) -> None:
        """Create the parts.

        Args:
            kind: one of ``KINDS``.
            tokens: number of token ids.
            classes: number of scores at each place.
            dim: numbers per place.
            rotary: attention sees distances (RoPE); else only what stands
                before it, in no order.

        Raises:
            ValueError: if ``kind`` is unknown or a number is below 1.
        """
        super().__init__()
        _known(kind)
        _at_least_1(tokens=tokens, classes=classes, dim=dim)
        self.embedding = nn.Embedding(tokens, dim)
        self.blocks = nn.Sequential(
            *(_block(kind, dim, depth, rotary) for depth in range(DEPTH[kind]))
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(
        self, tokens: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length classes"]:
        """Return the scores at each place."""
        return self.head(self.norm(self.blocks(self.embedding(tokens))))


def _block(kind: str, dim: int, depth: int, rotary: bool) -> nn.Module:
    if kind == "GRU":
        return GRUBlock(dim)
    if kind == "attention":
        return AttentionBlock(dim, rotary)
    return ConvBlock(dim, 3, 3**depth if kind == "dilated CNN" else 1)


def width_for(kind: str, parameters: int, tokens: int, classes: int) -> int:
    """Find the even ``dim`` with which a Reader comes nearest to a size.

    Raises:
        ValueError: if ``parameters`` is below that of ``dim=2``.
    """
    sizes = {}
    for dim in range(2, 513, 2):
        sizes[dim] = count_parameters(Reader(kind, tokens, classes, dim))
        if sizes[dim] > parameters:
            break
    if parameters < sizes[2]:
        raise ValueError(
            f"parameters: expected {sizes[2]} or more, got {parameters}"
        )
    return min(sizes, key=lambda dim: abs(sizes[dim] - parameters))


# Three tasks ---------------------------------------------------------------

SYMBOLS, KEYS = 8, 4
CARD = SYMBOLS  # the first token id of a card: CARD + key * SYMBOLS + symbol
ASK = CARD + KEYS * SYMBOLS  # the first of a question: ASK + key
RECALL_TOKENS = ASK + KEYS


def recall_batch(
    distance: int, size: int, generator: torch.Generator, cards: int = KEYS
) -> tuple[Int[Tensor, "size length"], Int[Tensor, "size length"]]:
    """Draw sequences that begin with cards, and ask for them later.

    A card is one token for a key and a symbol, each key once, in any order.
    Then come symbols that mean nothing, and, ``distance`` places after the
    first card, one question for each card, again in any order. The target is
    the symbol at each question, and -1, which the loss ignores, elsewhere.

    Raises:
        ValueError: if ``size`` is below 1, ``cards`` is not from 1 to 4, or
            ``distance`` is below ``cards``.

    Source: our small form of associative recall (Graves, Wayne and Danihelka,
    2014, "Neural Turing machines", section 4.3) over a gap, as in the copying
    task of Hochreiter and Schmidhuber (1997).
    """
    _at_least_1(size=size)
    if not 1 <= cards <= KEYS:
        raise ValueError(f"cards: expected 1 to {KEYS}, got {cards}")
    if distance < cards:
        raise ValueError(f"distance: expected {cards} or more, got {distance}")
    random = {"generator": generator}
    tokens = torch.randint(0, SYMBOLS, (size, distance + cards), **random)
    targets = torch.full_like(tokens, -1)
    keys = torch.rand(size, KEYS, **random).argsort(dim=1)[:, :cards]
    symbols = torch.randint(0, SYMBOLS, (size, cards), **random)
    asked = torch.rand(size, cards, **random).argsort(dim=1)
    tokens[:, :cards] = CARD + keys * SYMBOLS + symbols
    tokens[:, distance:] = ASK + keys.gather(1, asked)
    targets[:, distance:] = symbols.gather(1, asked)
    return tokens, targets


def parity_batch(
    length: int, size: int, generator: torch.Generator
) -> tuple[Int[Tensor, "size length"], Int[Tensor, "size length"]]:
    """Draw bits; the target is whether the ones so far are odd in number.

    A light switch: 1 presses it, 0 does not. Is the light on?

    Source: Hahn (2020), "Theoretical limitations of self-attention in neural
    sequence models", section 4 (PARITY).
    """
    _at_least_1(length=length, size=size)
    bits = torch.randint(0, 2, (size, length), generator=generator)
    return bits, bits.cumsum(dim=1) % 2


def rise_batch(
    length: int, size: int, generator: torch.Generator
) -> tuple[Int[Tensor, "size length"], Int[Tensor, "size length"]]:
    """Draw digits; the target is whether each is larger than two before.

    The first two places have no such digit: their target is -1.
    """
    _at_least_1(length=length, size=size)
    digits = torch.randint(0, 10, (size, length), generator=generator)
    targets = torch.full_like(digits, -1)
    targets[:, 2:] = (digits[:, 2:] > digits[:, :-2]).long()
    return digits, targets


def answer_loss(
    model: nn.Module, batch: tuple[Tensor, Tensor]
) -> Float[Tensor, ""]:
    """Take the cross-entropy over the places that have a target."""
    tokens, targets = batch
    return F.cross_entropy(
        model(tokens).flatten(0, 1), targets.flatten(), ignore_index=-1
    )


@torch.no_grad()
def right_answers(
    model: nn.Module, batch: tuple[Tensor, Tensor]
) -> Bool[Tensor, " n"]:
    """Say for each place that has a target whether the answer was right."""
    tokens, targets = batch
    found = model(tokens).argmax(dim=-1)
    return (found == targets)[targets >= 0]


STAGES = (8, 16, 32, 64, 128, 256, 512)


class Course:
    """The recall task over distances that grow, and an exam after each.

    A stage ends when its budget is spent: a number of steps, or of seconds of
    training. Then the model is examined at that distance, on sequences of
    their own, and goes on to the next. On a CPU the seconds are the
    processor's, so that other programs take no time from one model that they
    leave to another. ``batches``, ``evaluate`` and ``over``
    are made for ``training.fit(batches=..., evaluate=..., eval_every=1,
    stop_when=...)``. What it found stands in ``right``, ``steps`` and
    ``seconds``, one entry a distance.
    """

    def __init__(
        self,
        steps: int | None = None,
        seconds: Mapping[int, float] | None = None,
        *,
        cards: int = KEYS,
        stages: Sequence[int] = STAGES,
        exams: int = 200,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        """Set the budget of each stage.

        Args:
            steps: how many, at each distance; or
            seconds: how many, for each distance. One of the two.
            cards: see :func:`recall_batch`.
            stages: the distances, in order.
            exams: sequences in an exam.
            seed: of the training sequences; the exams are always the same.
            device: where the sequences go.

        Raises:
            ValueError: if not exactly one budget is given.
        """
        if (steps is None) == (seconds is None):
            raise ValueError(
                "steps, seconds: expected one of the two, got "
                f"{steps} and {seconds}"
            )
        self._budget = steps, seconds
        self._cards, self._stages, self._exams = cards, list(stages), exams
        self._draw = torch.Generator().manual_seed(seed)
        self._device = device
        on_cpu = torch.device(device).type == "cpu"
        self._clock = time.process_time if on_cpu else time.perf_counter
        self._stage, self._started = 0, None
        self.right: dict[int, Tensor] = {}
        self.steps: dict[int, int] = {d: 0 for d in self._stages}
        self.seconds: dict[int, float] = {}

    def batches(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw about 512 tokens, but 4 to 64 sequences, of this stage."""
        distance = self._stages[self._stage]
        if self._started is None:
            self._started = self._clock()
        self.steps[distance] += 1
        size = max(4, min(64, 512 // distance))
        return self._batch(distance, size, self._draw)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Look at the budget; when it is spent, examine, and go on."""
        distance = self._stages[self._stage]
        spent = self._clock() - self._started
        steps, seconds = self._budget
        if steps is not None:
            done = self.steps[distance] >= steps
        else:
            done = spent >= seconds[distance]
        if done:
            exam = torch.Generator().manual_seed(10_000 + distance)
            batch = self._batch(distance, self._exams, exam)
            self.right[distance] = right_answers(model, batch).cpu()
            self.seconds[distance] = spent
            self._stage, self._started = self._stage + 1, None
        return {"stages done": self._stage}

    def over(self, metrics: Mapping[str, float]) -> bool:
        """Say whether the last exam is done."""
        return metrics["stages done"] >= len(self._stages)

    def _batch(self, distance, size, generator) -> tuple[Tensor, Tensor]:
        batch = recall_batch(distance, size, generator, self._cards)
        return tuple(part.to(self._device) for part in batch)


def _known(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {KINDS}, got {kind!r}")


def _at_least_1(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name}: expected 1 or more, got {number}")
