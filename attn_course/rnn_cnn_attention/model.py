"""One model for each kind of layer, of a given size."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_course.common.arguments import check_at_least, check_choice
from attn_course.common.measuring import count_parameters
from attn_course.rnn_cnn_attention.layers import CausalConv
from attn_course.rnn_cnn_attention.theory import LAYER_KINDS
from attn_course.self_attention import SelfAttention
from attn_course.transformer import feed_forward

DEPTH = {"GRU": 1, "CNN": 6, "dilated CNN": 6, "attention": 2}


class ConvBlock(nn.Module):
    """A convolution in a residual block: ``x + relu(conv(norm(x)))``.

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
        mixed, _ = self.attention(self.norm_attention(x), need_weights=False)
        x = x + mixed
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
        """Return the state at each position."""
        return self.gru(x)[0]


class SequenceTagger(nn.Module):
    """Embed tokens, let one kind of layer mix them, and tag each position.

    GRU: one layer. CNN and dilated CNN: six blocks of kernel 3, dilations 1
    or 1, 3, 9, ... 243, which see 13 and 729 positions. Attention: two layers.
    All are causal: no position hears of a later one.
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
            kind: one of ``LAYER_KINDS``.
            tokens: number of token ids.
            classes: number of scores at each position.
            dim: numbers per position.
            rotary: attention sees distances (RoPE); else only what stands
                before it, in no order.

        Raises:
            ValueError: if ``kind`` is unknown or a number is below 1.
        """
        super().__init__()
        check_choice("kind", kind, LAYER_KINDS)
        check_at_least(1, tokens=tokens, classes=classes, dim=dim)
        self.embedding = nn.Embedding(tokens, dim)
        self.blocks = nn.Sequential(
            *(_block(kind, dim, depth, rotary) for depth in range(DEPTH[kind]))
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(
        self, tokens: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length classes"]:
        """Return the scores at each position."""
        return self.head(self.norm(self.blocks(self.embedding(tokens))))


def _block(kind: str, dim: int, depth: int, rotary: bool) -> nn.Module:
    if kind == "GRU":
        return GRUBlock(dim)
    if kind == "attention":
        return AttentionBlock(dim, rotary)
    return ConvBlock(dim, 3, 3**depth if kind == "dilated CNN" else 1)


def width_for(kind: str, parameters: int, tokens: int, classes: int) -> int:
    """Find the even ``dim`` that brings a SequenceTagger nearest to a size.

    Raises:
        ValueError: if ``parameters`` is below that of ``dim=2``.
    """
    sizes = {}
    for dim in range(2, 513, 2):
        sizes[dim] = count_parameters(
            SequenceTagger(kind, tokens, classes, dim)
        )
        if sizes[dim] > parameters:
            break
    if parameters < sizes[2]:
        raise ValueError(
            f"parameters: expected {sizes[2]} or more, got {parameters}"
        )
    return min(sizes, key=lambda dim: abs(sizes[dim] - parameters))
