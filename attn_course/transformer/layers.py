"""The layers: attention and a feed-forward network, on a residual stream.

``Residual`` adds what a part computed to what was there, ``feed_forward``
works on each token by itself. ``EncoderLayer`` has attention and the
feed-forward network, ``DecoderLayer`` a second attention, to the memory.
"""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_course.common.arguments import check_choice
from attn_course.multi_head_attention import MultiHeadAttention
from attn_course.transformer.conversion import (
    ACTIVATIONS,
    layer_from_torch,
    layer_to_torch,
)


class Residual(nn.Module):
    """Add what a part computed to what was there: ``x + dropout(update)``.

    Shapes: ``(batch, length, dim)``, twice in and once out. The ``x`` that
    goes from sum to sum through all layers is the residual stream.

    Source: He et al. (2016), "Deep residual learning for image recognition";
    the dropout is that of Vaswani et al. (2017), section 5.4.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        """Set the share of the update that is dropped in training."""
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.enabled = True  # ablate sets it to False: x is then forgotten

    def forward(
        self,
        x: Float[Tensor, "batch length dim"],
        update: Float[Tensor, "batch length dim"],
    ) -> Float[Tensor, "batch length dim"]:
        """Return the sum."""
        update = self.dropout(update)
        return x + update if self.enabled else update


def feed_forward(
    dim: int, mlp_dim: int, dropout: float = 0.0, activation: str = "relu"
) -> nn.Sequential:
    """Make the feed-forward network, which works on each token by itself.

    ``mlp(x) = dropout(max(0, x W_1 + b_1)) W_2 + b_2``

    Raises:
        ValueError: if ``activation`` is neither "relu" nor "gelu".

    Source: Vaswani et al. (2017), section 3.3, equation 2.
    """
    check_choice("activation", activation, tuple(ACTIVATIONS))
    return nn.Sequential(
        nn.Linear(dim, mlp_dim),
        ACTIVATIONS[activation][0](),
        nn.Dropout(dropout),
        nn.Linear(mlp_dim, dim),
    )


class EncoderLayer(nn.Module):
    """Tokens attend to each other, then each is worked on by itself.

    Pre-norm (``norm_first=True``, the default):
    ``x = x + attention(norm(x))``, then ``x = x + mlp(norm(x))``.

    Post-norm, as the first Transformer had it:
    ``x = norm(x + attention(x))``, then ``x = norm(x + mlp(x))``.

    The same as ``torch.nn.TransformerEncoderLayer``.

    Args of the constructor:
        dim: numbers per token.
        heads: of the attention; must divide ``dim``.
        mlp_dim: width inside the MLP; by default ``4 * dim``.
        dropout: the share dropped in training: of the attention weights,
            inside the MLP, and of what each part adds.
        norm_first: pre-norm or post-norm.
        activation: "relu" or "gelu".

    Source: Vaswani et al. (2017), "Attention is all you need", section 3.1;
    both positions of the norm: Xiong et al. (2020), "On layer normalization in
    the Transformer architecture", figure 1.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        mlp_dim: int | None = None,
        *,
        dropout: float = 0.0,
        norm_first: bool = True,
        activation: str = "relu",
    ) -> None:
        """Create attention, MLP and a norm for each.

        Raises:
            ValueError: if ``heads`` does not divide ``dim``, ``dropout`` is
                not in [0, 1), or ``activation`` is unknown.
        """
        super().__init__()
        self.norm_first = norm_first
        self.attention = MultiHeadAttention(dim, heads, dropout=dropout)
        self.mlp = feed_forward(dim, mlp_dim or 4 * dim, dropout, activation)
        self.norm_attention = nn.LayerNorm(dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.add = Residual(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch length dim"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        is_causal: bool = False,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch length dim"],
        Float[Tensor, "batch heads length length"] | None,
    ]:
        """Return the new tokens, and the weights if they are asked for.

        ``mask`` and ``is_causal`` are those of ``MultiHeadAttention``: True =
        may attend, and no token attends to a later one.

        Raises:
            ValueError: as ``MultiHeadAttention`` does.
        """
        options = {"is_causal": is_causal, "need_weights": need_weights}
        if self.norm_first:
            update, weights = self.attention(
                self.norm_attention(x), mask=mask, **options
            )
            x = self.add(x, update)
            x = self.add(x, self.mlp(self.norm_mlp(x)))
        else:
            update, weights = self.attention(x, mask=mask, **options)
            x = self.norm_attention(self.add(x, update))
            x = self.norm_mlp(self.add(x, self.mlp(x)))
        return x, weights

    @classmethod
    def from_torch(cls, theirs: nn.TransformerEncoderLayer) -> "EncoderLayer":
        """Make a layer with the weights of torch's.

        Raises:
            ValueError: if torch's layer has no biases, or another activation.
        """
        return layer_from_torch(cls, theirs)

    def to_torch(self) -> nn.TransformerEncoderLayer:
        """Make torch's layer, with ``batch_first=True`` and our weights."""
        return layer_to_torch(self, nn.TransformerEncoderLayer)


class DecoderLayer(nn.Module):
    """An encoder layer that also asks a memory: attention, memory, MLP.

    Pre-norm: ``x = x + attention(norm(x))``,
    ``x = x + cross_attention(norm(x), memory)``, ``x = x + mlp(norm(x))``.
    Post-norm: the norm comes after each sum instead.

    The same as ``torch.nn.TransformerDecoderLayer``. The arguments are those
    of :class:`EncoderLayer`.

    Source: Vaswani et al. (2017), section 3.1.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        mlp_dim: int | None = None,
        *,
        dropout: float = 0.0,
        norm_first: bool = True,
        activation: str = "relu",
    ) -> None:
        """Create both attentions, the MLP and a norm for each.

        Raises:
            ValueError: as :class:`EncoderLayer` does.
        """
        super().__init__()
        self.norm_first = norm_first
        self.attention = MultiHeadAttention(dim, heads, dropout=dropout)
        self.cross_attention = MultiHeadAttention(dim, heads, dropout=dropout)
        self.mlp = feed_forward(dim, mlp_dim or 4 * dim, dropout, activation)
        self.norm_attention = nn.LayerNorm(dim)
        self.norm_cross = nn.LayerNorm(dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.add = Residual(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch t dim"],
        memory: Float[Tensor, "batch s dim"],
        mask: Bool[Tensor, "..."] | None = None,
        memory_mask: Bool[Tensor, "..."] | None = None,
        *,
        is_causal: bool = False,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch t dim"],
        Float[Tensor, "batch heads t t"] | None,
        Float[Tensor, "batch heads t s"] | None,
    ]:
        """Return the new tokens, and both attentions' weights if asked for.

        ``mask`` says which tokens of ``x`` each may attend to, and
        ``is_causal`` to none that comes later; ``memory_mask`` says which of
        ``memory``. True = may attend.

        Raises:
            ValueError: as ``MultiHeadAttention`` does; of the memory it is
                the argument ``key`` that is named.
        """
        options = {"is_causal": is_causal, "need_weights": need_weights}
        ask_memory = {"mask": memory_mask, "need_weights": need_weights}
        if self.norm_first:
            update, own = self.attention(
                self.norm_attention(x), mask=mask, **options
            )
            x = self.add(x, update)
            update, cross = self.cross_attention(
                self.norm_cross(x), memory, **ask_memory
            )
            x = self.add(x, update)
            x = self.add(x, self.mlp(self.norm_mlp(x)))
        else:
            update, own = self.attention(x, mask=mask, **options)
            x = self.norm_attention(self.add(x, update))
            update, cross = self.cross_attention(x, memory, **ask_memory)
            x = self.norm_cross(self.add(x, update))
            x = self.norm_mlp(self.add(x, self.mlp(x)))
        return x, own, cross

    @classmethod
    def from_torch(cls, theirs: nn.TransformerDecoderLayer) -> "DecoderLayer":
        """Make a layer with the weights of torch's.

        Raises:
            ValueError: if torch's layer has no biases, or another activation.
        """
        return layer_from_torch(cls, theirs)

    def to_torch(self) -> nn.TransformerDecoderLayer:
        """Make torch's layer, with ``batch_first=True`` and our weights."""
        return layer_to_torch(self, nn.TransformerDecoderLayer)
