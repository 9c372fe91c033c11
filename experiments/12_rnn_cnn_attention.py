"""Lesson 12: what arrives, what it costs, and what each kind of layer learns.

``recall``, ``parity`` and ``nearby`` train a model of one kind of layer, of
about 8,000 parameters; ``gradient`` and ``clock`` train nothing.
"""

import time
from functools import partial

import torch
from torch.nn import functional as F

from attn_course import rnn_cnn_attention as rca
from attn_course import session, training
from attn_course.common import measuring
from experiments.claims import Arm, Claim, Run, above, below, settings

RATES = (0.003, 0.01, 0.03, 0.1)


# Layers as they are drawn --------------------------------------------------


def gradient(seed: int, kind: str, keep: float = 0.0) -> Run:
    """Compare the gradient from far with that from near, before training."""
    session.set_seed(seed)
    if kind == "GRU":
        layer = rca.make_layer("GRU", 16).double()
        layer.bias_ih_l0.data[16:32] += keep  # rows of r, z, n: the gate z
        function = rca.truncate_steps(layer, 64)
    else:
        function = rca.after_n_layers(kind, 1, 16)
    arrives = rca.gradient_norms(function, 64, 16)[-1].flip(0)  # by distance
    ratio = arrives[56:].max() / arrives[:8].max()
    return Run(0.0, {"far against near, powers of ten": [ratio.log10()]})


def clock(seed: int) -> Run:
    """Time layers of 64 numbers by turns, in one process and one thread."""
    session.set_seed(seed)
    gru, attention, conv = (
        rca.make_layer(kind, 64) for kind in ("GRU", "attention", "CNN")
    )

    def fused(x):
        q, k, v = (
            part(x)[:, None]
            for part in (attention.query, attention.key, attention.value)
        )
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0]

    short, long, one, many = (
        torch.randn(size, length, 64)
        for size, length in ((1, 128), (1, 4096), (1, 512), (16, 512))
    )
    calls = {
        "GRU, 128": partial(gru, short),
        "attention, 128": partial(attention, short),
        "GRU, 4096": partial(gru, long),
        "attention, 4096": partial(attention, long),
        "fused, 4096": partial(fused, long),
        "CNN, 4096": partial(conv, long),
        "GRU, one": partial(gru, one),
        "GRU, 16": partial(gru, many),
        "attention, one": partial(attention, one),
        "attention, 16": partial(attention, many),
    }
    with torch.no_grad():
        took = measuring.measure_seconds(calls, 7, statistic="median")

    def ratio(one, other):
        return [took[one] / took[other]]

    return Run(
        0.0,
        {
            "length 128, GRU / attention": ratio("GRU, 128", "attention, 128"),
            "length 4,096, attention / GRU": ratio(
                "attention, 4096", "GRU, 4096"
            ),
            "length 4,096, fused / GRU": ratio("fused, 4096", "GRU, 4096"),
            "length 4,096, attention / fused": ratio(
                "attention, 4096", "fused, 4096"
            ),
            "length 4,096, CNN / fused": ratio("CNN, 4096", "fused, 4096"),
            "GRU, 16 sequences / 1": ratio("GRU, 16", "GRU, one"),
            "attention, 16 sequences / 1": ratio(
                "attention, 16", "attention, one"
            ),
        },
    )


# Layers that learn ---------------------------------------------------------


def make(kind: str, tokens: int, classes: int, seed: int, rotary: bool):
    """Make a model, as the lesson does."""
    dim = rca.width_for(kind, 8_000, tokens, classes)
    session.set_seed(seed)
    return rca.SequenceTagger(kind, tokens, classes, dim, rotary=rotary)


def drawn(task, *sizes, seed: int):
    """Make a function that draws batches, each time the next one."""
    generator = torch.Generator().manual_seed(seed)
    return lambda step=0: task(*sizes, generator)


def share(model, batch) -> torch.Tensor:
    """Return the share of right answers of each sequence."""
    right = rca.correct(model, batch).double()
    return right.view(len(batch[0]), -1).mean(dim=1)


# Distance and steps; after each an exam.
STAGES = ((8, 100), (16, 100), (32, 100), (64, 100), (64, 100), (64, 200))


def recall(seed: int, kind: str, cards: int, lr: float) -> Run:
    """Learn to recall cards, step by step over 64 positions."""
    model = make(kind, rca.RECALL_TOKENS, rca.SYMBOLS, seed, rotary=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0)
    generator = torch.Generator().manual_seed(seed)
    held = rca.recall_batch(64, 200, generator.manual_seed(98), cards)
    exams = {
        d: rca.recall_batch(d, 200, generator.manual_seed(99), cards)
        for d in (8, 16, 32, 64, 512)
    }
    generator.manual_seed(seed)
    items, valid, seconds, done = {}, [], 0.0, 0
    for distance, steps in STAGES:
        sizes = distance, 512 // distance
        start = time.process_time()
        training.fit(
            model,
            rca.answer_loss,
            lambda _, sizes=sizes: rca.recall_batch(*sizes, generator, cards),
            steps=steps,
            optimizer=optimizer,
            schedule="constant",
            warmup=0 if done else 10,
        )
        seconds += time.process_time() - start
        done += steps
        items[f"seconds, {done} steps"] = [seconds]
        items[f"{distance}, {done} steps"] = share(model, exams[distance])
        if distance == 64:
            valid.append(share(model, held).mean().item())
    items["512, not trained"] = share(model, exams[512])
    items["512 less 64"] = items["512, not trained"] - items["64, 700 steps"]
    return Run(sum(valid) / len(valid), items)


def parity(seed: int, kind: str, lr: float) -> Run:
    """Learn the parity of 16 bits; then count further."""
    model = make(kind, 2, 2, seed, rotary=True)
    training.fit(
        model,
        rca.answer_loss,
        drawn(rca.parity_batch, 16, 32, seed=seed),
        steps=400,
        lr=lr,
        warmup=20,
    )
    items = {}
    for length in (16, 256):
        tokens, targets = drawn(rca.parity_batch, length, 100, seed=99)()
        targets[:, : length // 2] = -1  # the second half is judged
        items[f"right at {length} bits"] = share(model, (tokens, targets))
    held = drawn(rca.parity_batch, 16, 200, seed=98)()
    return Run(share(model, held).mean().item(), items)


def rises(back: int, size: int, generator: torch.Generator):
    """Draw digits: is each larger than that ``back`` before? 30 answers."""
    digits = torch.randint(0, 10, (size, back + 30), generator=generator)
    targets = torch.full_like(digits, -1)
    targets[:, back:] = (digits[:, back:] > digits[:, :-back]).long()
    return digits, targets


def nearby(
    seed: int, kind: str, back: int, steps: int, fresh: bool, lr: float
) -> Run:
    """Learn from 16 sequences; or from 16 new ones at every step."""
    batches = drawn(rises, back, 16, seed=seed)
    model = make(kind, 10, 2, seed, rotary=True)
    training.fit(
        model,
        rca.answer_loss,
        batches if fresh else [batches()],
        steps=steps,
        lr=lr,
        warmup=20,
    )
    held, test = (drawn(rises, back, 200, seed=x)() for x in (98, 99))
    return Run(share(model, held).mean().item(), {"right": share(model, test)})


# What is compared ----------------------------------------------------------


def near_arm(kind, back=2, steps=100, fresh=False) -> Arm:
    """Make an arm of ``nearby``."""
    return Arm(
        nearby,
        settings(
            kind=(kind,),
            back=(back,),
            steps=(steps,),
            fresh=(fresh,),
            lr=RATES,
        ),
    )


ARMS = {
    "GRU, as drawn": Arm(gradient, settings(kind=("GRU",), keep=(0.0,))),
    "GRU, gate open": Arm(gradient, settings(kind=("GRU",), keep=(5.0,))),
    "attention, as drawn": Arm(gradient, settings(kind=("attention",))),
    "clock": Arm(clock),
    **{
        f"{kind}: {cards} card{'s' if cards > 1 else ''}": Arm(
            recall, settings(kind=(kind,), cards=(cards,), lr=RATES)
        )
        for kind, cards in (
            ("GRU", 4),
            ("dilated CNN", 4),
            ("attention", 4),
            ("GRU", 1),
        )
    },
    **{
        f"{kind}: parity": Arm(parity, settings(kind=(kind,), lr=RATES))
        for kind in ("GRU", "dilated CNN", "attention")
    },
    **{f"{kind}: nearby": near_arm(kind) for kind in rca.LAYER_KINDS},
    "attention: nearby, 400 steps": near_arm("attention", steps=400),
    "attention: nearby, always new": near_arm(
        "attention", steps=400, fresh=True
    ),
    "dilated CNN: 20 back": near_arm("dilated CNN", back=20),
    "attention: 20 back": near_arm("attention", back=20),
}
CLAIMS = [
    Claim(
        "E12.1",
        "In a GRU of 16 numbers as torch draws it, the gradient from 56 to "
        "63 positions back is less than a millionth of that from the last "
        "8.",
        "far against near, powers of ten",
        "GRU, as drawn",
        verdict=below(-6),
    ),
    Claim(
        "E12.2",
        "With 5 added to the bias of its update gate, and nothing else "
        "changed, it is more than a hundredth.",
        "far against near, powers of ten",
        "GRU, gate open",
        verdict=above(-2),
    ),
    Claim(
        "E12.3",
        "Through a layer of attention as it is drawn, it is more than a "
        "hundredth.",
        "far against near, powers of ten",
        "attention, as drawn",
        verdict=above(-2),
    ),
    Claim(
        "E12.4",
        "On one thread, at length 128, a GRU takes longer than attention "
        "that writes its weights down.",
        "length 128, GRU / attention",
        "clock",
        verdict=above(1),
    ),
    Claim(
        "E12.5",
        "At length 4,096 that attention takes longer than the GRU.",
        "length 4,096, attention / GRU",
        "clock",
        verdict=above(1),
    ),
    Claim(
        "E12.6",
        "At length 4,096 torch's fused attention takes less time than the "
        "GRU.",
        "length 4,096, fused / GRU",
        "clock",
        verdict=below(1),
    ),
    Claim(
        "E12.7",
        "At length 4,096 the fused function takes less than half the time "
        "of the one that writes its weights down.",
        "length 4,096, attention / fused",
        "clock",
        verdict=above(2),
    ),
    Claim(
        "E12.8",
        "At length 4,096 a convolution takes less time than fused attention.",
        "length 4,096, CNN / fused",
        "clock",
        verdict=below(1),
    ),
    Claim(
        "E12.9",
        "At length 512, 16 sequences at once take a GRU less than 4 times "
        "as long as one.",
        "GRU, 16 sequences / 1",
        "clock",
        verdict=below(4),
    ),
    Claim(
        "E12.10",
        "They take attention more than 8 times as long as one.",
        "attention, 16 sequences / 1",
        "clock",
        verdict=above(8),
    ),
    Claim(
        "E12.11",
        "After 100 steps at each of 8, 16, 32 and 64 positions, each at the "
        "best of four learning rates, attention recalls more of four cards "
        "over 64 positions than a GRU.",
        "64, 400 steps",
        "attention: 4 cards",
        over="GRU: 4 cards",
    ),
    Claim(
        "E12.12",
        "After the same steps it recalls more than a dilated CNN.",
        "64, 400 steps",
        "attention: 4 cards",
        over="dilated CNN: 4 cards",
    ),
    Claim(
        "E12.13",
        "After these steps the GRU knows no more than which four symbols "
        "lay there, 0.412.",
        "64, 400 steps",
        "GRU: 4 cards",
        verdict=below(0.412),
    ),
    Claim(
        "E12.14",
        "After 300 steps more at 64 positions the GRU recalls more than 0.8.",
        "64, 700 steps",
        "GRU: 4 cards",
        verdict=above(0.8),
    ),
    Claim(
        "E12.15",
        "After 300 steps more the dilated CNN recalls more than half.",
        "64, 700 steps",
        "dilated CNN: 4 cards",
        verdict=above(0.5),
    ),
    Claim(
        "E12.16",
        "After 300 steps more attention still recalls more than the GRU.",
        "64, 700 steps",
        "attention: 4 cards",
        over="GRU: 4 cards",
    ),
    Claim(
        "E12.17",
        "In the same 400 steps a GRU recalls one card over 64 positions "
        "more often than each of four.",
        "64, 400 steps",
        "GRU: 1 card",
        over="GRU: 4 cards",
    ),
    Claim(
        "E12.18",
        "Trained up to 64 positions, attention recalls four cards over 512 as "
        "over 64: at most 0.05 is lost.",
        "512 less 64",
        "attention: 4 cards",
        verdict=above(-0.05),
    ),
    Claim(
        "E12.28",
        "Trained up to 64 positions, a GRU recalls four cards over 512 as "
        "over 64: at most 0.05 is lost.",
        "512 less 64",
        "GRU: 4 cards",
        verdict=above(-0.05),
    ),
    Claim(
        "E12.19",
        "Trained on the parity of 16 bits, 400 steps, a GRU is right in "
        "nine of ten at 256.",
        "right at 256 bits",
        "GRU: parity",
        verdict=above(0.9),
    ),
    Claim(
        "E12.20",
        "Attention does not learn the parity of even 16 bits in 400 steps.",
        "right at 16 bits",
        "attention: parity",
        verdict=below(0.6),
    ),
    Claim(
        "E12.21",
        "A dilated CNN so trained is right in fewer than 0.6 at 256 bits.",
        "right at 256 bits",
        "dilated CNN: parity",
        verdict=below(0.6),
    ),
    Claim(
        "E12.22",
        "From 16 sequences, in 100 steps, a CNN is right more often than "
        "attention about the digit two back.",
        "right",
        "CNN: nearby",
        over="attention: nearby",
    ),
    Claim(
        "E12.23",
        "A dilated CNN is right more often than attention.",
        "right",
        "dilated CNN: nearby",
        over="attention: nearby",
    ),
    Claim(
        "E12.24",
        "A GRU is right more often than attention.",
        "right",
        "GRU: nearby",
        over="attention: nearby",
    ),
    Claim(
        "E12.25",
        "Four times the steps on the same 16 sequences bring attention less "
        "than 0.05.",
        "right",
        "attention: nearby, 400 steps",
        over="attention: nearby",
        verdict=below(0.05),
    ),
    Claim(
        "E12.26",
        "In 400 steps, 16 new sequences at every step bring attention more "
        "than the same 16.",
        "right",
        "attention: nearby, always new",
        over="attention: nearby, 400 steps",
    ),
    Claim(
        "E12.27",
        "If the digit lies 20 back in place of 2, a dilated CNN is still "
        "right more often than attention.",
        "right",
        "dilated CNN: 20 back",
        over="attention: 20 back",
    ),
]
