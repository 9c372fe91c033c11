"""The two layers that attention is compared with: recurrent, convolution."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.common.arguments import check_at_least


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
    for name, weight, columns in (
        ("weight_in", weight_in, x.shape[-1]),
        ("weight_state", weight_state, size),
    ):
        expected = (3 * size, columns)
        if tuple(weight.shape) != expected:
            raise ValueError(
                f"{name}: expected shape {expected}, got {tuple(weight.shape)}"
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
    """Read a sequence from a state of zeros, and return all states.

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
    for part in from_input.unbind(dim=-2):
        state = _gru_step(part, state, weight_state, bias_state)
        states.append(state)
    return torch.stack(states, dim=-2)


def causal_unfold(
    x: Float[Tensor, "*batch length dim"], kernel: int, dilation: int = 1
) -> Float[Tensor, "*batch length kernel_dim"]:
    """Lay beside each vector those that a causal convolution sees with it.

    ``window_t = [x_(t - (k-1) s), ..., x_(t - s), x_t]`` for kernel k and
    dilation s, the oldest first; zeros stand for what is before the start.

    Raises:
        ValueError: if ``kernel`` or ``dilation`` is below 1.
    """
    check_at_least(1, kernel=kernel, dilation=dilation)
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
    dilation s: the same matrices W_j at every position.

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
        check_at_least(1, dim=dim, kernel=kernel, dilation=dilation)
        self.kernel, self.dilation = kernel, dilation
        self.mix = nn.Linear(kernel * dim, dim, bias=bias)

    def forward(
        self, x: Float[Tensor, "*batch length dim"]
    ) -> Float[Tensor, "*batch length dim"]:
        """Return the mixed vectors."""
        return self.mix(causal_unfold(x, self.kernel, self.dilation))

    def to_torch(self) -> nn.Conv1d:
        """Make torch's layer with our weights.

        It takes ``(batch, dim, length)`` and does not pad: put
        ``(kernel - 1) * dilation`` zeros in front.
        """
        dim = self.mix.out_features
        conv = nn.Conv1d(
            dim,
            dim,
            self.kernel,
            dilation=self.dilation,
            bias=self.mix.bias is not None,
        ).to(self.mix.weight)
        weight = self.mix.weight.view(dim, self.kernel, dim)
        with torch.no_grad():
            conv.weight.copy_(weight.transpose(1, 2))  # (out, in, kernel)
            if conv.bias is not None:
                conv.bias.copy_(self.mix.bias)
        return conv
