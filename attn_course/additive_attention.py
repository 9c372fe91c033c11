"""Lesson 05: the attention that came first, in recurrent translation.

Reading order: ``additive_scores`` and ``general_scores`` compare queries with
keys, ``AdditiveAttention`` and ``LuongAttention`` make layers of them,
``EncoderDecoder`` is a translator with either, or with none. What trains it
and lets it write stands in ``common.seq2seq``: every later encoder-decoder
needs it too.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import rnn

from attn_course.common.arguments import (
    check_at_least,
    check_choice,
    check_dropout,
    check_last_dim,
    check_mask,
    check_tokens,
)
from attn_course.common.seq2seq import Memory
from attn_course.common.tokens import PAD
from attn_course.scaled_dot_product import (
    masked_softmax,
    scaled_dot_product_attention,
)

ATTENTIONS = (None, "additive", "dot", "general")


def additive_scores(
    query: Float[Tensor, "*batch q query_dim"],
    key: Float[Tensor, "*batch k key_dim"],
    w_query: Float[Tensor, "hidden query_dim"],
    w_key: Float[Tensor, "hidden key_dim"],
    v: Float[Tensor, " hidden"],
) -> Float[Tensor, "*batch q k"]:
    """Compare each query with each key in a small network of one layer.

    ``score_ij = v . tanh(W_q query_i + W_k key_j)``

    Both are projected once, then added in pairs: a tensor ``(*batch, q, k,
    hidden)`` is made, which a dot product does not need. Queries and keys may
    differ in size.

    Raises:
        ValueError: if a shape does not fit, or the query's and the key's
            dtypes or devices differ; the message names the argument.

    Source: Bahdanau, Cho and Bengio (2015), "Neural machine translation by
    jointly learning to align and translate", section 3.1 and appendix A.1.2.
    """
    _check_pair(query, key)
    if v.dim() != 1:
        raise ValueError(
            f"v: expected one row of numbers, got shape {tuple(v.shape)}"
        )
    for name, x, weight in (("query", query, w_query), ("key", key, w_key)):
        if weight.dim() != 2:
            raise ValueError(
                f"w_{name}: expected a matrix, got shape {tuple(weight.shape)}"
            )
        check_last_dim(weight.shape[-1], **{name: x})
        if weight.shape[0] != len(v):
            raise ValueError(
                f"w_{name}: expected {len(v)} rows, one per number of v, "
                f"got {weight.shape[0]}"
            )
    queries = F.linear(query, w_query).unsqueeze(-2)  # (*batch, q, 1, hidden)
    keys = F.linear(key, w_key).unsqueeze(-3)  # (*batch, 1, k, hidden)
    return torch.tanh(queries + keys) @ v  # (*batch, q, k)


def general_scores(
    query: Float[Tensor, "*batch q query_dim"],
    key: Float[Tensor, "*batch k key_dim"],
    w: Float[Tensor, "query_dim key_dim"],
) -> Float[Tensor, "*batch q k"]:
    """Compare each query with each key through a matrix.

    ``score_ij = query_i . (W key_j)``; with the unit matrix it is the dot
    product.

    Raises:
        ValueError: if a shape does not fit, or the query's and the key's
            dtypes or devices differ; the message names the argument.

    Source: Luong, Pham and Manning (2015), "Effective approaches to
    attention-based neural machine translation", section 3.1.
    """
    _check_pair(query, key)
    if w.dim() != 2:
        raise ValueError(f"w: expected a matrix, got shape {tuple(w.shape)}")
    check_last_dim(w.shape[0], query=query)
    check_last_dim(w.shape[1], key=key)
    return query @ F.linear(key, w).transpose(-2, -1)  # (*batch, q, k)


class AdditiveAttention(nn.Module):
    """Attention whose scores come from a small network: Bahdanau's.

    ``output = softmax(additive_scores(query, key)) value``

    Args of the constructor:
        query_dim: numbers per query.
        key_dim: numbers per key; by default as many.
        hidden: size of the network's layer; by default ``key_dim``.
    """

    def __init__(
        self,
        query_dim: int,
        key_dim: int | None = None,
        hidden: int | None = None,
    ) -> None:
        """Create ``w_query``, ``w_key`` and ``v``.

        Raises:
            ValueError: if a size is below 1.
        """
        super().__init__()
        key_dim = query_dim if key_dim is None else key_dim
        hidden = key_dim if hidden is None else hidden
        check_at_least(1, query_dim=query_dim, key_dim=key_dim, hidden=hidden)
        self.w_query = nn.Parameter(torch.empty(hidden, query_dim))
        self.w_key = nn.Parameter(torch.empty(hidden, key_dim))
        self.v = nn.Parameter(torch.empty(hidden))
        nn.init.xavier_uniform_(self.w_query)
        nn.init.xavier_uniform_(self.w_key)
        nn.init.normal_(self.v, std=hidden**-0.5)

    def forward(
        self,
        query: Float[Tensor, "*batch q query_dim"],
        key: Float[Tensor, "*batch k key_dim"],
        value: Float[Tensor, "*batch k value_dim"],
        mask: Bool[Tensor, "..."] | None = None,
    ) -> tuple[
        Float[Tensor, "*batch q value_dim"], Float[Tensor, "*batch q k"]
    ]:
        """Answer every query: the output and the weights.

        ``mask`` broadcasts to ``(*batch, q, k)``, True = may attend; a query
        that may attend to nothing gets 0.

        Raises:
            ValueError: if a shape, dtype or device does not fit; the message
                names the argument.
        """
        _check_pair(query, key)
        _check_values(key, value)
        if mask is not None:
            check_mask(mask, query, key)
        scores = additive_scores(
            query, key, self.w_query, self.w_key, self.v
        )  # (*batch, q, k)
        weights = masked_softmax(scores, mask).to(value.dtype)
        return weights @ value, weights


class LuongAttention(nn.Module):
    """Attention whose scores are dot products: Luong's "dot" or "general".

    ``output = softmax(query . key) value``, or ``softmax(query . W key)
    value``; not scaled, as in the paper.

    Args of the constructor:
        query_dim: numbers per query.
        key_dim: numbers per key; by default as many.
        score: "dot" needs equal sizes and has no parameters.
    """

    def __init__(
        self, query_dim: int, key_dim: int | None = None, *, score: str = "dot"
    ) -> None:
        """Create ``w`` if the score is "general".

        Raises:
            ValueError: if ``score`` is unknown, a size is below 1, or "dot"
                is asked for with two sizes.
        """
        super().__init__()
        key_dim = query_dim if key_dim is None else key_dim
        check_at_least(1, query_dim=query_dim, key_dim=key_dim)
        check_choice("score", score, ("dot", "general"))
        if score == "dot" and query_dim != key_dim:
            raise ValueError(
                f"key_dim: expected {query_dim}, as query_dim, for 'dot', "
                f"got {key_dim}; 'general' and additive take two sizes"
            )
        self.query_dim, self.key_dim = query_dim, key_dim
        self.w = None
        if score == "general":
            self.w = nn.Parameter(torch.empty(query_dim, key_dim))
            nn.init.xavier_uniform_(self.w)

    def forward(
        self,
        query: Float[Tensor, "*batch q query_dim"],
        key: Float[Tensor, "*batch k key_dim"],
        value: Float[Tensor, "*batch k value_dim"],
        mask: Bool[Tensor, "..."] | None = None,
    ) -> tuple[
        Float[Tensor, "*batch q value_dim"], Float[Tensor, "*batch q k"]
    ]:
        """Answer every query: the output and the weights.

        ``mask`` broadcasts to ``(*batch, q, k)``, True = may attend; a query
        that may attend to nothing gets 0.

        Raises:
            ValueError: if a shape, dtype or device does not fit; the message
                names the argument.
        """
        _check_pair(query, key)
        check_last_dim(self.query_dim, query=query)
        check_last_dim(self.key_dim, key=key)
        _check_values(key, value)
        if self.w is not None:
            key = F.linear(key, self.w)  # (*batch, k, query_dim)
        return scaled_dot_product_attention(query, key, value, mask, scale=1)


class EncoderDecoder(nn.Module):
    """A recurrent translator: one network reads, another writes.

    The encoder, a GRU in both directions of ``dim / 2`` numbers each, leaves
    a state for every source token; its two last states, projected, are the
    ``summary``, where the decoder's GRU starts. At each step ``t``

    ``state_t = GRU(state_{t-1}, embed(target_t))``
    ``context_t = attention(state_t, states, states)``, or ``summary``
    ``logits_t = W_out tanh(W [state_t, context_t] + b)``

    Without attention the one summary stands in for every context. So "dot"
    and None have *exactly* the same parameters; "general" and "additive" add
    theirs. The order of a step is Luong's, for every score: the new state
    asks, so that a whole target can be trained on at once. (In Bahdanau's the
    old state asks, and the context goes into the GRU.)

    Args of the constructor:
        source_size, target_size: how many token ids there are.
        dim: numbers per state; even.
        attention: None, "additive", "dot" or "general".
        embedding: numbers per token vector; by default ``dim``.
        dropout: the share of each token vector and of each readout that is
            set to 0 in training.

    Source: Luong, Pham and Manning (2015), section 3; Bahdanau, Cho and
    Bengio (2015), section 3; without attention, Cho et al. (2014), "Learning
    phrase representations using RNN encoder-decoder", section 2.2.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        dim: int,
        *,
        attention: str | None,
        embedding: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Create embeddings, encoder, attention, decoder and readout.

        Raises:
            ValueError: if a size is below 1, ``dim`` is odd, ``attention`` is
                unknown, or ``dropout`` is not in [0, 1).
        """
        super().__init__()
        embedding = dim if embedding is None else embedding
        check_at_least(
            1,
            source_size=source_size,
            target_size=target_size,
            dim=dim,
            embedding=embedding,
        )
        if dim % 2:
            raise ValueError(f"dim: expected an even number, got {dim}")
        check_choice("attention", attention, ATTENTIONS)
        check_dropout(dropout=dropout)
        dim, embedding = int(dim), int(embedding)  # nn.GRU: no numpy integer
        self.target_size = target_size
        self.embed_source = nn.Embedding(source_size, embedding, PAD)
        self.embed_target = nn.Embedding(target_size, embedding, PAD)
        self.encoder = nn.GRU(
            embedding, dim // 2, batch_first=True, bidirectional=True
        )
        self.summarise = nn.Linear(dim, dim)
        self.decoder = nn.GRU(embedding, dim, batch_first=True)
        self.attention = None
        if attention == "additive":
            self.attention = AdditiveAttention(dim)
        elif attention is not None:
            self.attention = LuongAttention(dim, score=attention)
        self.combine = nn.Linear(2 * dim, dim)
        self.readout = nn.Linear(dim, target_size)
        self.dropout = nn.Dropout(dropout)

    def encode(self, source: Int[Tensor, "batch s"]) -> Memory:
        """Read source sentences; padding (id ``PAD``) stands at their ends.

        Padding changes nothing: neither states nor summary see it. An empty
        sentence has an all-zero reading.

        Raises:
            ValueError: if ``source`` is no batch of token ids, holds no
                sentence, or padding before a token.
        """
        check_tokens("source", source)
        if len(source) == 0:
            raise ValueError("source: expected at least 1 sentence, got 0")
        mask = source != PAD  # (batch, s)
        # Packing stops each sentence at its end. It takes the lengths from
        # the CPU, so there it costs nothing to look at the padding too.
        lengths = _lengths(mask.cpu())  # (batch)
        length = source.shape[1]
        tokens = F.pad(source, (0, 1)) if length == 0 else source
        vectors = self.dropout(self.embed_source(tokens))  # (batch, s, e)
        packed = rnn.pack_padded_sequence(
            vectors,
            lengths.clamp(min=1),  # an empty sentence is read, then forgotten
            batch_first=True,
            enforce_sorted=False,
        )
        packed, last = self.encoder(packed)  # last: (2, batch, dim / 2)
        states, _ = rnn.pad_packed_sequence(
            packed, batch_first=True, total_length=tokens.shape[1]
        )  # (batch, s, dim)
        states = states[:, :length] * mask[..., None]
        not_empty = mask.any(dim=1)[:, None]  # (batch, 1)
        last = last.transpose(0, 1).flatten(1) * not_empty  # (batch, dim)
        return Memory(states, mask, torch.tanh(self.summarise(last)))

    def decode(
        self, memory: Memory, target: Int[Tensor, "batch t"]
    ) -> tuple[
        Float[Tensor, "batch t target_size"], Float[Tensor, "batch t s"] | None
    ]:
        """Give the logits of each next token, knowing those before it.

        Args:
            memory: what ``encode`` left.
            target: the tokens so far, ``BOS`` first (teacher forcing).

        Returns:
            At position i the logits of token i + 1, and the weights over the
            source, or None without attention.

        Raises:
            ValueError: if ``target`` is no batch of token ids, or has
                another batch.
        """
        check_tokens("target", target)
        if len(target) != len(memory.mask):
            raise ValueError(
                f"target: expected {len(memory.mask)} sentences, as the "
                f"memory, got {len(target)}"
            )
        logits, weights, _ = self._write(memory, target, self.start(memory))
        return logits, weights

    def forward(
        self, source: Int[Tensor, "batch s"], target: Int[Tensor, "batch t"]
    ) -> Float[Tensor, "batch t target_size"]:
        """Give the logits of each next target token."""
        return self.decode(self.encode(source), target)[0]

    def start(self, memory: Memory) -> Float[Tensor, "batch dim"]:
        """Give the decoder's state before the first token."""
        return memory.summary

    def step(
        self,
        memory: Memory,
        state: Float[Tensor, "batch dim"],
        token: Int[Tensor, " batch"],
    ) -> tuple[
        Float[Tensor, "batch target_size"],
        Float[Tensor, "batch s"] | None,
        Float[Tensor, "batch dim"],
    ]:
        """Take one token; give the next one's logits, the weights, the state.

        Step after step gives what ``decode`` gives at once.
        """
        logits, weights, state = self._write(memory, token[:, None], state)
        return logits[:, 0], None if weights is None else weights[:, 0], state

    def _write(
        self, memory: Memory, target: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Run the decoder over tokens, from a state on."""
        if target.shape[1] == 0:
            batch, s = memory.mask.shape
            logits = state.new_zeros(batch, 0, self.target_size)
            weights = state.new_zeros(batch, 0, s)
            return logits, weights if self.attention else None, state
        vectors = self.dropout(self.embed_target(target))  # (batch, t, e)
        states, last = self.decoder(vectors, state[None])  # (batch, t, dim)
        if self.attention is None:
            context = memory.summary[:, None].expand_as(states)
            weights = None
        else:
            context, weights = self.attention(
                states, memory.states, memory.states, memory.mask[:, None]
            )  # (batch, t, dim), (batch, t, s)
        both = torch.cat([states, context], dim=-1)  # (batch, t, 2 * dim)
        combined = self.dropout(torch.tanh(self.combine(both)))
        return self.readout(combined), weights, last[0]


def _lengths(mask: Tensor) -> Tensor:
    """Count each row's tokens; refuse padding before a token."""
    if (mask[:, 1:] & ~mask[:, :-1]).any():
        raise ValueError(
            f"source: expected padding (id {PAD}) only at the end, got it "
            "before a token"
        )
    return mask.sum(dim=1)


def _check_pair(query: Tensor, key: Tensor) -> None:
    """Refuse a query and a key that torch would stretch or mix in silence."""
    for name, x in (("query", query), ("key", key)):
        if not isinstance(x, Tensor):
            raise ValueError(
                f"{name}: expected a torch tensor, got {type(x).__name__}"
            )
        if x.dim() < 2:
            raise ValueError(
                f"{name}: expected at least 2 dimensions (length, size), "
                f"got shape {tuple(x.shape)}"
            )
    if key.shape[:-2] != query.shape[:-2]:
        raise ValueError(
            f"key: expected the query's batch {tuple(query.shape[:-2])}, "
            f"got shape {tuple(key.shape)}"
        )
    _check_kind("key", key, query)


def _check_kind(name: str, x: Tensor, query: Tensor) -> None:
    if (x.dtype, x.device) != (query.dtype, query.device):
        raise ValueError(
            f"{name}: expected {query.dtype} on {query.device}, as the query, "
            f"got {x.dtype} on {x.device}"
        )


def _check_values(key: Tensor, value: Tensor) -> None:
    _check_kind("value", value, key)
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            f"value: expected one row per key, {tuple(key.shape[:-1])}, "
            f"got {tuple(value.shape[:-1])}"
        )
