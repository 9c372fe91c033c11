"""Lesson 08: one learned query reads a text, and says what kind it is.

Reading order: ``AttentionPooling`` makes one vector of many, ``MeanPooling``
is the baseline without weights, ``TextClassifier`` stands around either;
``predict_proba`` asks it, ``paired_difference`` says how sure a lead is.
``weight_scores`` and ``logit_attribution`` say which words counted, and
``comprehensiveness`` puts that to the test by erasing them.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_course.common.arguments import (
    check_at_least,
    check_choice,
    check_dropout,
    check_token_ids,
    whole_number,
)
from attn_course.common.batching import (
    bucketed_batches,
    epoch_batches,
    full_batches,
)
from attn_course.common.evaluation import evaluating
from attn_course.common.statistics import Interval, mean_interval
from attn_course.common.text import MAX_LENGTH, Vocabulary, tokenize
from attn_course.common.tokens import PAD
from attn_course.data.snippets import SOURCES, Snippet
from attn_course.scaled_dot_product import scaled_dot_product_attention
from attn_course.self_attention import sinusoidal_positions
from attn_course.transformer import Encoder

POOLINGS = ("mean", "attention")


# Texts and labels ----------------------------------------------------------


def topic_task(snippets: Sequence[Snippet]) -> tuple[list[str], Tensor]:
    """Return the texts, and for each the position of its source."""
    labels = [SOURCES.index(snippet.source) for snippet in snippets]
    return [snippet.text for snippet in snippets], torch.tensor(labels)


def sentiment_task(
    snippets: Sequence[Snippet], margin: float = 0.5
) -> tuple[list[str], Tensor]:
    """Return the texts that people felt strongly of, 1 for positive.

    A mean rating of ``margin`` or more is positive, ``-margin`` or less
    negative; what lies between is left out.
    """
    clear = [s for s in snippets if abs(s.rating) >= margin]
    labels = [int(s.rating > 0) for s in clear]
    return [s.text for s in clear], torch.tensor(labels, dtype=torch.int64)


# Many vectors to one -------------------------------------------------------


class AttentionPooling(nn.Module):
    """Mix the vectors of a text by the weights of one learned query.

    ``weights = softmax(states query)``, over the real tokens; ``pooled =
    sum_j weights_j states_j``. The states are keys and values. Nothing is
    divided by ``sqrt(dim)``: a learned query grows as long as it must.

    The query starts as zeros: every word then has the same weight, and
    training begins as mean pooling. A text without words gives zeros.

    Source: Yang et al. (2016), "Hierarchical attention networks for document
    classification", section 2.2, without their small network before the
    scores.
    """

    def __init__(self, dim: int) -> None:
        """Create the query."""
        super().__init__()
        self.query = nn.Parameter(torch.zeros(dim))

    def forward(
        self,
        states: Float[Tensor, "batch length dim"],
        mask: Bool[Tensor, "batch length"],
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch length"]]:
        """Return the mixture and the weights.

        Args:
            states: one vector per token.
            mask: True = a real token.

        Raises:
            ValueError: if a shape or dtype does not fit.
        """
        query = self.query.expand(len(states), 1, -1)  # (batch, 1, dim)
        pooled, weights = scaled_dot_product_attention(
            query, states, states, mask[:, None, :], scale=1.0
        )
        return pooled[:, 0], weights[:, 0]  # (batch, dim), (batch, length)


class MeanPooling(nn.Module):
    """Take the mean over the real tokens: every word has the same weight.

    ``pooled = sum_j states_j / n`` for n real tokens; zeros for none.
    """

    def forward(
        self,
        states: Float[Tensor, "batch length dim"],
        mask: Bool[Tensor, "batch length"],
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch length"]]:
        """Return the mean, and the weights ``1 / n``."""
        real = mask.to(states.dtype)
        weights = real / real.sum(dim=-1, keepdim=True).clamp(min=1)
        pooled = (weights[:, None] @ states)[:, 0]  # (batch, dim)
        return pooled, weights


# The classifier ------------------------------------------------------------


class TextClassifier(nn.Module):
    """Embed the words, perhaps let them attend to each other, pool, decide.

    ``scores = head(pool(states))``. With ``layers=0`` the states are the
    embeddings: a bag of words, whose order nothing sees. With ``layers`` of
    lesson 06's encoder they are what it makes of embeddings and positions.

    Source: Yang et al. (2016), section 2.2; Vaswani et al. (2017), section 3.
    """

    def __init__(
        self,
        size: int,
        classes: int,
        *,
        dim: int = 64,
        pooling: str = "attention",
        layers: int = 0,
        heads: int = 4,
        mlp_dim: int | None = None,
        dropout: float = 0.5,
        word_dropout: float = 0.2,
        max_length: int = MAX_LENGTH,
    ) -> None:
        """Create the parts.

        Args:
            size: number of token ids, ``len(vocabulary)``.
            classes: number of scores.
            dim: size of each word's vector.
            pooling: "mean" or "attention".
            layers: of the Transformer encoder; 0 for none.
            heads: of each layer.
            mlp_dim: width inside the encoder's MLPs.
            dropout: share of the states' entries that training sets to 0.
            word_dropout: share of the words that training leaves out.
            max_length: the longest text, in words.

        Raises:
            ValueError: if ``pooling`` is not known, or a dropout is not in
                [0, 1).
        """
        super().__init__()
        check_choice("pooling", pooling, POOLINGS)
        check_dropout(dropout=dropout, word_dropout=word_dropout)
        self.word_dropout, self.max_length = word_dropout, max_length
        self.embedding = nn.Embedding(size, dim, padding_idx=PAD)
        with torch.no_grad():  # small: a rare word then says little
            self.embedding.weight *= 0.1
        self.dropout = nn.Dropout(dropout)
        self.encoder = None
        if layers:
            self.encoder = Encoder(layers, dim, heads, mlp_dim)
            encoding = sinusoidal_positions(max_length, dim).float()
            self.register_buffer("positions", encoding, persistent=False)
        self.pool = (
            MeanPooling() if pooling == "mean" else AttentionPooling(dim)
        )
        self.head = nn.Linear(dim, classes)

    def forward(
        self, tokens: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch classes"]:
        """Return a score for each class.

        Raises:
            ValueError: if ``tokens`` are not rows of integers, or there are
                more than ``max_length`` in a row.
        """
        return self.read(tokens)[0]

    def read(
        self, tokens: Int[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch length"]]:
        """Return the scores, and the weight of each word in the pooling."""
        self._check(tokens)
        return self.read_vectors(self.embedding(tokens), self._real(tokens))

    def read_vectors(
        self,
        vectors: Float[Tensor, "batch length dim"],
        mask: Bool[Tensor, "batch length"],
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch length"]]:
        """Do the same from the words' vectors: ``embedding(tokens)``."""
        states = self.states(vectors, mask)
        pooled, weights = self.pool(states, mask)
        return self.head(pooled), weights

    def states(
        self,
        vectors: Float[Tensor, "batch length dim"],
        mask: Bool[Tensor, "batch length"],
    ) -> Float[Tensor, "batch length dim"]:
        """Return what is pooled: one vector per word."""
        if self.encoder is None:
            return self.dropout(vectors)
        scale = math.sqrt(vectors.shape[-1])  # as lesson 06
        x = vectors * scale + self.positions[: vectors.shape[1]].to(vectors)
        return self.encoder(self.dropout(x), mask[:, None, :])[0]

    def _real(self, tokens: Tensor) -> Tensor:
        """Say which tokens are words; training leaves some of them out."""
        real = tokens != PAD
        if self.training and self.word_dropout:
            kept = torch.rand(tokens.shape, device=tokens.device)
            real = real & (kept >= self.word_dropout)
        return real

    def _check(self, tokens: Tensor) -> None:
        if not isinstance(tokens, Tensor):
            raise ValueError(
                "tokens: expected a tensor (batch, length) of token ids, got "
                f"{type(tokens).__name__}: vocabulary.encode makes one"
            )
        if tokens.dim() != 2 or tokens.is_floating_point():
            raise ValueError(
                "tokens: expected integers (batch, length), got "
                f"{tokens.dtype} of shape {tuple(tokens.shape)}"
            )
        if tokens.shape[1] > self.max_length:
            raise ValueError(
                f"tokens: expected at most {self.max_length} in a row, got "
                f"{tokens.shape[1]}: cut the text, or encode(texts, "
                f"max_length={self.max_length})"
            )


def text_batches(
    tokens: Int[Tensor, "n length"],
    labels: Int[Tensor, " n"],
    size: int = 64,
    seed: int = 0,
) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Make ``batches(step)``, which gives ``size`` texts and their labels.

    Every epoch has its own order. Texts of nearly one length go into a batch,
    so that little of it is padding; the batches come in random order. The last
    texts of an epoch that fill no batch are left out.

    Raises:
        ValueError: if there are fewer than ``size`` texts.
    """
    used = size * full_batches(len(tokens), size)
    lengths = (tokens != PAD).sum(dim=1).cpu()  # (n,)

    def plan(generator: torch.Generator, epoch: int) -> list[Tensor]:
        order = torch.randperm(len(tokens), generator=generator)[:used]
        noise = 4 * torch.rand(len(order), generator=generator)
        return bucketed_batches(order, lengths[order] + noise, size, generator)

    rows_of = epoch_batches(plan, seed=seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rows = rows_of(step)
        longest = max(1, int(lengths[rows].max()))
        rows = rows.to(tokens.device)
        return tokens[rows, :longest], labels[rows]

    return batch


@torch.no_grad()
def predict_proba(
    model: TextClassifier,
    tokens: Int[Tensor, "n length"],
    batch_size: int = 256,
) -> Float[Tensor, "n classes"]:
    """Return the probability of every class, in evaluation mode.

    Texts of like length are read together, which costs nothing but order.

    Raises:
        ValueError: if ``tokens`` holds ids that the model does not know, or
            too long rows.
    """
    check_token_ids(
        "tokens", tokens, model.embedding.num_embeddings, model.max_length
    )
    if not len(tokens):
        return model.head.weight.new_zeros(0, model.head.out_features)
    lengths = (tokens != PAD).sum(dim=1)
    order = lengths.argsort()
    probs = []
    with evaluating(model):
        for rows in order.split(int(batch_size)):
            longest = max(1, int(lengths[rows].max()))
            probs.append(model(tokens[rows, :longest]).softmax(dim=-1))
    return torch.cat(probs)[order.argsort()]  # back in the texts' order


# How sure? -----------------------------------------------------------------


def paired_difference(
    first: Bool[Tensor, " n"], second: Bool[Tensor, " n"]
) -> Interval:
    """Compare two models on the same texts: first minus second, and bounds.

    A text that both get right, or both wrong, says nothing of the difference.
    Each text counts 1, 0 or -1, and their mean has a mean's interval:
    narrower than what the two models' own intervals suggest.

    Args:
        first: whether the first model was right, text by text.
        second: the same of the second model.

    Raises:
        ValueError: if the two are not of one length.
    """
    if first.shape != second.shape:
        raise ValueError(
            f"second: expected the shape of first, {tuple(first.shape)}, got "
            f"{tuple(second.shape)}"
        )
    return mean_interval(first.double() - second.double())


# Which words counted? ------------------------------------------------------


@torch.no_grad()
def weight_scores(
    model: TextClassifier, tokens: Int[Tensor, "n length"]
) -> Float[Tensor, "n length"]:
    """Return the weight of each word in the pooling; 0 for padding."""
    with evaluating(model):
        return model.read(tokens)[1]


@torch.no_grad()
def logit_attribution(
    model: TextClassifier,
    tokens: Int[Tensor, "n length"],
    target: int | None = None,
) -> Float[Tensor, "n length"]:
    """Return what each word adds to the lead of a class over the others.

    ``a_j = weights_j (u_c - u_other) . states_j``, where ``u_c`` is the head's
    row of the class, and ``u_other`` the mean of its other rows. The weight
    says how loud a word speaks, this also for whom. Those of a text, and a
    constant, make up the lead.

    Args:
        model: any classifier.
        tokens: the texts.
        target: a class; by default, for each text the one that the model
            chose.
    """
    mask = tokens != PAD
    with evaluating(model):
        states = model.states(model.embedding(tokens), mask)
        pooled, weights = model.pool(states, mask)
        chosen = model.head(pooled).argmax(dim=-1)  # (n,)
    if target is not None:
        chosen = torch.full_like(chosen, target)
    rows = model.head.weight  # (classes, dim)
    others = (rows.sum(dim=0) - rows) / (len(rows) - 1)
    direction = (rows - others)[chosen]  # (n, dim)
    return weights * (states @ direction[:, :, None])[..., 0]  # (n, length)


def delete_top(
    tokens: Int[Tensor, "n length"],
    scores: Float[Tensor, "n length"],
    count: int,
) -> Int[Tensor, "n length"]:
    """Take the ``count`` words with the highest scores out of each text.

    The others move together, as if the text had been written without them.
    Of a text with ``count`` words or fewer nothing is left.

    Raises:
        ValueError: if the shapes differ or ``count`` is below 0.
    """
    if scores.shape != tokens.shape:
        raise ValueError(
            f"scores: expected the shape of tokens, {tuple(tokens.shape)}, "
            f"got {tuple(scores.shape)}"
        )
    check_at_least(0, count=count)
    order = scores.masked_fill(tokens == PAD, -math.inf)
    highest = order.argsort(dim=1, descending=True, stable=True)[:, :count]
    left = tokens.scatter(1, highest, PAD)  # deleted words become padding,
    to_the_end = (left == PAD).to(torch.uint8).argsort(dim=1, stable=True)
    return left.gather(1, to_the_end)  # which moves behind the words


def comprehensiveness(
    model: TextClassifier,
    tokens: Int[Tensor, "n length"],
    scores: Float[Tensor, "n length"],
    count: int,
) -> Float[Tensor, " n"]:
    """Measure what erasing the ``count`` highest words costs each text.

    That is the probability of the class which the model chose for the whole
    text, before minus after. Below 0: the words had spoken against it.

    Raises:
        ValueError: as :func:`delete_top`.

    Source: DeYoung et al. (2020), "ERASER: a benchmark to evaluate
    rationalized NLP models", section 4.
    """
    before = predict_proba(model, tokens)  # (n, classes)
    after = predict_proba(model, delete_top(tokens, scores, count))
    chosen = before.argmax(dim=-1, keepdim=True)
    return (before - after).gather(1, chosen)[:, 0]


def shuffle_words(
    tokens: Int[Tensor, "n length"], seed: int = 0
) -> Int[Tensor, "n length"]:
    """Put the words of each text in a random order; padding stays behind."""
    generator = torch.Generator().manual_seed(whole_number("seed", seed))
    noise = torch.rand(tokens.shape, generator=generator).to(tokens.device)
    noise = noise.masked_fill(tokens == PAD, 2.0)  # padding comes last
    return tokens.gather(1, noise.argsort(dim=1))


# One text, for people ------------------------------------------------------


class Reading(NamedTuple):
    """What a model makes of one text."""

    words: list[str]  # those that were read
    known: list[bool]  # whether the vocabulary has them
    weights: list[float]  # of each word in the pooling
    probs: list[float]  # the probability of each class
    skipped: int  # words beyond the longest text, not read


@torch.no_grad()
def read_text(
    model: TextClassifier,
    vocabulary: Vocabulary,
    text: str,
    without: int | None = None,
) -> Reading:
    """Let a model read one text, perhaps without one of its words.

    Args:
        model: a trained classifier.
        vocabulary: the one it was trained with.
        text: anything, of any length.
        without: the position of the word to leave out, from 0 up.

    Raises:
        ValueError: if ``text`` is not a string, or has no word at the position
            ``without``.
    """
    words = tokenize(text)
    if without is not None:
        if without not in range(len(words)):
            raise ValueError(
                f"without: expected a position from 0 to {len(words) - 1}, "
                f"got {without}"
            )
        del words[without]
    read = words[: model.max_length]
    tokens = vocabulary.encode([" ".join(read)], max_length=model.max_length)
    with evaluating(model):
        scores, weights = model.read(tokens.to(model.head.weight.device))
    return Reading(
        read,
        [word in vocabulary for word in read],
        weights[0, : len(read)].tolist(),
        scores[0].softmax(dim=-1).tolist(),
        len(words) - len(read),
    )
