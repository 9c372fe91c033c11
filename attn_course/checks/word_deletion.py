"""Deletions of words, a right one and wrong ones, for lesson 08's check."""

import math

import torch

from attn_course.checks.engine import Mistake

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


def over_all_texts(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, NEVER).flatten()
    left = tokens.flatten().clone()
    left[ranked.argsort(descending=True)[:count]] = 0
    return delete_loop(left.view_as(tokens), scores, 0)


def turned_round(tokens, scores, count):
    left = delete_loop(tokens, scores, count)
    return delete_loop(left.flip(1), scores, 0)


def _rows(tokens, scores, count, take):
    """Let ``take`` delete from each list of words, by falling score."""
    rows = []
    for row, marks in zip(tokens.tolist(), scores.tolist()):
        words = [token for token in row if token != 0]
        falling = sorted(range(len(words)), key=lambda i: -marks[i])
        left = take(words, falling[:count])
        rows.append(left + [0] * (len(row) - len(left)))
    return torch.tensor(rows)


def first_copy(tokens, scores, count):
    def take(words, gone):
        left = list(words)
        for i in gone:
            left.remove(words[i])
        return left

    return _rows(tokens, scores, count, take)


def one_after_another(tokens, scores, count):
    def take(words, gone):
        for i in gone:
            words = words[:i] + words[i + 1 :]
        return words

    return _rows(tokens, scores, count, take)


def one_stays(tokens, scores, count):
    def take(words, gone):
        gone = gone[: len(words) - 1]
        return [word for i, word in enumerate(words) if i not in gone]

    return _rows(tokens, scores, count, take)


def highest_positions(tokens, scores, count):
    ranked = scores.masked_fill(tokens == 0, NEVER)
    return ranked.argsort(dim=1, descending=True)[:, :count]


def other_padding(tokens):
    return tokens.masked_fill(tokens == 0, -1)


def ragged(tokens, scores, count):
    left = delete_loop(tokens, scores, count).tolist()
    return [[token for token in row if token != 0] for row in left]


WRONG_DELETIONS = [
    Mistake(
        padding_too,
        "padding is taken for words: give it the score -inf before "
        "you look for the highest",
    ),
    Mistake(
        holes,
        "the deleted positions are left as holes: what stays must move "
        "together, padding at the end",
    ),
    Mistake(
        delete_by(lambda t, s: -s),
        "it deletes the lowest scores: take the highest",
    ),
    Mistake(
        delete_by(lambda t, s: s.abs()),
        "a score far below 0 is not a high one: do not take abs",
    ),
    Mistake(
        keep_only,
        "it keeps the highest and deletes the others: the other way round",
    ),
    Mistake(
        same_positions,
        "it deletes the first text's positions in every text: each text "
        "has scores of its own",
    ),
    Mistake(
        above_a_bar,
        "it deletes every word whose score reaches a bar: of equal "
        "scores no more than count words may go",
    ),
    Mistake(unknown, "the words become UNK: take them out instead"),
    Mistake(
        by_score,
        "what is left stands in the order of the scores: keep the "
        "order of the text",
    ),
    Mistake(
        delete_by(lambda t, s: -torch.arange(t.shape[1]).expand_as(t)),
        "it deletes the first words: look at the scores",
    ),
    Mistake(
        by_number,
        "what is left stands in the order of the token numbers: keep "
        "the order of the text",
    ),
    Mistake(
        padding_in_front,
        "padding has come in front: it belongs behind the words",
    ),
    Mistake(
        last_ones,
        "with count 0 it deletes everything: [-count:] is then the "
        "whole row; sort descending and take [:count]",
    ),
    Mistake(
        zero_padding,
        "padding has got the score 0, which is above words with "
        "scores below 0: use -inf",
    ),
    Mistake(
        whole_word,
        "every copy of a word goes when one does: delete positions, not words",
    ),
    Mistake(
        lambda t, s, k: delete_loop(t, s, 1),
        "it always deletes one word: delete count of them",
    ),
    Mistake(
        lambda t, s, k: delete_loop(t, s, max(k - 1, 0)),
        "one word too few goes: [:count] are count of them",
    ),
    Mistake(
        lambda t, s, k: delete_loop(t, s, k + 1),
        "one word too many goes: [:count] are count of them",
    ),
    *(
        Mistake(
            over_all,
            "the highest of all texts together are looked for: each "
            "text loses words of its own, dim=1",
        )
        for over_all in (
            over_all_texts,
            lambda t, s, k: over_all_texts(t, s, k * len(t)),
        )
    ),
    Mistake(
        delete_by(lambda t, s: t),
        "it deletes the largest token numbers: look at the scores",
    ),
    Mistake(
        turned_round,
        "what is left is turned round: keep the order of the text",
    ),
    Mistake(
        first_copy,
        "the first copy of a word goes (as list.remove does), not the "
        "one with the score: delete by position",
    ),
    Mistake(
        one_after_another,
        "after one word has gone, the positions behind it are others: "
        "choose all first, or go from the back",
    ),
    Mistake(
        one_stays,
        "one word of each text always stays: a text of count words or "
        "fewer becomes padding",
    ),
    Mistake(
        highest_positions,
        "those are the positions to delete: return the tokens that are left",
    ),
    Mistake(
        lambda t, s, k: padding_too(t, -s.masked_fill(t == 0, NEVER), k),
        "it takes the lowest scores, padding's first: sort in falling order",
    ),
    Mistake(
        lambda t, s, k: other_padding(delete_loop(t, s, k)),
        "behind the words stands -1: padding is 0",
    ),
    Mistake(
        ragged,
        "a list of rows without padding: fill each up with 0 to the "
        "length it had, and make a tensor of all",
    ),
    Mistake(
        short_ones_stay,
        "a text of count words or fewer stays as it is: all its words go",
    ),
    *(
        Mistake(
            shorter,
            "the rows have become shorter: keep the length, with "
            "padding behind",
        )
        for shorter in (
            lambda t, s, k: delete_loop(t, s, k)[:, : -k or None],
            lambda t, s, k: delete_loop(t, s, k)[:, :-k],
        )
    ),
    Mistake(
        across_texts,
        "the highest are looked for over the texts (dim=0): each text "
        "loses words of its own, dim=1",
    ),
    Mistake(
        lambda t, s, k: t,
        "nothing is deleted: is the result of scatter, a new tensor, thrown away, or the mask turned round?",
    ),
    Mistake(
        lambda t, s, k: delete_loop(t, s, min(k, 1)),
        "one word at most goes: is the same highest score found again each time?",
    ),
    Mistake(
        delete_by(lambda t, s: torch.arange(t.shape[1]).expand_as(t)),
        "it deletes the last words: look at the scores",
    ),
    Mistake(
        lambda t, s, k: torch.cat(
            [delete_loop(t, s, k), torch.zeros_like(t[:, :k])], 1
        ),
        "the rows have become longer: the padding is there already",
    ),
]
