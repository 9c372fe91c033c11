"""Lesson 10: second answers, and what keeps the queries apart.

Small detectors: scenes of 32 x 32 with articles of 10 to 18 pixels and one
cut-out square (the lesson: 64 x 64, 20 to 36, four), vectors of 32 numbers (64)
and 450 steps (3,600). Scenes of training and validation are composed of
training photographs, none of them in both.
"""

import functools

import torch

from attn_course import data, session, training
from attn_course import detection_segmentation as det
from attn_course.data import fashion_mnist
from experiments.claims import (
    SEARCH_SEEDS,
    Arm,
    Claim,
    Run,
    above,
    below,
    between,
    settings,
)

CLASSES = len(det.COARSE_CLASSES)
SIDE, DIM, STEPS, SET = 32, 32, 450, 50
RATES = (0.003, 0.006)


@functools.cache
def photographs(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures and coarse labels: "train", "valid" or "test"."""
    pictures, fine = fashion_mnist.load("test" if split == "test" else "train")
    labels = det.coarse_labels(fine)
    if split == "test":
        return pictures, labels
    held = torch.zeros(len(labels), dtype=torch.bool)
    held[data.sample(range(len(labels)), 10_000, 0)] = True
    chosen = held if split == "valid" else ~held
    return pictures[chosen], labels[chosen]


@functools.cache
def scenes(split: str, count: int, seed: int, objects=(1, 4)) -> det.Scenes:
    """Compose scenes; the same for every run."""
    return det.compose(
        *photographs(split),
        count,
        seed=seed,
        objects=objects,
        sizes=(10.0, 18.0),
        pieces=1,
        side=SIDE,
    )


def trained(seed: int, isolate: bool, lr: float, steps: int, one_box: bool):
    """Train as the lesson does, with or without attention between queries."""
    session.set_seed(seed)
    model = det.Detector(CLASSES, side=SIDE, dim=DIM)
    if one_box:
        model.anchors.data.fill_(0.0)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr, (0.9, 0.98), weight_decay=0.01, fused=True
    )
    training.fit(
        model,
        functools.partial(det.training_loss, isolate_queries=isolate),
        det.scene_batches(scenes("train", 6000, 0), 16, seed),
        steps=steps,
        optimizer=optimizer,
        warmup=steps // 10,
    )
    return model


# What is measured ----------------------------------------------------------


def sets(items: list) -> list[list]:
    """Cut into sets: a test item is one of them, for AP needs many objects."""
    return [items[i : i + SET] for i in range(0, len(items), SET)]


def cleaned(predictions: list) -> list:
    """Drop what overlaps a surer box by more than one half."""
    kept = [det.nms(part.boxes, part.scores) for part in predictions]
    return [
        det.Instances(*(x[rows] for x in part))
        for part, rows in zip(predictions, kept)
    ]


def scores(predictions: list, targets: list) -> dict[str, torch.Tensor]:
    """Measure every set of scenes."""
    rows = []
    for part in zip(sets(predictions), sets(targets)):
        point = det.operating_point(*part, CLASSES)
        rows.append(
            (
                det.average_precision(*part, CLASSES),
                point.precision,
                point.recall,
                point.duplicates / point.objects,
            )
        )
    names = "AP", "precision", "recall", "duplicates per object"
    return dict(zip(names, torch.tensor(rows, dtype=torch.float64).T))


def weight_on_masks(model, images, predictions) -> torch.Tensor:
    """Say how much more weight queries put on their masks than evenly spread.

    Evenly, inside the window that the attention mask leaves open; the mask is
    the one that the query predicts. One number for every set of scenes.
    """
    with torch.no_grad():
        output = model(images, need_weights=True)
    heats = output.weights[-1].mean(dim=1)  # (scenes, queries, tokens)
    side = SIDE // 4
    more = torch.full((len(images),), torch.nan, dtype=torch.float64)
    for scene, (heat, part) in enumerate(zip(heats, predictions)):
        sure = (part.scores >= 0.5).nonzero()[:, 0]
        boxes = det.box_xyxy_to_cxcywh(part.boxes[sure] / SIDE)
        window = model.box_attention_mask(boxes[None])[0].double()
        masks = part.masks[sure].double().view(-1, side, 4, side, 4)
        cells = masks.mean(dim=(2, 4)).flatten(1)  # (predictions, tokens)
        even = window / window.sum(dim=1, keepdim=True)
        weights = heat[part.queries[sure]] - even
        more[scene] = (weights * cells).sum(1).mean()  # nan if none is sure
    return more.view(-1, SET).nanmean(dim=1)


def detector(seed: int, isolate: bool, lr: float) -> Run:
    """Train a detector; ask it as it was trained, and in other ways."""
    model = trained(seed, isolate, lr, STEPS, one_box=False)
    ask = functools.partial(
        det.detect, model, score_threshold=0.0, isolate_queries=isolate
    )
    valid = scenes("valid", 500, 2)
    validation = det.average_precision(
        ask(valid.images), valid.instances(), CLASSES
    )
    if seed in SEARCH_SEEDS:
        return Run(validation, {})
    test = scenes("test", 300, 1)
    targets, found = test.instances(), ask(test.images)
    whole, after = (scores(x, targets) for x in (found, cleaned(found)))
    items = dict(whole)
    for name, score in after.items():
        items[f"{name} after NMS"] = score
        items[f"{name}, gained by NMS"] = score - whole[name]
    if not isolate:
        items |= asked_otherwise(model, test.images, targets, whole["AP"])
        items["weight on its mask less even weight"] = weight_on_masks(
            model, test.images, found
        )
    sure = det.detect(model, test.images, isolate_queries=isolate)
    items["place told by the query"] = [
        det.between_query_variance(sure[i : i + 100]) for i in (0, 100, 200)
    ]
    for number in (4, 12):
        crowd = scenes("test", 200, number, (number, number))
        found = scores(ask(crowd.images), crowd.instances())
        items[f"AP, {number} objects tried"] = found["AP"]
    items["AP lost from 4 to 12"] = (
        items["AP, 4 objects tried"] - items["AP, 12 objects tried"]
    )
    empty = scenes("test", 200, 9, (0, 0))
    sure = det.detect(model, empty.images, isolate_queries=isolate)
    items["false alarms"] = [float(len(part.labels)) for part in sure]
    return Run(validation, {name: list(x) for name, x in items.items()})


def asked_otherwise(model, images, targets, whole) -> dict:
    """Ask all three groups at once, or no query with sight of another."""
    items = {}
    for name, options in (
        ("three groups", {"groups": 3}),
        ("kept apart", {"isolate_queries": True}),
    ):
        found = det.detect(model, images, 0.0, **options)
        plain, after = (
            scores(x, targets)["AP"] for x in (found, cleaned(found))
        )
        items[f"AP, {name}"] = plain
        items[f"AP lost, {name}"] = whole - plain
        items[f"AP lost after NMS, {name}"] = whole - after
        back, lost = after - plain, whole - plain
        items[f"given back by NMS less half of the lost, {name}"] = (
            back - lost / 2
        )
    return items


def regions(seed: int, isolate: bool, one_box: bool, lr: float) -> Run:
    """Train 100 steps: is a query tied to a place?"""
    model = trained(seed, isolate, lr, 100, one_box)
    test = scenes("test", 300, 1)
    found = det.detect(model, test.images, 0.0, isolate_queries=isolate)
    shares = [
        det.between_query_variance(found[i : i + 100]) for i in (0, 100, 200)
    ]
    return Run(0.0, {"place told by the query": shares})


ARMS = {
    "self-attention": Arm(detector, settings(isolate=(False,), lr=RATES)),
    "no self-attention": Arm(detector, settings(isolate=(True,), lr=RATES)),
    "one first box": Arm(
        regions, settings(isolate=(False,), one_box=(True,), lr=(0.003,))
    ),
    "one first box, no self-attention": Arm(
        regions, settings(isolate=(True,), one_box=(True,), lr=(0.003,))
    ),
}
CLAIMS = [
    Claim(
        "E10.1",
        "Asked as it was trained, the small detector gains less than 0.01 of "
        "AP by NMS.",
        "AP, gained by NMS",
        "self-attention",
        verdict=between(-0.01, 0.01),
    ),
    Claim(
        "E10.2",
        "At a score of 0.5 or more the small detector makes over 3 "
        "duplicates per 100 objects.",
        "duplicates per object",
        "self-attention",
        verdict=above(0.03),
    ),
    Claim(
        "E10.3",
        "At a score of 0.5 or more NMS raises the small detector's precision "
        "by more than 0.02.",
        "precision, gained by NMS",
        "self-attention",
        verdict=above(0.02),
    ),
    Claim(
        "E10.4",
        "At a score of 0.5 or more NMS takes less than 0.02 of the small "
        "detector's recall.",
        "recall, gained by NMS",
        "self-attention",
        verdict=above(-0.02),
    ),
    Claim(
        "E10.5",
        "Asked with all three groups at once, the small detector loses more "
        "than 0.3 of AP.",
        "AP lost, three groups",
        "self-attention",
        verdict=above(0.3),
    ),
    Claim(
        "E10.6",
        "After NMS, the AP of the small detector's three groups is within "
        "0.03 of that of one group.",
        "AP lost after NMS, three groups",
        "self-attention",
        verdict=between(-0.03, 0.03),
    ),
    Claim(
        "E10.7",
        "Trained with self-attention between queries and then asked without, "
        "the small detector loses more than 0.05 of AP.",
        "AP lost, kept apart",
        "self-attention",
        verdict=above(0.05),
    ),
    Claim(
        "E10.8",
        "NMS gives back more than half of the AP that is lost when "
        "self-attention between queries is switched off after training.",
        "given back by NMS less half of the lost, kept apart",
        "self-attention",
        verdict=above(0),
    ),
    Claim(
        "E10.9",
        "Trained and asked without self-attention between queries, a small "
        "detector makes more duplicates than one with.",
        "duplicates per object",
        "no self-attention",
        over="self-attention",
        verdict=above(0),
    ),
    Claim(
        "E10.10",
        "Trained and asked without self-attention between queries, a small "
        "detector has a lower AP than one with.",
        "AP",
        "no self-attention",
        over="self-attention",
        verdict=below(0),
    ),
    Claim(
        "E10.11",
        "After NMS, small detectors without and with self-attention between "
        "queries are within 0.03 of AP.",
        "AP after NMS",
        "no self-attention",
        over="self-attention",
        verdict=between(-0.03, 0.03),
    ),
    Claim(
        "E10.12",
        "After 450 steps, the query tells from 0.6 to 0.95 of the variance of "
        "the centres of a small detector's boxes.",
        "place told by the query",
        "self-attention",
        verdict=between(0.6, 0.95),
    ),
    Claim(
        "E10.13",
        "A query puts more weight on the mask that it predicts than even "
        "weights inside its window would.",
        "weight on its mask less even weight",
        "self-attention",
    ),
    Claim(
        "E10.14",
        "Where 12 articles were tried, a small detector's AP is at least 0.1 "
        "lower than where 4 were.",
        "AP lost from 4 to 12",
        "self-attention",
        verdict=above(0.1),
    ),
    Claim(
        "E10.15",
        "In scenes without an article a small detector makes fewer than 0.2 "
        "predictions of 0.5 or more a scene.",
        "false alarms",
        "self-attention",
        verdict=below(0.2),
    ),
    Claim(
        "E10.16",
        "If all queries begin with one box, after 100 steps the query tells "
        "more than 0.8 of the variance of the centres.",
        "place told by the query",
        "one first box",
        verdict=above(0.8),
    ),
    Claim(
        "E10.17",
        "If all queries begin with one box and cannot attend to one another, "
        "the query tells more than 0.8 of the variance after 100 steps too.",
        "place told by the query",
        "one first box, no self-attention",
        verdict=above(0.8),
    ),
]
