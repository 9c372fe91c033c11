"""Where an induction head should look, and wrong ways to say it (lesson 14)."""

import torch

from attn_course.checks.engine import Mistake


def induction_targets(tokens):
    """Mark (i, j) where token j - 1 equals token i, and j is not after i."""
    n = len(tokens)
    targets = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        for j in range(1, i + 1):
            targets[i, j] = bool(tokens[j - 1] == tokens[i])
    return targets


def _targets(tokens, roll=False, causal=True, first=True):
    same = tokens[:, None] == tokens[None, :]
    same = same.roll(1, 1)
    if not roll:
        same[:, 0] = False
    return same.tril(0 if first else -1) if causal else same


def _shift(same):
    return torch.nn.functional.pad(same[:, :-1], (1, 0))


def _latest(tokens):
    targets = induction_targets(tokens)
    later = targets.flip(1).cumsum(1).flip(1)
    return targets & (later == 1)


def _first_column(targets, mark):
    targets[:, 0] = mark
    return targets


def _later_by(tokens, step):
    """Shift the columns by another number than one."""
    same = tokens[:, None] == tokens[None, :-step]
    return torch.nn.functional.pad(same, (step, 0)).tril()


MISTAKES = [
    Mistake(
        lambda t: (t[:, None] == t[None, :]).roll(-1, 1).tril(),
        "shifted the wrong way: j comes after the same token, so the columns "
        "go to the right",
    ),
    Mistake(
        lambda t: (t[:, None] == t[None, :]).tril(),
        "it marks the same token: shift by one, to what followed it",
    ),
    Mistake(
        lambda t: (t[:, None] == t[None, :]).tril(-1),
        "it marks the same token: shift by one, to what followed it",
    ),
    Mistake(
        lambda t: _targets(t, causal=False),
        "keys after the query are marked: keep j <= i, with tril",
    ),
    Mistake(
        lambda t: _targets(t, roll=True),
        "the first key has nothing before it: here it is compared "
        "with the last token (roll and the index -1 go round)",
    ),
    Mistake(
        lambda t: _targets(t, roll=True, causal=False),
        "keys after the query are marked, and the first key is "
        "compared with the last token (roll and the index -1 go round)",
    ),
    Mistake(
        lambda t: _targets(t, first=False),
        "j = i is allowed: a token may follow its own like at "
        "once. tril(), not tril(-1)",
    ),
    Mistake(
        lambda t: _shift((t[:, None] == t[None, :]).tril()),
        "j = i + 1 is marked too: shift first, and then tril(), not tril(1)",
    ),
    Mistake(
        lambda t: _shift(t[:, None] == t[None, :]).triu(),
        "that is the upper triangle: keep j <= i, with tril()",
    ),
    Mistake(
        lambda t: _shift((t[:, None] == t[None, :]).T).T.tril(),
        "the rows are shifted, so token i - 1 is compared with "
        "token j: shift the columns, the keys",
    ),
    Mistake(
        lambda t: (t[:, None] == t[None, :]).roll(1, 0).tril(),
        "the rows are shifted, so token i - 1 is compared with "
        "token j: shift the columns, the keys",
    ),
    Mistake(
        _latest,
        "only the last position is marked: mark each one that "
        "followed the same token",
    ),
    Mistake(
        lambda t: _targets(t).T,
        "rows and columns are exchanged: i, the query, is the row",
    ),
    Mistake(
        lambda t: induction_targets(t).int(),
        "give True and False, not numbers",
    ),
    Mistake(
        lambda t: torch.nn.functional.pad(
            (t[:, None] == t[None, 1:]), (0, 1)
        ).tril(),
        "shifted the wrong way: j comes after the same token, so pad "
        "at the left",
    ),
    Mistake(
        lambda t: _targets(t, roll=True, first=False),
        "two slips: the first key is compared with the last token (roll and "
        "the index -1 go round), and j = i is allowed",
    ),
    Mistake(
        lambda t: _targets(t, causal=False).triu(1),
        "only keys after the query are marked: keep j <= i, with tril()",
    ),
    Mistake(
        lambda t: t[:, None] == t[None, :],
        "it marks the same token, before and after: shift by one, to what "
        "followed it, then tril()",
    ),
    Mistake(
        lambda t: _first_column(induction_targets(t), True),
        "the first key is marked for every query: it has nothing before it",
    ),
    Mistake(
        lambda t: _first_column(induction_targets(t), t == t[0]),
        "the first key is compared with itself: it has nothing before it, so "
        "its column is False",
    ),
    Mistake(
        lambda t: torch.nn.functional.pad(
            t[:-1, None] == t[None, :-1], (1, 0, 1, 0)
        ).tril(),
        "it compares the token before the key with the token before the "
        "query: compare it with the query's own",
    ),
    Mistake(
        lambda t: induction_targets(t) & (induction_targets(t).cumsum(1) == 1),
        "only the first position is marked: mark each one that followed the "
        "same token",
    ),
    Mistake(
        lambda t: torch.nn.functional.pad(
            t[:, None] == t[None, 1:], (0, 1)
        ).tril(-1),
        "it compares token j + 1 with token i: token j - 1 is the one before "
        "the key",
    ),
    Mistake(
        lambda t: (t[:, None] == t[None, :-1]).tril(),
        "a column is missing: after the last is dropped, pad one of False in "
        "front",
    ),
    Mistake(
        lambda t: _first_column((t[:, None] == t[None, :]).tril(), False),
        "it marks the same token, the first key left out: shift by one, to "
        "what followed it",
    ),
    Mistake(
        lambda t: _later_by(t, 2),
        "token j - 2 is compared: it has to be the one just before j, j - 1",
    ),
    Mistake(
        lambda t: (~_targets(t)).tril(),
        "it marks where the tokens differ: ==, not !=",
    ),
]
