"""Lesson 13: what a fixed state recalls of a list, and what the clock says.

``recall`` trains one head that looks values up by their keys. The state of a
linear head is as wide as its queries and keys; these alone are made wider, or
given another feature map.
"""

from functools import partial

import torch
from torch.nn import functional as F

from attn_course import efficient_attention as ea
from attn_course import session, training
from attn_course.common import measuring
from attn_course.scaled_dot_product import scaled_dot_product_attention
from experiments.claims import Arm, Claim, Run, above, below, settings

KEYS, VALUES, DIM = 64, 16, 16
RATES = (0.003, 0.01, 0.03, 0.1)
COUNTS = (2, 4, 8, 16, 32, 48, 64)


class CubedFeatures(ea.AssociativeRecall):
    """A linear head whose features are the third power of the lesson's."""

    def weights(self, keys, asked):
        """Return the weights, written out."""
        query, key = self.queries_and_keys(keys, asked)
        # As the lesson's: a query of negative numbers alone is raised to 0.
        query = query - query.detach().amax(-1, keepdim=True).clamp(max=0)
        q, k = (ea.elu_feature_map(x) ** 3 for x in (query, key))
        products = q @ k.transpose(-2, -1)
        return products / products.sum(dim=-1, keepdim=True)

    def forward(self, keys, values, asked):
        """Mix the values; the lists are short enough to write weights out."""
        mixed = self.weights(keys, asked) @ self.value_table(values)
        return self.output(mixed)


def loss(model, lists):
    """Compare with the value that came with each key."""
    keys, values, order = lists
    scores = model(keys, values, keys.gather(1, order))
    expected = values.gather(1, order)
    return F.cross_entropy(scores.flatten(0, 1), expected.flatten())


@torch.no_grad()
def exam(model, count: int, seed: int) -> tuple:
    """Return, of each of 200 lists, the share right and the right weight."""
    generator = torch.Generator().manual_seed(seed)
    keys, values, _ = ea.associative_recall_batch(
        200, count, KEYS, VALUES, generator
    )
    right = model(keys, values, keys).argmax(-1) == values
    own = model.weights(keys, keys).diagonal(dim1=1, dim2=2)
    return right.double().mean(dim=1), own.double().mean(dim=1)


def recall(seed: int, kind: str, size: int, steps: int, lr: float) -> Run:
    """Learn lists of 2 to 48 pairs, as the lesson does."""
    session.set_seed(seed)
    if kind == "cubed":
        model = CubedFeatures("linear", KEYS, VALUES, DIM)
    else:
        model = ea.AssociativeRecall(kind, KEYS, VALUES, DIM, size)
    generator = torch.Generator().manual_seed(seed)

    def draw(step):
        count = int(torch.randint(2, 49, (), generator=generator))
        return ea.associative_recall_batch(64, count, KEYS, VALUES, generator)

    training.fit(model, loss, draw, steps=steps, lr=lr)
    items = {}
    for count in COUNTS:
        items[f"{count} pairs"], own = exam(model, count, seed=99)
    items["right weight, 64 pairs"] = own
    valid = [exam(model, count, seed=98)[0].mean() for count in (16, 32, 48)]
    return Run(float(sum(valid)) / len(valid), items)


def clock(seed: int) -> Run:
    """Time attention and a decoder, in one process, by turns."""
    session.set_seed(seed)

    def plain(length):
        inputs = [torch.randn(1, 1, length, 64) for _ in range(3)]
        return partial(scaled_dot_product_attention, *inputs)

    model = ea.DecoderLM(256, dim=256, heads=8, layers=2).eval()
    text = torch.randint(256, (1, 256))

    def one_more(position):
        caches = model.new_caches(1, 256)
        model(text[:, : position - 1], caches)

        def step():
            for cache in caches:
                cache.seen = position - 1  # write this position again
            return model(text[:, position - 1 : position], caches)

        return step

    with torch.no_grad():
        calls = {n: plain(n) for n in (512, 1024, 2048, 4096)}
        calls |= {("cached", n): one_more(n) for n in (16, 256)}
        calls["anew"] = partial(model, text)
        took = measuring.measure_seconds(calls, 7)
    lengths = [512, 1024, 2048, 4096]
    power = ea.fit_power_law(lengths, [took[n] for n in lengths])
    return Run(
        0.0,
        {
            "power of the time": [power],
            "token 256, anew / cached": [took["anew"] / took["cached", 256]],
            "cached, token 256 / 16": [
                took["cached", 256] / took["cached", 16]
            ],
        },
    )


# What is compared ----------------------------------------------------------


def arm(kind, size=DIM, steps=600) -> Arm:
    """Make an arm of ``recall``."""
    return Arm(
        recall, settings(kind=(kind,), size=(size,), steps=(steps,), lr=RATES)
    )


ARMS = {
    "softmax": arm("softmax"),
    "linear": arm("linear"),
    "linear, 2,400 steps": arm("linear", steps=2400),
    "linear, keys of 32": arm("linear", size=32),
    "linear, keys of 64": arm("linear", size=64),
    "softmax, keys of 64": arm("softmax", size=64),
    "linear, features cubed": arm("cubed"),
    "clock": Arm(clock),
}
CLAIMS = [
    Claim(
        "E13.1",
        "After 600 steps, each at the best of four learning rates, a softmax "
        "head of 16 numbers recalls more of 64 pairs than a linear one.",
        "64 pairs",
        "softmax",
        over="linear",
    ),
    Claim(
        "E13.2",
        "The linear head recalls more than nine in ten of lists of 4 pairs.",
        "4 pairs",
        "linear",
        verdict=above(0.9),
    ),
    Claim(
        "E13.3",
        "The linear head recalls fewer than seven in ten of 64 pairs.",
        "64 pairs",
        "linear",
        verdict=below(0.7),
    ),
    Claim(
        "E13.4",
        "Four times the steps bring the linear head less than 0.1 more of 64 "
        "pairs.",
        "64 pairs",
        "linear, 2,400 steps",
        over="linear",
        verdict=below(0.1),
    ),
    Claim(
        "E13.5",
        "With queries and keys of 64 numbers in place of 16, and so a state "
        "four times as large, a linear head recalls more of 64 pairs.",
        "64 pairs",
        "linear, keys of 64",
        over="linear",
    ),
    Claim(
        "E13.6",
        "The same change brings the softmax head less than 0.02.",
        "64 pairs",
        "softmax, keys of 64",
        over="softmax",
        verdict=below(0.02),
    ),
    Claim(
        "E13.7",
        "A linear head with queries and keys of 64 numbers still recalls less "
        "of 64 pairs than a softmax head with 16.",
        "64 pairs",
        "linear, keys of 64",
        over="softmax",
        verdict=below(0),
    ),
    Claim(
        "E13.8",
        "With its features raised to the third power, and a state no larger, "
        "a linear head recalls more of 64 pairs.",
        "64 pairs",
        "linear, features cubed",
        over="linear",
    ),
    Claim(
        "E13.9",
        "In 64 pairs, a softmax head gives the right key at least 0.3 more "
        "weight than a linear one.",
        "right weight, 64 pairs",
        "softmax",
        over="linear",
        verdict=above(0.3),
    ),
    Claim(
        "E13.13",
        "That head of 64 gives the right key of 64 less than 0.7 of the "
        "weight.",
        "right weight, 64 pairs",
        "linear, keys of 64",
        verdict=below(0.7),
    ),
    Claim(
        "E13.14",
        "With queries and keys of 32 numbers a linear head recalls at least "
        "0.1 more of 64 pairs than with 16.",
        "64 pairs",
        "linear, keys of 32",
        over="linear",
        verdict=above(0.1),
    ),
    Claim(
        "E13.10",
        "From 512 to 4,096 tokens, the time of plain attention on one thread "
        "grows with a power above 1.5.",
        "power of the time",
        "clock",
        verdict=above(1.5),
    ),
    Claim(
        "E13.11",
        "Computed anew, token 256 of a small decoder takes more than twice as "
        "long as with a cache.",
        "token 256, anew / cached",
        "clock",
        verdict=above(2),
    ),
    Claim(
        "E13.12",
        "With a cache, token 256 takes less than twice as long as token 16.",
        "cached, token 256 / 16",
        "clock",
        verdict=below(2),
    ),
]
