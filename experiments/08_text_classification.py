"""Lesson 08: poolings, a Transformer and word counts, tuned alike.

And whether the weights of the pooling say which words decide: words are
erased by several orders, as in the lesson. Gains of accuracy are counted text
by text. The product reviews and articles from which texts come are the
clusters; films' reviews are not known, so there each text stands alone.
"""

from functools import cache

import torch
from torch.nn import functional as F

from attn_course import session, training
from attn_course import text_classification as tc
from attn_course.common.attribution import gradient_x_input
from attn_course.common.text import Vocabulary, tokenize
from attn_course.data import snippets
from experiments.claims import Arm, Claim, Run, above, below, between

TASKS = {"sentiment": tc.sentiment_task, "topic": tc.topic_task}
MODELS = {
    "mean pooling": {"pooling": "mean"},
    "attention pooling": {"pooling": "attention"},
    "Transformer": {
        "layers": 1,
        "mlp_dim": 128,
        "dropout": 0.3,
        "word_dropout": 0.3,
    },
}


@cache
def texts(task: str, split: str) -> tuple[list[str], torch.Tensor]:
    return TASKS[task](snippets.load(split))


@cache
def vocabulary(task: str) -> Vocabulary:
    return Vocabulary.from_texts(texts(task, "train")[0])


@cache
def tokens(task: str, split: str) -> torch.Tensor:
    return vocabulary(task).encode(texts(task, split)[0])


def origin(task: str) -> list[tuple[str, int]]:
    """Say which review or article each test text is from; of films unknown."""
    kept = set(texts(task, "test")[0])
    test = snippets.load("test")
    return [(s.source, s.document) for s in test if s.text in kept]


@cache
def linear(task: str, longest: int, C: float):
    """Fit TF-IDF and logistic regression: the same whatever the seed."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(
        tokenizer=tokenize,
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, longest),
        min_df=2,
        sublinear_tf=True,
    )
    sentences, labels = texts(task, "train")
    rows = vectorizer.fit_transform(sentences)
    return vectorizer, LogisticRegression(C=C, max_iter=1000).fit(rows, labels)


def result(task: str, right, **more: torch.Tensor) -> Run:
    """Make a run of ``right(split)``: whether each text is right."""
    hits = right("test")
    items = {"right": hits} | more
    for source in snippets.SOURCES:
        own = torch.tensor([s == source for s, _ in ORIGIN[task]])
        items[f"right, {source}"] = hits[own]
    return Run(
        right("valid").mean().item(), {k: x.tolist() for k, x in items.items()}
    )


def counts(seed: int, task: str, C: float) -> Run:
    """Count words and pairs of neighbours."""
    vectorizer, model = linear(task, 2, C)

    def right(split: str) -> torch.Tensor:
        sentences, labels = texts(task, split)
        classes = torch.from_numpy(
            model.predict(vectorizer.transform(sentences))
        )
        return (classes == labels).double()

    return result(task, right)


def neural(seed: int, task: str, model: str, steps: int, lr: float) -> Run:
    """Train as the lesson's cell does; ask for accuracy and for its words."""
    session.set_seed(seed)
    net = tc.TextClassifier(
        len(vocabulary(task)), 4 if task == "topic" else 2, **MODELS[model]
    )
    labels = texts(task, "train")[1]
    training.fit(
        net,
        lambda net, batch: F.cross_entropy(net(batch[0]), batch[1]),
        tc.text_batches(tokens(task, "train"), labels, 128),
        steps=steps,
        lr=lr,
        weight_decay=0.05,
        warmup=steps // 10,
        threads=1,
    )

    def right(split: str) -> torch.Tensor:
        classes = tc.predict_proba(net, tokens(task, split)).argmax(dim=1)
        return (classes == texts(task, split)[1]).double()

    more = {}
    if model == "Transformer":
        more["changed by shuffling"] = changed(net, tokens(task, "test"))
    if task == "sentiment" and model != "mean pooling":
        more |= erased(net, tokens(task, "test"), seed)
    return result(task, right, **more)


def changed(model: tc.TextClassifier, rows: torch.Tensor) -> torch.Tensor:
    """Say which texts get another class when their words are shuffled."""
    before, after = (
        tc.predict_proba(model, x).argmax(dim=1)
        for x in (rows, tc.shuffle_words(rows))
    )
    return (before != after).double()


def erased(
    model: tc.TextClassifier, rows: torch.Tensor, seed: int
) -> dict[str, torch.Tensor]:
    """Erase one word of each text by several orders, and compare them.

    "Loses" is the probability of the class that the model had named, "moves"
    the change of it, up or down.
    """
    generator = torch.Generator().manual_seed(seed)
    votes = tc.logit_attribution(model, rows)
    weights = tc.weight_scores(model, rows)

    def log_prob(vectors: torch.Tensor) -> torch.Tensor:
        logits, _ = model.read_vectors(vectors, rows != 0)
        return logits.log_softmax(dim=-1).amax(dim=-1)

    vectorizer, counted = linear("sentiment", 1, 4)
    words = vectorizer.get_feature_names_out()
    table = vocabulary("sentiment").table(
        dict(zip(words, counted.coef_[0] * vectorizer.idf_))
    )
    named = tc.predict_proba(model, rows).argmax(dim=1)
    orders = {
        "random": torch.rand(rows.shape, generator=generator),
        "weight": weights,
        "signed weight": weights * votes.sign(),
        "vote": votes,
        "size of vote": votes.abs(),
        "size without weight": votes.abs() / weights.clamp(min=1e-9),
        "gradient": gradient_x_input(log_prob, model.embedding(rows)),
        "TF-IDF": table[rows] * (2.0 * named - 1)[:, None],
        "size of TF-IDF": table[rows].abs(),
    }
    loses = {
        name: tc.comprehensiveness(model, rows, scores, 1).double()
        for name, scores in orders.items()
    }
    moves = {name: x.abs() for name, x in loses.items()}
    pairs = {
        "loses": [
            ("weight", "random"),
            ("TF-IDF", "weight"),
            ("gradient", "weight"),
            ("vote", "weight"),
            ("signed weight", "weight"),
            ("signed weight", "TF-IDF"),
        ],
        "moves": [
            ("weight", "random"),
            ("weight", "size without weight"),
            ("weight", "size of TF-IDF"),
        ],
    }
    found = {
        f"{what}: {a} less {b}": drops[a] - drops[b]
        for what, drops in (("loses", loses), ("moves", moves))
        for a, b in pairs[what]
    }
    found["moves: weight less 0.8 size of vote"] = (
        moves["weight"] - 0.8 * moves["size of vote"]
    )
    found["raised by erasing the top weight"] = (loses["weight"] < 0).double()
    for name, x in loses.items():
        found[f"loses: {name}"] = x
    for name, x in moves.items():
        found[f"moves: {name}"] = x
    return found


POOLED = ((400, 4e-3), (800, 4e-3), (800, 8e-3), (1600, 4e-3))
DEEP = ((300, 2e-3), (300, 4e-3), (600, 2e-3), (600, 4e-3))
ORIGIN = {task: origin(task) for task in TASKS}


def trained(model: str, task: str, tried) -> Arm:
    """Make an arm of ``neural``."""
    fixed = {"task": task, "model": model}
    return Arm(
        neural, [{**fixed, "steps": steps, "lr": lr} for steps, lr in tried]
    )


def counted(task: str) -> Arm:
    """Make an arm of ``counts``."""
    return Arm(counts, [{"task": task, "C": C} for C in (0.5, 2, 8, 32)])


ARMS = {
    **{
        f"{name}, {task}": arm
        for task in ("topic", "sentiment")
        for name, arm in {
            "mean pooling, 400 steps": trained(
                "mean pooling", task, POOLED[:1]
            ),
            "attention pooling, 400 steps": trained(
                "attention pooling", task, POOLED[:1]
            ),
            "TF-IDF": counted(task),
            "mean pooling": trained("mean pooling", task, POOLED),
            "attention pooling": trained("attention pooling", task, POOLED),
            "Transformer": trained("Transformer", task, DEEP),
        }.items()
    },
    "Transformer, 300 steps, sentiment": trained(
        "Transformer", "sentiment", DEEP[:1]
    ),
}
NO_CLAIM = {
    "the least a model must beat": "says what a baseline is",
    "in its order, padding behind": "a place, not a race",
}
CHOSEN = "with settings chosen among four on validation texts, "
SHORT = "attention pooling, 400 steps, sentiment"
MORE = "is right more often than"
CLAIMS = [
    *(
        Claim(
            f"E08.{number}",
            f"{task.capitalize()}, 400 steps: attention pooling {MORE} mean "
            "pooling.",
            "right",
            f"attention pooling, 400 steps, {task}",
            over=f"mean pooling, 400 steps, {task}",
            clusters=ORIGIN[task],
        )
        for number, task in [(1, "sentiment"), (2, "topic")]
    ),
    *(
        Claim(
            f"E08.{number}",
            f"{task.capitalize()}, {CHOSEN}"
            f"{first.replace('Transf', 'the Transf')} {MORE} "
            f"{second.replace('TF-IDF', 'TF-IDF with pairs')}.",
            "right",
            f"{first}, {task}",
            over=f"{second}, {task}",
            clusters=ORIGIN[task],
        )
        for number, task, first, second in [
            (3, "sentiment", "attention pooling", "TF-IDF"),
            (4, "topic", "attention pooling", "TF-IDF"),
            (5, "topic", "mean pooling", "TF-IDF"),
            (6, "sentiment", "attention pooling", "mean pooling"),
            (7, "topic", "attention pooling", "mean pooling"),
            (26, "sentiment", "Transformer", "attention pooling"),
            (27, "topic", "Transformer", "attention pooling"),
        ]
    ),
    Claim(
        "E08.8",
        f"Topic, {CHOSEN}attention pooling is within one text in a hundred of "
        "mean pooling.",
        "right",
        "attention pooling, topic",
        over="mean pooling, topic",
        verdict=between(-0.01, 0.01),
        clusters=ORIGIN["topic"],
    ),
    *(
        Claim(
            f"E08.{number}",
            f"Sentiment, attention pooling, 400 steps: {sentence}",
            measure,
            SHORT,
            verdict=verdict,
            clusters=ORIGIN["sentiment"],
        )
        for number, measure, verdict, sentence in [
            (
                9,
                "loses: weight less random",
                above(0),
                "erasing the word with most weight costs more probability "
                "than erasing a word at random.",
            ),
            (
                10,
                "loses: TF-IDF less weight",
                above(0),
                "erasing by TF-IDF, which is told the class named, costs more "
                "than erasing by weight.",
            ),
            (
                11,
                "loses: gradient less weight",
                above(0),
                "erasing by gradient times input costs more than by weight.",
            ),
            (
                12,
                "raised by erasing the top weight",
                between(0.1, 0.4),
                "erasing the word with most weight raises the probability "
                "of the named class in one to four texts of ten.",
            ),
            (
                13,
                "loses: vote less weight",
                above(0),
                "erasing by logit attribution costs more than by weight.",
            ),
            (
                14,
                "loses: signed weight less weight",
                above(0),
                "erasing by weight, with the sign of the logit attribution "
                "before it, costs more than by weight alone.",
            ),
            (
                15,
                "loses: signed weight less TF-IDF",
                above(0),
                "with that sign, erasing by weight costs more than by TF-IDF.",
            ),
            (
                16,
                "moves: weight less 0.8 size of vote",
                above(0),
                "counted up or down, erasing by weight moves the probability "
                "more than 0.8 times as far as by the size of the logit "
                "attribution.",
            ),
            (
                17,
                "moves: weight less size of TF-IDF",
                above(0),
                "counted up or down, erasing by weight moves the probability "
                "farther than by the size of TF-IDF's coefficients.",
            ),
            (
                18,
                "moves: weight less size without weight",
                above(0),
                "counted up or down, erasing by weight moves the probability "
                "farther than by what the head makes of each word's vector, "
                "without any weight.",
            ),
        ]
    ),
    Claim(
        "E08.19",
        "Sentiment, 300 steps: shuffling the words of a text changes the "
        "Transformer's class in fewer than one text of ten.",
        "changed by shuffling",
        "Transformer, 300 steps, sentiment",
        verdict=below(0.1),
        clusters=ORIGIN["sentiment"],
    ),
    Claim(
        "E08.28",
        f"Topic, {CHOSEN[:-2]}: shuffling the words of a text changes the "
        "Transformer's class in fewer than one text of ten.",
        "changed by shuffling",
        "Transformer, topic",
        verdict=below(0.1),
        clusters=ORIGIN["topic"],
    ),
    Claim(
        "E08.20",
        "Sentiment, Transformer, 300 steps: erasing the word with most weight "
        "costs more probability than erasing a word at random.",
        "loses: weight less random",
        "Transformer, 300 steps, sentiment",
        clusters=ORIGIN["sentiment"],
    ),
    Claim(
        "E08.21",
        "Sentiment, Transformer, 300 steps: erasing by gradient times input "
        "costs more than by weight.",
        "loses: gradient less weight",
        "Transformer, 300 steps, sentiment",
        clusters=ORIGIN["sentiment"],
    ),
    Claim(
        "E08.22",
        "Sentiment: attention pooling of 400 steps is right in more than 8 of "
        "10 tweets.",
        "right, tweets",
        SHORT,
        verdict=above(0.8),
    ),
    Claim(
        "E08.23",
        "Sentiment: attention pooling of 400 steps is right in fewer than 8 "
        "of 10 sentences from news.",
        "right, news",
        SHORT,
        verdict=below(0.8),
    ),
    Claim(
        "E08.24",
        "Sentiment, attention pooling, 400 steps: counted up or down, erasing "
        "the word with most weight moves the probability farther than "
        "erasing a word at random.",
        "moves: weight less random",
        SHORT,
        clusters=ORIGIN["sentiment"],
    ),
    Claim(
        "E08.25",
        "Sentiment: what erasing by weight costs more than at random is less "
        "for the Transformer of 300 steps than for attention pooling of 400.",
        "loses: weight less random",
        "Transformer, 300 steps, sentiment",
        over=SHORT,
        verdict=below(0),
        clusters=ORIGIN["sentiment"],
    ),
]
