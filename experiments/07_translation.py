"""Lesson 07: three models of one size translate; greedy and beams.

``translate`` trains one on all training pairs, with the lesson's recipe but
for the learning rate, and for about half of its steps. BLEU and chrF are
scores of a whole test set: ``shares`` gives each text its part, so that texts
can be resampled.
"""

import functools
from collections.abc import Sequence

import numpy as np
import sacrebleu
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course import data, session, training
from attn_course import translation as lesson
from attn_course.additive_attention import EncoderDecoder
from attn_course.common.batching import pad
from attn_course.common.evaluation import evaluating
from attn_course.common.seq2seq import sequence_loss, shift_right
from attn_course.common.tokens import PAD
from attn_course.data import sentences
from attn_course.transformer import Transformer
from experiments.claims import SEARCH_SEEDS, Arm, Claim, Run, below, settings

MAX_LENGTH = 60  # pieces
SIZE = 1000  # pieces of each language
RATES = (0.0025, 0.005, 0.01)


@functools.cache
def pairs(split: str) -> list[sentences.Pair]:
    return sentences.load("fr", split)


@functools.cache
def tokenizers() -> tuple[lesson.Tokenizer, lesson.Tokenizer]:
    train = pairs("train")
    return (
        lesson.Tokenizer([pair.source for pair in train], SIZE),
        lesson.Tokenizer([pair.target for pair in train], SIZE),
    )


def sides(split: str) -> tuple[list[str], list[str]]:
    """Give all English texts of a part, and their translations."""
    return (
        [pair.source for pair in pairs(split)],
        [pair.target for pair in pairs(split)],
    )


@functools.cache
def remembered(what: str) -> Tensor:
    """Judge the memory, which is the same with every seed."""
    english, french = sides("test")
    memory = lesson.TranslationMemory(pairs("train"))
    return shares(what, memory.translate(english), french)


# Judging -------------------------------------------------------------------


def part_of(score, what: str) -> float:
    """Read a number off what sacrebleu found."""
    if what == "precision":
        return score.score / score.bp
    if what == "length ratio":
        return score.sys_len / score.ref_len
    return score.score


def shares(
    what: str, hypotheses: Sequence[str], references: Sequence[str]
) -> Tensor:
    """Share a score of many texts out among them, by the jackknife.

    Text i gets ``score + (n - 1) (mean_j without_j - without_i)``, where
    ``without_i`` is the score of all texts but i: the mean of the shares is
    the score, and they vary with the texts as the score does.

    Source: Efron and Tibshirani (1993), "An introduction to the bootstrap",
    chapter 11.
    """
    scorer = sacrebleu.CHRF() if what == "chrF" else sacrebleu.BLEU()
    if what in ("BLEU", "precision", "length ratio"):
        # As the lesson does: a placeholder is one word.
        hypotheses, references = whole(hypotheses), whole(references)
    counts = np.array(
        scorer._extract_corpus_statistics(hypotheses, [references])
    )  # (texts, counts)

    def score(row: np.ndarray) -> float:
        found = scorer._compute_score_from_stats(row.tolist())
        return part_of(found, what)

    total = counts.sum(0)
    without = torch.tensor([score(total - row) for row in counts]).double()
    return score(total) + (len(counts) - 1) * (without.mean() - without)


def whole(texts: Sequence[str]) -> list[str]:
    """Write a placeholder as one word that no tokenizer cuts."""
    for sign, letter in zip(lesson.PLACEHOLDERS, "ABC"):
        texts = [
            text.replace(sign, f" Placeholder{letter} ") for text in texts
        ]
    return list(texts)


# Training ------------------------------------------------------------------


def make(kind: str) -> nn.Module:
    """Make one of three models with equally many parameters (1 %)."""
    if kind == "Transformer":
        return Transformer(SIZE, SIZE, 64, 4, 2, mlp_dim=128)
    attention = "dot" if kind == "RNN + attention" else None
    return EncoderDecoder(SIZE, SIZE, 86, attention=attention)


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    source, target = batch
    logits = model(source, shift_right(target))
    return sequence_loss(logits, target, label_smoothing=0.1)


def train(kind: str, steps: int, lr: float, seed: int) -> lesson.Translator:
    """Train as the lesson does."""
    english, french = tokenizers()
    ids = [(english.encode(s), french.encode(t)) for s, t, _ in pairs("train")]
    ids = [pair for pair in ids if max(map(len, pair)) <= MAX_LENGTH]
    session.set_seed(seed)
    model = make(kind)
    training.fit(
        model,
        loss,
        lesson.BucketBatches(ids, 32, seed=seed),
        steps=steps,
        lr=lr,
        warmup=steps // 10,
        weight_decay=0.01,
        threads=1,
    )
    return lesson.Translator(model, english, french, MAX_LENGTH)


def translate(seed: int, kind: str, steps: int, lr: float) -> Run:
    """Train a model; judge what it writes, and what it expects to read."""
    translator = train(kind, steps, lr, seed)
    english, french = sides("valid")
    score = lesson.chrf(translator.translate(english), french)
    if seed in SEARCH_SEEDS:
        return Run(score, {})  # no test text is looked at
    items = judged(translator)
    if kind == "RNN + attention":
        items |= searched(translator)
    return Run(score, {name: x.tolist() for name, x in items.items()})


def judged(translator: lesson.Translator) -> dict[str, Tensor]:
    """Measure on the 1,000 test texts."""
    english, french = sides("test")
    greedy = translator.translate(english)
    beam = translator.translate(english, beam_size=4)
    items = {"loss, true words read": losses(translator)}
    for what in ("BLEU", "chrF", "precision", "length ratio"):
        items[what] = shares(what, beam, french)
        by_greedy = shares(what, greedy, french)
        items[f"{what}, beam 4 less greedy"] = items[what] - by_greedy
        items[f"{what} less the memory's"] = items[what] - remembered(what)
    copied = {
        "a placeholder is three words": ("BLEU, cut", range(len(english))),
        "a placeholder is one word": ("BLEU", range(len(english))),
        "texts without placeholders": ("BLEU", without_placeholder()),
    }
    for name, (what, some) in copied.items():
        mine, true, copy = (pick(x, some) for x in (beam, french, english))
        items[f"BLEU less the copy's, {name}"] = shares(
            what, mine, true
        ) - shares(what, copy, true)
    groups = by_length(english)
    for name, group in groups.items():
        items[f"chrF, {name} words"] = shares(
            "chrF", pick(beam, group), pick(french, group)
        )
    # As many long texts as short ones, drawn at random: so they make pairs.
    number = min(map(len, groups.values()))
    few = [data.sample(groups[x], number) for x in ("7 and more", "3 and 4")]
    long, short = (
        shares("chrF", pick(beam, some), pick(french, some)) for some in few
    )
    items["chrF, 7 words and more less 3 and 4"] = long - short
    return items | placeholders(english, beam, french)


def pick(texts: Sequence[str], some: Sequence[int]) -> list[str]:
    return [texts[i] for i in some]


def without_placeholder() -> list[int]:
    return [i for i, pair in enumerate(pairs("test")) if "{" not in pair[0]]


def by_length(english: Sequence[str]) -> dict[str, list[int]]:
    """Group texts by their number of words."""
    groups = {"3 and 4": [], "5 and 6": [], "7 and more": []}
    for i, text in enumerate(english):
        words = len(text.split())
        name = "3 and 4" if words < 5 else "5 and 6" if words < 7 else None
        groups[name or "7 and more"].append(i)
    return groups


def placeholders(english, beam, french) -> dict[str, Tensor]:
    """Say which texts keep theirs, and which get one they never had."""
    plain = without_placeholder()
    marked = sorted(set(range(len(english))) - set(plain))
    lost = lesson.ERROR_TYPES[0]
    kept = [
        lost not in lesson.error_types(english[i], beam[i], french[i])
        for i in marked
    ]
    return {
        "placeholders kept": torch.tensor(kept).double(),
        "placeholder invented": torch.tensor(
            ["{" in beam[i] for i in plain]
        ).double(),
    }


@torch.no_grad()
def losses(translator: lesson.Translator) -> Tensor:
    """Return the training loss of each test text, a mean over its pieces."""
    english, french = sides("test")
    found = []
    for i in range(0, len(english), 50):
        source = pad(
            [translator.source.encode(x) for x in english[i : i + 50]]
        )
        target = pad([translator.target.encode(x) for x in french[i : i + 50]])
        with evaluating(translator.model):
            logits = translator.model(source, shift_right(target))
        each = F.cross_entropy(
            logits.transpose(1, 2),
            target,
            ignore_index=PAD,
            label_smoothing=0.1,
            reduction="none",
        )  # (batch, t), 0 where there is padding
        found.append(each.sum(1) / (target != PAD).sum(1))
    return torch.cat(found)


def searched(translator: lesson.Translator) -> dict[str, Tensor]:
    """Search with other beams, on the validation texts (exercise 5)."""
    order = sorted(
        pairs("valid"), key=lambda p: len(translator.source.encode(p.source))
    )
    batches = [
        pad([translator.source.encode(p.source) for p in order[i : i + 50]])
        for i in range(0, len(order), 50)
    ]
    true = [pair.target for pair in order]

    def write(size: int, penalty: float) -> list[str]:
        return [
            translator.target.decode(row)
            for batch in batches
            for row in lesson.beam_search(
                translator.model,
                batch,
                30,
                beam_size=size,
                length_penalty=penalty,
            )[0]
        ]

    texts = {
        (size, penalty): write(size, penalty)
        for size, penalty in ((1, 1), (2, 1), (8, 1), (2, 0), (8, 0))
    }

    def less(what: str, one: tuple, other: tuple) -> Tensor:
        return shares(what, texts[one], true) - shares(
            what, texts[other], true
        )

    return {
        "BLEU, beam 2 less greedy": less("BLEU", (2, 1), (1, 1)),
        "BLEU, beam 8 less beam 2": less("BLEU", (8, 1), (2, 1)),
        "length ratio, beam 8": shares("length ratio", texts[8, 1], true),
        "length ratio, beam 8, sum less mean": less(
            "length ratio", (8, 0), (8, 1)
        ),
        "length ratio, sum, beam 8 less beam 2": less(
            "length ratio", (8, 0), (2, 0)
        ),
        "BLEU, sum, beam 8 less beam 2": less("BLEU", (8, 0), (2, 0)),
    }


# What is compared ----------------------------------------------------------


def model_arm(kind: str, steps: int) -> Arm:
    """Make an arm of ``translate``."""
    return Arm(translate, settings(kind=(kind,), steps=(steps,), lr=RATES))


ARMS = {
    "RNN": model_arm("RNN", 600),
    "RNN + attention": model_arm("RNN + attention", 600),
    "Transformer": model_arm("Transformer", 600),
}
CLAIMS = [
    Claim(
        "E07.1",
        "In 600 steps, with as many parameters, the RNN with attention has a "
        "higher chrF than the RNN without.",
        "chrF",
        "RNN + attention",
        over="RNN",
    ),
    Claim(
        "E07.2",
        "In 600 steps, with as many parameters, the RNN with attention has a "
        "higher BLEU than the RNN without.",
        "BLEU",
        "RNN + attention",
        over="RNN",
    ),
    Claim(
        "E07.3",
        "While both read the true words, the RNN with attention has a lower "
        "loss than the RNN without.",
        "loss, true words read",
        "RNN + attention",
        over="RNN",
        verdict=below(0),
    ),
    Claim(
        "E07.4",
        "On texts of 3 and 4 words the RNN with attention has a higher chrF "
        "than the RNN without.",
        "chrF, 3 and 4 words",
        "RNN + attention",
        over="RNN",
    ),
    Claim(
        "E07.5",
        "Attention gains more chrF on texts of 7 words and more than on texts "
        "of 3 and 4.",
        "chrF, 7 words and more less 3 and 4",
        "RNN + attention",
        over="RNN",
    ),
    Claim(
        "E07.8",
        "If a placeholder counts as three words, the copy has a higher BLEU "
        "than the RNN without attention.",
        "BLEU less the copy's, a placeholder is three words",
        "RNN",
        verdict=below(0),
    ),
    Claim(
        "E07.9",
        "If a placeholder counts as one word, the RNN without attention has a "
        "higher BLEU than the copy.",
        "BLEU less the copy's, a placeholder is one word",
        "RNN",
    ),
    Claim(
        "E07.10",
        "On texts without placeholders the RNN without attention has a higher "
        "BLEU than the copy.",
        "BLEU less the copy's, texts without placeholders",
        "RNN",
    ),
    Claim(
        "E07.11",
        "The RNN with attention gets the placeholders of more texts right "
        "than the RNN without.",
        "placeholders kept",
        "RNN + attention",
        over="RNN",
    ),
    Claim(
        "E07.12",
        "The RNN with attention writes a placeholder less often where there "
        "was none.",
        "placeholder invented",
        "RNN + attention",
        over="RNN",
        verdict=below(0),
    ),
    Claim(
        "E07.13",
        "On the validation texts, with length normalisation, a beam of 2 has a "
        "higher BLEU than greedy.",
        "BLEU, beam 2 less greedy",
        "RNN + attention",
    ),
    Claim(
        "E07.14",
        "On the validation texts, "
        "with length normalisation, a beam of 8 has a higher BLEU than "
        "a beam of 2.",
        "BLEU, beam 8 less beam 2",
        "RNN + attention",
    ),
    Claim(
        "E07.15",
        "On the validation texts, "
        "without length normalisation, a beam of 8 writes fewer words "
        "than a beam of 2.",
        "length ratio, sum, beam 8 less beam 2",
        "RNN + attention",
        verdict=below(0),
    ),
    Claim(
        "E07.16",
        "On the validation texts, "
        "without length normalisation, a beam of 8 has a lower BLEU "
        "than a beam of 2.",
        "BLEU, sum, beam 8 less beam 2",
        "RNN + attention",
        verdict=below(0),
    ),
    Claim(
        "E07.17",
        "On the validation texts, "
        "a beam of 8 without length normalisation writes fewer words "
        "than a beam of 8 with it.",
        "length ratio, beam 8, sum less mean",
        "RNN + attention",
        verdict=below(0),
    ),
    Claim(
        "E07.18",
        "On the validation texts, "
        "a beam of 8 with length normalisation still writes fewer "
        "words than the references have.",
        "length ratio, beam 8",
        "RNN + attention",
        verdict=below(1),
    ),
    Claim(
        "E07.19",
        "In 600 steps, with nearly as many parameters, the Transformer has a "
        "higher chrF than the RNN with attention.",
        "chrF",
        "Transformer",
        over="RNN + attention",
    ),
    Claim(
        "E07.20",
        "While both read the true words, the Transformer has a lower loss than "
        "the RNN with attention.",
        "loss, true words read",
        "Transformer",
        over="RNN + attention",
        verdict=below(0),
    ),
    Claim(
        "E07.21",
        "After 600 steps the Transformer has a higher BLEU than the memory.",
        "BLEU less the memory's",
        "Transformer",
    ),
    Claim(
        "E07.22",
        "The memory's n-grams are right more often than the Transformer's.",
        "precision less the memory's",
        "Transformer",
        verdict=below(0),
    ),
    Claim(
        "E07.23",
        "The memory writes fewer words than the Transformer.",
        "length ratio less the memory's",
        "Transformer",
    ),
]
