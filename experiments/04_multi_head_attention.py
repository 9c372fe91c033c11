"""Lesson 04: who can tell two lamps, and what cutting a head costs."""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from attn_course import session, training
from attn_course.multi_head_attention import MultiHeadAttention
from experiments.claims import Arm, Claim, Run, above, below, between, settings

VALIDATION, TEST, UNEVEN = 998, 999, 997  # seeds of streets and of noise


def streets(count, asked, generator):
    """Make streets: who lives where, which lamps burn, who is asked about."""

    def shuffled():
        return torch.rand(count, 8, generator=generator).argsort(dim=1)

    who = shuffled()
    lit = torch.randint(2, (count, 8), generator=generator)
    house = shuffled()[:, :asked]
    return who, lit.float(), who.gather(1, house), lit.gather(1, house).float()


def fixed(seed, asked):
    """Make the 2000 streets of a seed."""
    return streets(2000, asked, torch.Generator().manual_seed(seed))


class Reader(nn.Module):
    """The lesson's reader, with another readout or a second layer if asked.

    Its values are brightnesses: 0 and 1 are the lesson's two vectors.
    """

    def __init__(self, dim, heads, asked, readout, layers):
        super().__init__()
        self.house = nn.Embedding(8, dim)
        self.lamp = nn.Embedding(2, dim)
        self.question = nn.Embedding(8 * asked, dim)
        self.attend = nn.ModuleList(
            MultiHeadAttention(dim, heads) for _ in range(layers)
        )
        self.readout = {
            "one score per lamp": nn.Linear(dim, asked),
            "one score per answer": nn.Linear(dim, 2**asked),
            "network": nn.Sequential(
                nn.Linear(dim, 64), nn.ReLU(), nn.Linear(64, asked)
            ),
        }[readout]
        answers = list(itertools.product((0.0, 1.0), repeat=asked))
        self.register_buffer("answers", torch.tensor(answers))

    def forward(self, who, lit, names):
        off, on = self.lamp.weight
        value = off + lit[..., None] * (on - off)  # (batch, houses, dim)
        asked = self.question(names + 8 * torch.arange(names.shape[1]))
        query = asked.sum(dim=1, keepdim=True)  # (batch, 1, dim)
        found = torch.zeros_like(query)
        for attend in self.attend:
            more, weights = attend(
                query + found, self.house(who), value, need_weights=True
            )
            found = found + more
        return self.readout(found[:, 0]), weights[:, :, 0]


def each_lamp(model, batch):
    """Ask for each lamp by itself, as the lesson does."""
    return F.binary_cross_entropy_with_logits(model(*batch[:3])[0], batch[3])


def all_lamps(model, batch):
    """Ask for all lamps at once: the chance that all are right."""
    logits, _ = model(*batch[:3])
    sure = torch.where(batch[3] == 1, logits, -logits).sigmoid()
    guide = F.binary_cross_entropy_with_logits(logits, batch[3])
    return -sure.prod(dim=1).mean() + 0.1 * guide


def whole_answer(model, batch):
    """Ask for one of the answers: all lamps together are one class."""
    place = 2 ** torch.arange(batch[3].shape[1]).flip(0)
    answer = (batch[3] @ place.float()).long()
    return F.cross_entropy(model(*batch[:3])[0], answer)


LOSSES = {f.__name__: f for f in (each_lamp, all_lamps, whole_answer)}


def mark(model, logits, batch, thresholds=0.0):
    """Say of each street and lamp whether these logits answer it right."""
    if logits.shape == batch[3].shape:
        said = (logits > thresholds).float()
    else:  # one score per answer
        said = model.answers[logits.argmax(dim=1)]
    return (said == batch[3]).float()  # (streets, asked)


@torch.no_grad()
def right(model, batch, thresholds=0.0):
    """Ask the model, and mark its answers."""
    return mark(model, model(*batch[:3])[0], batch, thresholds)


@torch.no_grad()
def best_thresholds(model, batch):
    """Find the two thresholds with which most streets are all right."""
    logits, _ = model(*batch[:3])
    tried = logits.quantile(torch.linspace(0, 1, 41), dim=0)  # (41, 2)
    pairs = torch.cartesian_prod(*tried.T)
    scores = [mark(model, logits, batch, p).all(1).sum() for p in pairs]
    return pairs[torch.stack(scores).argmax()]


def cut(model, heads, batch):
    """Say what is right without these heads."""
    model.attend[0].prune_heads(heads)
    found = right(model, batch)
    model.attend[0].prune_heads([])
    return found


def reader(
    seed,
    lr,
    dim=16,
    heads=1,
    asked=2,
    readout="one score per lamp",
    layers=1,
    loss="each_lamp",
    steps=600,
    move=False,
):
    """Train a reader of lamps, and ask it, whole and with heads cut."""
    session.set_seed(seed)
    model = Reader(dim, heads, asked, readout, layers)
    generator = torch.Generator().manual_seed(seed)
    validation, test = fixed(VALIDATION, asked), fixed(TEST, asked)
    history = training.fit(
        model,
        LOSSES[loss],
        lambda step: streets(256, asked, generator),
        steps=steps,
        lr=lr,
        schedule="onecycle",
        evaluate=lambda model: {
            "all": right(model, validation).all(1).float().mean().item()
        },
        eval_every=25,
    )
    thresholds = best_thresholds(model, validation) if move else 0.0
    scores = [one["all"] for one in history.metrics]
    slow = next((i for i, x in enumerate(scores) if x >= 0.95), len(scores))
    items = {
        "all right": right(model, test, thresholds).all(1).float().tolist(),
        "steps to 0.95": [25.0 * (slow + 1)],
    }
    with torch.no_grad():
        logits, weights = model(*test[:3])
    if logits.shape == test[3].shape:
        losses = F.binary_cross_entropy_with_logits(
            logits, test[3], reduction="none"
        )
        items["loss"] = losses.mean(dim=1).tolist()
        noise = torch.Generator().manual_seed(UNEVEN)
        lit = test[1] + 0.1 * torch.randn(test[1].shape, generator=noise)
        uneven = right(model, (test[0], lit, *test[2:]))
        items["all right, uneven lamps"] = uneven.all(1).float().tolist()
    if heads == asked:
        asked_for = test[2].sort(dim=1).values
        seen = test[0].gather(1, weights.argmax(-1)).sort(dim=1).values
        items["looks at the asked"] = (
            (seen == asked_for).all(1).float().tolist()
        )
        items |= specialists(model, validation, test)
    if heads > 1 and heads >= asked:
        items |= cut_greedily(model, validation, test)
    # Of equal rates, the one that is sooner there.
    return Run(scores[-1] - slow / len(scores) / 1000, items)


def specialists(model, validation, test):
    """Cut each head alone: which lamps does it cost?"""
    heads = range(model.attend[0].heads)
    shares = torch.stack([cut(model, [h], validation).mean(0) for h in heads])
    hurt = shares < 0.75  # (head, lamp)
    alone = ((hurt.sum(0) == 1).all() and (hurt.sum(1) == 1).all()).item()
    lamp = shares.argmin(dim=1)  # of each head
    found = torch.stack([cut(model, [h], test) for h in heads])
    own = F.one_hot(lamp, len(heads))[:, None]  # (h, 1, l)
    return {
        "one lamp each": [float(alone)],
        "its lamp, head cut": (found * own).sum(-1).mean(0).tolist(),
        "other lamps, head cut": (
            (found * (1 - own)).sum(-1).mean(0) / (len(heads) - 1)
        ).tolist(),
    }


def cut_greedily(model, validation, test):
    """Cut the head that costs least on validation streets, again and again."""
    gone, items = [], {}
    while left := [h for h in range(model.attend[0].heads) if h not in gone]:
        found = cut(model, gone, test).all(1).float()
        items[f"{len(left)} left"] = found.tolist()
        if len(left) == 2 and test[2].shape[1] == 2:
            items["2 left, readout anew"] = readout_anew(model, gone, test)
        rest = [cut(model, [*gone, h], validation).mean() for h in left]
        gone.append(left[torch.stack(rest).argmax()])
    return items


def readout_anew(model, gone, test):
    """Train the readout again for what is left, and put the old one back."""
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.attend[0].prune_heads(gone)
    generator = torch.Generator().manual_seed(77)
    training.fit(
        model,
        each_lamp,
        lambda step: streets(256, test[2].shape[1], generator),
        steps=600,
        optimizer=torch.optim.AdamW(model.readout.parameters(), lr=1e-2),
    )
    found = right(model, test).all(1).float().tolist()
    model.attend[0].prune_heads([])
    model.load_state_dict(before)
    return found


def arm(**fixed):
    """Let an arm choose its learning rate; the rest is its own."""
    fixed = {key: (value,) for key, value in fixed.items()}
    return Arm(reader, settings(lr=(1e-2, 3e-3, 3e-2), **fixed))


ARMS = {
    "two heads": arm(heads=2),
    "one head": arm(),
    "one head of 64": arm(dim=64),
    "one head, 2000 steps": arm(steps=2000),
    "one head, thresholds moved": arm(move=True),
    "one head, rate 0.01": Arm(reader, settings(lr=(1e-2,))),
    "one head, rate 0.01, thresholds moved": Arm(
        reader, settings(lr=(1e-2,), move=(True,))
    ),
    "one head, loss for both": arm(loss="all_lamps"),
    "one head, a score per answer": arm(
        readout="one score per answer", loss="whole_answer"
    ),
    "two layers of one head": arm(layers=2),
    "one head, network": arm(readout="network"),
    "four lamps, 1 head": arm(dim=24, asked=4),
    "four lamps, 2 heads": arm(dim=24, heads=2, asked=4),
    "four lamps, 3 heads": arm(dim=24, heads=3, asked=4),
    "four lamps, 4 heads": arm(dim=24, heads=4, asked=4),
    "four lamps, 2 heads, loss for all": arm(
        dim=24, heads=2, asked=4, loss="all_lamps"
    ),
    "eight heads": arm(heads=8),
}
CLAIMS = [
    Claim(
        "E04.1",
        "Two heads of 8 numbers learn to tell both lamps.",
        "all right",
        "two heads",
        verdict=above(0.99),
    ),
    Claim(
        "E04.2",
        "One head of 16 numbers, with one threshold per lamp and a loss for "
        "each lamp, stays at one half.",
        "all right",
        "one head",
        verdict=between(0.45, 0.55),
    ),
    Claim(
        "E04.3",
        "One head of 64 numbers, trained in the same way, stays at one half.",
        "all right",
        "one head of 64",
        verdict=between(0.45, 0.55),
    ),
    Claim(
        "E04.4",
        "One head of 16 numbers is still at one half after 2000 steps.",
        "all right",
        "one head, 2000 steps",
        verdict=between(0.45, 0.55),
    ),
    Claim(
        "E04.5",
        "One head's loss is below ln 2 / 2, which reading one lamp and "
        "guessing the other costs.",
        "loss",
        "one head",
        verdict=below(0.3465736),
    ),
    Claim(
        "E04.6",
        "Only its two thresholds chosen anew, on validation streets, the "
        "trained head is right in at least a tenth more of the streets.",
        "all right",
        "one head, thresholds moved",
        over="one head",
        verdict=above(0.1),
    ),
    Claim(
        "E04.26",
        "Trained at the learning rate 0.01 for 600 steps, one head's loss is "
        "below ln 2 / 2.",
        "loss",
        "one head, rate 0.01",
        verdict=below(0.3465736),
    ),
    Claim(
        "E04.27",
        "Only its two thresholds chosen anew, on validation streets, the "
        "head that was trained at the rate 0.01 is right in at least a tenth "
        "more of the streets.",
        "all right",
        "one head, rate 0.01, thresholds moved",
        over="one head, rate 0.01",
        verdict=above(0.1),
    ),
    Claim(
        "E04.7",
        "Only the loss changed, to one for both lamps together, one head is "
        "right far more often.",
        "all right",
        "one head, loss for both",
        over="one head",
        verdict=above(0.1),
    ),
    Claim(
        "E04.8",
        "With that loss one head comes to its ceiling of three quarters.",
        "all right",
        "one head, loss for both",
        verdict=between(0.72, 0.78),
    ),
    Claim(
        "E04.9",
        "With a linear readout of one score per answer, one head tells both "
        "lamps.",
        "all right",
        "one head, a score per answer",
        verdict=above(0.95),
    ),
    Claim(
        "E04.10",
        "Two layers of one head of 16 numbers tell both lamps.",
        "all right",
        "two layers of one head",
        verdict=above(0.99),
    ),
    Claim(
        "E04.11",
        "One head with a small network for a readout tells both lamps.",
        "all right",
        "one head, network",
        verdict=above(0.95),
    ),
    Claim(
        "E04.12",
        "Each at the best of three learning rates, one head with a network "
        "needs more steps to be right in 95 of 100 streets than two heads.",
        "steps to 0.95",
        "one head, network",
        over="two heads",
        verdict=above(0),
    ),
    Claim(
        "E04.13",
        "If lamps become uneven after training (by a tenth of the difference "
        "of on and off), one head with a network is right less often than two "
        "heads.",
        "all right, uneven lamps",
        "one head, network",
        over="two heads",
        verdict=below(0),
    ),
    Claim(
        "E04.14",
        "Of four lamps, one head of 24 numbers gets all right in about one "
        "eighth of the streets.",
        "all right",
        "four lamps, 1 head",
        verdict=between(0.075, 0.175),
    ),
    Claim(
        "E04.15",
        "Of four lamps, two heads of 12 numbers get all right in about one "
        "quarter of the streets.",
        "all right",
        "four lamps, 2 heads",
        verdict=between(0.2, 0.3),
    ),
    Claim(
        "E04.16",
        "Of four lamps, three heads of 8 numbers get all right in about one "
        "half of the streets.",
        "all right",
        "four lamps, 3 heads",
        verdict=between(0.45, 0.55),
    ),
    Claim(
        "E04.17",
        "Four heads of 6 numbers get all four lamps right.",
        "all right",
        "four lamps, 4 heads",
        verdict=above(0.99),
    ),
    Claim(
        "E04.18",
        "Only the loss changed, to one for all lamps together, two heads get "
        "four lamps right more often.",
        "all right",
        "four lamps, 2 heads, loss for all",
        over="four lamps, 2 heads",
        verdict=above(0.05),
    ),
    Claim(
        "E04.19",
        "The two heads look at the two houses that were asked about.",
        "looks at the asked",
        "two heads",
        verdict=above(0.95),
    ),
    Claim(
        "E04.20",
        "Of four heads for four lamps, each serves one lamp, and each lamp "
        "has one head.",
        "one lamp each",
        "four lamps, 4 heads",
        verdict=above(0.99),
    ),
    Claim(
        "E04.21",
        "Without its head a lamp is right as often as by guessing.",
        "its lamp, head cut",
        "four lamps, 4 heads",
        verdict=between(0.45, 0.55),
    ),
    Claim(
        "E04.22",
        "The other three lamps stay right.",
        "other lamps, head cut",
        "four lamps, 4 heads",
        verdict=above(0.99),
    ),
    Claim(
        "E04.23",
        "Of eight heads for two lamps three can be cut, and both lamps are "
        "still right in more than 95 of 100 streets.",
        "5 left",
        "eight heads",
        verdict=above(0.95),
    ),
    Claim(
        "E04.24",
        "The last two of the eight are right less often than two heads that "
        "were trained as two.",
        "2 left",
        "eight heads",
        over="two heads",
        verdict=below(0),
    ),
    Claim(
        "E04.25",
        "They stay behind when the readout is trained anew, for both models.",
        "2 left, readout anew",
        "eight heads",
        over="two heads",
        verdict=below(0),
    ),
]
