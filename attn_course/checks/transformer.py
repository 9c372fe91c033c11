"""Checks of lesson 06's exercises."""

import torch

from attn_course.checks import decoder_layers
from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import normal


def layer_size(answer):
    """Exercise 1: parameters of an encoder layer, dim 64, mlp_dim 256."""
    return check_value(
        answer,
        49984,
        tolerance=0.5,
        praise="16,640 for attention, 33,088 for the MLP, 256 for the norms",
        mistakes=[
            (49856, "there are two norms, each with a factor and a shift"),
            (50112, "that has three norms, as a decoder layer: here are two"),
            (49984 - 256 - 64, "the MLP's biases are missing: 256 and 64"),
            (49984 - 64, "one bias is missing, of 64 parameters"),
            (49984 - 192, "the MLP's inner bias has 256 numbers, not 64"),
            (
                49984 - 4 * 64,
                "256 are missing: attention's biases (4 x 64), the MLP's inner "
                "one (256) or the norms (2 x 2 x 64)",
            ),
            (
                49152 + 256,
                "the biases are missing: 4 x 64 of the attention, 256 + 64 of "
                "the MLP",
            ),
            (49152, "only matrices: biases and norms have parameters too"),
            (
                49984 - 64 * 64 - 64,
                "attention has four matrices: for queries, keys, values, and "
                "one that mixes what the heads give",
            ),
            (
                49984 - 64 * 256 - 64,
                "the MLP has two matrices: one to 256, one back",
            ),
            (
                49984 - 64 * 256,
                "the MLP has two matrices: one to 256, one back",
            ),
            (16640, "that is the attention alone: MLP and norms are missing"),
            (33088, "that is the MLP alone: attention and norms are missing"),
            (49984 + 16640, "that has two attentions, as a decoder layer"),
            (
                66752,
                "that is a decoder layer: here is one attention and two norms",
            ),
            (
                8 * 16640 + 33088 + 256,
                "the heads share out the same matrices: count them once",
            ),
            (
                8 * 16640 + 33088,
                "the heads share out the same matrices: count them once",
            ),
        ],
    )


def decoder_layer(answer):
    """Exercise 2: a pre-norm decoder layer."""
    parts = (
        decoder_layers.attend,
        decoder_layers.cross,
        decoder_layers.mlp,
        decoder_layers.NORMS,
    )

    def case(batch, t, s, dim, seed):
        x = normal(batch, t, dim, seed=seed)
        memory = normal(batch, s, dim, seed=seed + 10)
        words = f"x {(batch, t, dim)}, memory {(batch, s, dim)}"
        return Case((x, memory, *parts), words)

    return check(
        answer,
        oracle=decoder_layers.oracle,
        cases=[
            case(1, 2, 3, 4, 1),
            case(2, 3, 5, 4, 2),
            case(3, 4, 2, 6, 3),
            case(1, 1, 1, 2, 4),
        ],
        mistakes=decoder_layers.MISTAKES,
        praise="three times x = x + part(norm(x))",
    )


def _oracle_input(expected):
    rows = []
    for row in expected.tolist():
        moved, last = [1], False
        for token in row[:-1]:
            last = last or token in (0, 2)
            moved.append(0 if last else token)
        rows.append(moved)
    return torch.tensor(rows)


def decoder_input(answer):
    """Exercise 3: BOS in front, EOS out."""
    rows = torch.tensor(
        [[9, 8, 7, 2, 0], [6, 5, 2, 0, 0], [4, 9, 5, 7, 2], [2, 0, 0, 0, 0]]
    )

    def joined(expected, first=1, rest=slice(None, -1)):
        start = torch.full_like(expected[:, :1], first)
        return torch.cat([start, expected[:, rest]], dim=1)

    def without_end(x):
        return x.masked_fill(x == 2, 0)

    return check(
        answer,
        oracle=_oracle_input,
        cases=[
            Case((rows[:1],), "9 8 7 EOS PAD"),
            Case((rows,), "four rows of different length"),
            Case(
                (torch.tensor([[7, 2, 0, 0], [4, 9, 5, 2]]),),
                "7 EOS PAD PAD and 4 9 5 EOS",
            ),
            Case((torch.tensor([[5, 2]]),), "5 EOS"),
        ],
        mistakes=[
            Mistake(
                lambda x: without_end(joined(x)).float(),
                "right, but of another type: token ids must stay whole "
                "numbers, in a torch tensor",
            ),
            Mistake(
                joined,
                "EOS is still in it: after EOS nothing is written, so make it "
                "PAD",
            ),
            Mistake(
                lambda x: x.roll(1, 1),
                "BOS is missing: roll brings the last token to the front",
            ),
            Mistake(
                lambda x: x.roll(-1, 1),
                "it moves to the left: the decoder would see the next token, "
                "the answer",
            ),
            Mistake(
                lambda x: without_end(joined(x, rest=slice(None))),
                "one column too many: cut off the last one, so that input and "
                "expected are equally long",
            ),
            Mistake(
                lambda x: joined(x, rest=slice(None)),
                "one column too many: cut off the last one, so that input and "
                "expected are equally long",
            ),
            Mistake(
                lambda x: without_end(joined(x, rest=slice(1, None))),
                "the first letter is gone: move all to the right, and cut off "
                "the last column, not the first",
            ),
            Mistake(
                lambda x: joined(x, rest=slice(1, None)),
                "the first letter is gone: move all to the right, and cut off "
                "the last column, not the first",
            ),
            Mistake(
                lambda x: without_end(joined(x, first=0)),
                "the first column must be BOS, the id 1 (0 is padding; "
                "roll brings the last token there)",
            ),
            Mistake(lambda x: joined(x, first=2), "BOS is the id 1; 2 is EOS"),
            Mistake(
                lambda x: without_end(joined(x, first=2)),
                "BOS is the id 1; 2 is EOS",
            ),
            Mistake(
                without_end,
                "nothing has moved: put BOS in front and cut off the last "
                "column",
            ),
            Mistake(
                lambda x: x,
                "nothing has changed: with expected as its input the decoder "
                "reads the answer",
            ),
            Mistake(
                lambda x: joined(x).masked_fill(joined(x) == 2, 1),
                "EOS has become BOS: make it PAD",
            ),
            *(
                Mistake(
                    lambda x, end=end: end(
                        joined(x.flip(1), rest=slice(1, None))
                    ),
                    "it is turned round: the task did that already, only "
                    "move it",
                )
                for end in (lambda x: x, without_end)
            ),
        ],
        praise="moved by one, BOS in front, EOS gone",
    )


def _oracle_mask(target):
    rows = []
    for tokens in target.tolist():
        rows.append(
            [
                [j <= i and tokens[j] != 0 for j in range(len(tokens))]
                for i in range(len(tokens))
            ]
        )
    return torch.tensor(rows)


def decoder_mask(answer):
    """Exercise 4: real tokens, and none that comes later."""
    rows = torch.tensor(
        [[1, 7, 0, 0], [1, 5, 8, 6], [1, 0, 0, 0], [1, 4, 9, 0], [0, 0, 0, 0]]
    )

    def causal(x):
        return torch.ones(x.shape[1], x.shape[1]).tril().bool()

    def keys(x):
        return (x != 0)[:, None, :]

    def queries(x):
        return (x != 0)[:, :, None]

    return check(
        answer,
        oracle=_oracle_mask,
        cases=[
            Case((rows[:1],), "BOS 7 PAD PAD"),
            Case((rows,), "five rows"),
            Case((rows[:4, :3],), "four rows of length 3"),
            Case((rows[1:2, :1],), "BOS alone"),
        ],
        mistakes=[
            Mistake(
                lambda x: causal(x).expand(len(x), -1, -1),
                "padding is not hidden: target != 0 is needed too",
            ),
            Mistake(causal, "one mask for all, and padding is not hidden"),
            Mistake(
                lambda x: keys(x).expand(-1, x.shape[1], -1),
                "the future is not hidden: causal_mask is needed too",
            ),
            Mistake(
                keys, "the future is not hidden: causal_mask is needed too"
            ),
            Mistake(
                lambda x: queries(x) & causal(x),
                "it hides padding as queries, which leaves them nothing to "
                "look at: hide it as keys only, (batch, 1, t)",
            ),
            Mistake(
                lambda x: ~(keys(x) & causal(x)),
                "wrong way round: True = may attend (torch's layers want the "
                "opposite)",
            ),
            Mistake(
                lambda x: (x == 0)[:, None, :] & causal(x),
                "it allows padding only: use target != 0",
            ),
            Mistake(
                lambda x: keys(x) | causal(x),
                "one of both is enough for it: both must hold, &",
            ),
            Mistake(
                lambda x: keys(x) & causal(x).T,
                "that is the future: causal_mask has the lower triangle, "
                "row = query",
            ),
            Mistake(
                lambda x: keys(x) & ~causal(x),
                "that is the future, which must be hidden: turn the upper "
                "triangle round, or take the lower one",
            ),
            Mistake(
                lambda x: (x > 1)[:, None, :] & causal(x),
                "BOS, the id 1, is hidden: it is a real token, target != 0",
            ),
            Mistake(
                lambda x: keys(x) & causal(x).tril(-1),
                "no token may attend to itself: keep the diagonal",
            ),
            Mistake(
                lambda x: (keys(x) & causal(x))[:, None],
                "right, but with a dimension for the heads: (batch, t, t) is "
                "asked for",
            ),
            Mistake(
                lambda x: (keys(x) & causal(x)).transpose(1, 2),
                "queries and keys are swapped: rows are queries",
            ),
            Mistake(
                lambda x: (keys(x) & causal(x)).float(),
                "right, but of another type: keep it a boolean torch tensor",
            ),
            Mistake(
                lambda x: torch.where(keys(x) & causal(x), 0.0, -torch.inf),
                "that is a mask to be added to scores: return True and False",
            ),
            Mistake(
                lambda x: (keys(x) & causal(x))[0],
                "only the first sequence's mask: make one per sequence",
            ),
        ],
        praise="real keys, and none from the future",
    )


def _oracle_smooth(expected, classes, smoothing):
    rows = []
    for right in expected.tolist():
        rows.append(
            [
                smoothing / classes + (1 - smoothing if c == right else 0.0)
                for c in range(classes)
            ]
        )
    return torch.tensor(rows)


def smooth(answer):
    """Exercise 5: smoothed labels."""

    def hot(e, c):
        return torch.nn.functional.one_hot(e, c).float()

    def spread_over_others(e, c, s):
        return torch.where(hot(e, c) > 0, 1 - s, s / max(1, c - 1))

    def not_on_top(e, c, s):
        return torch.where(hot(e, c) > 0, 1 - s, s / c)

    def good(e, c, s):
        return (1 - s) * hot(e, c) + s / c

    def all_rows(e, c, s, top):
        labels = torch.full((len(e), c), s / c)
        labels[:, e] = top
        return labels

    def without_two(e, c, s, others=lambda c: c - 2, padding=False):
        labels = torch.where(hot(e, c) > 0, 1 - s, s / others(c))
        if padding:
            labels[:, 0] = 0
        return labels

    return check(
        answer,
        oracle=_oracle_smooth,
        cases=[
            Case((torch.tensor([1]), 4, 0.1), "class 1 of 4, smoothing 0.1"),
            Case((torch.tensor([0, 2, 1]), 3, 0.3), "three rows, 3 classes"),
            Case((torch.tensor([4, 0]), 5, 0.0), "no smoothing"),
            Case((torch.tensor([0, 1]), 2, 1.0), "smoothing 1"),
        ],
        mistakes=[
            Mistake(
                spread_over_others,
                "the share goes to the wrong classes only: spread it over "
                "all, the right one too (0.925 and 0.025)",
            ),
            Mistake(
                not_on_top,
                "a row does not sum to 1: the right class gets its share of "
                "the smoothing too (0.925)",
            ),
            *(
                Mistake(
                    lambda e, c, s, others=others, padding=padding: (
                        without_two(e, c, s, others, padding)
                    ),
                    "the share goes to classes - 2, as in code that keeps "
                    "one class for padding: spread it over all classes, the "
                    "right one too",
                )
                for others in (lambda c: c - 2, lambda c: max(1, c - 2))
                for padding in (False, True)
            ),
            Mistake(lambda e, c, s: hot(e, c), "the smoothing is not used"),
            Mistake(
                lambda e, c, s: torch.where(hot(e, c) > 0, 1.0, s / c),
                "the right class keeps 1: it gets 1 - smoothing, and its "
                "share of the smoothing",
            ),
            *(
                Mistake(
                    lambda e, c, s, top=top: all_rows(e, c, s, top(c, s)),
                    "[:, expected] writes to these classes in *every* row: "
                    "each row has its own, [torch.arange(n), expected]",
                )
                for top in (lambda c, s: 1 - s + s / c, lambda c, s: 1 - s)
            ),
            Mistake(
                lambda e, c, s: good(e, c, s).long(),
                "the labels are cut to whole numbers: one_hot gives "
                "integers, make them .float() first",
            ),
            Mistake(
                lambda e, c, s: good(e, int(e.max()) + 1, s),
                "there are only as many classes as the largest label needs: "
                "tell one_hot how many, one_hot(expected, classes)",
            ),
            Mistake(
                lambda e, c, s: good(e, c, s) * (torch.arange(c) > 0),
                "class 0 gets nothing: here it is a class as any other, not "
                "padding",
            ),
            Mistake(
                lambda e, c, s: hot(e, c) + s / c,
                "a row sums to more than 1: take the smoothing away from the "
                "right class, (1 - smoothing) of it",
            ),
            Mistake(
                lambda e, c, s: (1 - s) * hot(e, c) + s,
                "the smoothing is given to each class in full: divide it by "
                "the number of classes",
            ),
            Mistake(
                lambda e, c, s: hot(e, c) * (1 - s),
                "the share is taken away, but given to nobody: add smoothing "
                "/ classes",
            ),
            Mistake(
                lambda e, c, s: (1 - s) * hot(e, c) + s * (1 - hot(e, c)),
                "each wrong class gets the whole smoothing: divide it",
            ),
            Mistake(
                lambda e, c, s: s * hot(e, c) + (1 - s) / c,
                "smoothing and 1 - smoothing are swapped",
            ),
            Mistake(
                lambda e, c, s: good(e, c, s).softmax(-1),
                "no softmax: the numbers sum to 1 already",
            ),
            Mistake(
                lambda e, c, s: good(e, c, s).log(),
                "no logarithm: the labels are rows of probabilities",
            ),
            Mistake(
                lambda e, c, s: good(e, c, s).T,
                "rows and columns are swapped: one row per label",
            ),
            Mistake(
                lambda e, c, s: (1 - s) * hot(e, c) + s / max(1, len(e)),
                "divided by the number of labels: divide by that of classes",
            ),
            Mistake(
                lambda e, c, s: (1 - s) * hot(e, c) + s / max(1, c - 1),
                "divided by classes - 1: the right class counts too",
            ),
            Mistake(
                lambda e, c, s: good(e, c, s).mean(0),
                "the rows are averaged: keep one per label",
            ),
        ],
        praise="each row sums to 1",
    )
