"""Lesson 15: attention and counting, in a made shop and on real ratings."""

import functools

import torch

from attn_course import data, session, training
from attn_course import recommendation as rec
from attn_course.data import ratings
from experiments.claims import Arm, Claim, Run, above, below, between, settings


@functools.cache
def shop() -> tuple[rec.Catalogue, rec.Split]:
    """Draw the lesson's shop, and hide the last films."""
    catalogue = rec.Catalogue()
    return catalogue, rec.leave_last_out(catalogue.draw(4000, seed=12))


@functools.cache
def students(order: str = "semester", seed: int = 0) -> tuple[rec.Split, int]:
    """Read the real histories in an order; also say how many items."""
    rows, codes = rec.ratings_to_histories(ratings.load(), order, seed)
    return rec.leave_last_out(rows), len(codes)


@functools.cache
def oracle_hits() -> torch.Tensor:
    catalogue, split = shop()
    oracle = rec.Oracle(catalogue)
    return rec.evaluate(oracle, *split.examples("test")).hits


def measured(model, split: rec.Split, **items) -> Run:
    """Choose by NDCG@10 on validation items; measure on test items."""
    valid = rec.evaluate(model, *split.examples("valid"))
    test = rec.evaluate(model, *split.examples("test"))
    found = {"HR@10": test.hits.tolist(), "NDCG@10": test.gains.tolist()}
    if split is shop()[1]:
        less = (test.hits - oracle_hits()).tolist()
        found["HR@10 less the oracle's"] = less
    return Run(valid.gains.mean().item(), {**found, **items})


# Counting has no luck in it: with each seed it is the same run.


@functools.cache
def count(where: str, model: str, **options) -> Run:
    if where == "shop":
        catalogue, split = shop()
        size = catalogue.items
    else:
        split, size = students()
    if model == "all lags":  # up to the item ``reach`` back, none chosen
        lags = range(1, options.pop("reach") + 1)
        fitted = rec.LaggedMarkov(split.train, size, lags=lags, **options)
    elif model == "chosen lags":
        fitted = rec.select_lags(split, size, **options)
    elif model == "Markov":
        fitted = rec.Markov(split.train, size, **options)
    else:
        fitted = rec.PureSVD(split.train, size, **options)
    return measured(fitted, split)


def counting(seed: int, **options) -> Run:
    return count(**options)


def ordered(seed: int, order: str, model: str, **options) -> Run:
    """Draw an order of the real histories anew, and count."""
    split, size = students(order, seed)
    make = rec.Markov if model == "Markov" else rec.PureSVD
    return measured(make(split.train, size, **options), split)


def train(
    split: rec.Split,
    items: int,
    seed: int,
    *,
    size: int,
    dropout: float,
    dim: int,
    max_length: int,
    steps: int,
    lr: float,
) -> rec.SASRec:
    """Train as the lesson does."""
    session.set_seed(seed)
    model = rec.SASRec(items, dim=dim, dropout=dropout, max_length=max_length)
    batches = rec.history_batches(
        split.train, max_length=max_length, size=size, seed=seed
    )
    training.fit(
        model,
        rec.next_item_loss,
        batches,
        steps=steps,
        lr=lr,
        warmup=steps // 20,
        threads=1,
    )
    return model


def shop_attention(seed: int, lr: float) -> Run:
    """Train in the shop; then change films, and look what follows."""
    catalogue, split = shop()
    model = train(
        split,
        catalogue.items,
        seed,
        size=128,
        dropout=0.0,
        dim=32,
        max_length=16,
        steps=500,
        lr=lr,
    )
    asked = data.sample(split.examples("test")[0], 200)
    follows = {
        (name, back): rec.trait_follows(model, asked, trait, 4, back).double()
        for name, trait in (
            ("genre", catalogue.genre),
            ("mood", catalogue.mood),
        )
        for back in (1, 2, 3, 4)
    }
    genre, mood = follows.pop(("genre", 3)), follows.pop(("mood", 1))
    one, two, three, four = last_weights(model, asked, 4).unbind(dim=1)
    return measured(
        model,
        split,
        **{
            "genre follows the film three back": genre.tolist(),
            "mood follows the last film": mood.tolist(),
            "follows any other": (sum(follows.values()) / 6).tolist(),
            "weight three back, less twice the last film's": (
                three - 2 * one
            ).tolist(),
            "weight three back, less two and four back": (
                three - two - four
            ).tolist(),
        },
    )


def last_weights(model, histories, lags: int) -> torch.Tensor:
    """Return the weights 1, 2, ... back of each history, over all heads."""
    return torch.stack(
        [
            model.weights(row)[0, :, -lags:].flip(dims=[1]).mean(dim=0)
            for row in histories
        ]
    )  # (histories, lags)


def real_attention(
    seed: int, shuffled: bool, dropout: float, steps: int, lr: float
) -> Run:
    """Train on the lecturers that students rated; perhaps without order."""
    split, items = students()
    examples = {part: split.examples(part) for part in ("valid", "test")}
    if shuffled:
        split = split._replace(train=rec.shuffle_histories(split.train, seed))
        examples = {
            part: (rec.shuffle_histories(rows, seed), targets)
            for part, (rows, targets) in examples.items()
        }
    model = train(
        split,
        items,
        seed,
        size=64,
        dropout=dropout,
        dim=64,
        max_length=32,
        steps=steps,
        lr=lr,
    )
    valid, test = (rec.evaluate(model, *examples[p]) for p in examples)
    long = [row for row in examples["test"][0] if len(row) >= 12]
    weights = last_weights(model, data.sample(long, 200), 12)
    return Run(
        valid.gains.mean().item(),
        {
            "HR@10": test.hits.tolist(),
            "NDCG@10": test.gains.tolist(),
            "largest mean weight": (
                weights[:, weights.mean(dim=0).argmax()].tolist()
            ),
        },
    )


SMOOTHING = (1.0, 10.0)

ARMS = {
    "shop, Markov": Arm(
        counting,
        settings(where=("shop",), model=("Markov",), lag=(1,), a=SMOOTHING),
    ),
    "shop, chain told lag 3": Arm(
        counting,
        settings(where=("shop",), model=("Markov",), lag=(3,), a=SMOOTHING),
    ),
    "shop, factors": Arm(
        counting, settings(where=("shop",), model=("SVD",), rank=(8, 16))
    ),
    "shop, chain of chosen lags": Arm(
        counting,
        settings(where=("shop",), model=("chosen lags",), a=SMOOTHING),
    ),
    "shop, attention": Arm(shop_attention, settings(lr=(8e-3, 1.6e-2))),
    **{
        f"{order}, {model}": Arm(
            ordered, settings(order=(order,), model=(model,), **choices)
        )
        for order in rec.ORDERS
        for model, choices in (
            ("Markov", {"a": (1.0,)}),
            ("factors", {"rank": (96,)}),
        )
    },
    "students, factors": Arm(
        counting,
        settings(where=("students",), model=("SVD",), rank=(64, 96, 128)),
    ),
    "students, chain of all lags": Arm(
        counting,
        settings(where=("students",), model=("all lags",), reach=(8, 16, 32)),
    ),
    "students, attention": Arm(
        real_attention,
        [
            {"shuffled": False, "dropout": 0.2, "steps": steps, "lr": lr}
            for steps, lr in ((300, 1e-2), (300, 2e-2), (480, 1e-2))
        ],
    ),
}
CLAIMS = [
    Claim(
        "E15.1",
        "In the shop, attention is more than 0.2 ahead of the Markov chain "
        "of the last film.",
        "HR@10",
        "shop, attention",
        over="shop, Markov",
        verdict=above(0.2),
    ),
    Claim(
        "E15.2",
        "In the shop, attention is more than 0.2 ahead of the factors.",
        "HR@10",
        "shop, attention",
        over="shop, factors",
        verdict=above(0.2),
    ),
    Claim(
        "E15.3",
        "In the shop, attention is more than 0.05 ahead of the chain that "
        "is told to look three back.",
        "NDCG@10",
        "shop, attention",
        over="shop, chain told lag 3",
        verdict=above(0.05),
    ),
    Claim(
        "E15.4",
        "In the shop, attention is ahead of the chain that chooses its lags.",
        "NDCG@10",
        "shop, attention",
        over="shop, chain of chosen lags",
        verdict=above(0),
    ),
    Claim(
        "E15.5",
        "In the shop, attention and the chain that chooses its lags hit "
        "equally often, to 0.02.",
        "HR@10",
        "shop, attention",
        over="shop, chain of chosen lags",
        verdict=between(-0.02, 0.02),
    ),
    Claim(
        "E15.6",
        "In the shop, attention is at most 0.05 below the oracle.",
        "HR@10 less the oracle's",
        "shop, attention",
        verdict=above(-0.05),
    ),
    Claim(
        "E15.7",
        "In the shop, the chain that chooses its lags is at most 0.05 below "
        "the oracle.",
        "HR@10 less the oracle's",
        "shop, chain of chosen lags",
        verdict=above(-0.05),
    ),
    Claim(
        "E15.8",
        "In the shop, the film three back has more than twice the weight of "
        "the last film.",
        "weight three back, less twice the last film's",
        "shop, attention",
        verdict=above(0),
    ),
    Claim(
        "E15.9",
        "Put a romance three back: a romance is recommended first in more "
        "than 0.7 of the accounts.",
        "genre follows the film three back",
        "shop, attention",
        verdict=above(0.7),
    ),
    Claim(
        "E15.10",
        "Put an odd film last: an odd film is recommended first in more "
        "than 0.7 of the accounts.",
        "mood follows the last film",
        "shop, attention",
        verdict=above(0.7),
    ),
    Claim(
        "E15.11",
        "Put the genre or the mood at another of the last four: on average "
        "it follows in less than 0.4.",
        "follows any other",
        "shop, attention",
        verdict=below(0.4),
    ),
    Claim(
        "E15.12",
        "With the students' rows as the table has them, the Markov chain is "
        "more than 0.1 ahead of the factors.",
        "HR@10",
        "table, Markov",
        over="table, factors",
        verdict=above(0.1),
    ),
    Claim(
        "E15.13",
        "With the students' rows shuffled, the factors are more than 0.1 "
        "ahead of the Markov chain.",
        "HR@10",
        "shuffled, factors",
        over="shuffled, Markov",
        verdict=above(0.1),
    ),
    Claim(
        "E15.14",
        "With the students' rows by semester, the factors are more than 0.1 "
        "ahead of the Markov chain.",
        "HR@10",
        "semester, factors",
        over="semester, Markov",
        verdict=above(0.1),
    ),
    Claim(
        "E15.15",
        "On the students' rows by semester, attention with dropout is ahead "
        "of the factors.",
        "HR@10",
        "students, attention",
        over="students, factors",
        verdict=above(0),
    ),
    Claim(
        "E15.16",
        "On the students' rows by semester, attention with dropout ranks "
        "higher than the factors.",
        "NDCG@10",
        "students, attention",
        over="students, factors",
        verdict=above(0),
    ),
    Claim(
        "E15.17",
        "On the students' rows by semester, attention is ahead of a chain "
        "of all lags.",
        "HR@10",
        "students, attention",
        over="students, chain of all lags",
        verdict=above(0),
    ),
    Claim(
        "E15.18",
        "Over the students, none of the last 12 positions has more than half "
        "of attention's weight (the mean of its heads).",
        "largest mean weight",
        "students, attention",
        verdict=below(0.5),
    ),
    Claim(
        "E15.19",
        "In the shop, the film three back has more weight than those two "
        "and four back together.",
        "weight three back, less two and four back",
        "shop, attention",
        verdict=above(0),
    ),
]
