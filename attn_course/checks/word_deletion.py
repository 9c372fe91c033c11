"""Deletions of words, a right one and wrong ones, for lesson 08's check."""

import math

import torch

NEVER = -math.inf


def delete_loop(tokens, scores, count):
    rows = []
    for row, marks in zip(tokens.tolist(), scores.tolist()):
        positions = [i for i, token in enumerate(row) if token != 0]
        positions.sort(key=lambda i: -marks[i])
        gone = set(positions[:count])
        left = [t for i, t in enumerate(row) if t != 0 and i not in gone]
        rows.append(left + [0] * (len(row) - len(left)))
    return torch.tensor(rows, dtype=torch.int64)


def delete_by(change):
    """A deletion in which ``change`` alters the scores first."""

    def delete(tokens, scores, count):
        return delete_loop(tokens, change(tokens, scores), count)

    return delete


def holes(tokens, scores, count):
    scores = scores.masked_fill(tokens == 0, NEVER)
    top = scores.topk(min(count, scores.shape[1]), dim=1).indices
    return tokens.scatter(1, top, 0)


def keep_only(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, NEVER)
    gone = holes(tokens, ranked, count)
    return delete_loop(tokens.where(gone == 0, 0), scores, 0)


def padding_too(tokens, scores, count):
    top = scores.topk(min(count, scores.shape[1]), dim=1).indices
    return delete_loop(tokens.scatter(1, top, 0), scores, 0)


def same_positions(tokens, scores, count):
    top = scores[0].masked_fill(tokens[0] == 0, NEVER).topk(count).indices
    left = tokens.clone()
    left[:, top] = 0
    return delete_loop(left, scores, 0)


def unknown(tokens, scores, count):
    gone = holes(tokens, scores, count)
    return tokens.masked_fill((gone == 0) & (tokens != 0), 3)


def by_score(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, NEVER)
    order = ranked.argsort(dim=1, descending=True)
    left = tokens.gather(1, order)[:, count:]
    return torch.cat([left, torch.zeros_like(tokens[:, :count])], dim=1)


def by_number(tokens, scores, count):
    left = delete_loop(tokens, scores, count)
    return left.sort(dim=1, descending=True).values


def padding_in_front(tokens, scores, count):
    left = delete_loop(tokens, scores, count)
    return left.gather(1, (left != 0).int().argsort(dim=1, stable=True))


def last_ones(tokens, scores, count):
    return delete_loop(tokens, scores, count or tokens.shape[1])


def zero_padding(tokens, scores, count):
    return padding_too(tokens, scores.masked_fill(tokens == 0, 0.0), count)


def whole_word(tokens, scores, count):
    rows = []
    gone = holes(tokens, scores, count)
    for row, left in zip(tokens, gone):
        lost = set(row[left == 0].tolist())
        rows.append([0 if t in lost else t for t in row.tolist()])
    return delete_loop(torch.tensor(rows), scores, 0)


def above_a_bar(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, NEVER)
    bar = ranked.sort(dim=1, descending=True).values[:, count - 1 : count]
    gone = (ranked >= bar) if count else torch.zeros_like(tokens).bool()
    return delete_loop(tokens.masked_fill(gone, 0), scores, 0)


def short_ones_stay(tokens, scores, count):
    few = (tokens != 0).sum(dim=1, keepdim=True) <= count
    return tokens.where(few, delete_loop(tokens, scores, count))


def across_texts(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, NEVER)
    top = ranked.argsort(dim=0, descending=True)[:count]
    return delete_loop(tokens.scatter(0, top, 0), scores, 0)
