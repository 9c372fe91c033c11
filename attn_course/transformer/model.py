"""The whole: stacks of layers, and a Transformer from token ids to logits."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_course.common.arguments import check_at_least, check_tokens
from attn_course.common.seq2seq import Memory
from attn_course.common.tokens import PAD
from attn_course.scaled_dot_product import causal_mask
from attn_course.self_attention import sinusoidal_positions
from attn_course.transformer.layers import DecoderLayer, EncoderLayer


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
        check_at_least(1, layers=layers)
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
        is_causal: bool = False,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch length dim"],
        Float[Tensor, "layers batch heads length length"] | None,
    ]:
        """Run all layers; return the weights of each if they are asked for."""
        all_weights = []
        for layer in self.layers:
            x, weights = layer(
                x, mask, is_causal=is_causal, need_weights=need_weights
            )
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
        check_at_least(1, layers=layers)
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
        is_causal: bool = False,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch t dim"],
        Float[Tensor, "layers batch heads t t"] | None,
        Float[Tensor, "layers batch heads t s"] | None,
    ]:
        """Run all layers, each with the same memory."""
        own, cross = [], []
        for layer in self.layers:
            x, own_weights, cross_weights = layer(
                x,
                memory,
                mask,
                memory_mask,
                is_causal=is_causal,
                need_weights=need_weights,
            )
            own.append(own_weights)
            cross.append(cross_weights)
        if not need_weights:
            return self.norm(x), None, None
        return self.norm(x), torch.stack(own), torch.stack(cross)


class Transformer(nn.Module):
    """From token ids to the scores of the next token.

    ``memory = encoder(embed(source))``,
    ``logits = decoder(embed(target), memory) W_out + b_out`` with
    ``embed(tokens) = dropout(table[tokens] * sqrt(dim) + positions)``.

    A token with the id PAD is padding: nobody attends to it. In the decoder a
    token attends to itself and to those before it. The ids are not looked at:
    one that the table lacks is an error of the embedding.

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
        self.dropout = nn.Dropout(dropout)
        positions = sinusoidal_positions(max_length, dim)  # (max_length, dim)
        positions = positions.to(self.output.weight.dtype)
        self.register_buffer("positions", positions, persistent=False)
        if share_embeddings:
            self.target_embedding = self.source_embedding
            self.output.weight = self.source_embedding.weight
        self._initialise()

    def encode(self, source: Int[Tensor, "batch s"]) -> Memory:
        """Read the source: its states, and which tokens are real.

        Raises:
            ValueError: if ``source`` is no batch of token ids, or longer than
                ``max_length``.
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
            ValueError: if ``target`` is no batch of token ids, or longer than
                ``max_length``.
        """
        check_tokens("target", target, self.max_length)
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
        check_tokens("source", source, self.max_length)
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

    def _initialise(self) -> None:
        """Start as ``torch.nn.Transformer`` does, embeddings with length 1."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for table in (self.source_embedding, self.target_embedding):
            nn.init.normal_(table.weight, std=self.dim**-0.5)


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
