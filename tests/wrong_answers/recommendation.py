"""Answers to lesson 15's exercises: wrong ones with their hint, right ones."""

import math

import numpy as np
import torch
import torch.nn.functional as F

# --- exercise 2 ---------------------------------------------------------------


def right_hit(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    rivals = ~seen
    above = ((scores > own) & rivals).sum(dim=1)
    tied = ((scores == own) & rivals).sum(dim=1)
    return ((k - above) / tied).clamp(0, 1)


def filled_hit(scores, target, seen, k):
    scores = scores.masked_fill(seen, -math.inf)
    own = scores[torch.arange(len(scores)), target]
    above = (scores > own[:, None]).sum(dim=1).double()
    tied = (scores == own[:, None]).sum(dim=1)
    return torch.clamp(torch.clamp(k - above, min=0) / tied, max=1)


def loop_hit(scores, target, seen, k):
    found = []
    for row, t, had in zip(scores.tolist(), target.tolist(), seen.tolist()):
        left = [s for s, h in zip(row, had) if not h]
        above = sum(s > row[t] for s in left)
        tied = left.count(row[t])
        found.append(min(1.0, max(0.0, (k - above) / tied)))
    return torch.tensor(found)


def best_case(scores, target, seen, k):
    scores = scores.masked_fill(seen, -math.inf)
    own = scores.gather(1, target[:, None])
    return ((scores > own).sum(dim=1) < k).double()


def worst_case(scores, target, seen, k):
    scores = scores.masked_fill(seen, -math.inf)
    own = scores.gather(1, target[:, None])
    return ((scores >= own).sum(dim=1) <= k).double()


def with_seen(scores, target, seen, k):
    return right_hit(scores, target, torch.zeros_like(seen), k)


def only_seen(scores, target, seen, k):
    seen = (~seen).scatter(1, target[:, None], False)
    return right_hit(scores, target, seen, k)


def lowest_first(scores, target, seen, k):
    return right_hit(-scores, target, seen, k)


def too_many(scores, target, seen, k):
    return right_hit(scores, target, seen, k + 1)


def too_few(scores, target, seen, k):
    return right_hit(scores, target, seen, k - 1)


def no_clamp(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(dim=1)
    return (k - above) / ((scores == own) & ~seen).sum(dim=1)


def averaged(scores, target, seen, k):
    return right_hit(scores, target, seen, k).mean()


def middle(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(dim=1)
    tied = ((scores == own) & ~seen).sum(dim=1)
    return (above + (tied + 1) / 2 <= k).double()


def middle_from_zero(scores, target, seen, k):
    kept = scores.masked_fill(seen, -math.inf)
    own = kept.gather(1, target[:, None])
    ties = (kept == own).sum(dim=1) - 1
    return ((kept > own).sum(dim=1) + ties / 2 < k).double()


def by_topk(scores, target, seen, k):
    best = scores.masked_fill(seen, -math.inf).topk(k, dim=1).indices
    return (best == target[:, None]).any(dim=1).double()


def by_sorting(scores, target, seen, k):
    order = scores.masked_fill(seen, -math.inf).argsort(
        dim=1, descending=True, stable=True
    )
    place = order.argsort(dim=1).gather(1, target[:, None])[:, 0]
    return (place < k).double()


def without_itself(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(dim=1)
    tied = ((scores == own) & ~seen).sum(dim=1) - 1
    return ((k - above) / tied).clamp(0, 1)


def seen_is_zero(scores, target, seen, k):
    scores = torch.where(seen, 0.0, scores)
    return right_hit(scores, target, torch.zeros_like(seen), k)


# --- exercise 3 ---------------------------------------------------------------


def right_pairs(tokens, items, lag):
    first, then = tokens[:, :-lag].flatten(), tokens[:, lag:].flatten()
    real = then != 0
    counts = torch.zeros(items + 1, items + 1)
    counts.index_put_(
        (first[real], then[real]), torch.ones(int(real.sum())), accumulate=True
    )
    return counts


def bincount_pairs(tokens, items, lag):
    size = items + 1
    places = size * tokens[:, :-lag] + tokens[:, lag:]
    places = places[tokens[:, lag:] != 0]
    return torch.bincount(places, minlength=size * size).view(size, size)


def loop_pairs(tokens, items, lag):
    counts = torch.zeros(items + 1, items + 1)
    for row in tokens:
        for place in range(len(row) - lag):
            if row[place + lag] != 0:
                counts[row[place], row[place + lag]] += 1
    return counts


def written_once(tokens, items, lag):
    counts = torch.zeros(items + 1, items + 1)
    first, then = tokens[:, :-lag], tokens[:, lag:]
    real = then != 0
    counts[first[real], then[real]] += 1
    return counts


def with_padding(tokens, items, lag):
    size = items + 1
    places = size * tokens[:, :-lag] + tokens[:, lag:]
    return torch.bincount(places.flatten(), minlength=size**2).view(size, size)


def across_people(tokens, items, lag):
    return right_pairs(tokens[tokens != 0][None], items, lag)


def turned(tokens, items, lag):
    return right_pairs(tokens, items, lag).T


def later_padding(tokens, items, lag):
    counts = torch.zeros(items + 1, items + 1)
    for row in tokens.tolist():
        for first, then in zip(row, row[lag:]):
            if first != 0:
                counts[first, then] += 1
    return counts


def one_too_far(tokens, items, lag):
    return right_pairs(tokens, items, lag + 1)


def always_next(tokens, items, lag):
    return right_pairs(tokens, items, 1)


def up_to(tokens, items, lag):
    return sum(right_pairs(tokens, items, n + 1) for n in range(lag))


def as_shares(tokens, items, lag):
    counts = right_pairs(tokens, items, lag)
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)


def without_row_0(tokens, items, lag):
    return right_pairs(tokens, items, lag)[1:, 1:]


# --- exercise 4 ---------------------------------------------------------------


def right_last(states, tokens):
    lengths = (tokens != 0).sum(dim=1)
    found = states[torch.arange(len(states)), lengths - 1]
    return found * (lengths > 0)[:, None]


def gathered_last(states, tokens):
    lengths = (tokens != 0).sum(dim=1)
    place = (lengths - 1).clamp(min=0)[:, None, None]
    found = states.gather(1, place.expand(-1, 1, states.shape[-1]))[:, 0]
    return torch.where(lengths[:, None] > 0, found, torch.zeros_like(found))


def marked_last(states, tokens):
    real = tokens != 0
    after = torch.cat([real[:, 1:], torch.zeros_like(real[:, :1])], dim=1)
    mark = (real & ~after).to(states.dtype)
    return (mark[..., None] * states).sum(dim=1)


def at_the_end(states, tokens):
    return states[:, -1]


def at_the_end_but_empty(states, tokens):
    return states[:, -1] * (tokens != 0).any(dim=1)[:, None]


def too_far(states, tokens):
    lengths = (tokens != 0).sum(dim=1).clamp(max=tokens.shape[1] - 1)
    return states[torch.arange(len(states)), lengths]


def minus_one(states, tokens):
    lengths = (tokens != 0).sum(dim=1)
    return states[torch.arange(len(states)), lengths - 1]


def clamped(states, tokens):
    lengths = (tokens != 0).sum(dim=1)
    return states[torch.arange(len(states)), (lengths - 1).clamp(min=0)]


def first_one(states, tokens):
    return states[:, 0] * (tokens != 0).any(dim=1)[:, None]


def mean_of_all(states, tokens):
    real = (tokens != 0)[..., None]
    return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


def sum_of_all(states, tokens):
    return (states * (tokens != 0)[..., None]).sum(dim=1)


def extra_dimension(states, tokens):
    return right_last(states, tokens)[:, None]


def cut_off(states, tokens):
    return right_last(states.detach(), tokens)


def counted_equal(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores >= own) & ~seen).sum(1)
    tied = ((scores == own) & ~seen).sum(1)
    return ((k - above) / tied).clamp(0, 1)


def seen_ties(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(1)
    tied = (scores == own).sum(1)
    return ((k - above) / tied).clamp(0, 1)


def lower(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(1)
    tied = ((scores == own) & ~seen).sum(1)
    return ((k - above) / tied).clamp(min=0)


def upper(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(1)
    tied = ((scores == own) & ~seen).sum(1)
    return ((k - above) / tied).clamp(max=1)


def argsort_ranks(scores, target, seen, k):
    s = scores.masked_fill(seen, -math.inf)
    r = s.argsort(dim=1, descending=True)
    return (r[torch.arange(len(s)), target] < k).float()


def double_argsort(scores, target, seen, k):
    s = scores.masked_fill(seen, -math.inf)
    r = s.argsort(dim=1, descending=True).argsort(dim=1)
    return (r[torch.arange(len(s)), target] < k).float()


def rank_ret(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(1)
    tied = ((scores == own) & ~seen).sum(1)
    return above + (tied + 1) / 2


def recip(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(1)
    return 1 / (above + 1)


def ndcg(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    r = ((scores > own) & ~seen).sum(1) + 1
    return torch.where(r <= k, 1 / torch.log2(1.0 + r), 0.0)


def minus1(scores, target, seen, k):
    s = scores.masked_fill(seen, -1.0)
    own = s.gather(1, target[:, None])
    above = (s > own).sum(1)
    tied = (s == own).sum(1)
    return ((k - above) / tied).clamp(0, 1)


def perk(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(1)
    tied = ((scores == own) & ~seen).sum(1)
    return ((k - above) / tied).clamp(0, 1) / k


def total_k(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(1)
    return (k - above).clamp(min=0) / k


def strict_k(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(1)
    return (above <= k).float()


def topk_seen(scores, target, seen, k):
    return (
        (scores.topk(min(k, scores.shape[1]), 1).indices == target[:, None])
        .any(1)
        .float()
    )


def rounded_share(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum(1)
    tied = ((scores == own) & ~seen).sum(1)
    return ((k - above) / tied).clamp(0, 1).round()


def allusers(scores, target, seen, k):
    own = scores.gather(1, target[:, None])
    above = ((scores > own) & ~seen).sum()
    tied = ((scores == own) & ~seen).sum()
    return ((k - above) / tied).clamp(0, 1)


def unseen(scores, target, seen, k):
    scores = scores.masked_fill(~seen, -math.inf)
    own = scores.gather(1, target[:, None])
    above = (scores > own).sum(1)
    tied = (scores == own).sum(1)
    return ((k - above) / tied).clamp(0, 1)


def removed_shift(scores, target, seen, k):
    out = []
    for u in range(len(scores)):
        left = scores[u][~seen[u]]
        own = left[target[u]] if target[u] < len(left) else left[-1]
        a = (left > own).sum()
        t = (left == own).sum()
        out.append(((k - a) / t).clamp(0, 1))
    return torch.stack(out)


def sym(tokens, items, lag):
    c = torch.zeros(items + 1, items + 1, dtype=torch.long)
    for row in tokens.tolist():
        row = [i for i in row if i]
        for a, b in zip(row, row[lag:]):
            c[a, b] += 1
            c[b, a] += 1
    return c


def lastpair(tokens, items, lag):
    c = torch.zeros(items + 1, items + 1, dtype=torch.long)
    for row in tokens.tolist():
        row = [i for i in row if i]
        for n in range(len(row) - lag - 1):
            c[row[n], row[n + lag]] += 1
    return c


def lastcol(tokens, items, lag):
    c = torch.zeros(items + 1, items + 1, dtype=torch.long)
    for row in tokens.tolist():
        for n in range(len(row) - lag - 1):
            if row[n] and row[n + lag]:
                c[row[n], row[n + lag]] += 1
    return c


def rolled(tokens, items, lag):
    then = tokens.roll(-lag, 1)
    ok = (tokens != 0) & (then != 0)
    c = torch.zeros(items + 1, items + 1, dtype=torch.long)
    return c.index_put(
        (tokens[ok], then[ok]),
        torch.ones(int(ok.sum()), dtype=torch.long),
        accumulate=True,
    )


def alllater(tokens, items, lag):
    c = torch.zeros(items + 1, items + 1, dtype=torch.long)
    for row in tokens.tolist():
        row = [i for i in row if i]
        for n in range(len(row)):
            for m in range(n + 1, len(row)):
                c[row[n], row[m]] += 1
    return c


def aliased(tokens, items, lag):
    c = [[0] * (items + 1)] * (items + 1)
    for row in tokens.tolist():
        row = [i for i in row if i]
        for a, b in zip(row, row[lag:]):
            c[a][b] += 1
    return torch.tensor(c)


def onceper(tokens, items, lag):
    c = torch.zeros(items + 1, items + 1, dtype=torch.long)
    for row in tokens.tolist():
        row = [i for i in row if i]
        for a, b in set(zip(row, row[lag:])):
            c[a, b] += 1
    return c


def lagstep(tokens, items, lag):
    c = torch.zeros(items + 1, items + 1, dtype=torch.long)
    for row in tokens.tolist():
        row = [i for i in row if i]
        for a, b in zip(row[::lag], row[lag::lag]):
            c[a, b] += 1
    return c


def notsq(tokens, items, lag):
    c = torch.zeros(items, items, dtype=torch.long)
    for row in tokens.tolist():
        row = [i for i in row if i]
        for a, b in zip(row, row[lag:]):
            c[a, b] += 1
    return c


def return_in(tokens, items, lag):
    for row in tokens.tolist():
        c = torch.zeros(items + 1, items + 1)
        row = [x for x in row if x]
        for a, b in zip(row, row[lag:]):
            c[a, b] += 1
    return c


def negative(tokens, items, lag):
    c = torch.zeros(items + 1, items + 1)
    for row in tokens.tolist():
        row = [x for x in row if x]
        for n in range(len(row)):
            c[row[n - lag], row[n]] += 1
    return c


def histog(tokens, items, lag):
    first, then = tokens[:, :-lag], tokens[:, lag:]
    key = (first * items + then)[then != 0]
    return torch.bincount(key, minlength=(items + 1) ** 2)[
        : (items + 1) ** 2
    ].view(items + 1, items + 1)


def from_lag(tokens, items, lag):
    c = torch.zeros(items + 1, items + 1)
    for row in tokens.tolist():
        r = [x for x in row if x]
        for n in range(lag, len(r) - lag):
            c[r[n], r[n + lag]] += 1
    return c


def once_pad(tokens, items, lag):
    c = torch.zeros(items + 1, items + 1, dtype=torch.long)
    c[tokens[:, :-lag], tokens[:, lag:]] += 1
    return c


def index_err(tokens, items, lag):
    c = torch.zeros(items + 1, items + 1)
    for row in tokens.tolist():
        for n in range(len(row)):
            if row[n] and row[n + lag]:
                c[row[n], row[n + lag]] += 1
    return c


def colnm1(states, tokens):
    n = (tokens != 0).sum(1)
    return states[:, n - 1]


def indexerr(states, tokens):
    n = (tokens != 0).sum(1)
    return states[torch.arange(len(states)), n]


def allpos(states, tokens):
    return states * (tokens != 0)[..., None]


def emptyout(states, tokens):
    n = (tokens != 0).sum(1)
    return torch.stack([states[i, k - 1] for i, k in enumerate(n) if k > 0])


def early(states, tokens):
    n = (tokens != 0).sum(1)
    return (
        states[torch.arange(len(states)), (n - 2).clamp(min=0)]
        * (n > 0)[:, None]
    )


def meanpad(states, tokens):
    return states.mean(1)


def meanmask(states, tokens):
    return (states * (tokens != 0)[..., None]).mean(1)


def maxp(states, tokens):
    return states.masked_fill((tokens == 0)[..., None], -1e9).amax(1)


def maxtoken(states, tokens):
    return (
        states[torch.arange(len(states)), tokens.argmax(1)]
        * (tokens != 0).any(1)[:, None]
    )


def onesempty(states, tokens):
    n = (tokens != 0).sum(1)
    out = states[torch.arange(len(states)), (n - 1).clamp(min=0)]
    return out.masked_fill((n == 0)[:, None], -math.inf)


def nogather(states, tokens):
    n = (tokens != 0).sum(1)
    return states.gather(1, (n - 1).clamp(min=0)[:, None, None])[:, 0]


def lastuser(states, tokens):
    return states[-1]


def padpos(states, tokens):
    real = tokens != 0
    return (states * real[..., None])[:, -1]


def keep(states, tokens):
    n = (tokens != 0).sum(1)
    return states[torch.arange(len(states)), (n - 1).clamp(min=0)] * n[:, None]


def py(states, tokens):
    return torch.stack([s[t != 0][-1] for s, t in zip(states, tokens)])


def numpy_hit(scores, target, seen, k):
    s = scores.numpy().astype(float)
    out = []
    for u in range(len(s)):
        t = int(target[u])
        ok = ~seen[u].numpy()
        a = (s[u][ok] > s[u, t]).sum()
        e = (s[u][ok] == s[u, t]).sum()
        out.append(np.clip((k - a) / e, 0, 1))
    return torch.from_numpy(np.array(out))


def one_hot_pairs(tokens, items, lag):
    a = F.one_hot(tokens[:, :-lag], items + 1).double()
    b = F.one_hot(tokens[:, lag:], items + 1).double()
    c = torch.einsum("uli,ulj->ij", a, b)
    c[0] = 0
    c[:, 0] = 0
    return c


def summed_last(states, tokens):
    p = torch.arange(1, tokens.shape[1] + 1) * (tokens != 0)
    w = ((p == p.amax(1, keepdim=True)) & (p > 0)).to(states.dtype)
    return torch.einsum("ul,uld->ud", w, states)


def from_the_end(states, tokens):
    lengths = (tokens != 0).sum(1)
    return states[torch.arange(len(states)), -lengths]


WRONG = {
    "metrics": [
        ([2 / 30, 0.05], "do not divide HR by 10"),
        ([2, 0.5], "HR is a sum"),
        ([2 / 3, 1.5], "NDCG is a sum"),
        ([2 / 3, 0.8155], "divide by all three"),
        ([1 / 3, 0.5], "not of misses"),
        ([0.2, 0.15], "divide by the people"),
        ([2 / 3, 1.0], "divided by it"),
        ([2 / 3, 1.661], "to base 10"),
        ([2 / 3, 0.354], "ranks begin with 1"),
        ([1, 1.5], "NDCG is a sum"),
        ([3, 1.5], "2 of 3 are hits"),
        ([2 / 3, 2 / 3], "a hit counts 1 / log2"),
        ([0.5, 0.5], "is not it"),
        ([0.5, 0.6667], "HR first"),
        ([2.0, 1.5], "divide by the three people"),
        ([1.0, 0.5901], "not among the first 10"),
        ([0.6667, 0.5901], "its gain is 0 too"),
        ([0.6667, 0.75], "the one who missed too"),
        ([0.6667, 0.4444], "1 / rank"),
        ([0.6667, 0.5436], "1 +"),
        ([0.6667, 0.7213], "base 2"),
        ([6.6667, 5.0], "do not multiply"),
        ([1.0, 0.5], "counts it 0"),
        ([66.667, 50.0], "not per cent"),
        ([66.7, 50], "not per cent"),
        ([67, 50], "not per cent"),
        ([0.66, 0.5], "cut, not rounded"),
        ([0.6667], "expected 2 numbers"),
        (0.6667, "expected 2 numbers"),
        ("two thirds", "expected numbers"),
    ],
    "hit": [
        (counted_equal, "(>=)"),
        (seen_ties, "among the tied"),
        (lower, "from above too"),
        (upper, "from below too"),
        (argsort_ranks, "order[target] is another item's number"),
        (double_argsort, "an order that means nothing"),
        (rank_ret, "that is the rank"),
        (recip, "that is 1 / rank"),
        (ndcg, "that is the gain of NDCG"),
        (minus1, "score -1 still stands above"),
        (perk, "divided by k"),
        (total_k, "how far up it stands"),
        (strict_k, "one rank too many"),
        (topk_seen, "are ranked too"),
        (rounded_share, "rounded share"),
        (allusers, "counted together"),
        (unseen, "wrong way round"),
        (removed_shift, "numbers differ"),
        (best_case, "put behind it"),
        (worst_case, "all put before it"),
        (middle, "not the mean hit"),
        (middle_from_zero, "not the mean hit"),
        (with_seen, "has seen are ranked too"),
        (only_seen, "wrong way round"),
        (lowest_first, "high scores come first"),
        (too_many, "one rank too many"),
        (too_few, "one rank too few"),
        (no_clamp, "clamp it"),
        (averaged, "no mean yet"),
        (by_topk, "an order that means nothing"),
        (by_sorting, "an order that means nothing"),
        (without_itself, "the target itself"),
        (seen_is_zero, "still stands above"),
        (lambda scores, target, seen, k: scores, "shape"),
    ],
    "count_pairs": [
        (sym, "both ways"),
        (lastpair, "last pair of a history"),
        (lastcol, "last position is forgotten"),
        (rolled, "roll goes round"),
        (alllater, "every later item"),
        (aliased, "all rows are the same one"),
        (onceper, "once per person"),
        (lagstep, "steps of lag"),
        (notsq, "too small"),
        (return_in, "only the last person"),
        (negative, "counts from the end"),
        (histog, "first * (items + 1)"),
        (from_lag, "begin with position 0"),
        (once_pad, "counted once"),
        (index_err, "list index out of range"),
        (written_once, "counted once"),
        (with_padding, "as if it were an item"),
        (across_people, "each other's past"),
        (later_padding, "later position is padding"),
        (one_too_far, "one position too far"),
        (turned, "the earlier item is the row"),
        (always_next, "lag positions on"),
        (up_to, "only lag is asked for"),
        (as_shares, "those are shares"),
        (without_row_0, "row and column of padding"),
        (lambda tokens, items, lag: tokens, "shape"),
    ],
    "last_state": [
        (from_the_end, "counts padding from the start"),
        (colnm1, "`:` takes every row"),
        (indexerr, "one position too far"),
        (allpos, "all positions are kept"),
        (emptyout, "keeps its row"),
        (early, "before the last one"),
        (meanpad, "with padding"),
        (meanmask, "whole length"),
        (maxp, "largest number of each column"),
        (maxtoken, "largest item number"),
        (onesempty, "gets -inf"),
        (nogather, "only the first number"),
        (lastuser, "all states of one person"),
        (padpos, "then the last position taken"),
        (keep, "multiplied by the number"),
        (py, "IndexError"),
        (at_the_end, "which is padding"),
        (at_the_end_but_empty, "which is padding"),
        (too_far, "one position too far"),
        (minus_one, "position -1"),
        (clamped, "the state of padding"),
        (first_one, "takes the first item"),
        (mean_of_all, "that is the mean"),
        (sum_of_all, "that is the sum"),
        (extra_dimension, "one dimension too many"),
    ],
}

RIGHT = {
    "metrics": [
        [2 / 3, 0.5],
        (0.667, 0.5),
        (0.67, 0.5),
        torch.tensor([2 / 3, (1 + 1 / math.log2(4)) / 3]),
    ],
    "hit": [numpy_hit, right_hit, filled_hit, loop_hit],
    "count_pairs": [one_hot_pairs, right_pairs, bincount_pairs, loop_pairs],
    "last_state": [
        summed_last,
        cut_off,
        right_last,
        gathered_last,
        marked_last,
    ],
}
