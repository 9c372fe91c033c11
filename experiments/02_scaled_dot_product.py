"""Lesson 02: what the scale of the scores does, before training and in it."""

import torch
from torch import nn
from torch.nn import functional as F

from attn_course import session, training
from attn_course.scaled_dot_product import scaled_dot_product_attention
from experiments.claims import Arm, Claim, Run, above, below, between, settings

SEARCH_SEEDS = (100, 101, 102)
PEOPLE, D = 64, 256


def drawn(seed: int, d: int, keys: int, queries: int) -> tuple:
    """Draw queries and keys of mean 0 and variance 1."""
    session.set_seed(seed)
    options = {"dtype": torch.float64}
    return torch.randn(queries, d, **options), torch.randn(keys, d, **options)


def start(seed: int, d: int, exponent: float, keys: int) -> Run:
    """Measure the weights and gradients of 500 queries, nothing trained."""
    query, key = drawn(seed, d, keys, 500)
    query.requires_grad_()
    scores = query @ key.T / d**exponent
    top = torch.softmax(scores, dim=-1).amax(dim=-1)
    by_score, by_query = torch.autograd.grad(top.sum(), (scores, query))
    length = by_score.norm(dim=-1)
    return Run(
        0.0,
        {
            "sure": (top > 0.9).tolist(),
            "gradient": length.tolist(),
            "vanished": (length < 1e-3).tolist(),
            "gradient of the query": by_query.norm(dim=-1).tolist(),
        },
    )


def eight(seed: int, d: int, exponent: float) -> Run:
    """Draw 8 queries and 16 keys 200 times: is a query frozen?"""
    session.set_seed(seed)
    query, key = torch.randn(200, 8, d), torch.randn(200, 16, d)
    top = torch.softmax(query @ key.mT / d**exponent, dim=-1).amax(dim=-1)
    frozen = top * (1 - top) < 0.01  # (200, 8)
    return Run(0.0, {"a frozen query": frozen.any(dim=-1).tolist()})


def match(seed: int, exponent: float) -> Run:
    """Let 500 queries of size 512 meet 15 random keys, and a match or not."""
    query, noise = drawn(seed, 512, 500 * 15, 500)
    noise = torch.einsum("qd,qkd->qk", query, noise.view(500, 15, 512))
    scores = torch.cat([query.square().sum(-1, keepdim=True), noise], dim=-1)
    scores, noise = scores / 512**exponent, noise / 512**exponent
    return Run(
        0.0,
        {
            "match": torch.softmax(scores, dim=-1)[:, 0].tolist(),
            "surest of noise": noise.softmax(dim=-1).amax(dim=-1).tolist(),
        },
    )


class Recall(nn.Module):
    """The lesson's model: look up a person by content."""

    def __init__(self, exponent: float) -> None:
        """Draw both matrices so that unscaled scores have variance D."""
        super().__init__()
        self.query = nn.Linear(D, D, bias=False)
        self.key = nn.Linear(D, D, bias=False)
        for layer in (self.query, self.key):
            nn.init.normal_(layer.weight, std=D**-0.5)
        self.scale = D**-exponent

    def forward(self, query, key, value):
        """Return the colour and the weights of each room."""
        output, weights = scaled_dot_product_attention(
            self.query(query), self.key(key), value, scale=self.scale
        )
        return output[:, 0], weights[:, 0]


def rooms(people: torch.Tensor, count: int, generator=None) -> tuple:
    """Draw rooms of 16 people with a colour each, and who is asked for."""
    order = torch.rand(count, PEOPLE, generator=generator).argsort(dim=-1)
    value = torch.rand(count, 16, 3, generator=generator)
    wanted = torch.randint(16, (count,), generator=generator)
    key = people[order[:, :16]]
    return key[range(count), wanted][:, None], key, value, wanted


def loss(model: nn.Module, room: tuple) -> torch.Tensor:
    """Compare the colour that came out with the right one."""
    query, key, value, wanted = room
    output, _ = model(query, key, value)
    return F.mse_loss(output, value[range(len(value)), wanted])


def new(seed: int, exponent: float) -> tuple[nn.Module, torch.Tensor]:
    """Draw a model, and people to know."""
    session.set_seed(seed)
    return Recall(exponent), torch.randn(PEOPLE, D)


def first_step(seed: int, exponent: float) -> Run:
    """Take the gradient of one batch of 500 rooms, before any step."""
    model, people = new(seed, exponent)
    room = rooms(people, 500, torch.Generator().manual_seed(0))
    asked = []
    model.query.register_forward_hook(lambda *call: asked.append(call[-1]))
    top = model(*room[:3])[1].amax(dim=-1)
    frozen = top * (1 - top) < 0.01
    total = loss(model, room)
    (by_query,) = torch.autograd.grad(total, asked[-1], retain_graph=True)
    lengths = by_query.flatten(1).norm(dim=-1)  # (500,)
    total.backward()
    norm = nn.utils.get_total_norm(p.grad for p in model.parameters())
    return Run(
        0.0,
        {
            "frozen": frozen.tolist(),
            "gradient norm": [norm.item()],
            "gradient of the frozen": [
                (lengths[frozen].sum() / lengths.sum()).item()
            ],
        },
    )


def learn(
    seed: int, exponent: float, lr: float, steps: int = 120, adam: bool = False
) -> Run:
    """Train, and look at 500 rooms. The rooms are the same for all seeds."""
    model, people = new(seed, exponent)
    kind = torch.optim.Adam if adam else torch.optim.SGD
    training.fit(
        model,
        loss,
        lambda step: rooms(people, 16),
        steps=steps,
        optimizer=kind(model.parameters(), lr=lr),
        schedule="constant",
        max_grad_norm=None,
    )

    def read(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        room = rooms(people, count, torch.Generator().manual_seed(seed))
        with torch.no_grad():
            top, best = model(*room[:3])[1].max(dim=-1)
        return best == room[3], top

    right, top = read(500, 1)
    sure = torch.where(top > 0.9, 1.0, -1.0) * ~right
    return Run(
        read(300, 0)[0].double().mean().item(),
        {"right": right.tolist(), "wrong: sure less unsure": sure.tolist()},
    )


EXPONENTS = {"unscaled": (0.0,), "/ sqrt(d)": (0.5,), "/ d": (1.0,)}
RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
ADAM = (0.0003, 0.001, 0.003, 0.01, 0.03)

ARMS = {}
for name, exponent in EXPONENTS.items():
    ARMS[name] = Arm(learn, settings(exponent=exponent, lr=RATES))
    ARMS[f"Adam, {name}"] = Arm(
        learn, settings(exponent=exponent, lr=ADAM, adam=(True,))
    )
    ARMS[f"match, {name}"] = Arm(match, settings(exponent=exponent))
ARMS["unscaled, 600 steps"] = Arm(
    learn, settings(exponent=(0.0,), lr=RATES, steps=(600,))
)
ARMS["/ d at rate 1"] = Arm(learn, [{"exponent": 1.0, "lr": 1.0}])
for name in ("unscaled", "/ sqrt(d)"):
    exponent = EXPONENTS[name]
    for d in (64, 4096):
        ARMS[f"d = {d}, {name}"] = Arm(
            start, settings(d=(d,), exponent=exponent, keys=(64,))
        )
    ARMS[f"first step, {name}"] = Arm(first_step, settings(exponent=exponent))
ARMS["16 keys, unscaled"] = Arm(
    start, [{"d": 512, "exponent": 0.0, "keys": 16}]
)
ARMS["8 queries, d = 128"] = Arm(eight, [{"d": 128, "exponent": 0.2}])
ARMS["8 queries, d = 2048"] = Arm(eight, [{"d": 2048, "exponent": 0.3}])

CLAIMS = [
    Claim(
        "E02.1",
        "Untrained and unscaled at d = 512, more than half of the queries "
        "give one of 16 random keys a weight above 0.9.",
        "sure",
        "16 keys, unscaled",
        verdict=above(0.5),
    ),
    Claim(
        "E02.2",
        "Unscaled at d = 4096, more than half of the queries have a gradient "
        "by the scores below 0.001.",
        "vanished",
        "d = 4096, unscaled",
        verdict=above(0.5),
    ),
    Claim(
        "E02.3",
        "The mean gradient by the scores vanishes too: at d = 4096 it is "
        "below 0.001.",
        "gradient",
        "d = 4096, unscaled",
        verdict=below(0.001),
    ),
    Claim(
        "E02.4",
        "At d = 4096 the mean gradient by the query is longer unscaled than "
        "divided by sqrt(d).",
        "gradient of the query",
        "d = 4096, unscaled",
        over="d = 4096, / sqrt(d)",
    ),
    Claim(
        "E02.5",
        "At d = 64 the mean gradient by the scores is longer unscaled than "
        "divided by sqrt(d).",
        "gradient",
        "d = 64, unscaled",
        over="d = 64, / sqrt(d)",
    ),
    Claim(
        "E02.6",
        "At d = 4096 the mean gradient by the scores is longer unscaled than "
        "divided by sqrt(d).",
        "gradient",
        "d = 4096, unscaled",
        over="d = 4096, / sqrt(d)",
    ),
    Claim(
        "E02.7",
        "At d = 128 and exponent 0.2, fewer than one in twenty draws of 8 "
        "queries hold a frozen one.",
        "a frozen query",
        "8 queries, d = 128",
        verdict=below(0.05),
    ),
    Claim(
        "E02.8",
        "At d = 2048 and exponent 0.3, fewer than one in twenty draws of 8 "
        "queries hold a frozen one.",
        "a frozen query",
        "8 queries, d = 2048",
        verdict=below(0.05),
    ),
    Claim(
        "E02.9",
        "Of numbers with variance 1, divided by sqrt(512), a match among 15 "
        "random keys gets a weight above 0.99.",
        "match",
        "match, / sqrt(d)",
        verdict=above(0.99),
    ),
    Claim(
        "E02.10",
        "Of numbers with variance 1, divided by 512, a match among 15 random "
        "keys gets a weight below 0.2.",
        "match",
        "match, / d",
        verdict=below(0.2),
    ),
    Claim(
        "E02.11",
        "Of pure noise, the surest weight is larger unscaled than divided by "
        "sqrt(512), by more than 0.5.",
        "surest of noise",
        "match, unscaled",
        over="match, / sqrt(d)",
        verdict=above(0.5),
    ),
    Claim(
        "E02.12",
        "Each at the best of eight rates, after 120 steps of SGD: divided by "
        "sqrt(d), more answers are right than unscaled.",
        "right",
        "/ sqrt(d)",
        over="unscaled",
    ),
    Claim(
        "E02.13",
        "Each at the best of eight rates, after 120 steps of SGD: divided by "
        "d or by sqrt(d), as many answers are right, up to 2 in 100.",
        "right",
        "/ d",
        over="/ sqrt(d)",
        verdict=between(-0.02, 0.02),
    ),
    Claim(
        "E02.14",
        "With 600 steps, too, fewer answers are right unscaled than with 120 "
        "steps and sqrt(d).",
        "right",
        "unscaled, 600 steps",
        over="/ sqrt(d)",
        verdict=below(0),
    ),
    Claim(
        "E02.15",
        "Unscaled training stalls: 600 steps give at most 2 in 100 more right "
        "answers than 120.",
        "right",
        "unscaled, 600 steps",
        over="unscaled",
        verdict=below(0.02),
    ),
    Claim(
        "E02.16",
        "Of the wrong answers of the unscaled layer at its best rate, more "
        "have a weight above 0.9 than below.",
        "wrong: sure less unsure",
        "unscaled",
    ),
    Claim(
        "E02.17",
        "Of the wrong answers of the layer divided by d at rate 1, more have "
        "a weight below 0.9 than above.",
        "wrong: sure less unsure",
        "/ d at rate 1",
        verdict=below(0),
    ),
    Claim(
        "E02.18",
        "At d = 256, before the first step, more than half of the unscaled "
        "queries are frozen.",
        "frozen",
        "first step, unscaled",
        verdict=above(0.5),
    ),
    Claim(
        "E02.19",
        "Together the frozen queries of E02.18 have less than a tenth of the "
        "gradient by the queries.",
        "gradient of the frozen",
        "first step, unscaled",
        verdict=below(0.1),
    ),
    Claim(
        "E02.20",
        "The gradient of the whole batch is shorter unscaled than divided by "
        "sqrt(d).",
        "gradient norm",
        "first step, unscaled",
        over="first step, / sqrt(d)",
        verdict=below(0),
    ),
    Claim(
        "E02.21",
        "With Adam, each at the best of five rates: divided by d or by "
        "sqrt(d), as many answers are right, up to 2 in 100.",
        "right",
        "Adam, / d",
        over="Adam, / sqrt(d)",
        verdict=between(-0.02, 0.02),
    ),
    Claim(
        "E02.22",
        "With Adam, each at the best of five rates: unscaled, fewer answers "
        "are right than divided by sqrt(d).",
        "right",
        "Adam, unscaled",
        over="Adam, / sqrt(d)",
        verdict=below(0),
    ),
]
