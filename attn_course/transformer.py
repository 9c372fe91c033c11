"""Lesson 06: a whole Transformer, from lesson 04's attention.

Reading order: ``Residual`` adds what a part found to what was there.
``EncoderLayer`` is attention and a small network, ``DecoderLayer`` has a
second attention, to the memory. ``Encoder`` and ``Decoder`` stack them,
``Transformer`` puts embeddings and positions before and an output layer
behind. ``ablate`` removes a part, to see what it was for. ``smooth_labels``
and ``noam_lr`` are two tricks of training, ``reversals`` is the task to
train on.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.additive_attention import BOS, EOS, PAD, UNK, Memory, greedy
from attn_course.multi_head_attention import MultiHeadAttention
from attn_course.scaled_dot_product import causal_mask
from attn_course.self_attention import sinusoidal_positions

ACTIVATIONS = {"relu": (nn.ReLU, F.relu), "gelu": (nn.GELU, F.gelu)}
PARTS = ("positions", "residuals", "norms", "MLPs", "causal mask")


class Dropout(nn.Dropout):
    """``nn.Dropout`` with lesson 04's ``drop``, which is faster on a CPU."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Drop in training; pass everything on in evaluation."""
        return F.dropout(x, self.p, self.training)


class Residual(nn.Module):
    """Add what a part found to what was there: ``x + dropout(found)``.

    Shapes: ``(batch, length, dim)``, twice in and once out.

    Source: He et al. (2016), "Deep residual learning for image recognition";
    the dropout is that of Vaswani et al. (2017), section 5.4.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        """Set the share of ``found`` that is dropped in training."""
        super().__init__()
        self.dropout = Dropout(dropout)
        self.enabled = True  # ablate sets it to False: x is then forgotten

    def forward(
        self,
        x: Float[Tensor, "batch length dim"],
        found: Float[Tensor, "batch length dim"],
    ) -> Float[Tensor, "batch length dim"]:
        """Return the sum."""
        found = self.dropout(found)
        return x + found if self.enabled else found


def feed_forward(
    dim: int, mlp_dim: int, dropout: float = 0.0, activation: str = "relu"
) -> nn.Sequential:
    """Make the small network that works on each token by itself.

    ``mlp(x) = dropout(max(0, x W_1 + b_1)) W_2 + b_2``

    Raises:
        ValueError: if ``activation`` is neither "relu" nor "gelu".

    Source: Vaswani et al. (2017), section 3.3, equation 2.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation: expected one of {tuple(ACTIVATIONS)}, "
            f"got {activation!r}"
        )
    return nn.Sequential(
        nn.Linear(dim, mlp_dim),
        ACTIVATIONS[activation][0](),
        Dropout(dropout),
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
    both places of the norm: Xiong et al. (2020), "On layer normalization in
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
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch length dim"],
        Float[Tensor, "batch heads length length"] | None,
    ]:
        """Return the new tokens, and the weights if they are asked for.

        ``mask`` is that of ``MultiHeadAttention``: True = may attend.

        Raises:
            ValueError: as ``MultiHeadAttention`` does.
        """
        if self.norm_first:
            found, weights = self.attention(
                self.norm_attention(x), mask=mask, need_weights=need_weights
            )
            x = self.add(x, found)
            x = self.add(x, self.mlp(self.norm_mlp(x)))
        else:
            found, weights = self.attention(
                x, mask=mask, need_weights=need_weights
            )
            x = self.norm_attention(self.add(x, found))
            x = self.norm_mlp(self.add(x, self.mlp(x)))
        return x, weights

    @classmethod
    def from_torch(cls, theirs: nn.TransformerEncoderLayer) -> "EncoderLayer":
        """Make a layer with the weights of torch's.

        Raises:
            ValueError: if torch's layer has no biases, or another activation.
        """
        return _from_torch(cls, theirs)

    def to_torch(self) -> nn.TransformerEncoderLayer:
        """Make torch's layer, with ``batch_first=True`` and our weights."""
        return _to_torch(self, nn.TransformerEncoderLayer)

    def _pairs(self, theirs: nn.TransformerEncoderLayer) -> list[tuple]:
        return [
            (self.attention, theirs.self_attn),
            (self.mlp[0], theirs.linear1),
            (self.mlp[3], theirs.linear2),
            (self.norm_attention, theirs.norm1),
            (self.norm_mlp, theirs.norm2),
        ]


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
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch t dim"],
        Float[Tensor, "batch heads t t"] | None,
        Float[Tensor, "batch heads t s"] | None,
    ]:
        """Return the new tokens, and both attentions' weights if asked for.

        ``mask`` says which tokens of ``x`` each may attend to (usually a
        causal mask), ``memory_mask`` which of ``memory``; True = may attend.

        Raises:
            ValueError: as ``MultiHeadAttention`` does; of the memory it is
                the argument ``key`` that is named.
        """
        ask = {"need_weights": need_weights}
        if self.norm_first:
            found, own = self.attention(
                self.norm_attention(x), mask=mask, **ask
            )
            x = self.add(x, found)
            found, cross = self.cross_attention(
                self.norm_cross(x), memory, mask=memory_mask, **ask
            )
            x = self.add(x, found)
            x = self.add(x, self.mlp(self.norm_mlp(x)))
        else:
            found, own = self.attention(x, mask=mask, **ask)
            x = self.norm_attention(self.add(x, found))
            found, cross = self.cross_attention(
                x, memory, mask=memory_mask, **ask
            )
            x = self.norm_cross(self.add(x, found))
            x = self.norm_mlp(self.add(x, self.mlp(x)))
        return x, own, cross

    @classmethod
    def from_torch(cls, theirs: nn.TransformerDecoderLayer) -> "DecoderLayer":
        """Make a layer with the weights of torch's.

        Raises:
            ValueError: if torch's layer has no biases, or another activation.
        """
        return _from_torch(cls, theirs)

    def to_torch(self) -> nn.TransformerDecoderLayer:
        """Make torch's layer, with ``batch_first=True`` and our weights."""
        return _to_torch(self, nn.TransformerDecoderLayer)

    def _pairs(self, theirs: nn.TransformerDecoderLayer) -> list[tuple]:
        return [
            (self.attention, theirs.self_attn),
            (self.cross_attention, theirs.multihead_attn),
            (self.mlp[0], theirs.linear1),
            (self.mlp[3], theirs.linear2),
            (self.norm_attention, theirs.norm1),
            (self.norm_cross, theirs.norm2),
            (self.norm_mlp, theirs.norm3),
        ]


class Encoder(nn.Module):
    """A stack of encoder layers; pre-norm has one norm more, at the end.

    ``Encoder(layers, dim, heads, ...)``: the other arguments are those of
    :class:`EncoderLayer`. Without the last norm a pre-norm stack would give a
    sum that grows with every layer.
    """

    def __init__(
        self,
        layers: int,
        dim: int,
        heads: int,
        mlp_dim: int | None = None,
        *,
        dropout: float = 0.0,
        norm_first: bool = True,
        activation: str = "relu",
    ) -> None:
        """Create the layers.

        Raises:
            ValueError: if ``layers`` is below 1, or as the layer does.
        """
        super().__init__()
        _check_layers(layers)
        self.layers = nn.ModuleList(
            EncoderLayer(
                dim,
                heads,
                mlp_dim,
                dropout=dropout,
                norm_first=norm_first,
                activation=activation,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim) if norm_first else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "batch length dim"],
        mask: Bool[Tensor, "..."] | None = None,
        *,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch length dim"],
        Float[Tensor, "layers batch heads length length"] | None,
    ]:
        """Run all layers; return the weights of each if they are asked for."""
        all_weights = []
        for layer in self.layers:
            x, weights = layer(x, mask, need_weights=need_weights)
            all_weights.append(weights)
        return self.norm(x), torch.stack(all_weights) if need_weights else None


class Decoder(nn.Module):
    """A stack of decoder layers; pre-norm has one norm more, at the end.

    ``Decoder(layers, dim, heads, ...)``, as :class:`Encoder`.
    """

    def __init__(
        self,
        layers: int,
        dim: int,
        heads: int,
        mlp_dim: int | None = None,
        *,
        dropout: float = 0.0,
        norm_first: bool = True,
        activation: str = "relu",
    ) -> None:
        """Create the layers.

        Raises:
            ValueError: if ``layers`` is below 1, or as the layer does.
        """
        super().__init__()
        _check_layers(layers)
        self.layers = nn.ModuleList(
            DecoderLayer(
                dim,
                heads,
                mlp_dim,
                dropout=dropout,
                norm_first=norm_first,
                activation=activation,
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim) if norm_first else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "batch t dim"],
        memory: Float[Tensor, "batch s dim"],
        mask: Bool[Tensor, "..."] | None = None,
        memory_mask: Bool[Tensor, "..."] | None = None,
        *,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch t dim"],
        Float[Tensor, "layers batch heads t t"] | None,
        Float[Tensor, "layers batch heads t s"] | None,
    ]:
        """Run all layers, each with the same memory."""
        own, cross = [], []
        for layer in self.layers:
            x, *weights = layer(
                x, memory, mask, memory_mask, need_weights=need_weights
            )
            own.append(weights[0])
            cross.append(weights[1])
        if not need_weights:
            return self.norm(x), None, None
        return self.norm(x), torch.stack(own), torch.stack(cross)


class Transformer(nn.Module):
    """From token ids to the scores of the next token.

    ``memory = encoder(embed(source))``,
    ``logits = decoder(embed(target), memory) W_out + b_out`` with
    ``embed(tokens) = dropout(table[tokens] * sqrt(dim) + positions)``.

    A token with the id PAD is padding: nobody attends to it. In the decoder a
    token attends to itself and to those before it.

    Source: Vaswani et al. (2017), sections 3.1, 3.4, 3.5 and 5.4.
    """

    positions: Tensor

    def __init__(
        self,
        source_size: int,
        target_size: int,
        dim: int,
        heads: int,
        layers: int,
        *,
        mlp_dim: int | None = None,
        dropout: float = 0.0,
        norm_first: bool = True,
        activation: str = "relu",
        max_length: int = 256,
        share_embeddings: bool = False,
    ) -> None:
        """Create all parts.

        Args:
            source_size: how many ids the source's tokens may have.
            target_size: the same of the target.
            dim: numbers per token; even.
            heads: per attention; must divide ``dim``.
            layers: of the encoder, and again of the decoder.
            mlp_dim: width inside the MLPs; by default ``4 * dim``.
            dropout: as in :class:`EncoderLayer`, and of the embeddings.
            norm_first: pre-norm or post-norm.
            activation: "relu" or "gelu".
            max_length: the longest sequence, in tokens.
            share_embeddings: one table for source, target and output layer
                (Vaswani et al. 2017, section 3.4).

        Raises:
            ValueError: if a size does not fit.
        """
        super().__init__()
        if share_embeddings and source_size != target_size:
            raise ValueError(
                "share_embeddings: expected source_size and target_size to "
                f"be equal, got {source_size} and {target_size}"
            )
        self.dim, self.max_length, self.causal = dim, max_length, True
        self.source_embedding = nn.Embedding(source_size, dim)
        self.target_embedding = nn.Embedding(target_size, dim)
        options = {
            "dropout": dropout,
            "norm_first": norm_first,
            "activation": activation,
        }
        self.encoder = Encoder(layers, dim, heads, mlp_dim, **options)
        self.decoder = Decoder(layers, dim, heads, mlp_dim, **options)
        self.output = nn.Linear(dim, target_size)
        self.dropout = Dropout(dropout)
        waves = sinusoidal_positions(max_length, dim)  # (max_length, dim)
        waves = waves.to(self.output.weight.dtype)
        self.register_buffer("positions", waves, persistent=False)
        if share_embeddings:
            self.target_embedding = self.source_embedding
            self.output.weight = self.source_embedding.weight
        self._start()

    def encode(self, source: Int[Tensor, "batch s"]) -> Memory:
        """Read the source: its states, and which tokens are real.

        Raises:
            ValueError: if a sequence is longer than ``max_length``, or an id
                is out of range.
        """
        return self._encode(source, need_weights=False)[0]

    def encoder_weights(
        self, source: Int[Tensor, "batch s"]
    ) -> Float[Tensor, "layers batch heads s s"]:
        """Return the weights of the encoder's attentions, to look at."""
        return self._encode(source, need_weights=True)[1]

    def decode(
        self,
        memory: Memory,
        target: Int[Tensor, "batch t"],
        *,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch t size"],
        Float[Tensor, "layers batch heads t s"] | None,
    ]:
        """Score the next token after each token of the target.

        Args:
            memory: what :meth:`encode` gave.
            target: token ids, BOS first (teacher forcing: the true tokens).
            need_weights: give the weights of the cross-attention too.

        Raises:
            ValueError: if a sequence is longer than ``max_length``, or an id
                is out of range.
        """
        _check_tokens("target", target, self.target_embedding, self.max_length)
        mask = (target != PAD)[:, None, :]  # (batch, 1, t)
        if self.causal:
            mask = mask & causal_mask(target.shape[1], device=target.device)
        x, _, weights = self.decoder(
            self._embed(self.target_embedding, target),
            memory.states,
            mask,  # (batch, t, t)
            memory.mask[:, None, :],  # (batch, 1, s)
            need_weights=need_weights,
        )
        return self.output(x), weights

    def forward(
        self, source: Int[Tensor, "batch s"], target: Int[Tensor, "batch t"]
    ) -> Float[Tensor, "batch t size"]:
        """Return the logits of ``decode(encode(source), target)``."""
        return self.decode(self.encode(source), target)[0]

    def _encode(
        self, source: Tensor, need_weights: bool
    ) -> tuple[Memory, Tensor | None]:
        _check_tokens("source", source, self.source_embedding, self.max_length)
        real = source != PAD  # (batch, s)
        states, weights = self.encoder(
            self._embed(self.source_embedding, source),
            real[:, None, :],  # (batch, 1, s)
            need_weights=need_weights,
        )
        return Memory(states, real, None), weights

    def _embed(self, table: nn.Embedding, tokens: Tensor) -> Tensor:
        x = table(tokens) * math.sqrt(self.dim)  # (batch, length, dim)
        return self.dropout(x + self.positions[: tokens.shape[1]])

    def _start(self) -> None:
        """Start as ``torch.nn.Transformer`` does, embeddings with length 1."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=self.dim**-0.5)


def ablate(model: nn.Module, part: str) -> nn.Module:
    """Remove one part of a model, in place, to see what it was for.

    "positions" become zeros; "residuals" forget what was there; "norms" pass
    everything on; "MLPs" find 0; without the "causal mask" each token of the
    target sees those after it.

    ``model`` is a :class:`Transformer`, or a part that has what is taken out.

    Raises:
        ValueError: if ``part`` is none of these, or the model has none.
    """
    if part not in PARTS:
        raise ValueError(f"part: expected one of {PARTS}, got {part!r}")
    owned = {"positions": "positions", "causal mask": "causal"}
    if part in owned and not hasattr(model, owned[part]):
        raise ValueError(
            f"part: {part!r} belongs to a Transformer, "
            f"got {type(model).__name__}"
        )
    if part == "positions":
        model.positions.zero_()
    if part == "causal mask":
        model.causal = False
    for block in list(model.modules()):
        if part == "residuals" and isinstance(block, Residual):
            block.enabled = False
        if part == "MLPs" and isinstance(block, EncoderLayer | DecoderLayer):
            block.mlp = _Nothing()
        for name, child in list(block.named_children()):
            if part == "norms" and isinstance(child, nn.LayerNorm):
                setattr(block, name, nn.Identity())
    return model


def count_by_formula(
    source_size: int,
    target_size: int,
    dim: int,
    layers: int,
    *,
    mlp_dim: int | None = None,
    norm_first: bool = True,
    share_embeddings: bool = False,
) -> int:
    """Count the parameters of a :class:`Transformer` without making one.

    With ``A = 4 dim^2 + 4 dim`` (one attention), ``M = 2 dim mlp_dim + mlp_dim
    + dim`` (one MLP) and ``N = 2 dim`` (one norm): an encoder layer has
    ``A + M + 2 N``, a decoder layer ``2 A + M + 3 N``, the ends ``2 N`` if
    pre-norm; each table has ``size dim``, the output layer ``target_size``
    more. The number of heads does not matter.
    """
    mlp_dim = mlp_dim or 4 * dim
    attention = 4 * dim**2 + 4 * dim
    mlp = 2 * dim * mlp_dim + mlp_dim + dim
    norm = 2 * dim
    encoder_layer = attention + mlp + 2 * norm
    decoder_layer = 2 * attention + mlp + 3 * norm
    ends = 2 * norm if norm_first else 0
    tables = source_size + (0 if share_embeddings else 2 * target_size)
    return (
        layers * (encoder_layer + decoder_layer)
        + ends
        + tables * dim
        + target_size
    )


def smooth_labels(
    expected: Int[Tensor, "*batch"], classes: int, smoothing: float
) -> Float[Tensor, "*batch classes"]:
    """Make the distribution that label smoothing aims at.

    ``q_c = (1 - smoothing) [c = expected] + smoothing / classes``

    Raises:
        ValueError: if ``smoothing`` is not from 0 to 1.

    Source: Szegedy et al. (2016), "Rethinking the Inception architecture for
    computer vision", section 7.
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(
            f"smoothing: expected a number from 0 to 1, got {smoothing}"
        )
    right = F.one_hot(expected, classes).to(torch.get_default_dtype())
    return (1 - smoothing) * right + smoothing / classes


def smoothed_loss(
    logits: Float[Tensor, "*batch classes"],
    expected: Int[Tensor, "*batch"],
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Take the cross-entropy to smoothed targets, averaged over real tokens.

    ``loss = - sum_c q_c log softmax(logits)_c``, the mean over all places
    where ``expected`` is not PAD. ``sequence_loss`` of lesson 05 and
    ``F.cross_entropy(..., label_smoothing=)`` give the same number.

    Raises:
        ValueError: if ``smoothing`` is not from 0 to 1.
    """
    aim = smooth_labels(expected, logits.shape[-1], smoothing).to(logits)
    losses = -(aim * logits.log_softmax(dim=-1)).sum(dim=-1)  # (*batch)
    return losses[expected != PAD].mean()


def noam_lr(step: int, dim: int, warmup: int = 4000) -> float:
    """Give the learning rate of a step, counted from 1.

    ``rate = dim^(-0.5) * min(step^(-0.5), step * warmup^(-1.5))``: a straight
    rise for ``warmup`` steps, then a slow fall.

    Raises:
        ValueError: if ``step``, ``dim`` or ``warmup`` is below 1.

    Source: Vaswani et al. (2017), section 5.3, equation 3.
    """
    for name, number in (("step", step), ("dim", dim), ("warmup", warmup)):
        if number < 1:
            raise ValueError(f"{name}: expected 1 or more, got {number}")
    return dim**-0.5 * min(step**-0.5, step * warmup**-1.5)


def reversals(
    count: int,
    generator: torch.Generator,
    *,
    held_out: bool = False,
    low: int = 4,
    high: int = 9,
    letters: int = 26,
) -> tuple[
    Int[Tensor, "count width"],
    Int[Tensor, "count width"],
    Int[Tensor, "count width"],
]:
    """Draw the task of this lesson: random letters, to be written backwards.

    A sequence is held out from training if the sum of its ids is a multiple
    of 5. So no held-out sequence is ever trained on, whatever the seed.

    Args:
        count: how many sequences.
        generator: where the random numbers come from.
        held_out: draw from the fifth that is held out, or from the rest.
        low: fewest letters.
        high: most letters.
        letters: how many there are; their ids start at ``UNK + 1``.

    Returns:
        The source ``a b c EOS``, the decoder's input ``BOS c b a``, and
        what it should say, ``c b a EOS``; each padded to ``high + 1``.

    Raises:
        ValueError: if there is nothing to draw, or too few letters and
            lengths to find ``count`` sequences on this side of the rule.
    """
    if count < 1 or letters < 1 or not 1 <= low <= high:
        raise ValueError(
            "count, letters, low: expected 1 or more, and low <= high, got "
            f"{count}, {letters}, {low} and {high}"
        )
    drawn = 100 + (8 if held_out else 2) * count  # more than enough
    first = UNK + 1
    ids = torch.randint(
        first, first + letters, (drawn, high + 1), generator=generator
    )
    lengths = torch.randint(low, high + 1, (drawn, 1), generator=generator)
    place = torch.arange(high + 1)
    ids = ids.masked_fill(place >= lengths, PAD)
    kept = (ids.sum(dim=1) % 5 == 0) == held_out
    ids, lengths = ids[kept][:count], lengths[kept][:count]
    if len(ids) < count:
        raise ValueError(
            f"count: expected at most {len(ids)} for held_out={held_out} with "
            f"{letters} letters and lengths {low} to {high}, got {count}"
        )
    mirrored = (lengths - 1 - place).clamp(min=0)  # (count, width)
    back = ids.gather(1, mirrored).masked_fill(place >= lengths, PAD)
    start = torch.full((count, 1), BOS)
    target = torch.cat([start, back[:, :-1]], dim=1)
    return (
        ids.masked_fill(place == lengths, EOS),
        target,
        back.masked_fill(place == lengths, EOS),
    )


def exactly_right(
    model: nn.Module,
    source: Int[Tensor, "batch s"],
    expected: Int[Tensor, "batch t"],
) -> Bool[Tensor, " batch"]:
    """Let the model write by itself, and say which sequences are all right.

    Every token counts, EOS too: one wrong letter and the sequence is wrong.
    """
    found = greedy(model, source, expected.shape[1])
    missing = expected.shape[1] - found.shape[1]
    found = F.pad(found, (0, missing), value=PAD)  # (batch, t)
    return (found == expected).all(dim=1)


class _Nothing(nn.Module):
    """Find nothing: zeros, whatever is asked."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def _check_layers(layers: int) -> None:
    if layers < 1:
        raise ValueError(f"layers: expected 1 or more, got {layers}")


def _check_tokens(
    name: str, tokens: Tensor, table: nn.Embedding, max_length: int
) -> None:
    """Refuse what is not a batch of known tokens that fits the positions."""
    if not isinstance(tokens, Tensor):
        raise ValueError(
            f"{name}: expected a tensor of token ids, "
            f"got {type(tokens).__name__}"
        )
    whole = not tokens.is_floating_point() and tokens.dtype != torch.bool
    if tokens.dim() != 2 or not whole:
        raise ValueError(
            f"{name}: expected token ids of shape (batch, length), got "
            f"{tokens.dtype} of shape {tuple(tokens.shape)}"
        )
    if tokens.shape[1] > max_length:
        raise ValueError(
            f"{name}: expected at most {max_length} tokens (max_length), "
            f"got {tokens.shape[1]}"
        )
    if tokens.numel() == 0 or torch.compiler.is_compiling():
        return
    low, high = (int(x) for x in tokens.aminmax())
    if low < 0 or high >= table.num_embeddings:
        raise ValueError(
            f"{name}: expected ids from 0 to {table.num_embeddings - 1}, "
            f"got {low if low < 0 else high}"
        )


def _from_torch(cls: type, theirs: nn.Module) -> nn.Module:
    """Make one of our layers of one of torch's."""
    names = [n for n, (_, f) in ACTIVATIONS.items() if theirs.activation is f]
    if not names:
        raise ValueError(
            f"theirs: expected one of the activations {tuple(ACTIVATIONS)}, "
            f"got {theirs.activation}"
        )
    if theirs.linear1.bias is None:
        raise ValueError("theirs: expected bias=True, got bias=False")
    ours = cls(
        theirs.self_attn.embed_dim,
        theirs.self_attn.num_heads,
        theirs.linear1.out_features,
        dropout=theirs.dropout.p,
        norm_first=theirs.norm_first,
        activation=names[0],
    )
    for mine, torchs in ours._pairs(theirs):
        if isinstance(mine, nn.LayerNorm):
            mine.eps = torchs.eps
    ours = ours.to(theirs.linear1.weight).train(theirs.training)
    _copy_weights((torchs, mine) for mine, torchs in _all_pairs(ours, theirs))
    return ours


def _to_torch(ours: nn.Module, make: type) -> nn.Module:
    """Make one of torch's layers of one of ours."""
    names = [n for n, (c, _) in ACTIVATIONS.items() if type(ours.mlp[1]) is c]
    theirs = make(
        ours.attention.dim,
        ours.attention.heads,
        ours.mlp[0].out_features,
        ours.add.dropout.p,
        names[0],
        ours.norm_mlp.eps,
        batch_first=True,
        norm_first=ours.norm_first,
    )
    theirs = theirs.to(ours.mlp[0].weight).train(ours.training)
    _copy_weights(_all_pairs(ours, theirs))
    return theirs


def _all_pairs(ours: nn.Module, theirs: nn.Module) -> list[tuple]:
    """List our parameters, each beside torch's."""
    pairs = []
    for mine, torchs in ours._pairs(theirs):
        if isinstance(mine, MultiHeadAttention):
            pairs += mine._pairs(torchs)
        else:
            pairs += zip(mine.parameters(), torchs.parameters())
    return pairs


def _copy_weights(pairs) -> None:
    with torch.no_grad():
        for source, copy in pairs:
            copy.copy_(source)
