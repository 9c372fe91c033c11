"""Lesson 09: three ways into an image, each tuned; pieces, covers, rollout.

``race`` trains one model, and measures its accuracy and what shuffled pieces
do to it; of the ViT with stem also what covered patches do. ``count_pieces``
is a classifier that never learns where a piece was.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course import data, session, training
from attn_course import image_attention as vision
from attn_course.common.statistics import spearman
from attn_course.data import fashion_mnist
from experiments.claims import Arm, Claim, Run, above, below, between, settings

RATES = (0.003, 0.01, 0.03)
IMAGES = 10_000  # of the training images, drawn at random
SHIRT = fashion_mnist.CLASSES.index("Shirt")
PIECES = (7, 4)  # sides of shuffled squares
COVERED = 8  # patches of the 49


def vit(embed: nn.Module, mlp_dim: int) -> nn.Module:
    """Build the lesson's Transformer behind ``embed``."""
    return vision.VisionTransformer(
        embed, tokens=49, dim=64, depth=2, heads=2, mlp_dim=mlp_dim
    )


MAKERS = {
    "patches": lambda: vit(vision.PatchEmbedding(4, 64), 200),
    "stem": lambda: vit(vision.ConvStem(64), 128),
    "cnn": lambda: vision.SmallCNN(width=32, last=120),
}


def load() -> tuple:
    """Hold out 1,000 training images; draw 1,000 test images at random."""
    pictures, labels = fashion_mnist.load("train")
    held = torch.zeros(len(labels), dtype=torch.bool)
    held[data.sample(range(len(labels)), 1000, 1)] = True
    x = vision.normalise(pictures)
    test_pictures, test_labels = fashion_mnist.load("test")
    drawn = data.sample(range(len(test_labels)), 1000, 0)
    return (
        (x[~held], labels[~held]),
        (x[held], labels[held]),
        (vision.normalise(test_pictures[drawn]), test_labels[drawn]),
    )


def hits(model: nn.Module, x: Tensor, labels: Tensor, hflip=False) -> Tensor:
    """Say of each image whether it is recognised."""
    return (vision.predict(model, x, hflip=hflip) == labels).double()


def race(seed: int, model: str, steps: int, lr: float) -> Run:
    """Train as the lesson does, and measure."""
    (x, labels), held, test = load()
    some = data.sample(range(len(labels)), IMAGES, 2)
    session.set_seed(seed)
    net = MAKERS[model]()
    training.fit(
        net,
        lambda m, b: F.cross_entropy(m(b[0]), b[1], label_smoothing=0.1),
        vision.augmented_batches(x[some], labels[some], seed=seed),
        steps=steps,
        optimizer=torch.optim.AdamW(
            net.parameters(),
            lr=lr,
            betas=(0.9, 0.99),
            weight_decay=0.05,
            fused=True,
        ),
        warmup=steps // 7,
    )
    right = hits(net, *test)
    recall = [right[test[1] == c].mean() for c in range(10)]
    others = min(recall[c] for c in range(10) if c != SHIRT)
    items = {
        "right": right,
        "gain by flipping": hits(net, *test, hflip=True) - right,
        "shirts less the hardest other": [recall[SHIRT] - others],
    }
    for size in PIECES:
        shuffled = vision.shuffle_patches(test[0], size)
        items[f"right, pieces of {size}"] = hits(net, shuffled, test[1])
    if model == "stem":
        items |= covered(net, *test)
    return Run(hits(net, *held).mean().item(), items)


# What it looks at, and what it uses ----------------------------------------


@torch.no_grad()
def covered(net: nn.Module, x: Tensor, labels: Tensor) -> dict:
    """Cover patches in several orders and fills; compare with rollout."""
    seen = torch.cat(
        [
            vision.attention_rollout(net.attention_weights(part))[:, 0, 1:]
            for part in x.split(250)
        ]
    )  # (images, 49)
    patches = vision.patchify(x, 4)
    bright = patches.mean(-1)
    chance = torch.rand(
        bright.shape, generator=torch.Generator().manual_seed(0)
    )
    scores = {
        "rollout": seen,
        "rollout of another image": seen.roll(1, 0),
        "brightest": bright,
        "darkest": -bright,
    }

    def without(score: Tensor, fill: float) -> Tensor:
        chosen = score.topk(COVERED).indices[..., None]
        chosen = chosen.expand(-1, -1, patches.shape[-1])
        holes = patches.scatter(1, chosen, fill)
        return hits(net, vision.unpatchify(holes, 4, 28, 28), labels)

    black = (patches <= vision.BLACK + 1e-4).all(-1)
    items = {
        "rollout on black patches less their share": (
            (seen * black).sum(1) / seen.sum(1) - black.double().mean(1)
        )
    }
    for name, fill in vision.FILLS.items():
        at_random = without(chance, fill)
        items[f"{name}, at random"] = at_random
        for order, score in scores.items():
            right = without(score, fill)
            items[f"{name}, {order} first"] = right
            items[f"{name}, {order} less random"] = right - at_random
        items[f"{name}, rollout less that of another image"] = (
            items[f"{name}, rollout first"]
            - items[f"{name}, rollout of another image first"]
        )
    for name in ("black", "grey"):
        costs = torch.stack(
            [
                vision.occlusion_map(
                    net, image, int(label), 4, 4, vision.FILLS[name]
                )
                for image, label in zip(x[:60], labels[:60])
            ]
        ).flatten(1)
        for what, score in (("rollout", seen), ("brightness", bright)):
            for size, cost in (("", costs), ("size of ", costs.abs())):
                rho = spearman(score[:60], cost).nan_to_num(0.0)
                items[f"{name}, rho of {what} and {size}cost"] = rho
    return items


# Pieces without places -----------------------------------------------------


def count_pieces(seed: int, lr: float) -> Run:
    """Tell classes by how often each of 200 kinds of 4 x 4 piece occurs."""
    train, held, test = load()
    session.set_seed(seed)
    pieces = vision.patchify(train[0], 4).flatten(0, 1)
    pieces = pieces[torch.randperm(len(pieces))[:20_000]]
    kinds = pieces[:200].clone()
    for _ in range(10):  # k-means
        own = torch.cdist(pieces, kinds).argmin(1)
        for kind in own.unique():
            kinds[kind] = pieces[own == kind].mean(0)

    def counts(x: Tensor) -> Tensor:
        own = torch.cat(
            [
                torch.cdist(vision.patchify(part, 4), kinds).argmin(-1)
                for part in x.split(500)
            ]
        )  # (images, 49)
        return torch.zeros(len(x), 200).scatter_add_(
            1, own, torch.ones(own.shape)
        )

    net = nn.Sequential(nn.Linear(200, 128), nn.ReLU(), nn.Linear(128, 10))
    x, labels = counts(train[0]), train[1]
    generator = torch.Generator().manual_seed(seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(labels), (128,), generator=generator)
        return x[rows], labels[rows]

    training.fit(
        net,
        lambda m, b: F.cross_entropy(m(b[0]), b[1], label_smoothing=0.1),
        batch,
        steps=1500,
        lr=lr,
        weight_decay=0.05,
    )

    @torch.no_grad()
    def right(x: Tensor, labels: Tensor) -> Tensor:
        return (net(counts(x)).argmax(-1) == labels).double()

    shuffled = vision.shuffle_patches(test[0], 4)
    items = {"right, pieces of 4": right(shuffled, test[1])}
    return Run(right(*held).mean().item(), items)


def trained(model: str) -> Arm:
    """Build an arm of the race over 200 steps."""
    return Arm(race, settings(model=(model,), steps=(200,), lr=RATES))


ARMS = {
    "ViT, patches": trained("patches"),
    "ViT, stem": trained("stem"),
    "CNN": trained("cnn"),
    "counts of pieces": Arm(count_pieces, settings(lr=RATES)),
}
SHOWN = "ViT, stem"
CLAIMS = [
    Claim(
        "E09.1",
        "After 200 steps, each at the best of three learning rates, the "
        "ViT with stem gets more than 0.05 more of the test images right "
        "than the ViT with plain patches.",
        "right",
        "ViT, stem",
        over="ViT, patches",
        verdict=above(0.05),
    ),
    Claim(
        "E09.2",
        "After 200 steps, each at the best of three learning rates, the "
        "ViT with stem and the CNN lie within 0.03 of each other.",
        "right",
        "ViT, stem",
        over="CNN",
        verdict=between(-0.03, 0.03),
    ),
    Claim(
        "E09.3",
        "In the ViT with stem, after 200 steps, shirts have the lowest "
        "recall of the ten classes.",
        "shirts less the hardest other",
        SHOWN,
        verdict=below(0),
    ),
    Claim(
        "E09.4",
        "Asked for the flipped image too, the ViT with stem is more accurate.",
        "gain by flipping",
        SHOWN,
        verdict=above(0),
    ),
    Claim(
        "E09.5",
        "With squares of 4 x 4 pixels shuffled, the ViT with stem gets less "
        "than 0.3 of the test images right.",
        "right, pieces of 4",
        SHOWN,
        verdict=below(0.3),
    ),
    Claim(
        "E09.6",
        "So does the CNN.",
        "right, pieces of 4",
        "CNN",
        verdict=below(0.3),
    ),
    Claim(
        "E09.7",
        "A network that is given nothing but how often each of 200 kinds "
        "of 4 x 4 pieces occurs gets more than 0.6 of the same images "
        "right.",
        "right, pieces of 4",
        "counts of pieces",
        verdict=above(0.6),
    ),
    Claim(
        "E09.8",
        "With squares of 4 x 4 pixels shuffled, the ViT with plain "
        "patches gets more right than the ViT with stem.",
        "right, pieces of 4",
        "ViT, patches",
        over="ViT, stem",
        verdict=above(0),
    ),
    Claim(
        "E09.9",
        "In the ViT with stem, after 200 steps: with 8 of the 49 patches "
        "black, the brightest hurt more than 8 at random.",
        "black, brightest less random",
        SHOWN,
        verdict=below(0),
    ),
    Claim(
        "E09.10",
        "With 8 patches grey, the brightest hurt less than 8 at random.",
        "grey, brightest less random",
        SHOWN,
        verdict=above(0),
    ),
    Claim(
        "E09.11",
        "With 8 patches white, the brightest hurt less than 8 at random.",
        "white, brightest less random",
        SHOWN,
        verdict=above(0),
    ),
    Claim(
        "E09.12",
        "With 8 patches black, those of most rollout hurt more than 8 at "
        "random.",
        "black, rollout less random",
        SHOWN,
        verdict=below(0),
    ),
    Claim(
        "E09.13",
        "With 8 patches grey, those of most rollout hurt more than 8 at "
        "random.",
        "grey, rollout less random",
        SHOWN,
        verdict=below(0),
    ),
    Claim(
        "E09.14",
        "With 8 patches white, those of most rollout hurt more than 8 at "
        "random.",
        "white, rollout less random",
        SHOWN,
        verdict=below(0),
    ),
    Claim(
        "E09.15",
        "With 8 patches grey, the image's own rollout finds patches that "
        "hurt more than those that the rollout of another image finds.",
        "grey, rollout less that of another image",
        SHOWN,
        verdict=below(0),
    ),
    Claim(
        "E09.16",
        "In the ViT with stem, after 200 steps, rollout and what covering "
        "a patch with black costs are hardly related: the rank "
        "correlation is between -0.1 and 0.1.",
        "black, rho of rollout and cost",
        SHOWN,
        verdict=between(-0.1, 0.1),
    ),
    Claim(
        "E09.17",
        "With the size of that cost, whether the cover hurts or helps, "
        "the correlation is above 0.1.",
        "black, rho of rollout and size of cost",
        SHOWN,
        verdict=above(0.1),
    ),
    Claim(
        "E09.18",
        "The brighter a patch, the more covering it with black costs: "
        "their rank correlation is above 0.",
        "black, rho of brightness and cost",
        SHOWN,
        verdict=above(0),
    ),
    Claim(
        "E09.19",
        "With a grey cover it is the other way round: below 0.",
        "grey, rho of brightness and cost",
        SHOWN,
        verdict=below(0),
    ),
    Claim(
        "E09.20",
        "Black patches together get a smaller part of the patches' "
        "rollout than their part of the patches.",
        "rollout on black patches less their share",
        SHOWN,
        verdict=below(0),
    ),
]
NO_CLAIM = {}
