"""Lesson 08: one learned query reads a text, and says what kind it is.

Reading order: ``words`` and ``Vocabulary`` turn texts into numbers,
``AttentionPooling`` makes one vector of many, ``MeanPooling`` is its rival
without weights, ``TextClassifier`` stands around either.
``wilson_interval`` and ``paired_difference`` say how sure a result is.
``votes`` and ``gradient_scores`` say in two other ways which words
counted, and ``deletion_losses`` puts all of them to the test.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_course.additive_attention import PAD, UNK
from attn_course.data.snippets import SOURCES, Snippet
from attn_course.scaled_dot_product import scaled_dot_product_attention
from attn_course.self_attention import sinusoidal_positions
from attn_course.transformer import Encoder

WORD = r"\w+(?:'\w+)*|[!?]"  # words, with an apostrophe inside, and ! and ?
FIRST = 4  # the first token id that is a word; see lesson 05
MOST_WORDS = 64
POOLINGS = ("mean", "attention")


# Texts to numbers ----------------------------------------------------------


def words(text: str) -> list[str]:
    """Cut a text into words in small letters, and the signs ``!`` and ``?``.

    ``"Don't stop!"`` gives ``["don't", "stop", "!"]``.

    Raises:
        ValueError: if ``text`` is not a string.
    """
    if not isinstance(text, str):
        raise ValueError(f"text: expected a string, got {type(text).__name__}")
    return re.findall(WORD, text.lower().replace("\u2019", "'"))


class Vocabulary:
    """The words that a model knows, each with a number.

    The numbers 0 to 3 are lesson 05's ``PAD, BOS, EOS, UNK``; the words
    follow, the most frequent first.
    """

    def __init__(self, texts: Sequence[str], least: int = 2) -> None:
        """Keep every word that occurs ``least`` times or more in ``texts``."""
        counts = Counter(word for text in texts for word in words(text))
        kept = [word for word, n in counts.items() if n >= least]
        kept.sort(key=lambda word: (-counts[word], word))
        self.words = kept
        self.number = {word: FIRST + i for i, word in enumerate(kept)}

    def __len__(self) -> int:
        """Count the token ids, the four special ones with them."""
        return FIRST + len(self.words)

    def __contains__(self, word: str) -> bool:
        """Say whether the word is known."""
        return word in self.number

    def table(self, numbers: Mapping[str, float]) -> Float[Tensor, " size"]:
        """Return one number per token id; 0 for words that have none."""
        found = [numbers.get(word, 0.0) for word in self.words]
        return torch.tensor([0.0] * FIRST + found)

    def encode(
        self, texts: Sequence[str], most: int = MOST_WORDS
    ) -> Int[Tensor, "batch length"]:
        """Return one row of token ids per text, padded to the longest.

        Words that are not known become ``UNK``. Of a text with more than
        ``most`` words the first ``most`` are read. An empty text is a row of
        padding; every row has one place at least.

        Raises:
            ValueError: if ``texts`` is one string, or holds something else
                than strings.
        """
        if isinstance(texts, str):
            raise ValueError(
                "texts: expected a list of strings, got one string; write "
                "[text]"
            )
        rows = [
            [self.number.get(word, UNK) for word in words(text)[:most]]
            for text in texts
        ]
        longest = max([1, *map(len, rows)])
        padded = [row + [PAD] * (longest - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).view(-1, longest)


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
        most: int = MOST_WORDS,
    ) -> None:
        """Create the parts.

        Args:
            size: number of token ids, ``len(vocabulary)``.
            classes: number of scores.
            dim: numbers per word.
            pooling: "mean" or "attention".
            layers: of the Transformer encoder; 0 for none.
            heads: of each layer.
            mlp_dim: width inside the encoder's MLPs.
            dropout: share of the states' numbers that training sets to 0.
            word_dropout: share of the words that training leaves out.
            most: the longest text, in words.

        Raises:
            ValueError: if ``pooling`` is not known, or ``word_dropout`` is
                not in [0, 1).
        """
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(
                f"pooling: expected one of {POOLINGS}, got {pooling!r}"
            )
        if not 0 <= word_dropout < 1:
            raise ValueError(
                "word_dropout: expected 0 or more, below 1, "
                f"got {word_dropout}"
            )
        self.word_dropout, self.most = word_dropout, most
        self.embedding = nn.Embedding(size, dim, padding_idx=PAD)
        with torch.no_grad():  # small: a rare word then says little
            self.embedding.weight *= 0.1
        self.dropout = nn.Dropout(dropout)
        self.encoder = None
        if layers:
            self.encoder = Encoder(layers, dim, heads, mlp_dim)
            waves = sinusoidal_positions(most, dim)  # (most, dim)
            self.register_buffer("positions", waves, persistent=False)
        by_mean = pooling == "mean"
        self.pool = MeanPooling() if by_mean else AttentionPooling(dim)
        self.head = nn.Linear(dim, classes)

    def forward(
        self, tokens: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch classes"]:
        """Return a score for each class.

        Raises:
            ValueError: if ``tokens`` are not rows of token ids, or there are
                more than ``most`` in a row.
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
        if tokens.shape[1] > self.most:
            raise ValueError(
                f"tokens: expected at most {self.most} in a row, got "
                f"{tokens.shape[1]}: cut the text, or encode(texts, "
                f"most={self.most})"
            )
        known = self.embedding.num_embeddings
        if tokens.numel() and not 0 <= tokens.min() <= tokens.max() < known:
            raise ValueError(
                f"tokens: expected ids from 0 to {known - 1}, got "
                f"{int(tokens.min())} to {int(tokens.max())}"
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
    per_epoch = len(tokens) // size
    if per_epoch < 1:
        raise ValueError(
            f"size: expected at most {len(tokens)}, the number of texts, "
            f"got {size}"
        )
    lengths = (tokens != PAD).sum(dim=1).cpu()  # (n,)
    epochs: dict[int, Tensor] = {}

    def order(epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
        shuffled = torch.randperm(len(tokens), generator=generator)
        shuffled = shuffled[: per_epoch * size]
        noise = 4 * torch.rand(len(shuffled), generator=generator)
        rows = shuffled[(lengths[shuffled] + noise).argsort()]
        places = torch.randperm(per_epoch, generator=generator)
        return rows.view(per_epoch, size)[places]

    def batch(step: int) -> tuple[Tensor, Tensor]:
        epoch, place = divmod(step, per_epoch)
        if epoch not in epochs:
            epochs.clear()
            epochs[epoch] = order(epoch)
        rows = epochs[epoch][place]
        longest = max(1, int(lengths[rows].max()))
        rows = rows.to(tokens.device)
        return tokens[rows, :longest], labels[rows]

    return batch


@torch.no_grad()
def probabilities(
    model: TextClassifier, tokens: Int[Tensor, "n length"], chunk: int = 256
) -> Float[Tensor, "n classes"]:
    """Return the probability of every class, in evaluation mode.

    Texts of like length are read together, which costs nothing but order.
    """
    if not len(tokens):
        return model.head.weight.new_zeros(0, model.head.out_features)
    training = model.training
    model.eval()
    lengths = (tokens != PAD).sum(dim=1)
    order = lengths.argsort()
    found = []
    for rows in order.split(chunk):
        longest = max(1, int(lengths[rows].max()))
        found.append(model(tokens[rows, :longest]).softmax(dim=-1))
    model.train(training)
    return torch.cat(found)[order.argsort()]  # back in the texts' order


# How sure? -----------------------------------------------------------------


def wilson_interval(
    correct: int, total: int, z: float = 1.96
) -> tuple[float, float]:
    """Say between which bounds a model's true accuracy probably lies.

    With ``p = correct / total`` and ``n = total``:
    ``(p + z^2/2n +- z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)``.
    ``z = 1.96`` gives the bounds of 95 % confidence. They speak of other
    test examples, not of another training run.

    Raises:
        ValueError: if ``correct`` is not from 0 to ``total``, or ``total``
            is not at least 1.

    Source: Wilson (1927), "Probable inference, the law of succession, and
    statistical inference".
    """
    if total < 1 or not 0 <= correct <= total:
        raise ValueError(
            "correct: expected 0 to total, and total 1 or more, "
            f"got {correct} of {total}"
        )
    share, extra = correct / total, z**2 / total
    middle = share + extra / 2
    spread = z * math.sqrt(share * (1 - share) / total + extra / (4 * total))
    return (middle - spread) / (1 + extra), (middle + spread) / (1 + extra)


def mean_interval(
    numbers: Float[Tensor, " n"], z: float = 1.96
) -> tuple[float, float, float]:
    """Return the mean of many numbers, and the bounds of its interval.

    ``mean +- z s / sqrt(n)``, with the numbers' standard deviation s.

    Raises:
        ValueError: if there are fewer than two numbers.
    """
    if len(numbers) < 2:
        raise ValueError(f"numbers: expected two or more, got {len(numbers)}")
    numbers = numbers.double()
    mean = numbers.mean().item()
    spread = z * numbers.std().item() / math.sqrt(len(numbers))
    return mean, mean - spread, mean + spread


def paired_difference(
    first: Bool[Tensor, " n"], second: Bool[Tensor, " n"], z: float = 1.96
) -> tuple[float, float, float]:
    """Compare two models on the same texts: first minus second, and bounds.

    A text that both get right, or both wrong, says nothing of the difference.
    Each text counts 1, 0 or -1, and their mean has a mean's interval:
    narrower than what the two models' own intervals suggest.

    Args:
        first: whether the first model was right, text by text.
        second: the same of the second model.
        z: 1.96 for 95 %.

    Raises:
        ValueError: if the two are not of one length.
    """
    if first.shape != second.shape:
        raise ValueError(
            f"second: expected the shape of first, {tuple(first.shape)}, got "
            f"{tuple(second.shape)}"
        )
    return mean_interval(first.double() - second.double(), z)


# Which words counted? ------------------------------------------------------


@torch.no_grad()
def weight_scores(
    model: TextClassifier, tokens: Int[Tensor, "n length"]
) -> Float[Tensor, "n length"]:
    """Return the weight of each word in the pooling; 0 for padding."""
    return model.eval().read(tokens)[1]


@torch.no_grad()
def votes(
    model: TextClassifier,
    tokens: Int[Tensor, "n length"],
    toward: int | None = None,
) -> Float[Tensor, "n length"]:
    """Return what each word adds to the lead of a class over the others.

    ``vote_j = weights_j (u_c - u_other) . states_j``, where ``u_c`` is the
    head's row of the class, and ``u_other`` the mean of its other rows. The
    weight says how loud a word speaks, the vote also for whom. The votes of a
    text, and a constant, make up the lead.

    Args:
        model: any classifier.
        tokens: the texts.
        toward: a class; by default, for each text the one that the model
            chose.
    """
    model.eval()
    mask = tokens != PAD
    states = model.states(model.embedding(tokens), mask)
    pooled, weights = model.pool(states, mask)
    chosen = model.head(pooled).argmax(dim=-1)  # (n,)
    if toward is not None:
        chosen = torch.full_like(chosen, toward)
    rows = model.head.weight  # (classes, dim)
    others = (rows.sum(dim=0) - rows) / (len(rows) - 1)
    side = (rows - others)[chosen]  # (n, dim)
    return weights * (states @ side[:, :, None])[..., 0]  # (n, length)


def gradient_scores(
    model: TextClassifier, tokens: Int[Tensor, "n length"]
) -> Float[Tensor, "n length"]:
    """Return gradient times input: what removing a word costs, to first order.

    ``score_j = vector_j . d log p(c) / d vector_j`` for the class c that the
    model chose.

    Source: Denil, Demiraj and de Freitas (2014), "Extraction of salient
    sentences from labelled documents", section 4.
    """
    model.eval()
    vectors = model.embedding(tokens).detach().requires_grad_()
    scores, _ = model.read_vectors(vectors, tokens != PAD)
    best = scores.log_softmax(dim=-1).amax(dim=-1).sum()
    (slope,) = torch.autograd.grad(best, vectors)
    return (slope * vectors).sum(dim=-1).detach()  # (n, length)


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
    if count < 0:
        raise ValueError(f"count: expected 0 or more, got {count}")
    order = scores.masked_fill(tokens == PAD, -math.inf)
    highest = order.argsort(dim=1, descending=True)[:, :count]
    left = tokens.scatter(1, highest, PAD)  # deleted words become padding,
    to_the_end = (left == PAD).to(torch.uint8).argsort(dim=1, stable=True)
    return left.gather(1, to_the_end)  # which moves behind the words


def deletion_losses(
    model: TextClassifier,
    tokens: Int[Tensor, "n length"],
    scores: Float[Tensor, "n length"],
    count: int,
) -> Float[Tensor, " n"]:
    """Measure what deleting the ``count`` highest words costs each text.

    That is the probability of the class which the model chose for the whole
    text, before minus after. Below 0: the words had spoken against it.

    Raises:
        ValueError: as :func:`delete_top`.
    """
    before = probabilities(model, tokens)  # (n, classes)
    after = probabilities(model, delete_top(tokens, scores, count))
    chosen = before.argmax(dim=-1, keepdim=True)
    return (before - after).gather(1, chosen)[:, 0]


def shuffle_words(
    tokens: Int[Tensor, "n length"], seed: int = 0
) -> Int[Tensor, "n length"]:
    """Put the words of each text in a random order; padding stays behind."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(tokens.shape, generator=generator).to(tokens.device)
    places = places.masked_fill(tokens == PAD, 2.0)
    return tokens.gather(1, places.argsort(dim=1))


# One text, for people ------------------------------------------------------


class Reading(NamedTuple):
    """What a model makes of one text."""

    words: list[str]  # those that were read
    known: list[bool]  # whether the vocabulary has them
    weights: list[float]  # of each word in the pooling
    chances: list[float]  # the probability of each class
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
        without: the place of the word to leave out, from 0 up.

    Raises:
        ValueError: if ``text`` is not a string, or has no word at the place
            ``without``.
    """
    found = words(text)
    if without is not None:
        if without not in range(len(found)):
            raise ValueError(
                f"without: expected a place from 0 to {len(found) - 1}, "
                f"got {without}"
            )
        del found[without]
    read = found[: model.most]
    tokens = vocabulary.encode([" ".join(read)], most=model.most)
    scores, weights = model.eval().read(tokens.to(model.head.weight.device))
    return Reading(
        read,
        [word in vocabulary for word in read],
        weights[0, : len(read)].tolist(),
        scores[0].softmax(dim=-1).tolist(),
        len(found) - len(read),
    )
