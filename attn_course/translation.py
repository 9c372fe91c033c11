"""Lesson 07: from sentence pairs to a translator, and how to judge it.

Reading order: ``byte_pairs`` learns merges of neighbouring pieces, ``segment``
uses them, ``Tokenizer`` is the same by a library. ``pad`` and ``Batches`` make
tensors of sentences, ``teacher_forcing`` shifts the target by one.
``beam_search`` looks for the likeliest translation, ``Translator`` goes from
text to text. ``bleu``, ``chrf`` and ``paired_bootstrap`` judge;
``TranslationMemory`` is the rival that understands nothing.
"""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import sacrebleu
import sentencepiece
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_course.additive_attention import EOS, PAD, BOS, UNK

PLACEHOLDERS = ("{1}", "{2}", "{3}")  # never cut: one piece each


def byte_pairs(words: Mapping[str, int], merges: int) -> list[tuple[str, str]]:
    """Learn which neighbours to merge, the most frequent pair first.

    Every word starts as its characters. Again and again the pair of
    neighbouring pieces that is seen most often (of equals, the first in
    alphabetical order) becomes one piece.

    Args:
        words: how often each word occurs.
        merges: how many pairs to merge, at most.

    Raises:
        ValueError: if ``merges`` is negative.

    Source: Sennrich, Haddow and Birch (2016), "Neural machine translation of
    rare words with subword units", section 3.2.
    """
    if merges < 0:
        raise ValueError(f"merges: expected 0 or more, got {merges}")
    pieces = {word: list(word) for word in words}
    learned = []
    for _ in range(merges):
        seen = Counter()
        for word, row in pieces.items():
            for pair in zip(row, row[1:]):
                seen[pair] += words[word]
        if not seen:
            break
        best = min(seen, key=lambda pair: (-seen[pair], pair))
        learned.append(best)
        pieces = {word: _merge(row, best) for word, row in pieces.items()}
    return learned


def segment(word: str, merges: Sequence[tuple[str, str]]) -> list[str]:
    """Cut a word into pieces: its characters, merged in the order learned."""
    row = list(word)
    for pair in merges:
        row = _merge(row, pair)
    return row


def _merge(row: list[str], pair: tuple[str, str]) -> list[str]:
    """Join every place where the two pieces stand side by side."""
    merged, at = [], 0
    while at < len(row):
        here = tuple(row[at : at + 2]) == pair
        merged.append("".join(pair) if here else row[at])
        at += 2 if here else 1
    return merged


class Tokenizer:
    """Byte-pair pieces by sentencepiece, trained in memory on given texts.

    A space becomes the sign "\u2581" at the start of the next piece, so that
    pieces joined give the text back. The ids 0 to 3 are PAD, BOS, EOS and
    UNK, as in all lessons; a placeholder such as ``{1}`` is one piece.

    Args of the constructor:
        texts: sentences to learn the pieces from.
        size: how many ids there are in all.

    Source: Kudo and Richardson (2018), "SentencePiece", section 3.
    """

    def __init__(self, texts: Sequence[str], size: int) -> None:
        """Learn the pieces; the same texts give the same pieces.

        Raises:
            ValueError: if ``texts`` holds anything but text, or ``size`` does
                not fit the texts.
        """
        texts = _check_texts("texts", texts)
        file = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=file,
                model_type="bpe",
                vocab_size=size,
                character_coverage=1.0,
                # Keep every sign as it is, Chinese wide commas too.
                normalization_rule_name="identity",
                user_defined_symbols=list(PLACEHOLDERS),
                pad_id=PAD,
                bos_id=BOS,
                eos_id=EOS,
                unk_id=UNK,
                num_threads=1,
                minloglevel=2,  # 0 to 2: all, warnings, errors
            )
        except RuntimeError as error:
            raise ValueError(
                f"size: expected one that fits these {len(texts)} texts, got "
                f"{size}: {str(error).rsplit('] ')[-1]}"
            ) from None
        self.model = sentencepiece.SentencePieceProcessor(
            model_proto=file.getvalue()
        )

    def __len__(self) -> int:
        return self.model.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """Turn a text into ids, with EOS at its end; any white space is one.

        Raises:
            ValueError: if ``text`` is no text.
        """
        if not isinstance(text, str):
            raise ValueError(
                f"text: expected a text, got {type(text).__name__}"
            )
        return [*self.model.encode(" ".join(text.split())), EOS]

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """Turn ids into a text, up to the first EOS; unknown becomes "?"."""
        ids = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        ids = ids[: ids.index(EOS)] if EOS in ids else ids
        kept = [i for i in ids if i not in (PAD, BOS)]
        return self.model.decode(kept).replace("\u2047", "?").strip()

    def pieces(self, ids: Sequence[int] | Tensor) -> list[str]:
        """Name the pieces of ids, special ones included."""
        ids = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        return [self.model.id_to_piece(i) for i in ids]


def pad(rows: Sequence[Sequence[int]]) -> Int[Tensor, "batch length"]:
    """Put rows of ids in one tensor; PAD fills up the shorter ones.

    Raises:
        ValueError: if there is no row.
    """
    if not rows:
        raise ValueError("rows: expected at least one, got none")
    longest = max(len(row) for row in rows)
    return torch.tensor(
        [[*row, *[PAD] * (longest - len(row))] for row in rows],
        dtype=torch.int64,
    )  # (batch, longest)


class Batches:
    """Batches of pairs alike in length, in a new order at each pass.

    The pairs are shuffled, cut into pools, sorted by length in each pool, cut
    into batches, and these shuffled: so a batch holds little padding, and is
    not the same each time. Call it with a step from 0 up.

    Args of the constructor:
        pairs: rows of ids, source and target.
        size: pairs in a batch.
        seed: of the shuffling.
        pool: how many batches are sorted together; 1 switches sorting off.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        size: int,
        *,
        seed: int = 0,
        pool: int = 20,
    ) -> None:
        """Remember the pairs.

        Raises:
            ValueError: if there is no pair, or a number is below 1.
        """
        if not pairs:
            raise ValueError("pairs: expected at least one, got none")
        if size < 1 or pool < 1:
            raise ValueError(
                f"size and pool: expected 1 or more, got {size} and {pool}"
            )
        self.pairs, self.size, self.pool = list(pairs), size, pool
        self.generator = torch.Generator().manual_seed(seed)
        self._waiting: list[list[int]] = []

    def __call__(
        self, step: int
    ) -> tuple[Int[Tensor, "batch s"], Int[Tensor, "batch t"]]:
        """Return the next source and target, padded."""
        if not self._waiting:
            self._waiting = self.one_pass()
        chosen = [self.pairs[i] for i in self._waiting.pop()]
        return pad([s for s, _ in chosen]), pad([t for _, t in chosen])

    def one_pass(self) -> list[list[int]]:
        """Cut all pairs, by their numbers, into batches."""
        order = torch.randperm(len(self.pairs), generator=self.generator)
        batches = []
        for part in order.split(self.size * self.pool):
            numbers = part.tolist()
            if self.pool > 1:
                numbers.sort(key=lambda i: [*map(len, self.pairs[i])])
            for at in range(0, len(numbers), self.size):
                batches.append(numbers[at : at + self.size])
        mixed = torch.randperm(len(batches), generator=self.generator)
        return [batches[i] for i in mixed.tolist()]


def teacher_forcing(
    target: Int[Tensor, "batch t"],
) -> tuple[Int[Tensor, "batch t"], Int[Tensor, "batch t"]]:
    """Make what the decoder reads, and what it should say at each place.

    It reads BOS and all tokens but the last; at each place it should say
    the token that comes next *in the true translation*.

    Returns:
        ``(read, expected)``, of the target's shape.
    """
    start = torch.full_like(target[:, :1], BOS)
    return torch.cat([start, target[:, :-1]], dim=1), target


@torch.no_grad()
def beam_search(
    model: nn.Module,
    source: Int[Tensor, "batch s"],
    max_length: int,
    *,
    width: int = 4,
    penalty: float = 1.0,
) -> tuple[Int[Tensor, "batch length"], Float[Tensor, " batch"]]:
    """Keep the ``width`` best beginnings at each step, not one alone.

    ``score = log p(tokens | source) / length^penalty``: the sum of the log
    probabilities of all tokens, EOS included, so that 0 prefers what is short
    and 1 compares the mean per token. Finished translations stay in the beam
    as they are, and the unfinished have to beat them. Width 1 is ``greedy``.

    Args:
        model: with ``encode`` and ``decode``, as ``greedy`` takes it.
        source: sentences, padded with PAD.
        max_length: how many tokens a translation has at most.
        width: how many beginnings are kept.
        penalty: the power of the length, from 0 up.

    Returns:
        The best translations, as ``greedy`` gives them, and their scores.

    Raises:
        ValueError: if ``max_length`` or ``width`` is below 1, or ``penalty``
            below 0.

    Source: Wu et al. (2016), "Google's neural machine translation system",
    section 7 (their length penalty is of another form).
    """
    for name, number, least in (
        ("max_length", max_length, 1),
        ("width", width, 1),
        ("penalty", penalty, 0),
    ):
        if number < least:
            raise ValueError(f"{name}: expected {least} or more, got {number}")
    before = model.training
    model.eval()
    batch, device = len(source), source.device
    memory = _pick(  # (batch * width, ...)
        model.encode(source),
        torch.arange(batch, device=device).repeat_interleave(width),
    )
    state = model.start(memory) if hasattr(model, "step") else None
    found = source.new_full((batch, max_length), PAD)
    scores = torch.zeros(batch, device=device)
    here = torch.arange(batch, device=device)  # which are still searched
    tokens = source.new_full((batch, width, 1), BOS)
    # All beginnings are the same at first: only one of them may go on.
    total = torch.full((batch, width), -torch.inf, device=device)
    total[:, 0] = 0.0  # the sum of log probabilities
    length = torch.zeros(batch, width, device=device)
    done = torch.zeros(batch, width, dtype=torch.bool, device=device)
    for so_far in range(1, max_length + 1):
        flat = tokens.flatten(0, 1)  # (n * width, so_far)
        if state is None:
            logits = model.decode(memory, flat)[0][:, -1]
        else:
            logits, _, state = model.step(memory, state, flat[:, -1])
        logits[:, [PAD, BOS, UNK]] = -torch.inf
        steps = logits.float().log_softmax(dim=-1)
        steps = steps.unflatten(0, (-1, width))  # (n, width, size)
        # What is finished goes on in one way only, at no cost: with padding.
        steps = steps.masked_fill(done[..., None], -torch.inf)
        steps[..., PAD] = steps[..., PAD].masked_fill(done, 0.0)
        sums = total[..., None] + steps  # (n, width, size)
        lengths = length + (~done).float()  # (n, width)
        ranks = sums / lengths[..., None] ** penalty
        # topk gives the best first.
        rank, best = ranks.flatten(1).topk(width, dim=1)  # (n, width)
        parent, token = best // steps.shape[2], best % steps.shape[2]
        total = sums.flatten(1).gather(1, best)
        length = lengths.gather(1, parent)
        done = done.gather(1, parent) | (token == EOS)
        tokens = tokens.gather(1, parent[..., None].expand_as(tokens))
        tokens = torch.cat([tokens, token[..., None]], dim=2)
        found[here, :so_far] = tokens[:, 0, 1:]
        scores[here] = rank[:, 0]
        # Sentences whose whole beam is finished are left out from here on.
        on = (~done.all(dim=1)).nonzero()[:, 0]  # (n still to do)
        if len(on) == 0:
            break
        rows = on[:, None] * width  # (n still to do, 1)
        if state is not None:
            state = state[(rows + parent[on]).flatten()]
        memory = _pick(
            memory, (rows + torch.arange(width, device=device)).flatten()
        )
        here, tokens, total = here[on], tokens[on], total[on]
        length, done = length[on], done[on]
    model.train(before)
    return found[:, :so_far], scores


def _pick(memory, rows: Tensor):
    """Return a memory of these rows."""
    return type(memory)(*(x if x is None else x[rows] for x in memory))


class Explained(NamedTuple):
    """A translation, and what each of its pieces attended to."""

    text: str
    source: list[str]  # the pieces read, EOS included
    target: list[str]  # the pieces said, EOS included
    weights: Float[Tensor, "t s"] | None
    unknown: int  # how many pieces of the source the tokenizer does not know


class Translator:
    """A model with its two tokenizers: text in, text out.

    Args of the constructor:
        model: with ``encode`` and ``decode``, as in lessons 05 and 06.
        source, target: the tokenizers of both languages.
        max_length: the longest sentence, in pieces, read or said. What is
            said is no longer than 10 + twice what was read, either.
    """

    def __init__(
        self,
        model: nn.Module,
        source: Tokenizer,
        target: Tokenizer,
        max_length: int = 60,
    ) -> None:
        """Keep the parts together."""
        self.model, self.max_length = model, max_length
        self.source, self.target = source, target

    def encode(self, text: str) -> list[int]:
        """Turn a sentence into ids.

        Raises:
            ValueError: if it is no text, empty, or too long; the message says
                what to do.
        """
        ids = self.source.encode(text)
        if len(ids) == 1:
            raise ValueError("sentence: expected at least one word, got none")
        if len(ids) > self.max_length:
            raise ValueError(
                f"sentence: expected at most {self.max_length} pieces, got "
                f"{len(ids)}: this model was made for single short sentences"
            )
        return ids

    def translate(
        self, texts: Sequence[str], *, width: int = 1, size: int = 100
    ) -> list[str]:
        """Translate sentences, ``size`` at a time, those of a length together.

        Args:
            texts: a list of sentences.
            width: of the beam; 1 is greedy.
            size: sentences in a batch.

        Raises:
            ValueError: if ``texts`` is no list of texts, or one of them is
                empty or too long.
        """
        texts = _check_texts("texts", texts)
        rows = [self.encode(text) for text in texts]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        found = [""] * len(rows)
        for at in range(0, len(order), size):
            chosen = order[at : at + size]
            ids = self._search(pad([rows[i] for i in chosen]), width)
            for i, row in zip(chosen, ids):
                found[i] = self.target.decode(row)
        return found

    @torch.no_grad()
    def explain(self, text: str, *, width: int = 1) -> Explained:
        """Translate one sentence, and give the weights over its pieces.

        The weights are those with which each piece was said; a Transformer's
        are averaged over layers and heads. A model without attention has None.

        Raises:
            ValueError: as :meth:`translate`.
        """
        source = pad([self.encode(text)])
        ids = self._search(source, width)
        ids = ids[:, : int((ids != PAD).sum())]  # the beam may leave padding
        read = teacher_forcing(ids)[0]
        self.model.eval()
        device = next(self.model.parameters()).device
        memory = self.model.encode(source.to(device))
        weights = _weights(self.model, memory, read.to(device))
        return Explained(
            self.target.decode(ids[0]),
            self.source.pieces(source[0]),
            self.target.pieces(ids[0]),
            weights,
            int((source == UNK).sum()),
        )

    def _search(self, source: Tensor, width: int) -> Tensor:
        source = source.to(next(self.model.parameters()).device)
        # A model that stutters would go on to the very end otherwise.
        limit = min(self.max_length, 10 + 2 * source.shape[1])
        return beam_search(self.model, source, limit, width=width)[0].cpu()


def _weights(model: nn.Module, memory, read: Tensor) -> Tensor | None:
    """Return the cross-attention weights (t, s) of a batch of one."""
    if hasattr(model, "step"):  # lesson 05's: they come in any case
        weights = model.decode(memory, read)[1]  # (1, t, s) or None
        return None if weights is None else weights[0].cpu()
    weights = model.decode(memory, read, need_weights=True)[1]
    return weights.mean(dim=(0, 2))[0].cpu()  # (layers, 1, heads, t, s)


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str = "fr",
) -> float:
    """Score translations against references by their common n-grams.

    ``BLEU = 100 exp(min(0, 1 - r / h)) (p_1 p_2 p_3 p_4)^(1/4)``, with ``p_n``
    the share of the *hypotheses'* n-grams that the references have, and
    ``h``, ``r`` the number of tokens of both. A ``p_n`` of 0 is replaced by a
    small number (sacrebleu's smoothing, "exp"). Chinese is cut into characters.

    Raises:
        ValueError: if either is no list of texts, or their lengths differ.

    Source: Papineni et al. (2002), "BLEU", section 2.3; the tokens are those
    of Post (2018), "A call for clarity in reporting BLEU scores", section 4.
    """
    return _corpus(_metric("BLEU", language), hypotheses, references)


def chrf(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str = "fr",
) -> float:
    """Score translations by common n-grams of characters, 1 to 6 long.

    ``chrF = 100 (1 + 4) P R / (4 P + R)``: precision and recall, averaged
    over the six lengths; recall counts twice as much.

    Raises:
        ValueError: if either is no list of texts, or their lengths differ.

    Source: Popovic (2015), "chrF: character n-gram F-score for automatic MT
    evaluation", section 2.
    """
    return _corpus(_metric("chrF", language), hypotheses, references)


def _metric(name: str, language: str):
    if name == "chrF":
        return sacrebleu.CHRF()
    return sacrebleu.BLEU(tokenize="zh" if language == "zh" else "13a")


def _corpus(metric, hypotheses, references) -> float:
    hypotheses, references = _check_pair(hypotheses, references)
    # sacrebleu takes a list of *sets* of references: hence the brackets.
    return metric.corpus_score(hypotheses, [references]).score


class Interval(NamedTuple):
    """A score, and where 95 % of the resampled ones lie."""

    score: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.score:.1f} [{self.low:.1f}, {self.high:.1f}]"


class Comparison(NamedTuple):
    """Intervals of some systems, and of each one's lead over the first."""

    scores: dict[str, Interval]
    leads: dict[str, Interval]


def paired_bootstrap(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[str],
    metric: str = "BLEU",
    *,
    language: str = "fr",
    samples: int = 1_000,
    seed: int = 0,
) -> Comparison:
    """Ask how far scores would move on other test sentences of this kind.

    Draw as many sentences as there are, with replacement, ``samples`` times,
    the *same* ones for all systems, and score each time. What the middle 95 %
    hold is the interval. Luck with easy sentences falls on all systems alike,
    so the lead of one over another is surer than either score. (It says
    nothing about another training run.)

    Args:
        systems: ``{name: translations}``; leads are over the first.
        references: the true translations.
        metric: "BLEU" or "chrF".
        language: "fr" or "zh".
        samples: how often to draw.
        seed: of the drawing.

    Raises:
        ValueError: if there is no system, lengths differ, or ``metric`` is
            unknown.

    Source: Koehn (2004), "Statistical significance tests for machine
    translation evaluation", sections 3 and 4.
    """
    if not systems:
        raise ValueError("systems: expected at least one, got none")
    if metric not in ("BLEU", "chrF"):
        raise ValueError(f"metric: expected 'BLEU' or 'chrF', got {metric!r}")
    scorer = _metric(metric, language)
    rng = np.random.default_rng(seed)
    count = len(_check_texts("references", references))
    # How often each sentence is drawn: (samples, count).
    draws = rng.multinomial(count, np.full(count, 1 / count), samples)
    found, drawn = {}, {}
    for name, hypotheses in systems.items():
        pair = _check_pair(hypotheses, references)
        # Per sentence: counts that add up to those of the corpus. sacrebleu's
        # own significance test uses the same two methods.
        counts = np.array(
            scorer._extract_corpus_statistics(pair[0], [pair[1]])
        )
        sums = [counts.sum(0), *(draws @ counts)]
        scores = [
            scorer._compute_score_from_stats(row.tolist()).score
            for row in sums
        ]
        found[name], drawn[name] = scores[0], np.array(scores[1:])
    base = next(iter(systems))
    leads = {
        name: _interval(found[name] - found[base], drawn[name] - drawn[base])
        for name in list(systems)[1:]
    }
    scores = {name: _interval(found[name], drawn[name]) for name in systems}
    return Comparison(scores, leads)


def _interval(score: float, drawn: np.ndarray) -> Interval:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(float(score), float(low), float(high))


class TranslationMemory:
    """The rival that understands nothing: the most similar sentence's words.

    Of all training sentences, take the one that shares most words with the
    new one (Jaccard: common words, divided by all words of both), and give
    its translation unchanged. Of equals, the first.

    Args of the constructor:
        pairs: sentences and their translations.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Remember everything.

        Raises:
            ValueError: if there is no pair.
        """
        if not pairs:
            raise ValueError("pairs: expected at least one, got none")
        self.pairs = [(source, target) for source, target, *_ in pairs]
        self.bags = [frozenset(s.lower().split()) for s, _ in self.pairs]
        self.known: dict[str, list[int]] = {}
        for number, bag in enumerate(self.bags):
            for word in bag:
                self.known.setdefault(word, []).append(number)

    def nearest(self, text: str) -> tuple[str, str]:
        """Return the most similar pair; the first, if no word is known."""
        bag = set(text.lower().split())
        common = Counter(i for word in bag for i in self.known.get(word, ()))
        best = max(
            common,
            key=lambda i: (common[i] / len(bag | self.bags[i]), -i),
            default=0,
        )
        return self.pairs[best]

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Give the translation of the most similar sentence of each."""
        return [self.nearest(text)[1] for text in _check_texts("texts", texts)]


FAULTS = (
    "placeholder lost or added",
    "stutters",
    "much too short",
    "much too long",
    "English word left",
)


def faults(
    source: str, hypothesis: str, reference: str, *, language: str = "fr"
) -> list[str]:
    """Name what a rule can see to be wrong with a translation.

    The rules are rough, and most mistakes of meaning escape them all.
    """
    found = []
    marks = [
        sorted(mark for mark in PLACEHOLDERS for _ in range(text.count(mark)))
        for text in (hypothesis, source)
    ]
    if marks[0] != marks[1]:
        found.append(FAULTS[0])
    said, true, read = (
        _words(text, language) for text in (hypothesis, reference, source)
    )
    if any(
        said[i : i + n] == said[i + n : i + 2 * n]
        for n in (1, 2, 3)
        for i in range(len(said) - 2 * n + 1)
    ):
        found.append(FAULTS[1])
    if len(said) < 0.6 * len(true):
        found.append(FAULTS[2])
    if len(said) > 1.6 * len(true):
        found.append(FAULTS[3])
    if (set(said) & {word for word in read if len(word) > 3}) - set(true):
        found.append(FAULTS[4])
    return found


def _words(text: str, language: str) -> list[str]:
    """Cut into words without marks; Chinese into characters."""
    for mark in PLACEHOLDERS:
        text = text.replace(mark, " ")
    kept = [c if c.isalnum() else " " for c in text.lower()]
    if language == "zh":
        kept = [c if c.isascii() else f" {c} " for c in kept]
    return "".join(kept).split()


def _check_texts(name: str, texts) -> list[str]:
    """Refuse what is no list of texts: one text is the usual slip."""
    if isinstance(texts, str):
        raise ValueError(f"{name}: expected a list of texts, got one text")
    try:
        texts = list(texts)
    except TypeError:
        raise ValueError(
            f"{name}: expected a list of texts, got {type(texts).__name__}"
        ) from None
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(
                f"{name}: expected texts, got {type(text).__name__} in it"
            )
    if not texts:
        raise ValueError(f"{name}: expected at least one text, got none")
    return texts


def _check_pair(hypotheses, references) -> tuple[list[str], list[str]]:
    hypotheses = _check_texts("hypotheses", hypotheses)
    references = _check_texts("references", references)
    if len(hypotheses) != len(references):
        raise ValueError(
            f"hypotheses: expected {len(references)}, one per reference, got "
            f"{len(hypotheses)}"
        )
    return hypotheses, references
