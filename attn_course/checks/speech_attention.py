"""Checks of lesson 11's exercises."""

import difflib

import torch

from attn_course.checks.engine import Case, Mistake, check, check_value

SPOKEN = "turn on the radio".split()


def encoder_frames(answer):
    """Exercise 1: how many encoder frames two seconds become."""
    return check_value(
        answer,
        31.0,
        tolerance=0.01,
        praise="1 + (16000 - 256) // 128 = 124 frames, and one encoder frame of "
        "every four",
        mistakes=[
            (124, "those are the frames: one encoder frame holds four"),
            (125, "a window must fit whole: the last starts at 16,000 - 256"),
            (123, "those are frames, and the first one is forgotten"),
            (
                31.25,
                "a window must fit whole: the last starts at 16,000 - 256",
            ),
            (30.75, "the first frame is forgotten: 1 + (16000 - 256) // 128"),
            (62, "two convolutions of stride 2 follow: halve twice"),
            (15.5, "halve twice, not three times"),
            (62.5, "windows overlap, one every 128 samples; then halve twice"),
            (15.625, "windows overlap: one starts every 128 samples"),
            (16_000, "those are the samples"),
            (
                2_976,
                "those are features, 24 bands by 124 frames: count frames",
            ),
            (496, "four frames become one: divide by 4, do not multiply"),
            (
                32,
                "whole windows only (the last starts at 16,000 - 256), and "
                "four whole frames make one: round down",
            ),
            (7.75, "halve twice, not four times"),
            (30, "the first frame is forgotten: 1 + (16000 - 256) // 128"),
            (15, "that is one second: two were asked for"),
            (16, "that is one second: two were asked for"),
        ],
    )


def _oracle_collapse(path):
    kept = []
    for i, symbol in enumerate(path):
        if symbol != 0 and (i == 0 or path[i - 1] != symbol):
            kept.append(symbol)
    return kept


def _drop(path):
    return [symbol for symbol in path if symbol != 0]


def _join(path):
    return [s for i, s in enumerate(path) if i == 0 or path[i - 1] != s]


def ctc_collapse(answer):
    """Exercise 2: what a CTC path says."""
    return check(
        answer,
        oracle=_oracle_collapse,
        cases=[
            Case(([0, 5, 5, 0, 5, 7],), "[0, 5, 5, 0, 5, 7]"),
            Case(([7, 7, 7, 0, 0, 5, 0],), "[7, 7, 7, 0, 0, 5, 0]"),
            Case(([5, 7, 5, 5, 0, 0, 5],), "[5, 7, 5, 5, 0, 0, 5]"),
            Case(([0, 0, 0],), "nothing but blanks"),
            Case(([],), "an empty path"),
            Case(([4],), "one symbol"),
        ],
        mistakes=[
            Mistake(
                lambda path: _join(_drop(path)),
                "blanks are dropped first, so that a word said twice becomes "
                "one: join repeats first",
            ),
            Mistake(_drop, "repeats are kept: one word lasts several frames"),
            Mistake(_join, "the blanks are still in it: drop the zeros"),
            Mistake(
                lambda path: list(dict.fromkeys(_drop(path))),
                "each word comes once only: join *neighbours* alone",
            ),
            Mistake(
                lambda path: sorted(set(_drop(path))),
                "a set forgets order and repeats: join *neighbours* alone",
            ),
            Mistake(
                lambda path: _oracle_collapse(path)[::-1],
                "the order is turned round",
            ),
            Mistake(
                lambda path: _oracle_collapse(path[1:]),
                "the first symbol is lost: it has no neighbour before it "
                "(path[-1] is the last)",
            ),
            Mistake(
                lambda path: [
                    s
                    for i, s in enumerate(path)
                    if s != 0 and i > 0 and path[i - 1] != s
                ],
                "a path that starts with a word loses it: the first symbol "
                "has no neighbour before it",
            ),
            Mistake(
                lambda path: _oracle_collapse(path[:-1]),
                "the last symbol is lost: it has no neighbour after it",
            ),
            Mistake(
                lambda path: [
                    s
                    for i, s in enumerate(path)
                    if s != 0 and (i == 0 or path[i - 1] == 0)
                ],
                "only a word after a blank is written: another id begins "
                "another word, too",
            ),
            Mistake(
                lambda path: len(_oracle_collapse(path)),
                "that is how many words it says: return them",
            ),
        ],
        praise="join, then drop: and a blank keeps two equal words apart",
    )


def _oracle_distance(hypothesis, reference):
    """The recursion itself, with a memory."""
    memory = {}

    def least(i, j):
        if (i, j) not in memory:
            if i == 0 or j == 0:
                memory[i, j] = i + j
            elif reference[i - 1] == hypothesis[j - 1]:
                memory[i, j] = least(i - 1, j - 1)
            else:
                memory[i, j] = 1 + min(
                    least(i - 1, j - 1), least(i - 1, j), least(i, j - 1)
                )
        return memory[i, j]

    return least(len(reference), len(hypothesis))


def _rows_of(
    hypothesis,
    reference,
    substitute=1,
    insert=1,
    delete=1,
    equal=0,
    swap=2,
    top=1,
    left=1,
):
    """The table of an edit distance, with other prices or borders."""
    rows = [[j * insert * top for j in range(len(hypothesis) + 1)]]
    for i, said in enumerate(reference, 1):
        row = [i * delete * left]
        for j, wrote in enumerate(hypothesis, 1):
            ways = [
                rows[-1][j - 1] + (equal if said == wrote else substitute),
                rows[-1][j] + delete,
                row[-1] + insert,
            ]
            two = reference[max(i - 2, 0) : i]
            if i > 1 and j > 1 and two == hypothesis[j - 2 : j][::-1]:
                ways.append(rows[-2][j - 2] + swap)
            row.append(min(ways))
        rows.append(row)
    return rows


def _table(hypothesis, reference, **prices):
    return _rows_of(hypothesis, reference, **prices)[-1][-1]


def _blocks(hypothesis, reference):
    """The changes of Python's difflib, which are not the fewest."""
    pairs = difflib.SequenceMatcher(None, reference, hypothesis).get_opcodes()
    return sum(
        max(end - start, end_ - start_)
        for tag, start, end, start_, end_ in pairs
        if tag != "equal"
    )


def _right_words(hypothesis, reference):
    """How many words agree in order: two changes for every other one."""
    changes = _table(hypothesis, reference, substitute=2)
    return (len(hypothesis) + len(reference) - changes) // 2


def _by_position(hypothesis, reference):
    return sum(a != b for a, b in zip(hypothesis, reference))


def word_errors(answer):
    """Exercise 3: the fewest changes between two lists of words."""
    return check(
        answer,
        oracle=_oracle_distance,
        cases=[
            Case((["turn", "the", "radio"], SPOKEN), "one word deleted"),
            Case(
                (["turn", "on", "a", "radio"], SPOKEN), "one word substituted"
            ),
            Case((["please", *SPOKEN], SPOKEN), "one word inserted in front"),
            Case((["the", "radio", "turn"], SPOKEN), "words in another order"),
            Case(([], SPOKEN), "nothing written"),
            Case((["one", "two"], []), "nothing said"),
            Case(
                (["six", "six", "six", "one"], ["six", "one", "six"]),
                "words that repeat",
            ),
            Case((["two", "four"], ["one", "two", "three"]), "few in common"),
            Case(
                (["turn", "the", "on", "radio"], SPOKEN),
                "two neighbours exchanged",
            ),
        ],
        mistakes=[
            Mistake(
                lambda a, b: _by_position(a, b) + abs(len(a) - len(b)),
                "it compares position by position: after a deletion all others "
                "seem wrong; fill the table of the lesson",
            ),
            Mistake(
                _by_position,
                "it compares position by position, and forgets what is left over",
            ),
            Mistake(
                lambda a, b: _table(a, b, substitute=2),
                "a substitution counts 1, not one deletion and one insertion",
            ),
            Mistake(
                lambda a, b: _table(a, b, top=0, left=0),
                "the first row and column are not 0: to write j words where "
                "none were said takes j changes",
            ),
            Mistake(
                lambda a, b: _table(a, b, top=0),
                "the first row is not 0: to write j words where none were "
                "said takes j changes",
            ),
            Mistake(
                lambda a, b: _table(a, b, left=0),
                "the first column is not 0: if i words were said and none "
                "written, i are deleted; begin each row with i",
            ),
            Mistake(
                lambda a, b: _table(a, b, swap=1),
                "two neighbours exchanged are two errors: only "
                "substitutions, insertions and deletions count",
            ),
            Mistake(
                lambda a, b: _table(a, b, equal=1),
                "a word that is right costs nothing: above[j - 1] + (said != "
                "wrote)",
            ),
            Mistake(
                lambda a, b: _table(a, b, equal=1, substitute=0),
                "turned round: another word costs 1, the same word nothing",
            ),
            Mistake(
                lambda a, b: _table(a[:-1], b[:-1]),
                "the last words are left out: the table has a row and a "
                "column more than there are words",
            ),
            Mistake(
                lambda a, b: _table(a, b) if a and b else 0,
                "an empty list is not free: all words of the other are "
                "changes",
            ),
            Mistake(
                lambda a, b: _rows_of(a, b)[-1],
                "that is the table's last row: return its last number",
            ),
            Mistake(
                _rows_of, "that is the whole table: return its last number"
            ),
            Mistake(
                _blocks,
                "difflib looks for long equal pieces, not for the fewest "
                "changes: fill the table of the lesson",
            ),
            Mistake(
                _right_words,
                "that is how many words are right, in order: count changes",
            ),
            Mistake(
                lambda a, b: max(len(a), len(b)) - _right_words(a, b),
                "the longer list less the words that are right: that is less "
                "than it takes where a deletion and an insertion are needed",
            ),
            Mistake(
                lambda a, b: len(set(a) ^ set(b)),
                "sets forget order and repeats",
            ),
            Mistake(
                lambda a, b: sum(w not in a for w in b),
                "it counts the words that are missing anywhere: the order "
                "matters, and so do insertions",
            ),
            Mistake(
                lambda a, b: (
                    max(len(a), len(b))
                    - sum(min(a.count(word), b.count(word)) for word in set(a))
                ),
                "it compares bags of words: the order matters",
            ),
            Mistake(
                lambda a, b: abs(len(a) - len(b)),
                "it compares the numbers of words, not the words",
            ),
            Mistake(
                lambda a, b: _oracle_distance(a, b) / max(1, len(b)),
                "that is the rate: return the number of changes",
            ),
            Mistake(
                lambda a, b: _oracle_distance(a, b) / len(b),
                "that is the rate (and nothing said is 0 words): return the "
                "number of changes",
            ),
            Mistake(
                lambda a, b: 100 * _oracle_distance(a, b) / max(1, len(b)),
                "that is the rate in per cent: return the number of changes",
            ),
            Mistake(
                lambda a, b: _oracle_distance(" ".join(a), " ".join(b)),
                "it counts characters: compare whole words",
            ),
            Mistake(
                lambda a, b: _table(a, b, insert=0), "an insertion costs 1 too"
            ),
            Mistake(
                lambda a, b: _table(a, b, delete=0), "a deletion costs 1 too"
            ),
        ],
        praise="the edit distance; divided by the number of true words it is "
        "the word error rate",
    )


def _weights(words, length, seed):
    generator = torch.Generator().manual_seed(seed)
    shape = (words, length)
    scores = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (2 * scores).softmax(-1)


def _oracle_monotonicity(weights):
    centres = [
        sum(j * weight for j, weight in enumerate(row)) / sum(row)
        for row in weights.tolist()
    ]
    later = [b > a for a, b in zip(centres, centres[1:])]
    return sum(later) / len(later)


def _rows(weights):
    return torch.tensor(weights, dtype=torch.float64)


def _share(steps):
    return steps.double().mean().item()


def _centres(weights):
    return weights @ torch.arange(weights.shape[1]).to(weights)


def monotonicity(answer):
    """Exercise 4: the share of steps that move forward in time."""
    ahead = _rows(
        [[0.8, 0.1, 0.1, 0.0], [0.4, 0.2, 0.1, 0.3], [0.5, 0.1, 0.1, 0.3]]
    )
    return check(
        answer,
        oracle=_oracle_monotonicity,
        cases=[
            Case((ahead,), "three words over four frames"),
            Case((_weights(6, 9, 1),), "six words over nine frames"),
            Case((_weights(9, 5, 2),), "nine words over five frames"),
            Case(
                (_rows([[0.6, 0.2, 0.2, 0], [0.6, 0, 0, 0.4]]),),
                "a mean that moves where the middle does not",
            ),
            Case((_rows([[0.5, 0.5], [0.5, 0.5]]),), "a step that stands"),
            Case((torch.eye(5).double(),), "a perfect diagonal"),
            Case((torch.eye(5).double().flip(0),), "a diagonal run backwards"),
        ],
        mistakes=[
            Mistake(
                lambda w: _share(w.argmax(-1).diff() > 0),
                "it looks at the largest weight alone: take the centre, the "
                "mean position under the weights",
            ),
            Mistake(
                lambda w: _share(
                    (w.cumsum(1) >= 0.5).double().argmax(1).diff() > 0
                ),
                "that is the median position: take the mean position",
            ),
            Mistake(
                lambda w: _share(_centres(w).diff() >= 0),
                "a step that stands still is not forward: above 0",
            ),
            Mistake(
                lambda w: _share(_centres(w).diff() != 0),
                "steps back are counted too: only those above 0",
            ),
            Mistake(
                lambda w: _centres(w).diff().sign().mean().item(),
                "steps back are taken off: only count those above 0",
            ),
            Mistake(
                lambda w: _share(_centres(w).roll(1) < _centres(w)),
                "the first word is compared with the last (torch.roll, or "
                "[-1]): there is one step fewer than words",
            ),
            Mistake(
                lambda w: _share(_centres(w).diff(prepend=w.new_zeros(1)) > 0),
                "the first word has no step: nothing is before it",
            ),
            Mistake(
                lambda w: _share(_centres(w)[1:] > _centres(w)[0]),
                "each word is compared with the first one: compare neighbours",
            ),
            Mistake(
                lambda w: _share(_centres(w).round().diff() > 0),
                "the centres are rounded: keep their fractions",
            ),
            Mistake(
                lambda w: _share(_centres(w).long().diff() > 0),
                "the centres are cut to whole numbers: keep their fractions",
            ),
            Mistake(
                lambda w: _share(
                    (w * torch.arange(w.shape[1])).sum(0).diff() > 0
                ),
                "the sum runs over the words: sum each row, dim=1",
            ),
            Mistake(
                lambda w: _share(_centres(w).diff() < 0),
                "it counts the steps that go back",
            ),
            Mistake(
                lambda w: (_centres(w).diff() > 0).double().sum().item(),
                "that is how many steps go forward: divide by all steps",
            ),
            Mistake(
                lambda w: (
                    (_centres(w).diff() > 0).double().sum().item() / len(w)
                ),
                "there is one step fewer than words",
            ),
            Mistake(
                lambda w: _share(_centres(w.T).diff() > 0),
                "rows and columns are exchanged: one row is one word",
            ),
            Mistake(
                lambda w: _centres(w).diff().mean().item(),
                "that is the mean step: count how many are above 0",
            ),
            Mistake(
                lambda w: float((_centres(w).diff() > 0).all()),
                "all or nothing: return a share",
            ),
            Mistake(
                lambda w: _share(w.mean(-1).diff() > 0),
                "the mean of a row's weights is the same for every row: "
                "multiply each weight by its position",
            ),
            Mistake(
                lambda w: _share(w.amax(-1).diff() > 0),
                "it compares how large the largest weights are, not where "
                "they lie",
            ),
        ],
        praise="1 for a diagonal, 0 for one run backwards, about 0.5 by chance",
    )
