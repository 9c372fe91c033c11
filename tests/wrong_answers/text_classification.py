"""Answers to lesson 08's exercises: wrong ones with their hint, right ones."""

import math

import numpy as np
import torch
from torch.nn import functional as F

E = math.e


def right_pool(states, mask, query):
    scores = (states @ query).masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return (weights[:, None] @ states)[:, 0]


def loop_pool(states, mask, query):
    rows = []
    for text, real in zip(states, mask):
        kept = text[real]
        rows.append(torch.softmax(kept @ query, dim=0) @ kept)
    return torch.stack(rows)


def einsum_pool(states, mask, query):
    powers = torch.einsum("bld,d->bl", states, query).exp() * mask
    weights = powers / powers.sum(dim=1, keepdim=True)
    return torch.einsum("bl,bld->bd", weights, states)


def torch_pool(states, mask, query):
    asked = query.expand(len(states), 1, -1)
    found = F.scaled_dot_product_attention(
        asked, states, states, attn_mask=mask[:, None], scale=1.0
    )
    return found.squeeze(1)


def no_mask(states, mask, query):
    return torch.einsum(
        "bl,bld->bd", torch.softmax(states @ query, dim=-1), states
    )


def zero_scores(states, mask, query):
    weights = torch.softmax(mask * (states @ query), dim=-1)
    return torch.einsum("bl,bld->bd", weights, states)


def mask_after(states, mask, query):
    weights = torch.softmax(states @ query, dim=-1) * mask
    return torch.einsum("bl,bld->bd", weights, states)


def zero_states(states, mask, query):
    states = states.masked_fill(~mask[..., None], 0.0)
    weights = torch.softmax(states @ query, dim=-1)
    return torch.einsum("bl,bld->bd", weights, states)


def powers_only(states, mask, query):
    powers = (states @ query).exp() * mask
    return torch.einsum("bl,bld->bd", powers, states)


def over_numbers(states, mask, query):
    return not_summed(states, mask, query).sum(-1)


def over_texts(states, mask, query):
    scores = (states @ query).masked_fill(~mask, -math.inf)
    return torch.einsum("bl,bld->bd", scores.softmax(dim=0), states)


def mean_pool(states, mask, query):
    return torch.stack([t[m].mean(dim=0) for t, m in zip(states, mask)])


def best_word(states, mask, query):
    rows = []
    for text, real in zip(states, mask):
        kept = text[real]
        rows.append(kept[(kept @ query).argmax()])
    return torch.stack(rows)


def raw_scores(states, mask, query):
    return torch.einsum("bl,bld->bd", (states @ query) * mask, states)


def not_summed(states, mask, query):
    scores = (states @ query).masked_fill(~mask, -math.inf)
    return torch.softmax(scores, dim=-1).unsqueeze(-1) * states


def scaled(states, mask, query):
    return right_pool(states, mask, query / math.sqrt(len(query))) + 0 * query


def mean_of_weighted(states, mask, query):
    return not_summed(states, mask, query).mean(dim=1)


def right_delete(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, -math.inf)
    top = ranked.argsort(dim=1, descending=True)[:, :count]
    left = tokens.scatter(1, top, 0)
    order = (left == 0).to(torch.uint8).argsort(dim=1, stable=True)
    return left.gather(1, order)


def loop_delete(tokens, scores, count):
    result = torch.zeros_like(tokens)
    for i in range(len(tokens)):
        length = int((tokens[i] != 0).sum())
        marks = scores[i].tolist()
        ranked = sorted(range(length), key=lambda j: -marks[j])
        kept = sorted(ranked[count:])
        result[i, : len(kept)] = tokens[i, kept]
    return result


def one_by_one(tokens, scores, count):
    tokens, scores = tokens.clone(), scores.detach().clone()
    for _ in range(count):
        for row, marks in zip(tokens, scores):
            if row[0] == 0:
                continue
            position = marks.masked_fill(row == 0, -math.inf).argmax()
            row[position:-1] = row[position + 1 :].clone()
            marks[position:-1] = marks[position + 1 :].clone()
            row[-1] = 0
    return tokens


def close_up(left):
    rows = [row[row != 0] for row in left]
    return torch.stack([F.pad(r, (0, left.shape[1] - len(r))) for r in rows])


def holes(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, -math.inf)
    return tokens.scatter(1, ranked.topk(count, dim=1).indices, 0)


def padding_counts(tokens, scores, count):
    return close_up(tokens.scatter(1, scores.topk(count, dim=1).indices, 0))


def above_a_bar(tokens, scores, count):
    rows = []
    for row, marks in zip(tokens.tolist(), scores.tolist()):
        words = [(t, s) for t, s in zip(row, marks) if t != 0]
        bars = sorted((s for _, s in words), reverse=True)[:count]
        left = [t for t, s in words if not bars or s < bars[-1]]
        rows.append(left + [0] * (len(row) - len(left)))
    return torch.tensor(rows)


def keeps_top(tokens, scores, count):
    gone = holes(tokens, scores, count)
    return close_up(torch.where(gone == 0, tokens, 0))


def first_texts_positions(tokens, scores, count):
    ranked = scores[0].masked_fill(tokens[0] == 0, -math.inf)
    left = tokens.clone()
    left[:, ranked.topk(count).indices] = 0
    return close_up(left)


def to_unknown(tokens, scores, count):
    gone = holes(tokens, scores, count)
    return torch.where((gone == 0) & (tokens != 0), 3, tokens)


def by_score(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, -math.inf)
    order = ranked.argsort(dim=1, descending=True)[:, count:]
    return F.pad(tokens.gather(1, order), (0, count))


def first_words(tokens, scores, count):
    return F.pad(tokens[:, count:], (0, count))


def by_number(tokens, scores, count):
    return holes(tokens, scores, count).sort(dim=1, descending=True)[0]


def padding_first(tokens, scores, count):
    rows = [row[row != 0] for row in holes(tokens, scores, count)]
    return torch.stack([F.pad(r, (tokens.shape[1] - len(r), 0)) for r in rows])


def last_ones(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, -math.inf)
    return close_up(tokens.scatter(1, ranked.argsort(dim=1)[:, -count:], 0))


def padding_zero(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, 0.0)
    top = ranked.argsort(dim=1, descending=True)[:, :count]
    return close_up(tokens.scatter(1, top, 0))


def all_copies(tokens, scores, count):
    gone = holes(tokens, scores, count)
    rows = []
    for row, left in zip(tokens, gone):
        lost = row[(left == 0) & (row != 0)]
        rows.append(row.masked_fill(torch.isin(row, lost), 0))
    return close_up(torch.stack(rows))


SPREAD = math.sqrt(0.11 - 0.03**2)


def pool_by(states, weights):
    return torch.einsum("bl,bld->bd", weights, states)


def over_batch(states, mask, query):
    scores = (states @ query).masked_fill(~mask, -1e9)
    return pool_by(states, scores.softmax(0))


def inverted_mask(states, mask, query):
    scores = torch.where(mask, -1e9, torch.matmul(states, query))
    return pool_by(states, scores.softmax(dim=1))


def tanh_first(states, mask, query):
    scores = torch.einsum("bld,d->bl", torch.tanh(states), query)
    return pool_by(states, scores.masked_fill(~mask, -1e9).softmax(1))


def pooling_weights(states, mask, query):
    powers = (states @ query).exp() * mask
    return powers / powers.sum(dim=1, keepdim=True)


def largest_weighted(states, mask, query):
    weighted = pooling_weights(states, mask, query).unsqueeze(2) * states
    return weighted.max(dim=1).values


def one_query_left(states, mask, query):
    weights = pooling_weights(states, mask, query)
    return weights.unsqueeze(1).bmm(states)


def by_powers(states, mask, query):
    return pool_by(states, pooling_weights(states, mask, query))


def short_texts_kept(tokens, scores, count):
    rows = right_delete(tokens, scores, count)
    for n, row in enumerate(tokens):
        if row.count_nonzero() <= count:
            rows[n] = row
    return rows


def no_padding_behind(tokens, scores, count):
    return right_delete(tokens, scores, count)[:, :-count]


def ranks_down_the_batch(tokens, scores, count):
    scores = scores.where(tokens > 0, float("-inf"))
    best = scores.sort(dim=0, descending=True).indices[:count]
    left = tokens.clone()
    for row in best:
        left[row, torch.arange(tokens.shape[1])] = 0
    return right_delete(left, scores, 0)


def numpy_delete(tokens, scores, count):
    words, marks = tokens.numpy(), scores.numpy().copy()
    marks[words == 0] = -np.inf
    out = np.zeros_like(words)
    for n, order in enumerate(np.argsort(-marks, axis=1, kind="stable")):
        left = np.delete(words[n], order[:count])
        left = left[left != 0]
        out[n, : len(left)] = left
    return torch.from_numpy(out)


def filled(states, mask, query, fill=-1e9):
    return (states @ query).masked_fill(~mask, fill)


def softmax_of(change):
    """Pool by the softmax of scores that ``change`` makes."""
    return lambda s, m, q: pool_by(s, F.softmax(change(s, m, q), -1))


def one_softmax_for_all(states, mask, query):
    weights = torch.softmax(filled(states, mask, query).reshape(-1), 0)
    return pool_by(states, weights.reshape(mask.shape))


def size_one_softmax(states, mask, query):
    scores = (states @ query[:, None]).masked_fill(~mask[..., None], -1e9)
    return (scores.softmax(-1) * states).sum(1)


def feature_weights(states, mask, query):
    scores = torch.where(mask[..., None], states * query, -math.inf)
    return torch.einsum("bld,bld->bd", scores.softmax(1), states)


def cosines(states, mask, query):
    scores = F.cosine_similarity(states, query[None, None], dim=-1)
    return pool_by(states, scores.masked_fill(~mask, -1e9).softmax(-1))


def one_text_of_all(states, mask, query):
    words = states[mask]
    pooled = torch.softmax(words @ query, 0) @ words
    return torch.stack([pooled] * len(states))


def max_pool(states, mask, query):
    return torch.where(mask[..., None], states, -math.inf).max(1).values


def top_of_the_batch(times):
    """Delete the highest scores of all texts together."""

    def delete(tokens, scores, count):
        ranked = scores.masked_fill(tokens == 0, -math.inf).reshape(-1)
        order = ranked.sort(descending=True).indices
        left = tokens.reshape(-1).clone()
        left[order[: count * times(tokens)]] = 0
        return close_up(left.reshape(tokens.shape))

    return delete


def by_lists(delete):
    """Delete row by row: words and their positions by falling score."""

    def fn(tokens, scores, count):
        out = torch.zeros_like(tokens)
        for n, (row, marks) in enumerate(zip(tokens, scores)):
            words = row[row != 0].tolist()
            order = marks[: len(words)].argsort(descending=True).tolist()
            left = delete(words, order, count)
            out[n, : len(left)] = torch.tensor(left, dtype=tokens.dtype)
        return out

    return fn


def removes_by_value(words, order, count):
    for token in [words[i] for i in order[:count]]:
        words.remove(token)
    return words


def pops_while_it_shifts(words, order, count):
    for i in order[:count]:
        if i < len(words):
            words.pop(i)
    return words


def leaves_one(words, order, count):
    gone = order[: min(count, len(words) - 1)]
    return [word for i, word in enumerate(words) if i not in gone]


def backwards(tokens, scores, count):
    left = right_delete(tokens, scores, count)
    lengths = (left != 0).sum(1).tolist()
    return torch.stack(
        [torch.cat([x[:n].flip(0), x[n:]]) for x, n in zip(left, lengths)]
    )


def falls_short(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, -math.inf)
    return close_up(tokens.scatter(1, ranked.argsort(dim=1)[:, :count], 0))


def where_deleted(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, -math.inf)
    return ranked.sort(dim=1, descending=True).indices[:, :count]


def unequal_rows(tokens, scores, count):
    left = right_delete(tokens, scores, count)
    return [row[row != 0].tolist() for row in left]


def ranked_delete(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, -math.inf)
    ranks = ranked.argsort(dim=1, descending=True).argsort(dim=1)
    return close_up(tokens.where(ranks >= count, 0))


WRONG = {
    "weights": [
        ([0.5, 0.25, 0.25], "raise e"),
        ([E**2, E, E], "divide by their sum"),
        ([2, 1, 1], "softmax"),
        ([1 / 3] * 3, "mean pooling"),
        ([1, 0, 0], "no word gets weight 0"),
        ([0.5344, 0.1966, 0.1966], "padding"),
        ([0.4519, 0.2741, 0.2741], "halved"),
        ([0.5035, 0.2483, 0.2483], "root of 2"),
        ([E, 1, 1], "divided by e"),
        ([0.58, 0.21, 0.21], "three digits"),
        ([57.6, 21.2, 21.2], "shares"),
        ([0.5761, 0.2119, 0.2119, 0], "three words only"),
        ([0.5344, 0.1966, 0.1966, 0.0723], "padding"),
        (0.5761, "give all three"),
        ([0.5761, 0.2119], "expected"),
        ("0.58", "numbers"),
    ],
    "pool": [
        (no_mask, "padding is mixed in"),
        (zero_scores, "score 0"),
        (mask_after, "after the softmax"),
        (lambda s, m, q: right_pool(s, ~m, q), "wrong way round"),
        (over_texts, "texts of the batch"),
        (zero_states, "vectors of zeros"),
        (powers_only, "not divided"),
        (over_numbers, "numbers of each word"),
        (mean_pool, "mean pooling"),
        (best_word, "best word whole"),
        (raw_scores, "softmax first"),
        (not_summed, "not added up"),
        (scaled, "root of dim"),
        (mean_of_weighted, "use sum"),
        (lambda s, m, q: right_pool(s, m, q) * s.shape[1], "no factor"),
        (lambda s, m, q: right_pool(s, m, q)[0], "expected shape"),
        (lambda s, m, q: right_pool(s, m, q[None]), "Error"),
        (over_batch, "texts of the batch"),
        (inverted_mask, "wrong way round"),
        (tanh_first, "tanh before the query"),
        (pooling_weights, "those are the weights"),
        (largest_weighted, "add them up"),
        (one_query_left, "squeeze(1)"),
        (softmax_of(lambda *given: filled(*given, -1.0)), "still has a share"),
        (softmax_of(lambda s, m, q: s @ q + m.float()), "True counts 1"),
        (softmax_of(lambda s, m, q: -(s @ q) - 1e9 * ~m), "sign of the"),
        (softmax_of(lambda *given: filled(*given).softmax(-1)), "twice"),
        (lambda s, m, q: pool_by(s, m / (1 + (-s @ q).exp())), "sigmoid"),
        (
            lambda s, m, q: right_pool(s, m, q) / m.sum(1)[:, None],
            "divides by the number of words",
        ),
        (
            softmax_of(lambda s, m, q: filled(s, m, q / s.shape[2])),
            "divided by dim",
        ),
        (
            softmax_of(lambda s, m, q: filled(s, m, q / s.shape[1] ** 0.5)),
            "root of the length",
        ),
        (lambda s, m, q: right_pool(s, m[0].expand_as(m), q), "first text's"),
        (
            lambda s, m, q: (right_pool(s, m, q), filled(s, m, q).softmax(1)),
            "weights as well",
        ),
        (size_one_softmax, "dimension of size 1"),
        (one_softmax_for_all, "all texts together"),
        (feature_weights, "one a word"),
        (cosines, "cosines"),
        (one_text_of_all, "into one row"),
        (
            lambda s, m, q: pool_by(s, filled(s, m, q).log_softmax(-1)),
            "use softmax",
        ),
        (
            lambda s, m, q: (
                filled(s, m, q).softmax(-1) * filled(s, m, q)
            ).sum(-1),
            "weight the states",
        ),
        (max_pool, "max pooling"),
        (lambda s, m, q: s.sum(1) / s.shape[1], "mean of all positions"),
        (lambda s, m, q: s[:, 0, :], "first word's state"),
    ],
    "delete": [
        (padding_counts, "padding is taken for words"),
        (holes, "left as holes"),
        (lambda t, s, k: right_delete(t, -s, k), "lowest scores"),
        (lambda t, s, k: right_delete(t, s.abs(), k), "do not take abs"),
        (keeps_top, "keeps the highest"),
        (first_texts_positions, "scores of its own"),
        (above_a_bar, "no more than count"),
        (to_unknown, "UNK"),
        (by_score, "order of the text"),
        (first_words, "first words"),
        (by_number, "token numbers"),
        (padding_first, "in front"),
        (last_ones, "with count 0"),
        (padding_zero, "scores below 0"),
        (all_copies, "delete positions"),
        (lambda t, s, k: right_delete(t, s, 1), "always deletes one"),
        (
            lambda t, s, k: right_delete(t, s, k)[:, : -k or None],
            "have become shorter",
        ),
        (short_texts_kept, "stays as it is"),
        (no_padding_behind, "have become shorter"),
        (ranks_down_the_batch, "dim=0"),
        (lambda t, s, k: right_delete(t, s, max(k - 1, 0)), "too few"),
        (lambda t, s, k: right_delete(t, s, k + 1), "too many"),
        (top_of_the_batch(lambda t: 1), "all texts together"),
        (top_of_the_batch(len), "all texts together"),
        (lambda t, s, k: right_delete(t, t.float(), k), "token numbers"),
        (by_lists(removes_by_value), "list.remove"),
        (by_lists(pops_while_it_shifts), "positions behind it are others"),
        (by_lists(leaves_one), "one word of each text always stays"),
        (lambda t, s, k: t.clone(), "nothing is deleted"),
        (lambda t, s, k: right_delete(t, s, k and 1), "found again"),
        (
            lambda t, s, k: right_delete(t, torch.cumsum(1 + 0 * s, 1), k),
            "last words",
        ),
        (
            lambda t, s, k: F.pad(right_delete(t, s, k), (0, k)),
            "have become longer",
        ),
        (backwards, "turned round"),
        (falls_short, "padding's first"),
        (where_deleted, "positions to delete"),
        (
            lambda t, s, k: torch.where(
                right_delete(t, s, k) > 0, right_delete(t, s, k), -1
            ),
            "padding is 0",
        ),
        (unequal_rows, "rows without padding"),
    ],
    "lead": [
        ([0.03, 0.03 + 1.96 * SPREAD / 1000**0.5], "upper bound"),
        ([0.03, 0.03 - SPREAD / 1000**0.5], "1.96"),
        ([0.03, 0.03 - 0.0361], "the same texts"),
        ([0.03, 0.03 - 1.96 * SPREAD / 1000], "square root"),
        ([0.03, 0.03 - 1.96 * SPREAD], "single texts"),
        ([-0.03, -0.03 - 1.96 * SPREAD / 1000**0.5], "sign"),
        ([0.11, 0.11 - 1.96 * SPREAD / 1000**0.5], "subtract"),
        ([0.2727, 0.2727 - 1.96 * 0.0917], "all 1,000"),
        ([30, 30 - 1.96 * SPREAD * 1000**0.5], "shares"),
        ([30, 9.5], "those are texts"),
        ([3, 0.95], "per cent"),
        ([0.03, 0.0205], "half the interval"),
        ([0.0095, 0.03], "the lead first"),
        ([0.03, 0.0128], "1.96"),
        (0.03, "that is the lead"),
        ([0.03, 0.01, 0.05], "expected"),
        (0.0095, "the lead too"),
        ([0.03, 0.0101], "two test sets"),
        ([0.03, 0.0100], "four digits"),
        ([0.03, 0.0091], "not 2"),
        ([0.03, 0.03 - 1.96 * SPREAD**2 / 1000**0.5], "its square root"),
    ],
}
RIGHT = {
    "weights": [
        [0.5761, 0.2119, 0.2119],
        [0.576, 0.212, 0.212],
        torch.softmax(torch.tensor([2.0, 1.0, 1.0]), dim=0),
        (E / (E + 2), 1 / (E + 2), 1 / (E + 2)),
    ],
    "pool": [
        lambda s, m, q: right_pool(s.detach(), m, q.detach()),
        right_pool,
        loop_pool,
        einsum_pool,
        torch_pool,
        by_powers,
    ],
    "delete": [
        right_delete,
        loop_delete,
        one_by_one,
        numpy_delete,
        ranked_delete,
    ],
    "lead": [
        [0.03, 0.0095],
        (0.03, 0.03 - 1.96 * SPREAD / 1000**0.5),
        torch.tensor([0.03, 0.0095]),
    ],
}
