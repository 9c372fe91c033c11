"""Wrong ways to count word errors, for the check of lesson 11's exercise 3."""

import difflib

import torch

from attn_course.checks.engine import Mistake


def oracle(hypothesis, reference):
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
    without=None,
    least=min,
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
            row.append(
                least([way for n, way in enumerate(ways) if n != without])
            )
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


def _one_price(hypothesis, reference):
    """Add the price of the two words to whichever step is cheapest."""
    row = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, 1):
        above, row = row, [i]
        for j, wrote in enumerate(hypothesis, 1):
            least = min(above[j - 1], above[j], row[-1])
            row.append(least + (said != wrote))
    return row[-1]


def _overwritten(hypothesis, reference):
    row = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, 1):
        row[0] = i
        for j, wrote in enumerate(hypothesis, 1):
            row[j] = min(row[j - 1] + (said != wrote), row[j] + 1)
    return row[-1]


def _unfilled(hypothesis, reference, top):
    """Fill all but the last row and column."""
    if not hypothesis or not reference:
        return top * (len(hypothesis) + len(reference))
    return 0


def _no_border(hypothesis, reference):
    """Leave the border out: index -1 wraps around."""
    rows = [[0] * len(hypothesis) for _ in reference]
    for i, said in enumerate(reference):
        for j, wrote in enumerate(hypothesis):
            rows[i][j] = min(
                rows[i - 1][j - 1] + (said != wrote),
                rows[i - 1][j] + 1,
                rows[i][j - 1] + 1,
            )
    return rows[-1][-1]


MISTAKES = [
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
        "a word that is right costs nothing: above[j - 1] + (said != wrote)",
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
        "an empty list is not free: all words of the other are changes",
    ),
    Mistake(
        lambda a, b: _rows_of(a, b)[-1],
        "that is the table's last row: return its last number",
    ),
    Mistake(_rows_of, "that is the whole table: return its last number"),
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
        lambda a, b: len(set(a) ^ set(b)), "sets forget order and repeats"
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
        lambda a, b: oracle(a, b) / max(1, len(b)),
        "that is the rate: return the number of changes",
    ),
    Mistake(
        lambda a, b: oracle(a, b) / len(b),
        "that is the rate (and nothing said is 0 words): return the "
        "number of changes",
    ),
    Mistake(
        lambda a, b: 100 * oracle(a, b) / max(1, len(b)),
        "that is the rate in per cent: return the number of changes",
    ),
    Mistake(
        lambda a, b: oracle(" ".join(a), " ".join(b)),
        "it counts characters: compare whole words",
    ),
    Mistake(lambda a, b: _table(a, b, insert=0), "an insertion costs 1 too"),
    Mistake(lambda a, b: _table(a, b, delete=0), "a deletion costs 1 too"),
    Mistake(
        lambda a, b: torch.tensor(_rows_of(a, b)),
        "that is the whole table: return its last number",
    ),
    Mistake(
        lambda a, b: torch.tensor(_rows_of(a, b)[-1]),
        "that is the table's last row: return its last number",
    ),
    Mistake(
        _one_price,
        "only the diagonal step is free where words are equal: a deletion or "
        "an insertion costs 1 always",
    ),
    Mistake(
        _no_border,
        "the table needs a row and a column more than there are words, for "
        "no words: index -1 is the last one",
    ),
    *(
        Mistake(
            lambda a, b, way=way: _table(a, b, without=way),
            f"{name} is forgotten in the least of the three",
        )
        for way, name in enumerate(("substitution", "deletion", "insertion"))
    ),
    Mistake(
        lambda a, b: min(_rows_of(a, b)[-1]),
        "the least of the last row is taken: return its last number, so that "
        "all words are used",
    ),
    Mistake(
        lambda a, b: _rows_of(a, b)[-1][0],
        "that is the first number of the last row: return the last",
    ),
    Mistake(
        lambda a, b: _rows_of(a, b)[-2][-1] if b else oracle(a, b),
        "that is the row before the last: the last said word counts",
    ),
    Mistake(
        lambda a, b: _rows_of(a, b)[-1][-2] if a else oracle(a, b),
        "that is the number before the last: the last written word counts",
    ),
    Mistake(
        lambda a, b: (oracle(a, b), len(b)),
        "that is a pair with the number of words: return the changes alone",
    ),
    Mistake(
        lambda a, b: max(len(a), len(b)) - len(set(a) & set(b)),
        "sets forget order and repeats",
    ),
    *(
        Mistake(
            lambda a, b, way=way: len(way(set(a), set(b))),
            "sets forget order and repeats",
        )
        for way in (lambda a, b: a - b, lambda a, b: b - a, lambda a, b: a & b)
    ),
    Mistake(
        lambda a, b: sum(w not in a for w in b) + sum(w not in b for w in a),
        "it counts the words that the other list has nowhere: the order "
        "matters, and how often a word comes",
    ),
    Mistake(
        lambda a, b: sum(w == v for w, v in zip(a, b)),
        "that is how many words agree, place by place: count changes",
    ),
    Mistake(
        lambda a, b: oracle(sorted(a), sorted(b)),
        "the words are sorted first: their order matters",
    ),
    Mistake(
        lambda a, b: sum(w not in b for w in a),
        "it counts the written words that were not said anywhere: the order "
        "matters, and so do deletions",
    ),
    Mistake(
        lambda a, b: oracle(a, b) / max(1, len(a)),
        "that is a rate, by the written words: return the number of changes",
    ),
    Mistake(
        lambda a, b: oracle(a, b) / max(1, len(a), len(b)),
        "that is a rate, by the longer list: return the number of changes",
    ),
    Mistake(
        lambda a, b: 1 - oracle(a, b) / max(1, len(b)),
        "that is the share of right words: return the number of changes",
    ),
    Mistake(
        lambda a, b: len(b) - oracle(a, b),
        "the changes are taken from the number of words: return them alone",
    ),
    Mistake(
        lambda a, b: len(b) - _right_words(a, b),
        "words that were written and not said are errors too: insertions",
    ),
    Mistake(
        lambda a, b: len(a) - _right_words(a, b),
        "words that were said and not written are errors too: deletions",
    ),
    Mistake(
        lambda a, b: int(a != b),
        "one error at most: count the changes, not whether there are any",
    ),
    Mistake(
        lambda a, b: oracle(a, b) / len(a),
        "that is a rate, by the written words: return the number of changes",
    ),
    Mistake(
        lambda a, b: _table(a, b, least=max),
        "the largest of the three is taken: the fewest changes are asked for",
    ),
    Mistake(
        _overwritten,
        "row[j - 1] is overwritten already when it is needed as the row "
        "above: keep the row above",
    ),
    Mistake(
        lambda a, b: _table(a, b, least=lambda ways: ways[0]),
        "only the diagonal step is taken: a deletion or an insertion may cost "
        "less",
    ),
    *(
        Mistake(
            lambda a, b, top=top: _unfilled(a, b, top),
            "the last row and column are not filled: range(1, n + 1) ends at n",
        )
        for top in (0, 1)
    ),
    Mistake(
        lambda a, b: round(100 * oracle(a, b) / max(1, len(b))),
        "that is the rate in per cent: return the number of changes",
    ),
    Mistake(
        lambda a, b: oracle("".join(a), "".join(b)),
        "it counts characters: compare whole words",
    ),
]
