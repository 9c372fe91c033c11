"""Attention poolings, a right one and wrong ones, for lesson 08's check."""

import math

import torch

from attn_course.checks.engine import Mistake

NEVER = -math.inf


def pool_loop(states, mask, query):
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


def pool_by(after=None, fill=NEVER, scale=1.0, dim=-1):
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


def masked_scores(states, mask, query, fill=NEVER):
    return (states @ query).masked_fill(~mask, fill)


def weighted(weights, states):
    """(batch, length) and (batch, length, dim) to (batch, dim)."""
    return (weights[..., None] * states).sum(dim=1)


def over_the_batch(states, mask, query):
    scores = masked_scores(states, mask, query)
    weights = scores.flatten().softmax(0).view_as(scores)
    return weighted(weights, states)


def number_by_number(states, mask, query):
    scores = (states * query).masked_fill(~mask[..., None], NEVER)
    return (scores.softmax(dim=1) * states).sum(dim=1)


def by_cosine(states, mask, query):
    lengths = states.norm(dim=-1) * query.norm()
    scores = ((states @ query) / lengths).masked_fill(~mask, NEVER)
    return weighted(scores.softmax(-1), states)


def all_words_as_one_text(states, mask, query):
    words = states[mask]
    return ((words @ query).softmax(0) @ words).expand(len(states), -1)


def mean_pool(states, mask, query):
    real = mask.to(states.dtype)
    weights = real / real.sum(dim=1, keepdim=True)
    return (weights[..., None] * states).sum(dim=1)


def hardest(states, mask, query):
    scores = (states @ query).masked_fill(~mask, NEVER)
    return states[torch.arange(len(states)), scores.argmax(dim=1)]


def summed(states, mask, query):
    scores = (states @ query) * mask
    return (scores[..., None] * states).sum(dim=1)


def powers_pool(states, mask, query):
    powers = (states @ query).masked_fill(~mask, NEVER).exp()
    return (powers[..., None] * states).sum(dim=1)


def all_rows(states, mask, query):
    scores = (states @ query).masked_fill(~mask, NEVER)
    return torch.softmax(scores, dim=-1)[..., None] * states


WRONG_POOLINGS = [
    Mistake(
        pool_by(fill=None),
        "padding is mixed in: fill its scores with -inf before the softmax",
    ),
    Mistake(
        pool_by(fill=0.0),
        "padding has got the score 0, and e to the 0 is 1: fill with -inf",
    ),
    Mistake(
        pool_by(after=lambda w, mask: w * mask, fill=None),
        "the mask comes after the softmax, so the weights of the real "
        "words no longer sum to 1: fill the scores before it",
    ),
    Mistake(
        lambda s, m, q: pool_by()(s, ~m, q),
        "the mask is the wrong way round: True is a real word",
    ),
    Mistake(
        pool_by(dim=0),
        "the softmax runs over the texts of the batch: use dim=-1, "
        "over the words",
    ),
    Mistake(
        lambda s, m, q: pool_by(fill=None)(s * m[..., None], m, q),
        "vectors of zeros still get the score 0, and e to the 0 is 1: "
        "fill the scores with -inf",
    ),
    Mistake(
        powers_pool,
        "the exponentials are not divided by their sum: use softmax",
    ),
    Mistake(
        lambda s, m, q: all_rows(s, m, q).sum(dim=-1),
        "it adds up the numbers of each word: sum over the words, dim=1",
    ),
    Mistake(mean_pool, "that is mean pooling: the query has no say"),
    Mistake(
        pool_by(dim=0, fill=-1e9),
        "the softmax runs over the texts of the batch: use dim=-1, "
        "over the words",
    ),
    Mistake(
        lambda s, m, q: pool_by(fill=-1e9)(s, ~m, q),
        "the mask is the wrong way round: True is a real word",
    ),
    Mistake(
        lambda s, m, q: pool_by()(s, m, q)[:, None],
        "the dimension of the one query is left: squeeze(1) takes it out",
    ),
    Mistake(
        lambda s, m, q: (s @ q).masked_fill(~m, NEVER).softmax(-1),
        "those are the weights: return the states' sum, weighted by them",
    ),
    Mistake(
        lambda s, m, q: all_rows(s, m, q).amax(dim=1),
        "it takes the largest of the weighted words: add them up",
    ),
    Mistake(
        lambda s, m, q: (
            (s.tanh() @ q).masked_fill(~m, NEVER).softmax(-1)[:, None] @ s
        ).squeeze(1),
        "the states go through tanh before the query: here they do not",
    ),
    Mistake(
        hardest,
        "it takes the best word whole: mix all of them by their weights",
    ),
    Mistake(
        summed, "the scores themselves are taken for weights: softmax first"
    ),
    Mistake(all_rows, "the weighted words are not added up: sum over dim=1"),
    Mistake(
        lambda s, m, q: pool_by(scale=1 / math.sqrt(s.shape[-1]))(s, m, q),
        "the scores are divided by the root of dim: here they are not",
    ),
    *(
        Mistake(
            pool_by(fill=low),
            "padding still has a share, as e to its low score is not "
            "0: fill with -inf",
        )
        for low in (-1.0, -10.0)
    ),
    Mistake(
        lambda s, m, q: weighted((s @ q + m).softmax(-1), s),
        "the mask is added, and True counts 1: fill the scores of "
        "padding with -inf",
    ),
    Mistake(
        lambda s, m, q: weighted((s @ q).sigmoid() * m, s),
        "sigmoid looks at each score alone: softmax makes weights "
        "that sum to 1",
    ),
    Mistake(
        lambda s, m, q: pool_by()(s, m, q) / m.sum(1, keepdim=True),
        "it divides by the number of words: weights that sum to 1 are "
        "a mean already, so use sum",
    ),
    Mistake(
        lambda s, m, q: s.sum(dim=1),
        "every word has the weight 1: does the softmax run over a "
        "dimension of size 1?",
    ),
    Mistake(
        over_the_batch,
        "the softmax runs over all texts together: dim=-1 is the "
        "words of each",
    ),
    Mistake(
        number_by_number,
        "each number of a word has a weight of its own: a score is "
        "the sum of state times query, one a word",
    ),
    Mistake(
        by_cosine, "the scores are cosines: the plain dot product is asked"
    ),
    Mistake(
        all_words_as_one_text,
        "states[mask] puts the words of all texts into one row: each "
        "text has weights of its own",
    ),
    Mistake(
        lambda s, m, q: pool_by()(s, m, -q),
        "the sign of the scores is turned: the highest score gets the "
        "largest weight",
    ),
    Mistake(
        lambda s, m, q: weighted(
            masked_scores(s, m, q).softmax(-1).softmax(-1), s
        ),
        "the softmax is taken twice: once is enough",
    ),
    *(
        Mistake(
            lambda s, m, q, fill=fill: weighted(
                masked_scores(s, m, q, fill).log_softmax(-1), s
            ),
            "log_softmax gives logs of weights: use softmax",
        )
        for fill in (NEVER, -1e9)
    ),
    Mistake(
        lambda s, m, q: (
            masked_scores(s, m, q, -1e9).softmax(-1)
            * masked_scores(s, m, q, -1e9)
        ).sum(-1),
        "the scores are weighted: weight the states",
    ),
    Mistake(
        lambda s, m, q: s.masked_fill(~m[..., None], NEVER).amax(1),
        "that is max pooling: the query has no say",
    ),
    Mistake(
        lambda s, m, q: s.mean(dim=1),
        "that is the mean of all positions: the query has no say, and "
        "padding counts",
    ),
    Mistake(
        lambda s, m, q: s[:, 0],
        "that is the first word's state: mix all words by weight",
    ),
    Mistake(
        lambda s, m, q: pool_by()(s, m, q) * s.shape[1],
        "the sum is multiplied by the length: weights that sum to 1 "
        "need no factor",
    ),
    Mistake(
        lambda s, m, q: pool_by()(s, m, q) / s.shape[1],
        "it is a mean of weighted words: weights that sum to 1 are a "
        "mean already, so use sum",
    ),
    Mistake(
        lambda s, m, q: pool_by(scale=1 / s.shape[-1])(s, m, q),
        "the scores are divided by dim: here they are not",
    ),
    Mistake(
        lambda s, m, q: pool_by(scale=s.shape[1] ** -0.5)(s, m, q),
        "the scores are divided by the root of the length: here they are not",
    ),
    Mistake(
        lambda s, m, q: pool_by()(s, m[:1], q),
        "the first text's mask is used for all: each text has its own",
    ),
    Mistake(
        lambda s, m, q: (
            pool_by()(s, m, q),
            masked_scores(s, m, q).softmax(-1),
        ),
        "it returns the weights as well: return the pooled states alone",
    ),
    Mistake(
        lambda s, m, q: pool_by()(s, m, q) + q,
        "the query is added to the result: the states alone are mixed",
    ),
]
