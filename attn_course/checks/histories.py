"""Wrong ways with histories, for the checks of lesson 15's exercises 3 and 4."""

import torch

from attn_course.checks.engine import Mistake

# Exercise 3: how often does j come `lag` positions after i? -------------------


def _columns(
    tokens, lag, padding=False, flat=False, wrap=False, last=0, people=None
):
    """List the pairs by positions, one place wrong."""
    rows = tokens[people] if people is not None else tokens
    rows = rows.reshape(1, -1) if flat else rows
    if flat and not padding:
        rows = rows[rows != 0][None]
    if wrap:
        first, then = rows, rows.roll(-lag, dims=1)
    else:
        first, then = rows[:, :-lag], rows[:, lag:]
        first, then = (x[:, : x.shape[1] - last] for x in (first, then))
    return [
        (a, b)
        for one, other in zip(first.tolist(), then.tolist())
        for a, b in zip(one, other)
        if padding or (a != 0 and b != 0)
    ]


def _of_rows(pairs_of):
    """List the pairs of each row without padding."""
    return lambda tokens, lag: [
        pair
        for row in tokens.tolist()
        for pair in pairs_of([item for item in row if item != 0], lag)
    ]


def _table(pairs, items):
    counts = torch.zeros(items + 1, items + 1, dtype=torch.int64)
    for first, then in pairs:
        counts[first, then] += 1
    return counts


def _counted(pairs, change=lambda counts, tokens, lag: counts):
    """Count pairs; then change the table."""
    return lambda tokens, items, lag: change(
        _table(pairs(tokens, lag), items), tokens, lag
    )


def _with(**wrong):
    return lambda tokens, lag: _columns(tokens, lag, **wrong)


_ONCE = (
    "a pair that comes twice is counted once: counts[i, j] += 1 with tensors "
    "writes each pair once; use index_put with accumulate=True, bincount or a "
    "loop"
)
_TURN = "the table is turned: the earlier item is the row"
_PAD = "padding is counted as if it were an item"
_LATER = (
    "a pair whose later position is padding is counted as if it were an item: "
    "ask then != 0"
)
_WRAP = (
    "roll goes round: the end of a history is followed by its own beginning. "
    "Cut off, tokens[:, :-lag] and tokens[:, lag:]"
)
_ACROSS = (
    "the end of one history and the start of the next make a pair: people are "
    "not each other's past"
)
_PEOPLE = "{} person is counted: count all people's pairs into one table"
_right = _with()


def _no_padding_row(counts):
    return torch.cat([torch.zeros_like(counts[:1]), counts[1:]])


_PAIRS = [
    (_with(padding=True), _PAD),
    (
        lambda tokens, lag: [
            pair for pair in _columns(tokens, lag, padding=True) if pair[0]
        ],
        _LATER,
    ),
    (
        lambda tokens, lag: [
            pair for pair in _columns(tokens, lag, padding=True) if any(pair)
        ],
        _LATER,
    ),
    (
        lambda tokens, lag: _columns(tokens, lag + 1),
        "one position too far: lag 1 is the very next item, tokens[:, lag:]",
    ),
    (
        lambda tokens, lag: (
            _columns(tokens, lag - 1)
            if lag > 1
            else [(a, a) for a in tokens.flatten().tolist() if a]
        ),
        "one position too near: lag 1 is the very next item, not the same",
    ),
    (_with(flat=True), _ACROSS),
    (
        _with(flat=True, padding=True),
        "the rows are joined into one: count within each history",
    ),
    (
        lambda tokens, lag: [
            pair
            for pair in _columns(tokens, lag, flat=True, padding=True)
            if all(pair)
        ],
        _ACROSS,
    ),
    (
        lambda tokens, lag: _columns(tokens, 1),
        "it always takes the next item: take the one lag positions on",
    ),
    (
        lambda tokens, lag: [
            pair for n in range(lag) for pair in _columns(tokens, n + 1)
        ],
        "all distances up to lag are counted: only lag is asked for",
    ),
    (
        _of_rows(
            lambda row, lag: [
                (a, b) for n, a in enumerate(row) for b in row[n + 1 :]
            ]
        ),
        "every later item is counted: only the one lag positions on",
    ),
    (
        _of_rows(
            lambda row, lag: [
                (a, b) for n, a in enumerate(row) for b in row[n + lag :]
            ]
        ),
        "every item from lag on is counted: only the one lag positions on",
    ),
    (_with(wrap=True), _WRAP),
    (_with(wrap=True, padding=True), f"{_WRAP}; and {_PAD}"),
    (
        _of_rows(
            lambda row, lag: [
                (a, row[(n + lag) % len(row)]) for n, a in enumerate(row)
            ]
        ),
        _WRAP,
    ),
    (
        _of_rows(lambda row, lag: zip(row[:-1], row[lag:-1])),
        "the last pair of a history is forgotten: the later item may be the "
        "last one",
    ),
    (
        _with(last=1),
        "the last position is forgotten: the later item may stand there",
    ),
    (
        _of_rows(lambda row, lag: list(zip(row, row[lag:]))[1:]),
        "the first pair of a history is forgotten",
    ),
    (
        _of_rows(lambda row, lag: list(zip(row, row[lag:]))[lag:]),
        "the first lag items begin pairs too: begin with position 0",
    ),
    (
        _of_rows(lambda row, lag: zip(row[::lag], row[lag::lag])),
        "it goes on in steps of lag: every position begins a pair",
    ),
    (
        _of_rows(lambda row, lag: {*zip(row, row[lag:])}),
        "a pair is counted once per person: count it as often as it comes",
    ),
    (
        _of_rows(
            lambda row, lag: [(a, b) for a, b in zip(row, row[lag:]) if a != b]
        ),
        "an item that follows itself is a pair too",
    ),
    (
        _of_rows(
            lambda row, lag: [
                pair
                for pairs in [list(zip(row, row[lag:]))]
                for pair in (pairs[-1:])
            ]
        ),
        "only the last pair of each history is counted",
    ),
    (_with(people=[0]), _PEOPLE.format("only the first")),
    (_with(people=[-1]), _PEOPLE.format("only the last")),
    (_with(people=slice(None, -1)), "the last person is forgotten"),
    (_with(people=slice(1, None)), "the first person is forgotten"),
]


def _small_table(tokens, items, lag):
    counts = torch.zeros(items, items, dtype=torch.int64)
    for first, then in _right(tokens, lag):
        counts[first, then] += 1
    return counts


def _behind_the_start(tokens, items, lag):
    rows = [[item for item in row if item != 0] for row in tokens.tolist()]
    pairs = [(row[n - lag], row[n]) for row in rows for n in range(len(row))]
    return _table(pairs, items)


def _narrow_key(tokens, items, lag):
    counts = torch.zeros((items + 1) ** 2, dtype=torch.int64)
    for first, then in _right(tokens, lag):
        counts[first * items + then] += 1
    return counts.view(items + 1, items + 1)


_CHANGES = [
    (lambda c, t, lag: c.clamp(max=1), _ONCE),
    (lambda c, t, lag: c.T, _TURN),
    (
        lambda c, t, lag: c.roll((-1, -1), dims=(0, 1)),
        "item i is row i: the table has a row and a column for padding, so do "
        "not take 1 off",
    ),
    (
        lambda c, t, lag: c + c.T,
        "each pair is counted both ways: the earlier item is the row",
    ),
    (
        lambda c, t, lag: c.sum(dim=0).expand_as(c),
        "all rows are the same one: [[0] * n] * n holds one list n times; "
        "write [[0] * n for _ in range(n)], or torch.zeros(n, n)",
    ),
    (
        lambda c, t, lag: c / c.sum(dim=1, keepdim=True).clamp(min=1),
        "those are shares: the counts are asked for",
    ),
    (
        lambda c, t, lag: c / c.sum(),
        "those are shares of all pairs: the counts are asked for",
    ),
    (
        lambda c, t, lag: c[1:, 1:],
        "the row and column of padding are missing: the table is (items + 1) "
        "by (items + 1), so that item i is row i",
    ),
    (
        lambda c, t, lag: c[: t.max() + 1, : t.max() + 1],
        "the table is as large as the largest item seen: make it (items + 1) "
        "by (items + 1), items that nobody chose too",
    ),
    (
        lambda c, t, lag: c.sum(dim=1),
        "that is how often an item begins a pair: a table of pairs is asked for",
    ),
    (
        lambda c, t, lag: c.sum(),
        "that is the number of pairs: a table is asked for",
    ),
    (lambda c, t, lag: c / len(t), "those are means per person: counts"),
]
PAIR_MISTAKES = [
    *(Mistake(_counted(pairs), words) for pairs, words in _PAIRS),
    *(Mistake(_counted(_right, change), words) for change, words in _CHANGES),
    Mistake(
        _small_table,
        "the table is too small: items are numbered from 1, so it must be "
        "(items + 1) by (items + 1)",
    ),
    Mistake(
        _behind_the_start,
        "n - lag is below 0 at first, and Python counts from the end then: "
        "begin with n = lag",
    ),
    Mistake(
        _narrow_key,
        "a row of the table has items + 1 columns: the place of a pair is "
        "first * (items + 1) + then",
    ),
    *(
        Mistake(_counted(pairs, change), f"{words}; and {more}")
        for pairs, words in _PAIRS
        for change, more in _CHANGES[:3]
    ),
    Mistake(
        lambda t, n, lag: _table(_right(t, lag), n).T.clamp(max=1),
        f"{_TURN}; and {_ONCE}",
    ),
]

# Exercise 4: the state at the last real item ----------------------------------


def _at(position, empty=True):
    """Pick a state by ``position(lengths, length)``."""

    def last(states, tokens):
        lengths = (tokens != 0).sum(dim=1)
        where = position(lengths, tokens.shape[1])
        rows = states[torch.arange(len(states)), where]
        return rows * (lengths > 0)[:, None] if empty else rows

    return last


def _right_last(states, tokens):
    return _at(lambda n, length: n - 1)(states, tokens)


def _empty(states, tokens, value):
    none = ~(tokens != 0).any(dim=1, keepdim=True)
    return _right_last(states, tokens).masked_fill(none, value)


_PADDING = (
    "it takes the last position, which is padding for short histories: take "
    "the position of the last item"
)
_FAR_STATE = "one position too far: n items stand at the positions 0 to n - 1"
_BEFORE = "that is the item before the last one: n items end at position n - 1"
_FIRST = "it takes the first item: the last is asked for"
_LONGEST = (
    "all rows take the place of the longest history: each row has its own "
    "last item"
)
_LARGEST = (
    "it takes the largest item number: items are names; the last one that "
    "is not 0 is asked for"
)
_NO_ITEM = "; and an empty history must give 0"
_PLACES = [
    (lambda n, length: torch.full_like(n, length - 1), _PADDING),
    (lambda n, length: n.clamp(max=length - 1), _FAR_STATE),
    (lambda n, length: n, _FAR_STATE),
    (lambda n, length: n % length, _FAR_STATE),
    (lambda n, length: n - 2, _BEFORE),
    (lambda n, length: (n - 2).clamp(min=0), _BEFORE),
    (lambda n, length: 0 * n, _FIRST),
    (lambda n, length: n.max().expand_as(n) - 1, _LONGEST),
    (
        lambda n, length: length - n,
        "that place counts padding from the start: padding is at the end, so "
        "the last item is at n - 1",
    ),
    (
        lambda n, length: (length - n) % length,
        "that place counts padding from the start: padding is at the end, so "
        "the last item is at n - 1",
    ),
]


def _real(states, tokens):
    return states * (tokens != 0)[..., None]


def _largest(states, tokens):
    return states[torch.arange(len(states)), tokens.argmax(dim=1)]


LAST_MISTAKES = [
    *(
        Mistake(_at(place, empty), words + ("" if empty else _NO_ITEM))
        for place, words in _PLACES
        for empty in (True, False)
    ),
    Mistake(
        _at(lambda n, length: n - 1, False),
        "an empty history asks for position -1, the last one: its state must "
        "be 0",
    ),
    Mistake(
        _at(lambda n, length: (n - 1).clamp(min=0), False),
        "an empty history gets the state of padding: it must be 0",
    ),
    *(
        Mistake(
            lambda s, t, value=value: _empty(s, t, value),
            f"an empty history gets {value}: its state must be 0",
        )
        for value in (float("-inf"), -1e9, 1.0, -1.0)
    ),
    Mistake(
        lambda s, t: _right_last(s, t)[(t != 0).any(dim=1)],
        "an empty history is left out: it keeps its row, of zeros",
    ),
    Mistake(
        lambda s, t: s[:, (t != 0).sum(dim=1) - 1],
        "`:` takes every row at every row's place: pair them, "
        "states[torch.arange(len(states)), places]",
    ),
    Mistake(
        lambda s, t: s[:, ((t != 0).sum(dim=1) - 1).clamp(min=0)],
        "`:` takes every row at every row's place: pair them, "
        "states[torch.arange(len(states)), places]",
    ),
    Mistake(
        _real,
        "all positions are kept, padding set to 0: pick one position of each "
        "row, (users, dim)",
    ),
    Mistake(
        lambda s, t: _real(s, t)[:, -1],
        "padding is set to 0, and then the last position taken, which is "
        "padding for short histories",
    ),
    Mistake(
        lambda s, t: _right_last(s, t) * (t != 0).sum(dim=1, keepdim=True),
        "the state is multiplied by the number of items: whether there is any "
        "is asked, (lengths > 0)",
    ),
    Mistake(
        lambda s, t: s[t != 0],
        "all real positions are kept: pick the last one of each row",
    ),
    Mistake(_largest, _LARGEST + _NO_ITEM),
    Mistake(lambda s, t: _real(_largest(s, t), t.amax(dim=1)), _LARGEST),
    Mistake(
        lambda s, t: _real(s, t).sum(dim=1),
        "that is the sum: only the last item asks",
    ),
    Mistake(
        lambda s, t: s.sum(dim=1),
        "that is the sum, with padding: only the last item asks",
    ),
    Mistake(
        lambda s, t: (
            _real(s, t).sum(dim=1)
            / (t != 0).sum(dim=1, keepdim=True).clamp(min=1)
        ),
        "that is the mean: only the last item asks",
    ),
    Mistake(
        lambda s, t: s.mean(dim=1),
        "that is the mean, with padding: only the last item asks",
    ),
    Mistake(
        lambda s, t: _real(s, t).mean(dim=1),
        "that is a mean over the whole length: only the last item asks",
    ),
    *(
        Mistake(
            lambda s, t, low=low: s.masked_fill((t == 0)[..., None], low).amax(
                dim=1
            ),
            "that is the largest number of each column: only the last item "
            "asks",
        )
        for low in (float("-inf"), -1e9, 0.0)
    ),
    Mistake(
        lambda s, t: s.amax(dim=1),
        "that is the largest number of each column, padding too: only the "
        "last item asks",
    ),
    *(
        Mistake(
            lambda s, t, empty=empty: _at(
                lambda n, length: (n - 1).clamp(min=0), empty
            )(s, t)[:, :1],
            "only the first number of the state is kept: gather needs an "
            "index of (users, 1, dim), expanded",
        )
        for empty in (True, False)
    ),
    *(
        Mistake(
            lambda s, t, n=n: s[n],
            "all states of one person: states[:, place] and not states[place]",
        )
        for n in (-1, 0)
    ),
    Mistake(
        lambda s, t: _right_last(s, t)[:, None],
        "one dimension too many: (users, dim) is asked for",
    ),
]
