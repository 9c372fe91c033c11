"""Lesson 14: induction heads, and weights in front of words or of states."""

import torch
from torch.nn import functional as F

from attn_course import data, session, training
from attn_course import interpreting_attention as ia
from attn_course import text_classification as tc
from attn_course.common.attribution import gradient_x_input
from attn_course.common.statistics import spearman
from attn_course.common.text import Vocabulary
from attn_course.data import snippets
from experiments.claims import Arm, Claim, Run, above, below, settings

RATES = (0.003, 0.01)
POOL_RATES = (0.002, 0.004, 0.008)


# Induction heads -----------------------------------------------------------


def blocks(seed: int) -> tuple:
    """Draw 128 sequences that repeat a block."""
    return ia.repeated_blocks(128, torch.Generator().manual_seed(seed))


def known_loss(scores, sequences, sizes) -> torch.Tensor:
    """Return each sequence's loss where the next letter can be known."""
    losses = F.cross_entropy(
        scores[:, :-1].transpose(1, 2), sequences[:, 1:], reduction="none"
    )
    known = torch.arange(losses.shape[1]) >= sizes[:, None]
    return (losses * known).sum(1) / known.sum(1)


def induction_score(weights, sequences) -> torch.Tensor:
    """Return each sequence's score, of the best head of the layer."""
    targets = ia.induction_targets(sequences)
    seen = targets.any(-1)[:, None]
    found = (weights * targets[:, None]).sum(-1) * seen
    return (found.sum(-1) / seen.sum(-1)).T.max(0).values


@torch.no_grad()
def induction(seed: int, heads: tuple, steps: int, lr: float) -> Run:
    """Train on repeated blocks, as the lesson does; then silence heads."""
    session.set_seed(seed)
    model = ia.AttentionOnly(dim=48, heads=heads)
    generator = torch.Generator().manual_seed(seed)
    test, other = blocks(99), blocks(97)

    def loss(model, batch):
        return F.cross_entropy(
            model(batch[0])[:, :-1].flatten(0, 1), batch[0][:, 1:].flatten()
        )

    def look(model):
        scores, weights = model.read(test[0])
        return {
            "loss": known_loss(scores, *test).mean().item(),
            "score": induction_score(weights[-1], test[0]).mean().item(),
        }

    with torch.enable_grad():
        history = training.fit(
            model,
            loss,
            lambda _: ia.repeated_blocks(64, generator),
            steps=steps,
            lr=lr,
            warmup=20,
            schedule="constant",
            evaluate=look,
            eval_every=10,
        )
    items = {"loss": known_loss(model(test[0]), *test)}
    validation = -known_loss(model(other[0]), *other).mean().item()
    at, losses = history.curve("loss")
    # Over the last fifth of the training: 0 if the curve is flat.
    items["still falls by"] = [losses[-1 - len(losses) // 5] - losses[-1]]
    if len(heads) == 2:
        halved = next(s for s, x in zip(at, losses) if x < losses[0] / 2)
        scores = zip(*history.curve("score"))
        appeared = next((s for s, x in scores if x > 0.5), steps)
        items["steps apart"] = [abs(appeared - halved)]
        items |= silenced(model, heads, test, other)
    return Run(validation, items)


def silenced(model, heads, test, other) -> dict:
    """Measure the model without heads, and with heads hidden from parts."""
    previous = ia.previous_token_scores(model.read(other[0])[1][0])
    order = previous.argsort(descending=True).tolist()
    items = {"previous-token score": [previous.max().item()]}

    def note(name, scores, weights):
        items[f"loss, {name}"] = known_loss(scores, *test)
        items[f"score, {name}"] = induction_score(weights, test[0])

    def without(layer, which):
        model.attentions[layer].prune_heads(which)
        scores, weights = model.read(test[0])
        model.attentions[layer].prune_heads([])
        return scores, weights[1]

    scores, weights = model.read(test[0])
    note("whole", scores, weights[1])
    note("without the best previous-token head", *without(0, order[:1]))
    note("without two", *without(0, order[:2]))
    note("without layer 0", *without(0, order))
    second = [known_loss(without(1, [h])[0], *test) for h in range(heads[1])]
    whole = items["loss, whole"]
    items["cost of the dearest head of layer 1"] = (
        max(second, key=lambda x: x.mean()) - whole
    )
    note("without layer 1", *without(1, range(heads[1])))
    for path in ia.PATHS:
        note(
            f"layer 0 hidden from {path}",
            *ia.ablate_path(model, test[0], order, [path]),
        )
    return items


# Weights in front of words, or of states -----------------------------------


def texts():
    """Split the training texts, and draw 300 long test texts at random."""
    train_texts, labels = tc.sentiment_task(snippets.load("train"))
    vocabulary = Vocabulary.from_texts(train_texts)
    tokens = vocabulary.encode(train_texts)
    held = torch.zeros(len(tokens), dtype=torch.bool)
    held[data.sample(range(len(tokens)), 800, 1)] = True
    test_texts, test_labels = tc.sentiment_task(snippets.load("test"))
    rows = vocabulary.encode(test_texts)
    long = ((rows != 0).sum(dim=1) >= 8).nonzero()[:, 0].tolist()
    chosen = data.sample(long, 300, 0)
    rows = rows[chosen]
    rows = rows[:, : int((rows != 0).sum(dim=1).max())]
    return (
        len(vocabulary),
        (tokens[~held], labels[~held]),
        (tokens[held], labels[held]),
        (rows, test_labels[chosen]),
    )


def pooling(seed: int, layers: int, dropout: float, lr: float) -> Run:
    """Train with one recipe; then ask what the weights have to do with it."""
    size, train, held, (rows, labels) = texts()
    session.set_seed(seed)
    model = tc.TextClassifier(
        size, 2, layers=layers, mlp_dim=128, dropout=dropout, word_dropout=0.3
    )
    training.fit(
        model,
        lambda m, batch: F.cross_entropy(m(batch[0]), batch[1]),
        batches=tc.text_batches(*train, 128, seed),
        steps=300,
        lr=lr,
        weight_decay=0.05,
        warmup=30,
    )
    probs = tc.predict_proba(model, held[0])
    validation = (probs.argmax(1) == held[1]).double().mean().item()
    return Run(validation, asked(model, rows, labels))


def asked(model, rows, labels) -> dict:
    """Measure each text: right answers, agreement, other weights, erasing."""
    real = rows != 0
    vectors = model.embedding(rows).detach()
    with torch.no_grad():
        states = model.states(vectors, real)
        weights = model.pool(states, real)[1]

    def answer(w):
        return model.head((w[:, None] @ states)[:, 0]).softmax(dim=-1)

    def named_log(vectors):
        return model.read_vectors(vectors, real)[0].log_softmax(-1).amax(-1)

    with torch.no_grad():
        p = answer(weights)
        named = p.argmax(-1)
        equal = answer(ia.uniform_weights(weights, real)).argmax(-1)
        moved = [
            (answer(ia.permute_weights(weights, real, turn)) - p)
            .abs()
            .amax(-1)
            for turn in range(20)
        ]
    leaf = vectors.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(named_log(leaf).sum(), leaf)
    product = gradient_x_input(named_log, vectors)
    leaf = weights.clone().requires_grad_()
    chosen = answer(leaf).gather(1, named[:, None]).sum()
    (weight_slopes,) = torch.autograd.grad(chosen, leaf)
    erased = left_out(model, rows, p, named)

    def agrees(other):
        return [
            spearman(w[r], o[r]).nan_to_num(0.0)
            for w, o, r in zip(weights.double(), other.double(), real)
        ]

    def flips(score):
        top = score.masked_fill(~real, -torch.inf).argmax(1, keepdim=True)
        rest = weights.scatter(1, top, 0.0)
        with torch.no_grad():
            after = answer(rest / rest.sum(1, keepdim=True)).argmax(-1)
        return (after != named).double()

    generator = torch.Generator().manual_seed(1)
    chance = torch.rand((10, *rows.shape), generator=generator)
    chance = torch.stack([flips(score) for score in chance]).mean(0)
    by_weight, by_slope = flips(weights), flips(weight_slopes)
    return {
        "right": (named == labels).double(),
        "right, equal weights": (equal == labels).double(),
        "same class, equal weights": (equal == named).double(),
        "permuting moves": torch.stack(moved).median(0).values,
        "rho, gradient times input": agrees(product.abs()),
        "rho, norm of the gradient": agrees(slopes.norm(dim=-1)),
        "rho, leaving out": agrees(erased),
        "flips, weight": by_weight,
        "flips, weight less random": by_weight - chance,
        "flips, gradient less weight": by_slope - by_weight,
    }


@torch.no_grad()
def left_out(model, rows, p, named) -> torch.Tensor:
    """Return how far leaving each word out moves the probability."""
    costs = torch.zeros(rows.shape)
    for position in range(rows.shape[1]):
        some = rows[:, position] != 0
        one = F.one_hot(torch.tensor(position), rows.shape[1]).float()
        left = tc.delete_top(rows[some], one.expand(int(some.sum()), -1), 1)
        after = tc.predict_proba(model, left)
        costs[some, position] = (
            (p[some] - after).gather(1, named[some, None])[:, 0].abs()
        )
    return costs


ARMS = {
    "two layers": Arm(
        induction, settings(heads=((4, 1),), steps=(200,), lr=RATES)
    ),
    "one layer": Arm(
        induction, settings(heads=((4,),), steps=(600,), lr=RATES)
    ),
    "four heads above": Arm(
        induction, settings(heads=((4, 4),), steps=(200,), lr=(0.003,))
    ),
    "words alone": Arm(
        pooling, settings(layers=(0,), dropout=(0.3,), lr=POOL_RATES)
    ),
    "words in context": Arm(
        pooling, settings(layers=(1,), dropout=(0.3,), lr=POOL_RATES)
    ),
}
CLAIMS = [
    Claim(
        "E14.1",
        "After 600 steps, one layer's loss on what can be known is still above "
        "1.",
        "loss",
        "one layer",
        verdict=above(1),
    ),
    Claim(
        "E14.2",
        "With two layers the score and the loss turn within 30 steps of each "
        "other.",
        "steps apart",
        "two layers",
        verdict=below(30),
    ),
    Claim(
        "E14.3",
        "Without the best previous-token head more than half of the induction "
        "head's weight is still on the right place.",
        "score, without the best previous-token head",
        "two layers",
        verdict=above(0.5),
    ),
    Claim(
        "E14.4",
        "Without all heads of layer 0 its score is below 0.25.",
        "score, without layer 0",
        "two layers",
        verdict=below(0.25),
    ),
    Claim(
        "E14.5",
        "With layer 0 hidden from its keys alone its score is below 0.25.",
        "score, layer 0 hidden from key",
        "two layers",
        verdict=below(0.25),
    ),
    Claim(
        "E14.6",
        "With layer 0 hidden from its queries alone its score is above 0.9.",
        "score, layer 0 hidden from query",
        "two layers",
        verdict=above(0.9),
    ),
    Claim(
        "E14.7",
        "With layer 0 hidden from its values alone the loss is below 0.5.",
        "loss, layer 0 hidden from value",
        "two layers",
        verdict=below(0.5),
    ),
    Claim(
        "E14.8",
        "Of four heads in layer 1 any one can be missed: without the one that "
        "costs most, the loss rises by less than 0.5.",
        "cost of the dearest head of layer 1",
        "four heads above",
        verdict=below(0.5),
    ),
    Claim(
        "E14.9",
        "Without all four the loss is above 2.",
        "loss, without layer 1",
        "four heads above",
        verdict=above(2),
    ),
    Claim(
        "E14.10",
        "Weights over words in context agree less with gradient times input "
        "than weights over words alone.",
        "rho, gradient times input",
        "words in context",
        over="words alone",
        verdict=below(0),
    ),
    Claim(
        "E14.11",
        "They agree less with leaving a word out.",
        "rho, leaving out",
        "words in context",
        over="words alone",
        verdict=below(0),
    ),
    Claim(
        "E14.12",
        "They agree less with the norm of the gradient.",
        "rho, norm of the gradient",
        "words in context",
        over="words alone",
        verdict=below(0),
    ),
    Claim(
        "E14.13",
        "Context makes the classifier more accurate.",
        "right",
        "words in context",
        over="words alone",
        verdict=above(0),
    ),
    Claim(
        "E14.14",
        "Permuted weights move the answer less in context.",
        "permuting moves",
        "words in context",
        over="words alone",
        verdict=below(0),
    ),
    Claim(
        "E14.15",
        "Equal weights name the same class more often in context.",
        "same class, equal weights",
        "words in context",
        over="words alone",
        verdict=above(0),
    ),
    Claim(
        "E14.16",
        "In context, giving the word of most weight 0 flips the class more "
        "often than a word at random.",
        "flips, weight less random",
        "words in context",
        verdict=above(0),
    ),
    Claim(
        "E14.17",
        "In context, the weight with the largest gradient flips it more often "
        "than the largest weight.",
        "flips, gradient less weight",
        "words in context",
        verdict=above(0),
    ),
]
