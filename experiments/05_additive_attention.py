"""Lesson 05: what a summary holds, what attention adds, and which score.

``repeat_digits`` trains on rows of 1 to 12 digits, ``read_dates`` on written
dates; both measure everything that the lesson says of such a model.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course import data, session, training
from attn_course.additive_attention import EncoderDecoder
from attn_course.common.seq2seq import (
    exact_match,
    greedy_decode,
    sequence_loss,
    shift_right,
)
from attn_course.common.text import CharTokenizer
from attn_course.common.tokens import EOS
from attn_course.data import dates
from experiments.claims import Arm, Claim, Run, above, below, settings

LONGEST = 12  # digits in training
LENGTHS = (2, 4, 6, 8, 10, 12, 14, 16)


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Compare with what should be written."""
    source, expected = batch
    return sequence_loss(model(source, shift_right(expected)), expected)


def train(model: nn.Module, batches, steps: int, lr: float) -> None:
    """Train as the lesson does."""
    training.fit(model, loss, batches, steps=steps, lr=lr, schedule="onecycle")


# Rows of digits ------------------------------------------------------------


def digits(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Draw rows of digits (tokens 4 to 13)."""
    return torch.randint(4, 14, (count, length), generator=generator)


def digit_batches(seed: int):
    """Make batches of rows of one length, from 1 to 12 digits."""
    generator = torch.Generator().manual_seed(seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        length = int(torch.randint(1, LONGEST + 1, (1,), generator=generator))
        rows = F.pad(digits(64, length, generator), (0, 1), value=EOS)
        return rows, rows

    return batch


def repeats(model: EncoderDecoder, rows: Tensor) -> Tensor:
    """Say of each row whether the model repeats it."""
    rows = F.pad(rows, (0, 1), value=EOS)
    return exact_match(
        greedy_decode(model, model.encode(rows), rows.shape[1]), rows
    ).double()


class InOrder(nn.Module):
    """Attention that looks at place after place, whatever is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0

    def forward(self, query, key, value, mask):
        place = torch.full((len(key), 1), self.step)
        weights = F.one_hot(place, key.shape[1]).to(value)  # (batch, 1, s)
        self.step += 1
        return weights @ value, weights


def repeats_in_order(model: EncoderDecoder, rows: Tensor) -> Tensor:
    """Do as ``repeats``, with the place of each step given to the model."""
    own = model.attention
    model.attention = InOrder()
    try:
        return repeats(model, rows)
    finally:
        model.attention = own


def on_its_place(model: EncoderDecoder, rows: Tensor) -> Tensor:
    """Say of each digit whether the heaviest weight lies on it."""
    rows = F.pad(rows, (0, 1), value=EOS)
    with torch.no_grad():
        _, weights = model.decode(model.encode(rows), shift_right(rows))
    places = torch.arange(rows.shape[1])
    return (weights.argmax(-1) == places)[:, :-1].double()


def repeat_digits(
    seed: int, attention: str | None, dim: int, steps: int, lr: float
) -> Run:
    """Train to repeat rows of digits; measure on rows of many lengths."""
    session.set_seed(seed)
    model = EncoderDecoder(14, 14, dim, attention=attention)
    train(model, digit_batches(seed), steps, lr)
    valid = digits(200, 12, torch.Generator().manual_seed(1001))
    score = sum(repeats(model, valid[:, :n]).mean().item() for n in (4, 8, 12))
    # The shorter rows are the beginnings of the longest: so rows are paired.
    test = digits(300, 16, torch.Generator().manual_seed(1002))
    right = {n: repeats(model, test[:, :n]) for n in LENGTHS}
    items = {f"{n} digits": right[n] for n in LENGTHS}
    items["12 digits less 16"] = right[12] - right[16]
    if attention is not None:
        told = {n: repeats_in_order(model, test[:, :n]) for n in (12, 16)}
        items["16 digits, gain by order"] = told[16] - right[16]
        items["12 digits less 16, in order"] = told[12] - told[16]
        seen = on_its_place(model, test)
        items["on its place, 1 to 12 of 16"] = seen[:, :12].mean(1)
        items["on its place, 13 to 16 of 16"] = seen[:, 12:].mean(1)
        items["on its place, 1 to 12 less 13 to 16"] = seen[:, :12].mean(
            1
        ) - seen[:, 12:].mean(1)
        items["on its place, rows of 12"] = on_its_place(
            model, test[:, :12]
        ).mean(1)
    return Run(score / 3, {name: x.tolist() for name, x in items.items()})


# Dates ---------------------------------------------------------------------


class Changed(nn.Module):
    """Attention whose weights are changed after the softmax."""

    def __init__(self, inner: nn.Module, change) -> None:
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, query, key, value, mask):
        _, weights = self.inner(query, key, value, mask)
        weights = self.change(weights, mask)
        return weights @ value, weights


def hard(weights: Tensor, mask: Tensor) -> Tensor:
    """Keep the heaviest character only."""
    return F.one_hot(weights.argmax(-1), weights.shape[-1]).to(weights)


def even(weights: Tensor, mask: Tensor) -> Tensor:
    """Weigh all characters alike."""
    return (mask / mask.sum(-1, keepdim=True)).expand_as(weights)


class Reader:
    """A reader of dates, with what it reads and writes."""

    def __init__(self, pairs, attention: str | None) -> None:
        self.source = CharTokenizer(pair.text for pair in pairs)
        self.target = CharTokenizer(pair.iso for pair in pairs)
        self.model = EncoderDecoder(
            len(self.source), len(self.target), 64, attention=attention
        )

    def encode(self, pairs) -> tuple[Tensor, Tensor]:
        return (
            self.source.encode([pair.text for pair in pairs]),
            self.target.encode([pair.iso for pair in pairs]),
        )

    def batches(self, pairs, seed: int):
        words, iso = self.encode(pairs)
        generator = torch.Generator().manual_seed(seed)

        def batch(step: int) -> tuple[Tensor, Tensor]:
            rows = torch.randint(len(words), (64,), generator=generator)
            longest = (words[rows] != 0).sum(dim=1).max()
            return words[rows, :longest], iso[rows]

        return batch

    def write(self, pairs) -> Tensor:
        words, _ = self.encode(pairs)
        return greedy_decode(self.model, self.model.encode(words), 14)

    def texts(self, pairs) -> list[str]:
        return self.target.decode(self.write(pairs))

    def right(self, pairs) -> list[float]:
        return [
            float(text == pair.iso)
            for text, pair in zip(self.texts(pairs), pairs)
        ]

    def changed(self, change, pairs) -> list[float]:
        own = self.model.attention
        self.model.attention = Changed(own, change)
        try:
            return self.right(pairs)
        finally:
            self.model.attention = own


def year_looked_at(reader: Reader, pairs) -> list[float]:
    """Say how often the heaviest weight lies on the year's digit it writes.

    Of the third and fourth digit, in dates that write the year in full.
    """
    pairs = [pair for pair in pairs if pair.iso[:4] in pair.text]
    words, iso = reader.encode(pairs)
    with torch.no_grad():
        memory = reader.model.encode(words)
        _, weights = reader.model.decode(memory, shift_right(iso))
    start = torch.tensor([pair.text.index(pair.iso[:4]) for pair in pairs])
    places = start[:, None] + torch.tensor([2, 3])
    hits = weights.argmax(dim=-1)[:, 2:4] == places
    return hits.double().mean(dim=1).tolist()


def least_sure(reader: Reader, pairs) -> list[float]:
    """Give the probability of the least probable character of each date."""
    written = reader.write(pairs)
    words, _ = reader.encode(pairs)
    with torch.no_grad():
        logits = reader.model(words, shift_right(written))
    probs = logits.softmax(dim=-1).gather(-1, written[..., None])[..., 0]
    return probs.masked_fill(written == 0, 1.0).amin(dim=1).tolist()


def all_or_none(pairs, right: list[float]) -> list[float]:
    """Say of each date whether its month is read >= 90 % or <= 10 %."""
    months: dict[str, list[float]] = {}
    for pair, hit in zip(pairs, right):
        months.setdefault(pair.iso[5:7], []).append(hit)
    share = {name: sum(hits) / len(hits) for name, hits in months.items()}
    return [
        float(not 0.1 < share[pair.iso[5:7]] < 0.9)  # of this run
        for pair in pairs
    ]


def ambiguous(pair) -> bool:
    """Say whether month and day, swapped, are another day."""
    return int(pair.iso[8:]) <= 12 and pair.iso[5:7] != pair.iso[8:]


def read_dates(seed: int, attention: str | None, steps: int, lr: float) -> Run:
    """Train to read dates; measure on new days, new years, new formats."""
    pairs = dates.load("train")
    session.set_seed(seed)
    reader = Reader(pairs, attention)
    train(reader.model, reader.batches(pairs, seed), steps, lr)
    valid = reader.right(dates.load("valid"))
    test = data.sample(dates.load("test"), 1000, 0)
    years, italian = dates.load("years"), dates.load("italian")
    american = [pair for pair in dates.load("american") if ambiguous(pair)]
    items = {"test": reader.right(test), "Italian": reader.right(italian)}
    items["Italian, month all or none"] = all_or_none(
        italian, items["Italian"]
    )
    texts = reader.texts(years)
    for century in ("18", "19", "20", "21"):
        items[f"years {century}.."] = [
            float(text == pair.iso)
            for text, pair in zip(texts, years)
            if pair.iso[:2] == century
        ]
    items["years, last two digits"] = [
        float(text[2:4] == pair.iso[2:4]) for text, pair in zip(texts, years)
    ]
    items["years, a known one written"] = [
        float("1950" <= text[:4] <= "2049") for text in texts
    ]
    items["American, swapped"] = [
        float(text == pair.iso[:5] + pair.iso[8:] + pair.iso[4:7])
        for text, pair in zip(reader.texts(american), american)
    ]
    items["American, least sure character"] = least_sure(reader, american)
    if attention is not None:
        items["year's digits looked at"] = year_looked_at(reader, test)
        items["hard weights"] = reader.changed(hard, data.sample(test, 500))
        items["even weights"] = reader.changed(even, data.sample(test, 500))
    return Run(sum(valid) / len(valid), items)


# What is compared ----------------------------------------------------------


def digit_arm(attention, dim, steps, rates) -> Arm:
    """Make an arm of ``repeat_digits``."""
    return Arm(
        repeat_digits,
        settings(attention=(attention,), dim=(dim,), steps=(steps,), lr=rates),
    )


def date_arm(attention, steps) -> Arm:
    """Make an arm of ``read_dates``."""
    return Arm(
        read_dates,
        settings(attention=(attention,), steps=(steps,), lr=(0.005, 0.01)),
    )


ARMS = {
    "summary of 64": digit_arm(None, 64, 400, (0.005, 0.01)),
    "summary of 128": digit_arm(None, 128, 400, (0.0025, 0.005)),
    "summary of 64, 800 steps": digit_arm(None, 64, 800, (0.005, 0.01)),
    "attention (dot)": digit_arm("dot", 64, 400, (0.005, 0.01)),
    "additive": date_arm("additive", 150),
    "dot": date_arm("dot", 150),
    "general": date_arm("general", 150),
}
CLAIMS = [
    Claim(
        "E05.1",
        "In 400 steps, a model with a summary of 64 numbers learns to repeat "
        "most rows of 4 digits.",
        "4 digits",
        "summary of 64",
        verdict=above(0.5),
    ),
    Claim(
        "E05.2",
        "In 400 steps, such a model learns to repeat fewer than 5 in 100 rows "
        "of 12 digits.",
        "12 digits",
        "summary of 64",
        verdict=below(0.05),
    ),
    Claim(
        "E05.3",
        "In the same 400 steps, a summary of 128 numbers repeats more rows of "
        "8 digits than one of 64.",
        "8 digits",
        "summary of 128",
        over="summary of 64",
    ),
    Claim(
        "E05.4",
        "With 8 digits, 800 steps and 64 numbers do more than 400 steps and "
        "128 numbers.",
        "8 digits",
        "summary of 64, 800 steps",
        over="summary of 128",
    ),
    Claim(
        "E05.5",
        "After 800 steps, a summary of 64 numbers still repeats fewer than "
        "5 in 100 rows of 12 digits.",
        "12 digits",
        "summary of 64, 800 steps",
        verdict=below(0.05),
    ),
    Claim(
        "E05.6",
        "In the same 400 steps and with as many parameters, attention "
        "repeats at least half of the rows of 12 digits more than the "
        "summary.",
        "12 digits",
        "attention (dot)",
        over="summary of 64",
        verdict=above(0.5),
    ),
    Claim(
        "E05.7",
        "With attention, rows of 16 digits (never seen in training) are "
        "repeated less often than their first 12 digits.",
        "12 digits less 16",
        "attention (dot)",
    ),
    Claim(
        "E05.8",
        "Told which digit to look at in each step, the models with attention "
        "repeat more rows of 16 digits.",
        "16 digits, gain by order",
        "attention (dot)",
    ),
    Claim(
        "E05.9",
        "Told which digit to look at, they repeat rows of 16 digits about as "
        "often as the first 12 of them: fewer than 5 in 100 are lost.",
        "12 digits less 16, in order",
        "attention (dot)",
        verdict=below(0.05),
    ),
    Claim(
        "E05.10",
        "In rows of 12 digits, the heaviest weight lies on the digit that is "
        "being written in more than 9 of 10 steps.",
        "on its place, rows of 12",
        "attention (dot)",
        verdict=above(0.9),
    ),
    Claim(
        "E05.11",
        "In rows of 16 digits, the heaviest weight lies on its digit less "
        "often from the 13th on than before.",
        "on its place, 1 to 12 less 13 to 16",
        "attention (dot)",
    ),
    Claim(
        "E05.12",
        "After 150 steps, a reader of dates with additive scores reads more "
        "new days than one with dot scores.",
        "test",
        "additive",
        over="dot",
    ),
    Claim(
        "E05.13",
        "After 150 steps, a reader with additive scores reads more new days "
        "than one with general scores.",
        "test",
        "additive",
        over="general",
    ),
    Claim(
        "E05.14",
        "After 150 steps, a reader with additive scores reads at least 99 % "
        "of new days.",
        "test",
        "additive",
        verdict=above(0.99),
    ),
    Claim(
        "E05.15",
        "While the third and the fourth digit of the year are written, the "
        "heaviest weight lies on that very digit in more than 8 of 10.",
        "year's digits looked at",
        "additive",
        verdict=above(0.8),
    ),
    Claim(
        "E05.16",
        "After 150 steps, more than 7 in 10 dates of 1900 to 1949 are read.",
        "years 19..",
        "additive",
        verdict=above(0.7),
    ),
    Claim(
        "E05.17",
        "After 150 steps, fewer than 4 in 10 dates of 1850 to 1899 are read.",
        "years 18..",
        "additive",
        verdict=below(0.4),
    ),
    Claim(
        "E05.18",
        "After 150 steps, fewer than 4 in 10 dates of 2100 to 2149 are read.",
        "years 21..",
        "additive",
        verdict=below(0.4),
    ),
    Claim(
        "E05.19",
        "After 150 steps, most Italian dates are read.",
        "Italian",
        "additive",
        verdict=above(0.5),
    ),
    Claim(
        "E05.20",
        "At least 8 in 10 Italian dates are of a month that this reader "
        "reads nearly always or nearly never (90 %, 10 %).",
        "Italian, month all or none",
        "additive",
        verdict=above(0.8),
    ),
    Claim(
        "E05.21",
        "At least 9 in 10 American dates that could be another day are read "
        "as that other day.",
        "American, swapped",
        "additive",
        verdict=above(0.9),
    ),
    Claim(
        "E05.22",
        "In such American dates, even the least probable character that is "
        "written has a probability above 0.9 on average.",
        "American, least sure character",
        "additive",
        verdict=above(0.9),
    ),
    Claim(
        "E05.23",
        "With the heaviest character only, more than 8 in 10 test dates are "
        "still read.",
        "hard weights",
        "additive",
        verdict=above(0.8),
    ),
    Claim(
        "E05.24",
        "With even weights, fewer than 5 in 100 test dates are read.",
        "even weights",
        "additive",
        verdict=below(0.05),
    ),
]
