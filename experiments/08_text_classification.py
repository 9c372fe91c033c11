"""Lesson 08: poolings, a Transformer and word counts, each tuned alike.

And whether the weights of the pooling say which words decide: words are
erased by several orders, as in the lesson. Gains of accuracy are counted text
by text; the reviews and articles from which texts come are the clusters.
"""

from functools import cache

import torch
from torch.nn import functional as F

from attn_course import session, training
from attn_course import text_classification as tc
from attn_course.common.attribution import gradient_x_input
from attn_course.common.text import Vocabulary, tokenize
from attn_course.data import snippets
from experiments.claims import Arm, Claim, Run, above, between

TASKS = {"sentiment": tc.sentiment_task, "topic": tc.topic_task}


@cache
def texts(task: str, split: str) -> tuple[list[str], torch.Tensor]:
    return TASKS[task](snippets.load(split))


@cache
def vocabulary(task: str) -> Vocabulary:
    return Vocabulary.from_texts(texts(task, "train")[0])


@cache
def tokens(task: str, split: str) -> torch.Tensor:
    return vocabulary(task).encode(texts(task, split)[0])


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


def counts(seed: int, task: str, C: float) -> Run:
    """Count words and pairs of neighbours."""
    vectorizer, model = linear(task, 2, C)

    def right(split: str) -> torch.Tensor:
        sentences, labels = texts(task, split)
        classes = torch.from_numpy(
            model.predict(vectorizer.transform(sentences))
        )
        return (classes == labels).double()

    return Run(right("valid").mean().item(), {"right": right("test").tolist()})


def neural(
    seed: int, task: str, pooling: str, layers: int, steps: int, lr: float
) -> Run:
    """Train as the lesson's cell does; ask for accuracy and for its words."""
    deep = {"mlp_dim": 128, "dropout": 0.3, "word_dropout": 0.3}
    session.set_seed(seed)
    model = tc.TextClassifier(
        len(vocabulary(task)),
        4 if task == "topic" else 2,
        pooling=pooling,
        layers=layers,
        **(deep if layers else {}),
    )
    labels = texts(task, "train")[1]
    training.fit(
        model,
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
        tc.text_batches(tokens(task, "train"), labels, 128),
        steps=steps,
        lr=lr,
        weight_decay=0.05,
        warmup=steps // 10,
        threads=1,
    )

    def right(split: str) -> torch.Tensor:
        classes = tc.predict_proba(model, tokens(task, split)).argmax(dim=1)
        return (classes == texts(task, split)[1]).double()

    items = {"right": right("test")}
    if layers:
        items["changed by shuffling"] = changed(model, tokens(task, "test"))
    if task == "sentiment" and pooling == "attention":
        items |= erased(model, tokens(task, "test"), seed)
    return Run(
        right("valid").mean().item(), {k: x.tolist() for k, x in items.items()}
    )


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
        "vote": votes,
        "size of vote": votes.abs(),
        "size of vote without weight": votes.abs() / weights.clamp(min=1e-9),
        "gradient": gradient_x_input(log_prob, model.embedding(rows)),
        "TF-IDF": table[rows] * (2.0 * named - 1)[:, None],
        "size of TF-IDF": table[rows].abs(),
    }
    loses = {
        name: tc.comprehensiveness(model, rows, scores, 1).double()
        for name, scores in orders.items()
    }
    moves = {name: x.abs() for name, x in loses.items()}

    return {
        "loses: weight less random": loses["weight"] - loses["random"],
        "loses: TF-IDF less weight": loses["TF-IDF"] - loses["weight"],
        "loses: gradient less weight": loses["gradient"] - loses["weight"],
        "loses: vote less weight": loses["vote"] - loses["weight"],
        "moves: size of vote": moves["size of vote"],
        "moves: weight": moves["weight"],
        "moves: random": moves["random"],
        "moves: weight less 0.8 size of vote": moves["weight"]
        - 0.8 * moves["size of vote"],
        "moves: weight less size of vote without weight": moves["weight"]
        - moves["size of vote without weight"],
        "moves: weight less size of TF-IDF": moves["weight"]
        - moves["size of TF-IDF"],
        "raised by erasing the top weight": (loses["weight"] < 0).double(),
    }


def sources(task: str) -> list[tuple[str, int]]:
    """Say which review or article each test text is from; of films unknown."""
    kept = set(texts(task, "test")[0])
    test = snippets.load("test")
    return [(s.source, s.document) for s in test if s.text in kept]


POOLED = ((400, 4e-3), (800, 4e-3), (800, 8e-3))
DEEP = ((300, 2e-3), (600, 2e-3), (300, 4e-3))


def model(task: str, pooling: str, layers: int, tried) -> Arm:
    fixed = {"task": task, "pooling": pooling, "layers": layers}
    search = [{**fixed, "steps": steps, "lr": lr} for steps, lr in tried]
    return Arm(neural, search)


ORIGIN = {task: sources(task) for task in TASKS}
ARMS = {
    f"{name}, {task}": arm
    for task in TASKS
    for name, arm in {
        "mean pooling, 400 steps": model(task, "mean", 0, POOLED[:1]),
        "attention pooling, 400 steps": model(
            task, "attention", 0, POOLED[:1]
        ),
        "mean pooling": model(task, "mean", 0, POOLED),
        "attention pooling": model(task, "attention", 0, POOLED),
        "TF-IDF, pairs": Arm(
            counts, [{"task": task, "C": C} for C in (1, 4, 16)]
        ),
    }.items()
}
CLAIMS = [
    *(
        Claim(
            f"E08.{number}",
            f"{task.capitalize()}: after the lesson's 400 steps, attention "
            "pooling is right more often than mean pooling.",
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
            f"{task.capitalize()}: with steps and learning rate chosen on "
            f"validation texts, {first} is right more often than {second}.",
            "right",
            f"{first}, {task}",
            over=f"{second}, {task}",
            clusters=ORIGIN[task],
        )
        for number, first, second, task in [
            (3, "attention pooling", "mean pooling", "sentiment"),
            (4, "attention pooling", "mean pooling", "topic"),
            (5, "attention pooling", "TF-IDF, pairs", "sentiment"),
            (6, "attention pooling", "TF-IDF, pairs", "topic"),
            (7, "mean pooling", "TF-IDF, pairs", "sentiment"),
            (8, "mean pooling", "TF-IDF, pairs", "topic"),
        ]
    ),
    *(
        Claim(
            f"E08.{number}",
            f"Sentiment, {arm}: {sentence}",
            measure,
            f"{arm}, sentiment",
            verdict=verdict,
            clusters=ORIGIN["sentiment"],
        )
        for number, arm, measure, verdict, sentence in [
            (
                9,
                "attention pooling, 400 steps",
                "loses: weight less random",
                above(0),
                "erasing the word with most weight costs more probability "
                "than erasing a word at random.",
            ),
            (
                10,
                "attention pooling, 400 steps",
                "loses: TF-IDF less weight",
                above(0),
                "erasing by TF-IDF, which knows the direction, costs more "
                "than erasing by weight.",
            ),
            (
                11,
                "attention pooling, 400 steps",
                "loses: vote less weight",
                above(0),
                "erasing by logit attribution costs more than by weight.",
            ),
            (
                12,
                "attention pooling, 400 steps",
                "moves: weight less 0.8 size of vote",
                above(0),
                "counted up or down, erasing by weight moves the probability "
                "at least 0.8 times as far as erasing by the size of the "
                "logit attribution.",
            ),
            (
                13,
                "attention pooling, 400 steps",
                "moves: weight less size of vote without weight",
                above(0),
                "erasing by weight moves the probability farther than "
                "erasing by what the head makes of each word's vector, "
                "without any weight.",
            ),
            (
                14,
                "attention pooling, 400 steps",
                "moves: weight less size of TF-IDF",
                above(0),
                "erasing by weight moves the probability farther than "
                "erasing by the size of TF-IDF's coefficients, so that "
                "neither knows the direction.",
            ),
            (
                15,
                "attention pooling, 400 steps",
                "raised by erasing the top weight",
                between(0.1, 0.4),
                "erasing the word with most weight raises the probability "
                "of the named class in one to four texts of ten.",
            ),
        ]
    ),
]
