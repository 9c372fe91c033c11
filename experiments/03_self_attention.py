"""Lesson 03: positions on one task, each with three settings, five seeds."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course import session, training
from attn_course.self_attention import (
    AlibiBias,
    RelativePositionBias,
    SelfAttention,
    apply_rotary_emb,
    relative_positions,
    sinusoidal_positions,
)
from experiments.claims import Arm, Claim, Run, below, settings

NAMES, PLACES, ASK = 4, 6, 6  # the lesson's words; ASK stands for a place
LENGTH, LONGEST, DIM = 24, 192, 32


def stories(count: int, length: int) -> tuple:
    """Draw the lesson's stories."""
    name = torch.randint(NAMES, (count, length))
    place = torch.randint(PLACES, (count, length))
    place[torch.rand(count, length) < 0.3] = ASK
    known = torch.full((count, NAMES), -100)
    target = torch.full((count, length), -100)
    for t in range(length):
        who, told = name[:, t : t + 1], place[:, t : t + 1]
        old = known.gather(1, who)
        target[:, t : t + 1] = torch.where(told == ASK, old, -100)
        known.scatter_(1, who, torch.where(told == ASK, old, told))
    return name * (ASK + 1) + place, target


def fixed(count: int, length: int, seed: int) -> tuple:
    """Draw stories that are the same in every run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return stories(count, length)


class Positions(nn.Module):
    """Add the rows of a table; with ``zeros``, only those trained on."""

    def __init__(self, learned: bool) -> None:
        """Draw the table as the course's classes do."""
        super().__init__()
        drawn = torch.randn(LONGEST, DIM) / 2
        table = drawn if learned else sinusoidal_positions(LONGEST, DIM)
        self.table = nn.Parameter(table.float(), requires_grad=learned)
        self.zeros = False

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its positions added."""
        added = self.table[: x.shape[1]].clone()
        if self.zeros:
            added[LENGTH:] = 0
        return x + added


class Rotary(nn.Module):
    """RoPE as a bias: what turning adds to the scores of query and key.

    With ``clip``, distances above it are scored as ``clip``.
    """

    def __init__(self, base: float) -> None:
        """Keep the base."""
        super().__init__()
        self.base, self.clip = base, None

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Return what is added to the scores."""
        rows = torch.arange(query.shape[-2])
        turned = self.turn(query, rows) @ self.turn(key, rows).mT
        if self.clip is not None:
            far = self.turn(query, rows * 0 + self.clip) @ key.mT
            behind = -relative_positions(len(rows), len(rows))
            turned = torch.where(behind > self.clip, far, turned)
        return (turned - query @ key.mT) / DIM**0.5

    def turn(self, x: Tensor, positions: Tensor) -> Tensor:
        """Rotate rows by their positions."""
        return apply_rotary_emb(x, positions, self.base)


class Reader(nn.Module):
    """The lesson's reader."""

    def __init__(self, add, bias) -> None:
        """Draw the lesson's first weights."""
        super().__init__()
        self.embed = nn.Embedding(NAMES * (ASK + 1), DIM)
        nn.init.normal_(self.embed.weight, std=0.2)
        self.add = add or nn.Identity()
        self.attend = SelfAttention(DIM, causal=True, bias=bias)
        self.answer = nn.Linear(DIM, PLACES)

    def forward(self, words: Tensor) -> Tensor:
        """Return a score for each place, at each word."""
        output, self.weights = self.attend(self.add(self.embed(words)))
        return self.answer(output)


def reader(method: str, own: float | None = None) -> Reader:
    """Make a reader; ``own`` is the setting that only this method has."""
    add = bias = None
    if method in ("sinusoidal", "learned"):
        add = Positions(method == "learned")
    elif method == "relative":
        bias = RelativePositionBias(DIM, max_distance=int(own))
    elif method == "RoPE":
        bias = Rotary(own)
    elif method == "ALiBi":
        bias = AlibiBias(slope=own)
    return Reader(add, bias)


def right_shares(model: Reader, words: Tensor, target: Tensor) -> list[float]:
    """Give the share of right answers of each story, its last 8 words."""
    with torch.no_grad():
        predictions = model(words).argmax(dim=-1)
    right, asked = (predictions == target)[:, -8:], target[:, -8:] >= 0
    counted = asked.any(dim=-1)
    return ((right & asked).sum(-1) / asked.sum(-1))[counted].tolist()


def growth(model: Reader, words: Tensor) -> list[float]:
    """Say by how much the weight beyond 16 words grows from 48 to 192."""
    asking = words[words[:, -1] % (ASK + 1) == ASK]
    beyond = []
    for length in (2 * LENGTH, LONGEST):
        with torch.no_grad():
            model(asking[:, -length:])
        beyond.append(model.weights[:, -1, :-16].sum(dim=-1))
    return (beyond[1] - beyond[0]).tolist()


def changed(model: Reader, method: str, tests: dict) -> dict[str, list]:
    """Test again with one thing changed after training."""
    items = {}
    if method == "learned":
        model.add.zeros = True
        items["right at 48, zeros"] = right_shares(model, *tests[48])
    if method == "RoPE":
        model.attend.bias.clip = LENGTH - 1
    if method in ("RoPE", "relative"):  # relative clips by itself
        items["right at 192, clipped"] = right_shares(model, *tests[192])
    return items


def gains(items: dict, less: str, more: str) -> list[float]:
    """Say by how much each story gained."""
    return [b - a for a, b in zip(items[less], items[more])]


def learn(seed: int, method: str, lr: float = 0.02, **options) -> Run:
    """Train on 24 words, and test on up to 192; validate on 48."""
    session.set_seed(seed)
    model = reader(method, **options)

    def loss(model, batch):
        words, target = batch
        return F.cross_entropy(model(words).flatten(0, 1), target.flatten())

    training.fit(
        model,
        loss,
        lambda step: stories(64, LENGTH),
        steps=400,
        lr=lr,
        schedule="onecycle",
        max_grad_norm=None,
    )
    chosen_by = right_shares(model, *fixed(200, 2 * LENGTH, 1000))
    tests = {n: fixed(200, n, n) for n in (24, 48, 192)}
    items = {f"right at {n}": right_shares(model, *tests[n]) for n in tests}
    items["growth beyond 16"] = growth(model, tests[192][0])
    items |= changed(model, method, tests)
    if method == "learned":
        items["gain of zeros"] = gains(
            items, "right at 48", "right at 48, zeros"
        )
    if method == "RoPE":
        items["gain of clipping"] = gains(
            items, "right at 192", "right at 192, clipped"
        )
    return Run(sum(chosen_by) / len(chosen_by), items)


RATES = (0.007, 0.02, 0.06)
OWN = {
    "relative": (8, 16, 32),  # where distances are clipped
    "RoPE": (200.0, 1e4, 1e6),  # base
    "ALiBi": (1 / 2, 1 / 16, 1 / 256),  # slope
}

ARMS = {
    **{
        name: Arm(learn, settings(method=(name,), lr=RATES))
        for name in ("none", "sinusoidal", "learned")
    },
    **{
        name: Arm(learn, settings(method=(name,), own=tried))
        for name, tried in OWN.items()
    },
    "ALiBi, slope 1/2": Arm(learn, settings(method=("ALiBi",), own=(1 / 2,))),
    "ALiBi, slope 1/16": Arm(
        learn, settings(method=("ALiBi",), own=(1 / 16,))
    ),
}

NO_CLAIM = {"is how far word j lies behind word i": "a place, not a race"}
CLAIMS = [
    Claim(
        "E03.1",
        "Without positions the task is not learned: at 24 words fewer than "
        "65 in 100 answers are right.",
        "right at 24",
        "none",
        verdict=below(0.65),
    ),
    Claim(
        "E03.2",
        "Each at the best of three settings, at 48 words: sinusoidal has "
        "fewer right answers than RoPE.",
        "right at 48",
        "sinusoidal",
        over="RoPE",
        verdict=below(0),
    ),
    Claim(
        "E03.3",
        "Each at the best of three settings, at 48 words: learned has fewer "
        "right answers than none.",
        "right at 48",
        "learned",
        over="none",
        verdict=below(0),
    ),
    Claim(
        "E03.4",
        "Zeros in place of the rows that training did not reach give "
        "learned more right answers at 48 words.",
        "gain of zeros",
        "learned",
    ),
    Claim(
        "E03.5",
        "Each at the best of three settings, at 192 words: relative has "
        "more right answers than RoPE.",
        "right at 192",
        "relative",
        over="RoPE",
    ),
    Claim(
        "E03.6",
        "Each at the best of three settings, at 192 words: ALiBi has more "
        "right answers than relative.",
        "right at 192",
        "ALiBi",
        over="relative",
    ),
    Claim(
        "E03.7",
        "With a slope of 1/16, ALiBi has fewer right answers than with 1/2, "
        "at 24 words.",
        "right at 24",
        "ALiBi, slope 1/16",
        over="ALiBi, slope 1/2",
        verdict=below(0),
    ),
    Claim(
        "E03.8",
        "In relative, the weight beyond 16 words grows when a story of 48 "
        "words gets 144 more before it.",
        "growth beyond 16",
        "relative",
    ),
    Claim(
        "E03.9",
        "Scoring distances above 23 as 23, after training, gives RoPE more "
        "right answers at 192 words.",
        "gain of clipping",
        "RoPE",
    ),
    Claim(
        "E03.10",
        "At 192 words relative has more right answers than RoPE, also if "
        "RoPE scores distances above 23 as 23 in the test.",
        "right at 192, clipped",
        "relative",
        over="RoPE",
    ),
]
