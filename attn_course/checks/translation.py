"""Checks of lesson 07's exercises."""

import math

import torch
from torch.nn import functional as F

from attn_course.checks.beams import WRONG_STEPS, step_by_loops
from attn_course.checks.engine import Case, Mistake, check, check_value

PAD, BOS, EOS = 0, 1, 2


def third_merge(answer):
    """Exercise 1: the piece made by the third merge."""
    pair = isinstance(answer, (tuple, list)) and all(
        isinstance(part, str) for part in answer
    )
    answer = "+".join(answer) if pair else answer
    if isinstance(answer, str):  # ("e", "d"), "e + d", "'ed'" are it too
        answer = "".join(c for c in answer if c.isalnum())
    return check_value(
        answer,
        "ed",
        praise="8 times: open+ed 3, nam+ed 5",
        mistakes=[
            ("en", "that is the first merge: after it, count again"),
            ("pen", "that is the second merge, of p and en"),
            (
                "pe",
                "as frequent as e+n at first, but e+n is first in "
                "alphabetical order; and that is merge 1",
            ),
            ("open", "o+pen is seen 7 times: another pair is seen more often"),
            ("op", "o+p was seen 7 times: another pair is seen more often"),
            ("ne", "n+e was seen 3 times, before the first merge"),
            ("na", "n+a is seen 5 times: another pair is seen more often"),
            ("am", "a+m is seen 5 times: another pair is seen more often"),
            ("me", "m+e is seen 5 times: another pair is seen more often"),
            ("pene", "pen+e is seen 3 times: another pair is seen more often"),
            (
                "ened",
                "after the second merge en is a part of pen, so e+d is "
                "not joined to it yet",
            ),
            ("ned", "after the first merge that n is a part of en"),
            ("enpened", "those are all three merges: give the third alone"),
        ],
    )


def small_bleu(answer):
    """Exercise 2: BLEU with 1- and 2-grams, by hand."""
    return check_value(
        answer,
        100 * math.sqrt(0.5),
        tolerance=0.006,
        praise="sqrt(3/4 * 2/3), and no penalty: it is not too short",
        mistakes=[
            (
                81.65,
                "'the' counts 2 times: it must be clipped to the 1 time "
                "that the reference has it",
            ),
            (
                70.83,
                "that is the plain mean: take the geometric mean, the "
                "root of the product",
            ),
            (
                71.65,
                "that is with hypothesis and reference the wrong way round",
            ),
            (50.0, "that is the product: take its square root"),
            (0.7071, "right, as a share: give it of 100"),
            (0.5, "that is the product: take its square root, times 100"),
            (
                42.04,
                "that is lesson.bleu, with n-grams of 1 to 4: here only "
                "single words and pairs count",
            ),
            (
                0.0,
                "triples and fours count nothing here, so BLEU-4 is 0: only "
                "single words and pairs are asked",
            ),
            (84.09, "that is the fourth root: of two precisions, the square"),
            (
                53.03,
                "the penalty is for what is too short: this is not shorter",
            ),
            (71.0, "nearly: give two digits after the point"),
            (70.0, "nearly: give two digits after the point"),
            (
                100.0,
                "'the' may count only as often as the reference has it, "
                "and 'the the' is no pair of the reference",
            ),
            (
                61.24,
                "two of the three pairs are in the reference: 'save the' "
                "and 'the file'",
            ),
            (
                75.0,
                "that is the share of single words: use pairs of words too",
            ),
            (66.67, "that is the share of pairs: use single words too"),
            (66.7, "that is the share of pairs: use single words too"),
            (
                81.6,
                "'the' counts 2 times: it must be clipped to the 1 time "
                "that the reference has it",
            ),
            (
                55.07,
                "the penalty is for what is too short: this is not shorter",
            ),
            (
                50.67,
                "the penalty is for what is too short: this is not shorter",
            ),
            (
                90.79,
                "what is longer than the reference gets no factor: it is "
                "never above 1",
            ),
        ],
    )


def _oracle_shift(target):
    read = torch.empty_like(target)
    for row in range(target.shape[0]):
        for at in range(target.shape[1]):
            read[row, at] = BOS if at == 0 else target[row, at - 1]
    return read, target.clone()


def shift(answer):
    """Exercise 3: what the decoder reads, and what it should say."""

    def shifted(first):
        return lambda t: (F.pad(t, (1, -1), value=first), t)

    def over_first(target):
        return F.pad(target[:, 1:], (1, 0), value=BOS)

    return check(
        answer,
        oracle=_oracle_shift,
        cases=[
            Case((torch.tensor([[7, 8, EOS]]),), "one target [7, 8, 2]"),
            Case((torch.tensor([[5, 6, 9, EOS], [4, EOS, PAD, PAD]]),)),
            Case((torch.tensor([[EOS], [EOS], [EOS]]),), "only EOS"),
        ],
        mistakes=[
            Mistake(
                lambda t: (t[:, :-1], t[:, 1:]),
                "BOS is missing: the first token must be said too, after BOS",
            ),
            Mistake(
                lambda t: (shifted(BOS)(t)[0], t[:, 1:]),
                "what it reads is right; what it should say is the target as "
                "it is, since its first token comes after BOS",
            ),
            Mistake(
                lambda t: (shifted(BOS)(t)[0], F.pad(t[:, 1:], (0, 1))),
                "what it reads is right; what it should say is the target as "
                "it is, since its first token comes after BOS",
            ),
            Mistake(
                lambda t: (
                    shifted(BOS)(t)[0].masked_fill(
                        shifted(BOS)(t)[0] == EOS, PAD
                    ),
                    t,
                ),
                "that is lesson 06's: here EOS stays in what is read, as "
                "every other token does",
            ),
            Mistake(
                lambda t: (t, t),
                "the decoder reads the very token that it should say: put "
                "BOS before it",
            ),
            Mistake(
                lambda t: (t.roll(1, 1), t),
                "roll puts the last token in front: BOS belongs there",
            ),
            Mistake(
                lambda t: (
                    torch.cat([t[:, 1:], torch.full_like(t[:, :1], BOS)], 1),
                    t,
                ),
                "it is shifted the other way: the decoder would see the "
                "token after the one it should say",
            ),
            Mistake(
                lambda t: (t, shifted(BOS)(t)[0]),
                "the two are exchanged: read first, expected second",
            ),
            Mistake(
                lambda t: (F.pad(t, (1, 0), value=BOS), t),
                "what is read is too long by one: drop the last token, "
                "nothing comes after it",
            ),
            Mistake(
                lambda t: (F.pad(t, (1, 0), value=BOS), F.pad(t, (0, 1))),
                "both are too long by one: drop the last token of what is "
                "read, and leave the target as it is",
            ),
            Mistake(
                lambda t: (shifted(BOS)(t)[0], shifted(BOS)(t)[0]),
                "what it reads is right; but it should say the target itself, "
                "not the shifted one",
            ),
            Mistake(
                lambda t: (t, F.pad(t[:, 1:], (0, 1))),
                "BOS is missing: the first token must be said too, after BOS; "
                "so shift what is read, and leave the target as it is",
            ),
            Mistake(
                lambda t: (over_first(t), t),
                "BOS takes the first token's position: move the tokens one to "
                "the right to make room for it",
            ),
            Mistake(
                lambda t: (over_first(t.roll(1, 0)), t),
                "roll goes over the texts of the batch: dims=1 is the tokens",
            ),
            Mistake(
                lambda t: (F.pad(t[:-1], (0, 0, 1, 0), value=BOS), t),
                "a row of BOS is put before the texts: a column is needed, "
                "dim=1",
            ),
            Mistake(
                lambda t: (shifted(BOS)(t)[0].float(), t),
                "the numbers are right, but the type is not: token ids are "
                "whole numbers; torch.full_like takes target's type, "
                "torch.ones alone makes floats",
            ),
            Mistake(
                shifted(PAD),
                "it starts with padding, which counts as "
                "nothing: start with BOS (1)",
            ),
            Mistake(
                lambda t: (
                    shifted(BOS)(t)[0],
                    F.pad(t[:, 1:], (0, 1), value=EOS),
                ),
                "what it reads is right; what it should say is the target as "
                "it is, since its first token comes after BOS",
            ),
            Mistake(
                lambda t: (F.pad(t[:, :-1], (0, 1), value=BOS), t),
                "BOS stands at the end: it is read first",
            ),
            Mistake(
                lambda t: (shifted(BOS)(t)[0], t.masked_fill(t == PAD, -100)),
                "padding becomes -100: the target stays as it is, and the "
                "loss of the lesson leaves out 0",
            ),
            Mistake(
                lambda t: (shifted(BOS)(t)[0][0], t[0]),
                "only the first text: give all rows of target",
            ),
            *(
                Mistake(
                    lambda t, dim=dim: torch.stack([*shifted(BOS)(t)], dim),
                    "both are right, but stacked into one tensor: return two, "
                    "read and expected",
                )
                for dim in (0, 1, 2)
            ),
            Mistake(
                lambda t: (*shifted(BOS)(t), t != PAD),
                "the two are right; the mask is not asked",
            ),
            Mistake(
                lambda t: (shifted(BOS)(t)[0], t.masked_fill(t == EOS, PAD)),
                "what it reads is right; but EOS must be said: it stays in the target",
            ),
            Mistake(
                lambda t: (torch.ones_like(t), t),
                "every token that it reads is BOS: one, and then the target's tokens",
            ),
            Mistake(
                lambda t: (t.roll(1), t),
                "roll puts the last token in front, of the text before: BOS belongs there",
            ),
            Mistake(
                lambda t: (
                    F.pad(t, (1, 0), value=BOS),
                    F.pad(t, (1, 0), value=BOS),
                ),
                "BOS is put before both, and nothing is dropped: BOS is read, never said, and the last token is not read",
            ),
            Mistake(
                lambda t: t,
                "the target is what it should say: return what it reads as "
                "well, first",
            ),
            Mistake(
                lambda t: shifted(BOS)(t)[0],
                "that is what it reads: return what it should say as well, "
                "the target",
            ),
            Mistake(shifted(EOS), "it starts with EOS (2): use BOS (1)"),
        ],
        praise="BOS and all but the last; the tokens themselves",
    )


def beam_step(answer):
    """Exercise 4: one step of a beam search."""

    def case(beam_size, size, seed, name=""):
        generator = torch.Generator().manual_seed(seed)
        steps = torch.randn(beam_size, size, generator=generator) * 2
        total = -3 * torch.rand(beam_size, generator=generator)
        return Case((total, steps.log_softmax(-1)), name)

    small = (
        torch.tensor([-0.5, -1.0]),
        torch.tensor([[-0.9, -1.0, -1.6], [-0.6, -1.2, -1.9]]),
    )
    return check(
        answer,
        oracle=step_by_loops,
        cases=[
            Case(small, "total [-0.5, -1.0] and 3 tokens"),
            case(3, 5, 0, "a beam of 3, 5 tokens"),
            case(4, 9, 1, "a beam of 4, 9 tokens"),
            case(2, 7, 2, "a beam of 2, 7 tokens"),
            case(1, 6, 3, "a beam of 1"),
        ],
        mistakes=WRONG_STEPS,
        praise="the best continuations of all beginnings together",
    )
