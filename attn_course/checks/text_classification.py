"""Checks of lesson 08's exercises."""

import math

import torch

from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import normal

NEVER = -math.inf


def weights(answer):
    """Exercise 1: the weights of three words with scores 2, 1 and 1."""
    e, ee = math.e, math.e**2
    return check_value(
        answer,
        [ee / (ee + 2 * e), e / (ee + 2 * e), e / (ee + 2 * e)],
        praise="e / (e + 2) and twice 1 / (e + 2): only differences of "
        "scores count",
        mistakes=[
            (
                [0.5, 0.25, 0.25],
                "those are the scores divided by their sum: raise e to each "
                "score first",
            ),
            ([ee, e, e], "those are the exponentials: divide by their sum"),
            (
                [e, 1.0, 1.0],
                "those are the exponentials, divided by e: divide by their sum",
            ),
            ([0.58, 0.21, 0.21], "nearly: give three digits"),
            ([57.61, 21.19, 21.19], "give shares, from 0 to 1"),
            ([57.6, 21.2, 21.2], "give shares, from 0 to 1"),
            (
                [e / (e + 2), 1 / (e + 2), 1 / (e + 2), 0.0],
                "right, but give the three words only, not the padding",
            ),
            (
                [x / (ee + 2 * e + 1) for x in (ee, e, e, 1.0)],
                "the padding, score 0, has got a share: it is masked",
            ),
            ([2.0, 1.0, 1.0], "those are the scores: take their softmax"),
            (
                [1 / 3, 1 / 3, 1 / 3],
                "that is mean pooling: the scores are not equal",
            ),
            ([1.0, 0.0, 0.0], "soft, not hard: no word gets weight 0"),
            (
                [x / (ee + 2 * e + 1) for x in (ee, e, e)],
                "the padding, score 0, has got a share: it is masked",
            ),
            (
                [
                    e / (e + 2 * e**0.5),
                    e**0.5 / (e + 2 * e**0.5),
                    e**0.5 / (e + 2 * e**0.5),
                ],
                "the scores are halved: the lesson's pooling divides by nothing",
            ),
            (
                [
                    math.exp(2 / 2**0.5)
                    / (math.exp(2 / 2**0.5) + 2 * math.exp(1 / 2**0.5)),
                    math.exp(1 / 2**0.5)
                    / (math.exp(2 / 2**0.5) + 2 * math.exp(1 / 2**0.5)),
                    math.exp(1 / 2**0.5)
                    / (math.exp(2 / 2**0.5) + 2 * math.exp(1 / 2**0.5)),
                ],
                "the scores are divided by the root of 2: the lesson's pooling "
                "divides by nothing",
            ),
        ],
    )


# Exercise 2: pooling --------------------------------------------------------


def _oracle_pool(states, mask, query):
    rows = []
    for text, real in zip(states, mask):
        powers = [
            torch.exp((state * query).sum()) * (1.0 if kept else 0.0)
            for state, kept in zip(text, real)
        ]
        total = sum(powers)
        if not any(real):
            rows.append(0 * text.sum(dim=0) + 0 * query)
            continue
        rows.append(sum(p / total * state for p, state in zip(powers, text)))
    return torch.stack(rows)


def _pool(after=None, fill=NEVER, scale=1.0, dim=-1):
    """A pooling that goes wrong at one point."""

    def pool(states, mask, query):
        scores = scale * (states @ query)  # (batch, length)
        if fill is not None:
            scores = scores.masked_fill(~mask, fill)
        weights = torch.softmax(scores, dim=dim)
        if after:
            weights = after(weights, mask)
        return (weights[..., None] * states).sum(dim=1)

    return pool


def _mean(states, mask, query):
    real = mask.to(states.dtype)
    weights = real / real.sum(dim=1, keepdim=True)
    return (weights[..., None] * states).sum(dim=1)


def _hardest(states, mask, query):
    scores = (states @ query).masked_fill(~mask, NEVER)
    return states[torch.arange(len(states)), scores.argmax(dim=1)]


def _summed(states, mask, query):
    scores = (states @ query) * mask
    return (scores[..., None] * states).sum(dim=1)


def _powers(states, mask, query):
    powers = (states @ query).masked_fill(~mask, NEVER).exp()
    return (powers[..., None] * states).sum(dim=1)


def _all_rows(states, mask, query):
    scores = (states @ query).masked_fill(~mask, NEVER)
    return torch.softmax(scores, dim=-1)[..., None] * states


def _mask(*lengths):
    longest = max(lengths)
    return torch.arange(longest) < torch.tensor(lengths)[:, None]


def pool(answer):
    """Exercise 2: attention pooling of a padded batch."""
    small = torch.tensor([[[1.0, 1.0], [0.0, 1.0], [9.0, 9.0]]])
    query = torch.tensor([1.0, 0.0])
    return check(
        answer,
        oracle=_oracle_pool,
        cases=[
            Case(
                (small, torch.tensor([[True, True, False]]), query),
                "the hand example, and one padded position",
            ),
            Case(
                (normal(3, 5, 4), _mask(5, 2, 3), normal(4)),
                "three texts of 5, 2 and 3 words",
            ),
            Case(
                (normal(2, 1, 3), _mask(1, 1), normal(3)),
                "two texts of one word",
            ),
            Case(
                (
                    normal(4, 4, 4, seed=3),
                    _mask(1, 4, 2, 4),
                    2 * normal(4, seed=5),
                ),
                "as many texts as words as numbers",
            ),
        ],
        mistakes=[
            Mistake(
                _pool(fill=None),
                "padding is mixed in: fill its scores with -inf before the "
                "softmax",
            ),
            Mistake(
                _pool(fill=0.0),
                "padding has got the score 0, and e to the 0 is 1: fill with "
                "-inf",
            ),
            Mistake(
                _pool(after=lambda w, mask: w * mask, fill=None),
                "the mask comes after the softmax, so the weights of the real "
                "words no longer sum to 1: fill the scores before it",
            ),
            Mistake(
                lambda s, m, q: _pool()(s, ~m, q),
                "the mask is the wrong way round: True is a real word",
            ),
            Mistake(
                _pool(dim=0),
                "the softmax runs over the texts of the batch: use dim=-1, "
                "over the words",
            ),
            Mistake(
                lambda s, m, q: _pool(fill=None)(s * m[..., None], m, q),
                "vectors of zeros still get the score 0, and e to the 0 is 1: "
                "fill the scores with -inf",
            ),
            Mistake(
                _powers,
                "the exponentials are not divided by their sum: use softmax",
            ),
            Mistake(
                lambda s, m, q: _all_rows(s, m, q).sum(dim=-1),
                "it adds up the numbers of each word: sum over the words, "
                "dim=1",
            ),
            Mistake(_mean, "that is mean pooling: the query has no say"),
            Mistake(
                _hardest,
                "it takes the best word whole: mix all of them by their "
                "weights",
            ),
            Mistake(
                _summed,
                "the scores themselves are taken for weights: softmax first",
            ),
            Mistake(
                _all_rows,
                "the weighted words are not added up: sum over dim=1",
            ),
            Mistake(
                lambda s, m, q: _pool(scale=1 / math.sqrt(s.shape[-1]))(
                    s, m, q
                ),
                "the scores are divided by the root of dim: here they are not",
            ),
            Mistake(
                lambda s, m, q: _pool()(s, m, q) * s.shape[1],
                "the sum is multiplied by the length: weights that sum to 1 "
                "need no factor",
            ),
            Mistake(
                lambda s, m, q: _pool()(s, m, q) / s.shape[1],
                "it is a mean of weighted words: weights that sum to 1 are a "
                "mean already, so use sum",
            ),
        ],
        praise="by hand, and whatever stands in the padding",
    )


# Exercise 3: deletion -------------------------------------------------------


def _oracle_delete(tokens, scores, count):
    rows = []
    for row, marks in zip(tokens.tolist(), scores.tolist()):
        positions = [i for i, token in enumerate(row) if token != 0]
        positions.sort(key=lambda i: -marks[i])
        gone = set(positions[:count])
        left = [t for i, t in enumerate(row) if t != 0 and i not in gone]
        rows.append(left + [0] * (len(row) - len(left)))
    return torch.tensor(rows, dtype=torch.int64)


def _delete(change):
    """A deletion in which ``change`` alters the scores first."""

    def delete(tokens, scores, count):
        return _oracle_delete(tokens, change(tokens, scores), count)

    return delete


def _holes(tokens, scores, count):
    scores = scores.masked_fill(tokens == 0, NEVER)
    top = scores.topk(min(count, scores.shape[1]), dim=1).indices
    return tokens.scatter(1, top, 0)


def _keep_only(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, NEVER)
    gone = _holes(tokens, ranked, count)
    return _oracle_delete(tokens.where(gone == 0, 0), scores, 0)


def _padding_too(tokens, scores, count):
    top = scores.topk(min(count, scores.shape[1]), dim=1).indices
    return _oracle_delete(tokens.scatter(1, top, 0), scores, 0)


def _same_positions(tokens, scores, count):
    top = scores[0].masked_fill(tokens[0] == 0, NEVER).topk(count).indices
    left = tokens.clone()
    left[:, top] = 0
    return _oracle_delete(left, scores, 0)


def _unknown(tokens, scores, count):
    gone = _holes(tokens, scores, count)
    return tokens.masked_fill((gone == 0) & (tokens != 0), 3)


def _sorted(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, NEVER)
    order = ranked.argsort(dim=1, descending=True)
    left = tokens.gather(1, order)[:, count:]
    return torch.cat([left, torch.zeros_like(tokens[:, :count])], dim=1)


def _by_number(tokens, scores, count):
    left = _oracle_delete(tokens, scores, count)
    return left.sort(dim=1, descending=True).values


def _padding_in_front(tokens, scores, count):
    left = _oracle_delete(tokens, scores, count)
    return left.gather(1, (left != 0).int().argsort(dim=1, stable=True))


def _last_ones(tokens, scores, count):
    return _oracle_delete(tokens, scores, count or tokens.shape[1])


def _zero_padding(tokens, scores, count):
    return _padding_too(tokens, scores.masked_fill(tokens == 0, 0.0), count)


def _whole_word(tokens, scores, count):
    rows = []
    gone = _holes(tokens, scores, count)
    for row, left in zip(tokens, gone):
        lost = set(row[left == 0].tolist())
        rows.append([0 if t in lost else t for t in row.tolist()])
    return _oracle_delete(torch.tensor(rows), scores, 0)


def _above_a_bar(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, NEVER)
    bar = ranked.sort(dim=1, descending=True).values[:, count - 1 : count]
    gone = (ranked >= bar) if count else torch.zeros_like(tokens).bool()
    return _oracle_delete(tokens.masked_fill(gone, 0), scores, 0)


def delete(answer):
    """Exercise 3: delete the words with the highest scores."""
    tokens = torch.tensor([[11, 12, 13, 14, 0, 0]])
    scores = torch.tensor([[0.1, 0.4, 0.3, 0.2, 0.5, 0.9]])
    more = torch.tensor(
        [[5, 6, 7, 6, 9], [8, 5, 0, 0, 0], [4, 9, 9, 4, 0], [7, 0, 0, 0, 0]]
    )
    marks = normal(4, 5, seed=2)
    twice = torch.tensor([[9, 9, 9, 5]])  # whichever two of the equals go
    return check(
        answer,
        oracle=_oracle_delete,
        cases=[
            Case((tokens, scores, 2), "one text of four words, two to delete"),
            Case((more, marks, 1), "four texts, one word each"),
            Case((more, -marks.abs(), 2), "scores below 0, two words each"),
            Case((more, marks, 0), "nothing to delete"),
            Case((twice, torch.tensor([[1.0, 1.0, 1.0, 0.5]]), 2), "equals"),
        ],
        mistakes=[
            Mistake(
                _padding_too,
                "padding is taken for words: give it the score -inf before "
                "you look for the highest",
            ),
            Mistake(
                _holes,
                "the deleted positions are left as holes: what stays must move "
                "together, padding at the end",
            ),
            Mistake(
                _delete(lambda t, s: -s),
                "it deletes the lowest scores: take the highest",
            ),
            Mistake(
                _delete(lambda t, s: s.abs()),
                "a score far below 0 is not a high one: do not take abs",
            ),
            Mistake(
                _keep_only,
                "it keeps the highest and deletes the others: the other way "
                "round",
            ),
            Mistake(
                _same_positions,
                "it deletes the first text's positions in every text: each text "
                "has scores of its own",
            ),
            Mistake(
                _above_a_bar,
                "it deletes every word whose score reaches a bar: of equal "
                "scores no more than count words may go",
            ),
            Mistake(_unknown, "the words become UNK: take them out instead"),
            Mistake(
                _sorted,
                "what is left stands in the order of the scores: keep the "
                "order of the text",
            ),
            Mistake(
                _delete(lambda t, s: -torch.arange(t.shape[1]).expand_as(t)),
                "it deletes the first words: look at the scores",
            ),
            Mistake(
                _by_number,
                "what is left stands in the order of the token numbers: keep "
                "the order of the text",
            ),
            Mistake(
                _padding_in_front,
                "padding has come in front: it belongs behind the words",
            ),
            Mistake(
                _last_ones,
                "with count 0 it deletes everything: [-count:] is then the "
                "whole row; sort descending and take [:count]",
            ),
            Mistake(
                _zero_padding,
                "padding has got the score 0, which is above words with "
                "scores below 0: use -inf",
            ),
            Mistake(
                _whole_word,
                "every copy of a word goes when one does: delete positions, not "
                "words",
            ),
            Mistake(
                lambda t, s, k: _oracle_delete(t, s, 1),
                "it always deletes one word: delete count of them",
            ),
        ],
        praise="each text loses its own words, and none of its padding",
    )


def lead(answer):
    """Exercise 4: a paired difference from counts."""
    n, first, second = 1000, 70, 40
    mean = (first - second) / n
    spread = math.sqrt((first + second) / n - mean**2)
    low = mean - 1.96 * spread / math.sqrt(n)
    unpaired = 1.96 * math.sqrt(0.8 * 0.2 / n + 0.77 * 0.23 / n)
    return check_value(
        answer,
        [mean, low],
        tolerance=6e-4,
        praise="0.03, and at least 0.0095: above 0, though each model's own "
        "interval is about 0.05 wide",
        mistakes=[
            (
                [mean, mean + 1.96 * spread / math.sqrt(n)],
                "that is the upper bound: asked is the lower",
            ),
            (
                [mean, mean - spread / math.sqrt(n)],
                "that is one standard error: 95 % take 1.96 of them",
            ),
            (
                [mean, mean - unpaired],
                "those are the errors of two separate test sets: here both read "
                "the same texts, so use the deviation of the differences",
            ),
            (
                [mean, mean - 1.96 * spread / n],
                "divide by the square root of 1000",
            ),
            (
                [mean, mean - 1.96 * spread],
                "that is how far single texts lie apart: divide by the root of "
                "1000",
            ),
            (
                [-mean, -mean - 1.96 * spread / math.sqrt(n)],
                "the sign is wrong: the first is right more often",
            ),
            (
                [110 / n, 110 / n - 1.96 * spread / math.sqrt(n)],
                "a text that only the second gets right counts -1: subtract",
            ),
            (
                [30 / 110, 30 / 110 - 1.96 * 0.0917],
                "divide by all 1,000 texts, not by the 110 that differ",
            ),
            (
                [30.0, 30.0 - 1.96 * spread * math.sqrt(n)],
                "those are texts: give shares, from 0 to 1",
            ),
            ([30.0, 9.5], "those are texts: give shares, from 0 to 1"),
            ([3.0, 0.95], "that is in per cent: give shares, from 0 to 1"),
            (
                [mean, 1.96 * spread / math.sqrt(n)],
                "the second is half the interval's width: subtract it from the "
                "lead",
            ),
            ([low, mean], "the lead first, then the bound"),
            (
                [mean, mean - 1.645 * spread / math.sqrt(n)],
                "1.645 leaves 5 % below: for 95 % in the middle take 1.96",
            ),
        ],
    )
