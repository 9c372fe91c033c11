"""Checks of lesson 11's exercises."""

import itertools

import torch

from attn_course.checks import centres, edit_distance
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
            (248, "four frames become one: halve twice, do not double"),
            (500, "windows must fit whole; then divide by 4, do not multiply"),
            (
                122,
                "the first window and the last count: 1 + (16000 - 256) // 128",
            ),
            (
                30.5,
                "the first window and the last count: 1 + (16000 - 256) // 128",
            ),
            (61, "the first window and the last count; then halve twice"),
            (61.5, "the first frame is forgotten; then halve twice"),
            (
                (16_000 - 256) / 256 / 4,
                "windows overlap: one starts every 128 samples",
            ),
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
                lambda path: [
                    s
                    for i, s in enumerate(path)
                    if s != 0 and (i + 1 == len(path) or path[i + 1] == 0)
                ],
                "only a word before a blank is written: another id ends a "
                "word, too",
            ),
            Mistake(
                lambda path: [
                    i
                    for i, s in enumerate(path)
                    if s != 0 and (i == 0 or path[i - 1] != s)
                ],
                "those are the places: return what stands there",
            ),
            Mistake(
                lambda path: [
                    s
                    for i, s in enumerate(path)
                    if s != 0 and i > 0 and path[i - 1] == s
                ],
                "turned round: an id is kept where it differs from the one "
                "before",
            ),
            Mistake(
                lambda path: [
                    int(s != 0 and (i == 0 or path[i - 1] != s))
                    for i, s in enumerate(path)
                ],
                "that says which are kept: return them",
            ),
            Mistake(
                lambda path: _join(_drop(_join(path))),
                "joined twice: after the blanks are gone, equal neighbours "
                "are two words",
            ),
            Mistake(
                lambda path: [
                    s
                    for i, s in enumerate(path)
                    if s != 0 and path.count(s) == 1
                ],
                "words that come again are lost: join neighbours, keep one",
            ),
            Mistake(
                lambda path: _join(path)[:-1],
                "the last symbol is lost, and the blanks are still in it",
            ),
            Mistake(
                lambda path: _join(path)[1:],
                "the first symbol is lost, and the blanks are still in it",
            ),
            Mistake(
                lambda path: (
                    [*path[:1], *_oracle_collapse(path)[1:]]
                    if path[:1] != [0]
                    else [0, *_oracle_collapse(path)]
                ),
                "the first symbol is kept whatever it is: it may be a blank",
            ),
            Mistake(
                lambda path: (
                    _oracle_collapse(path[: path.index(0)])
                    if 0 in path
                    else _oracle_collapse(path)
                ),
                "it stops at the first blank: words follow",
            ),
            Mistake(
                lambda path: [
                    [symbol, len(list(run))]
                    for symbol, run in itertools.groupby(path)
                    if symbol != 0
                ],
                "that is each word with its number of frames: return the "
                "words alone",
            ),
            Mistake(
                lambda path: _join([0, *path])[1:],
                "the blanks between words are still in it: drop the zeros",
            ),
            Mistake(
                lambda path: [
                    symbol
                    for before, symbol in zip([0, *path], path)
                    if symbol != 0 or before != symbol
                ],
                "`or` keeps too much: an id is kept if it is not 0 and differs "
                "from the one before",
            ),
            Mistake(
                lambda path: len(_oracle_collapse(path)),
                "that is how many words it says: return them",
            ),
        ],
        praise="join, then drop: and a blank keeps two equal words apart",
    )


def _digits(count, seed):
    generator = torch.Generator().manual_seed(seed)
    names = ("one", "two", "three", "four")
    drawn = torch.randint(4, (count,), generator=generator)
    return [names[i] for i in drawn.tolist()]


def word_errors(answer):
    """Exercise 3: the fewest changes between two lists of words."""
    return check(
        answer,
        oracle=edit_distance.oracle,
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
            *(
                Case(
                    (_digits(written, seed), _digits(said, 10 + seed)),
                    f"{written} and {said} random digits",
                )
                for seed, (written, said) in enumerate(
                    ((7, 7), (6, 8), (8, 6), (5, 7), (7, 5))
                )
            ),
        ],
        mistakes=edit_distance.MISTAKES,
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
            Case((_weights(201, 7, 3),), "201 words over seven frames"),
            Case((_weights(151, 12, 4),), "151 words over twelve frames"),
            Case(
                (_rows([[0.6, 0.2, 0.2, 0], [0.6, 0, 0, 0.4]]),),
                "a mean that moves where the middle does not",
            ),
            Case((_rows([[0.5, 0.5], [0.5, 0.5]]),), "a step that stands"),
            Case((torch.eye(5).double(),), "a perfect diagonal"),
            Case(
                (torch.eye(6).double()[[0, 1, 2, 4, 3, 5]],),
                "a diagonal with two words exchanged",
            ),
            Case((torch.eye(5).double().flip(0),), "a diagonal run backwards"),
        ],
        mistakes=centres.MISTAKES,
        praise="1 for a diagonal, 0 for one run backwards, about 0.5 by chance",
    )
