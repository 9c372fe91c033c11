"""Lesson 06: what residuals, norms, warm-up, dropout and each part do."""

import torch
from torch import nn
from torch.nn import functional as F

from attn_course import training
from attn_course import transformer as parts
from attn_course.common.seq2seq import (
    exact_match,
    greedy_decode,
    sequence_loss,
)
from attn_course.common.tokens import EOS, FIRST_ID, PAD
from attn_course.self_attention import sinusoidal_positions
from experiments.claims import Arm, Claim, Run, above, below, settings

# Random stacks, and the race of four ---------------------------------------

STEPS, WARMUP = 160, 40


class Mirror(nn.Module):
    """The lesson's encoder of 12 layers: name the mirrored letter."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 32)
        self.positions = sinusoidal_positions(5, 32).float()
        self.encoder = parts.Encoder(12, 32, 2, 64, norm_first=norm_first)
        self.output = nn.Linear(32, 10)
        for weight in self.encoder.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)

    def states(self, x):
        return self.encoder(self.table(x) + self.positions)[0]

    def losses(self, x):
        """Return the mean loss of each sequence."""
        logits = self.output(self.states(x))  # (batch, 5, 10)
        return F.cross_entropy(logits.mT, x.flip(1), reduction="none").mean(
            dim=1
        )


def letters(seed, count=256):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(10, (count, 5), generator=generator)


def train_mirror(seed, norm_first, lr, low, steps=STEPS):
    """Give the model after each step; ``low``: when the rate is lower."""
    torch.manual_seed(seed)
    model = Mirror(norm_first)
    optimizer = torch.optim.AdamW(
        model.parameters(), weight_decay=0.0, fused=True
    )
    for step in range(steps):
        whole = {"never": WARMUP, "first": step + 1, "last": STEPS - step}
        rate = lr * min(1, whole[low] / WARMUP)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        model.losses(torch.randint(10, (16, 5))).mean().backward()
        optimizer.step()
        yield model


def race(seed: int, norm_first: bool, low: str, lr: float) -> Run:
    """Train 12 layers, and measure the loss of each test sequence."""
    *_, model = train_mirror(seed, norm_first, lr, low)
    with torch.no_grad():
        validation = -model.losses(letters(1)).mean().item()
        return Run(validation, {"loss": model.losses(letters(2)).tolist()})


def first_steps(seed: int, norm_first: bool, low: str, lr: float) -> Run:
    """Measure how much states differ between inputs: 0 is all the same."""
    items = {}
    models = train_mirror(seed, norm_first, lr, low, steps=10)
    for step, model in enumerate(models, 1):
        with torch.no_grad():
            states = model.states(letters(2, 64))  # (64, 5, 32)
        apart = states - states.mean(dim=(0, 1))
        left = apart.norm(dim=(1, 2)) / states.norm(dim=(1, 2))
        items[f"difference after {step} steps"] = left.tolist()
    return Run(0.0, items)


def random_stack(seed: int, residuals: bool, mixing: bool) -> Run:
    """Measure how much the tokens of a sequence differ, without training."""
    torch.manual_seed(seed)
    stack = parts.Encoder(12, dim=32, heads=2)
    if not residuals:
        parts.ablate(stack, "residuals")
    # Without mixing each token may attend to itself alone.
    mask = None if mixing else torch.eye(10, dtype=torch.bool)
    x, items = torch.randn(64, 10, 32), {}
    for number, layer in enumerate(stack.layers, 1):
        with torch.no_grad():
            x, _ = layer(x, mask)
        apart = (x - x.mean(dim=1, keepdim=True)).norm(dim=(1, 2))
        left = (apart / x.norm(dim=(1, 2))).tolist()
        items[f"difference after {number} layers"] = left
    return Run(0.0, items)


# The whole Transformer, and parts of it ------------------------------------


def reversals(count, seed, held_out=True, **task):
    generator = torch.Generator().manual_seed(seed)
    return parts.reversals(count, generator, held_out=held_out, **task)


def make(task, without="nothing", dropout=0.0):
    size = FIRST_ID + task.get("letters", 26)
    model = parts.Transformer(
        size,
        size,
        32,
        1 if without == "second head" else 2,
        2,
        mlp_dim=64,
        dropout=dropout,
        max_length=32,
    )
    if without in parts.PARTS:
        parts.ablate(model, without)
    return model


def fit(model, batch, steps, lr, smoothing=0.0):
    def loss(model, batch):
        logits = model(batch[0], batch[1])
        return sequence_loss(logits, batch[2], label_smoothing=smoothing)

    warmup = steps // 10
    training.fit(model, loss, batch, steps=steps, lr=lr, warmup=warmup)


def writes_right(model, test):
    memory = model.encode(test[0])
    return exact_match(greedy_decode(model, memory, test[2].shape[1]), test[2])


@torch.no_grad()
def measure(model, task):
    """Measure each test sequence; settings are chosen by next letters."""

    def next_letters(data):
        logits, expected = model(data[0], data[1]), data[2]
        real, best = expected != PAD, logits.argmax(dim=-1)
        right = ((best == expected) & real).sum(dim=1) / real.sum(dim=1)
        losses = F.cross_entropy(
            logits.mT, expected, reduction="none", ignore_index=PAD
        ).sum(dim=1) / real.sum(dim=1)
        # The letters that are still to be written, in whatever order.
        letter = real & (expected != EOS)
        same = best[:, :, None] == expected[:, None, :]  # (batch, t, t)
        left = (same & letter[:, None, :]).triu().any(dim=2)
        left = (left & letter).sum(dim=1) / letter.sum(dim=1)
        return right, losses, left

    test = reversals(500, 1001, **task)
    right, losses, left = next_letters(test)
    items = {
        "exact": writes_right(model, test).double().tolist(),
        "next letters": right.tolist(),
        "letters left": left.tolist(),
        "loss": losses.tolist(),
    }
    validation, _, _ = next_letters(reversals(300, 1002, False, **task))
    return Run(validation.mean().item(), items)


def without_part(seed: int, without: str, dropout: float, lr: float) -> Run:
    """Train 200 steps on new sequences at each, with a part taken out."""
    torch.manual_seed(seed)
    model = make({}, without, dropout)
    generator = torch.Generator().manual_seed(seed)
    fit(model, lambda _: parts.reversals(64, generator), 200, lr)
    return measure(model, {})


SHORT = {"low": 3, "high": 6, "letters": 10}


def scarce(seed: int, dropout: float, smoothing: float, lr: float) -> Run:
    """Train 300 steps on 100 sequences of 3 to 6 letters, and no others."""
    torch.manual_seed(seed)
    model = make(SHORT, dropout=dropout)
    few = reversals(100, 2000 + seed, False, **SHORT)
    generator = torch.Generator().manual_seed(seed)

    def batch(_):
        rows = torch.randint(100, (32,), generator=generator)
        return [table[rows] for table in few]

    fit(model, batch, 300, lr, smoothing)
    return measure(model, SHORT)


def whole(seed: int, shifts: int) -> Run:
    """Train 700 steps; each batch starts at a position below ``shifts``."""
    torch.manual_seed(seed)
    model = make({})
    table = model.positions
    generator = torch.Generator().manual_seed(seed)

    def batch(_):
        start = int(torch.randint(shifts, (), generator=generator))
        model.positions = table[start:]
        return parts.reversals(64, generator)

    fit(model, batch, 700, 0.01)
    model.positions = table
    test = reversals(500, 1001)
    with torch.no_grad():
        _, weights = model.decode(
            model.encode(test[0]), test[1], need_weights=True
        )
    heaviest = weights[-1].mean(dim=1).argmax(dim=-1)  # (batch, t)
    letter = test[2] >= FIRST_ID
    count = letter.sum(dim=1, keepdim=True)
    mirrored = heaviest == count - 1 - torch.arange(test[2].shape[1])
    share = (mirrored & letter).sum(dim=1) / count[:, 0]
    longer = reversals(200, 1003, low=12, high=12)
    items = {
        "exact": writes_right(model, test).double().tolist(),
        "mirrored": share.tolist(),
        "exact of 12 letters": writes_right(model, longer).double().tolist(),
    }
    return Run(0.0, items)


FOUR_RATES = (0.0005, 0.001, 0.002, 0.004)


def racer(norm_first, low, rates=FOUR_RATES):
    return Arm(race, settings(norm_first=[norm_first], low=[low], lr=rates))


def starter(norm_first, low, lr):
    options = {"norm_first": norm_first, "low": low, "lr": lr}
    return Arm(first_steps, [options])


def stack(residuals, mixing=True):
    return Arm(random_stack, [{"residuals": residuals, "mixing": mixing}])


def ablation(without, dropout=0.0):
    two_rates = (0.003, 0.01)
    return Arm(
        without_part,
        settings(without=[without], dropout=[dropout], lr=two_rates),
    )


def few(dropout=0.0, smoothing=0.0):
    two_rates = (0.003, 0.01)
    return Arm(
        scarce,
        settings(dropout=[dropout], smoothing=[smoothing], lr=two_rates),
    )


ARMS = {
    "random stack": stack(True),
    "random, no residuals": stack(False),
    "random, no residuals, no mixing": stack(False, mixing=False),
    "pre-norm, full steps": starter(True, "never", 0.004),
    "post-norm, full steps": starter(False, "never", 0.004),
    "post-norm, small steps": starter(False, "never", 0.0005),
    "post-norm, warm-up steps": starter(False, "first", 0.004),
    "pre-norm, no warm-up": racer(True, "never"),
    "pre-norm, warm-up": racer(True, "first"),
    "post-norm, no warm-up": racer(False, "never"),
    "post-norm, warm-up": racer(False, "first"),
    "post-norm, no warm-up, 0.004": racer(False, "never", [0.004]),
    "post-norm, warm-up, 0.004": racer(False, "first", [0.004]),
    "post-norm, lower at the end, 0.004": racer(False, "last", [0.004]),
    "few, plain": few(),
    "few, dropout 0.1": few(dropout=0.1),
    "few, smoothing 0.1": few(smoothing=0.1),
    "all parts": ablation("nothing"),
    "no positions": ablation("positions"),
    "no residuals": ablation("residuals"),
    "no norms": ablation("norms"),
    "no MLPs": ablation("MLPs"),
    "no causal mask": ablation("causal mask"),
    "no second head": ablation("second head"),
    "dropout 0.1": ablation("nothing", dropout=0.1),
    "700 steps": Arm(whole, [{"shifts": 1}]),
    "700 steps, shifted": Arm(whole, [{"shifts": 6}]),
}
CLAIMS = [
    Claim(
        "E06.1",
        "In twelve random layers without residuals the tokens of a sequence "
        "become one and the same.",
        "difference after 12 layers",
        "random, no residuals",
        verdict=below(0.001),
    ),
    Claim(
        "E06.2",
        "In twelve random layers with residuals the tokens stay apart.",
        "difference after 12 layers",
        "random stack",
        verdict=above(0.5),
    ),
    Claim(
        "E06.3",
        "Without residuals, but with each token attending to itself alone, "
        "they stay apart by more than when all attend to all.",
        "difference after 12 layers",
        "random, no residuals, no mixing",
        over="random, no residuals",
        verdict=above(0.05),
    ),
    Claim(
        "E06.4",
        "After three full steps of 0.004 the states of a post-norm stack "
        "are more alike than after three steps of a warm-up.",
        "difference after 3 steps",
        "post-norm, full steps",
        over="post-norm, warm-up steps",
        verdict=below(0),
    ),
    Claim(
        "E06.5",
        "After three full steps of 0.004 the states of a post-norm stack "
        "are more alike than those of a pre-norm stack.",
        "difference after 3 steps",
        "post-norm, full steps",
        over="pre-norm, full steps",
        verdict=below(0),
    ),
    Claim(
        "E06.6",
        "After three full steps of 0.004 the states of a post-norm stack "
        "are more alike than after three full steps of 0.0005.",
        "difference after 3 steps",
        "post-norm, full steps",
        over="post-norm, small steps",
        verdict=below(0),
    ),
    Claim(
        "E06.7",
        "After ten full steps the states of the post-norm stack are still more "
        "alike than in a warm-up.",
        "difference after 10 steps",
        "post-norm, full steps",
        over="post-norm, warm-up steps",
        verdict=below(0),
    ),
    Claim(
        "E06.8",
        "At the rate 0.004, after 160 steps, post-norm has a lower loss with "
        "a warm-up of 40 steps than without.",
        "loss",
        "post-norm, warm-up, 0.004",
        over="post-norm, no warm-up, 0.004",
        verdict=below(0),
    ),
    Claim(
        "E06.9",
        "The same low rates in the last 40 steps give a higher loss than in "
        "the first 40.",
        "loss",
        "post-norm, lower at the end, 0.004",
        over="post-norm, warm-up, 0.004",
        verdict=above(0),
    ),
    Claim(
        "E06.10",
        "Each at the best of four rates, post-norm has a lower loss with "
        "warm-up than without.",
        "loss",
        "post-norm, warm-up",
        over="post-norm, no warm-up",
        verdict=below(0),
    ),
    Claim(
        "E06.11",
        "Each at the best of four rates, without warm-up, pre-norm has a "
        "lower loss than post-norm.",
        "loss",
        "pre-norm, no warm-up",
        over="post-norm, no warm-up",
        verdict=below(0),
    ),
    Claim(
        "E06.12",
        "Each at the best of four rates, with warm-up, pre-norm has a lower "
        "loss than post-norm.",
        "loss",
        "pre-norm, warm-up",
        over="post-norm, warm-up",
        verdict=below(0),
    ),
    Claim(
        "E06.13",
        "Each at the best of four rates, pre-norm has a lower loss with "
        "warm-up than without.",
        "loss",
        "pre-norm, warm-up",
        over="pre-norm, no warm-up",
        verdict=below(0),
    ),
    Claim(
        "E06.14",
        "Trained on 100 sequences, each at the better of two rates, a model "
        "with dropout 0.1 gets more held-out sequences exactly right than "
        "one without.",
        "exact",
        "few, dropout 0.1",
        over="few, plain",
        verdict=above(0),
    ),
    Claim(
        "E06.15",
        "Trained on 100 sequences, each at the better of two rates, a model "
        "with dropout 0.1 has a lower loss on held-out sequences than one "
        "without.",
        "loss",
        "few, dropout 0.1",
        over="few, plain",
        verdict=below(0),
    ),
    Claim(
        "E06.16",
        "With new sequences at each step, a model with dropout 0.1 gets "
        "fewer sequences exactly right after 200 steps than one without.",
        "exact",
        "dropout 0.1",
        over="all parts",
        verdict=below(0),
    ),
    Claim(
        "E06.17",
        "Trained on 100 sequences, each at the better of two rates, a model "
        "with label smoothing 0.1 gets more held-out sequences exactly right "
        "than one without.",
        "exact",
        "few, smoothing 0.1",
        over="few, plain",
        verdict=above(0),
    ),
    Claim(
        "E06.18",
        "Trained on 100 sequences, each at the better of two rates, a model "
        "with label smoothing 0.1 has a higher cross-entropy on held-out "
        "sequences (labels not smoothed) than one without.",
        "loss",
        "few, smoothing 0.1",
        over="few, plain",
        verdict=above(0),
    ),
    Claim(
        "E06.19",
        "After 700 steps the whole model writes more than 98 of 100 held-out "
        "sequences exactly right.",
        "exact",
        "700 steps",
        verdict=above(0.98),
    ),
    Claim(
        "E06.20",
        "In the last layer's cross-attention, mean of both heads, the "
        "largest weight lies at the mirrored letter for more than 90 of 100 "
        "letters.",
        "mirrored",
        "700 steps",
        verdict=above(0.9),
    ),
    Claim(
        "E06.21",
        "Trained on 4 to 9 letters, the whole model gets fewer than 5 of 100 "
        "sequences of 12 letters exactly right.",
        "exact of 12 letters",
        "700 steps",
        verdict=below(0.05),
    ),
    Claim(
        "E06.22",
        "If each batch of training starts at a random position, so that all "
        "positions are trained, the model gets more sequences of 12 letters "
        "exactly right.",
        "exact of 12 letters",
        "700 steps, shifted",
        over="700 steps",
        verdict=above(0),
    ),
    Claim(
        "E06.23",
        "After 200 steps a model without positions gets fewer than 5 of 100 "
        "sequences exactly right.",
        "exact",
        "no positions",
        verdict=below(0.05),
    ),
    Claim(
        "E06.24",
        "Of the letters that a model without positions would write next, "
        "more than 90 of 100 are among those still to be written.",
        "letters left",
        "no positions",
        verdict=above(0.9),
    ),
    Claim(
        "E06.25",
        "After 200 steps a model without residuals gets fewer than 5 of 100 "
        "sequences exactly right.",
        "exact",
        "no residuals",
        verdict=below(0.05),
    ),
    Claim(
        "E06.26",
        "After 200 steps a model without causal mask gets fewer than 5 of "
        "100 sequences exactly right.",
        "exact",
        "no causal mask",
        verdict=below(0.05),
    ),
    Claim(
        "E06.27",
        "After 200 steps the loss of a model without causal mask is lower "
        "than that of the model with all parts.",
        "loss",
        "no causal mask",
        over="all parts",
        verdict=below(0),
    ),
    Claim(
        "E06.28",
        "After 200 steps a model without norms gets at most 10 of 100 "
        "sequences fewer right than the model with all parts.",
        "exact",
        "no norms",
        over="all parts",
        verdict=above(-0.1),
    ),
    Claim(
        "E06.29",
        "After 200 steps a model without MLPs gets at most 10 of 100 "
        "sequences fewer right than the model with all parts.",
        "exact",
        "no MLPs",
        over="all parts",
        verdict=above(-0.1),
    ),
    Claim(
        "E06.30",
        "After 200 steps a model with one head gets at most 10 of 100 "
        "sequences fewer right than the model with two.",
        "exact",
        "no second head",
        over="all parts",
        verdict=above(-0.1),
    ),
]
