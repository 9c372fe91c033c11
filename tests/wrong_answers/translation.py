"""Answers to lesson 07's exercises: wrong ones with their hint, right ones."""

import torch
from torch.nn import functional as F

BOS, PAD, EOS = 1, 0, 2


def loop_shift(target):
    read = [[BOS, *row[:-1]] for row in target.tolist()]
    return torch.tensor(read), target.clone()


def roll_shift(target):
    read = target.roll(1, dims=1)
    read[:, 0] = BOS
    return read, target


def pad_shift(target):
    return F.pad(target, (1, -1), value=BOS), target


def no_start(target):
    return target[:, :-1], target[:, 1:]


def not_shifted(target):
    return target, target


def only_rolled(target):
    return target.roll(1, dims=1), target


def looks_ahead(target):
    start = torch.full_like(target[:, :1], BOS)
    return torch.cat([target[:, 1:], start], dim=1), target


def swapped(target):
    return target, loop_shift(target)[0]


def longer(target):
    start = torch.full_like(target[:, :1], BOS)
    return torch.cat([start, target], dim=1), target


def starts_with_pad(target):
    return F.pad(target, (1, -1), value=PAD), target


def starts_with_end(target):
    return F.pad(target, (1, -1), value=EOS), target


def changes_it(target):
    target[:, 0] = BOS
    return target, target


def without_end(target):
    read = roll_shift(target)[0]
    return torch.where(read == EOS, PAD, read), target


def topk_step(total, steps):
    scores, best = (total[:, None] + steps).flatten().topk(len(total))
    return best // steps.shape[1], best % steps.shape[1]


def sorted_step(total, steps):
    every = [
        (-(total[i] + steps[i, j]).item(), i, j)
        for i in range(len(total))
        for j in range(steps.shape[1])
    ]
    best = sorted(every)[: len(total)]
    return torch.tensor([i for _, i, _ in best]), torch.tensor(
        [j for *_, j in best]
    )


def divided_step(total, steps):
    flat = (total.unsqueeze(1) + steps).reshape(-1)
    best = flat.argsort(descending=True)[: total.numel()].tolist()
    parents, tokens = zip(*(divmod(i, steps.shape[1]) for i in best))
    return torch.tensor(parents), torch.tensor(tokens)


def each_own_best(total, steps):
    return torch.arange(len(total)), steps.argmax(1)


def forgets_total(total, steps):
    return topk_step(torch.zeros_like(total), steps)


def multiplies(total, steps):
    best = (total[:, None] * steps).flatten().topk(len(total)).indices
    return best // steps.shape[1], best % steps.shape[1]


def worst_ones(total, steps):
    flat = (total[:, None] + steps).flatten()
    best = flat.topk(len(total), largest=False).indices
    return best // steps.shape[1], best % steps.shape[1]


def by_beam_size(total, steps):
    best = (total[:, None] + steps).flatten().topk(len(total)).indices
    return best // len(total), best % len(total)


def turned(total, steps):
    return topk_step(total, steps)[::-1]


def worst_first(total, steps):
    return tuple(x.flip(0) for x in topk_step(total, steps))


def added_to_tokens(total, steps):
    best = (total + steps[:, : len(total)]).flatten().topk(len(total)).indices
    return best // len(total), best % len(total)


def only_one(total, steps):
    return tuple(x[:1] for x in topk_step(total, steps))


def own_best_ranked(total, steps):
    sums = total[:, None] + steps
    best = sums.amax(1).sort(descending=True).indices
    return best, sums.argmax(1)[best]


def not_flattened(total, steps):
    found = (total[:, None] + steps).topk(len(total))
    return found.values, found.indices


def values_and_positions(total, steps):
    values, positions = (total[:, None] + steps).flatten().topk(len(total))
    return values, positions


def fractions(total, steps):
    positions = flat_positions(total, steps)
    return positions / steps.shape[1], positions % steps.shape[1]


def flat_positions(total, steps):
    return (total[:, None] + steps).flatten().topk(len(total)).indices


def both_shifted(target):
    read, _ = roll_shift(target)
    return read, read


def next_token(target):
    shifted = torch.zeros_like(target)
    shifted[:, :-1] = target[:, 1:]
    return target, shifted


def start_over_first(target):
    read = target.clone()
    read[:, 0] = BOS
    return read, target


def rolled_texts(target):
    return start_over_first(torch.roll(target, 1, dims=0))[0], target


def start_row(target):
    return torch.cat([torch.full_like(target[:1], BOS), target[:-1]]), target


def float_start(target):
    start = torch.ones(target.shape[0], 1)
    return torch.cat([start, target[:, :-1]], dim=1), target


def listed_shift(target):
    read = target.new_zeros(target.shape)
    read[:, 1:] = target[:, :-1]
    read[:, :1] = BOS
    return [read, target]


def chosen_by(change):
    """One step of the beam over sums that are ``change`` of both."""

    def step(total, steps):
        best = change(total.unsqueeze(1), steps).flatten().argsort()
        best = best.flip(0)[: len(total)]
        return best // steps.shape[1], best % steps.shape[1]

    return step


def undivided(total, steps):
    best = flat_positions(total, steps)
    return best, best.remainder(steps.shape[1])


def sums_and_tokens(total, steps):
    values, tokens = values_and_positions(total, steps)
    return values, tokens % steps.shape[1]


def by_position(total, steps):
    best = torch.tensor(sorted(flat_positions(total, steps).tolist()))
    return best // steps.shape[1], best % steps.shape[1]


def as_many_as_tokens(total, steps):
    order = (total[:, None] + steps).flatten().argsort(descending=True)
    best = order[: steps.shape[1]]
    return best // steps.shape[1], best % steps.shape[1]


def token_by_token(total, steps):
    best = (total + steps.T).flatten().topk(len(total)).indices
    return best // steps.shape[1], best % steps.shape[1]


def unravelled(total, steps):
    return torch.unravel_index(flat_positions(total, steps), steps.shape)


def one_step(give):
    """What ``give`` makes of beginnings, tokens and sums."""

    def step(total, steps):
        sums = total.view(-1, 1) + steps
        values, best = sums.view(-1).topk(total.numel())
        size = steps.size(1)
        return give(best.div(size, rounding_mode="floor"), best % size, values)

    return step


def goes_on_with(number):
    """Only one beginning goes on: the one with this number."""

    def step(total, steps):
        only = number(total)
        tokens = steps[only].argsort(descending=True)[: len(total)]
        return torch.full_like(tokens, only), tokens

    return step


def each_token_once(total, steps):
    best, beginning = torch.max(total.unsqueeze(1) + steps, 0)
    order = best.argsort(descending=True)[: len(total)]
    return beginning[order], order


def always_two(total, steps):
    best = (total[:, None] + steps).flatten().topk(2).indices
    return best // steps.shape[1], best % steps.shape[1]


def divided_by(first, second):
    def step(total, steps):
        best = flat_positions(total, steps)
        sizes = {"beam": len(total), "tokens": steps.shape[1]}
        return best // sizes[first], best % sizes[second]

    return step


def rows_alone(total, steps):
    tokens = (total[:, None] + steps).argsort(dim=1, descending=True)
    tokens = tokens[:, : len(total)]
    return torch.arange(len(total))[:, None].expand_as(tokens), tokens


def end_again(target):
    end = torch.full_like(target[:, :1], EOS)
    return loop_shift(target)[0], torch.cat([target[:, 1:], end], dim=1)


def start_behind(target):
    read = target.clone()
    read[:, -1] = BOS
    return read, target


def left_out_of_the_loss(target):
    return loop_shift(target)[0], torch.where(target > 0, target, -100)


def first_text(target):
    read, said = loop_shift(target)
    return read[0], said[0]


def flat_roll(target):
    read = target.roll(1)  # the row's last goes where BOS comes
    read[:, 0] = BOS
    return read, target


WRONG = {
    "third_merge": [
        ("en", "first merge"),
        ("pen", "second merge"),
        ("pe", "first in alphabetical"),
        ("open", "7 times"),
        ("op", "7 times"),
        ("ened", "part of pen"),
        ("n+e", "3 times"),
        (("p", "en"), "second merge"),
        ("m e", "5 times"),
        ("opened", "not it"),
        (3, "expected a word"),
        (["en", "pen", "ed"], "all three merges"),
    ],
    "small_bleu": [
        (81.65, "clipped"),
        (70.83, "geometric"),
        (71.65, "wrong way round"),
        (50.0, "square root"),
        (0.7071, "of 100"),
        (75.0, "pairs of words too"),
        (66.67, "single words too"),
        (0.5, "square root, times 100"),
        (71, "two digits"),
        (100, "only as often"),
        (61.24, "two of the three pairs"),
        (50.67, "not shorter"),
        (90.79, "never above 1"),
        (42.04, "n-grams of 1 to 4"),
        (33.3, "not it"),
        (55.07, "not shorter"),
        ("70.71", "expected numbers"),
        (70.7, "rounded too far"),
        (0, "BLEU-4"),
        (100 * 0.5**0.25, "fourth root"),
        (75 * 0.5**0.5, "not shorter"),
    ],
    "shift": [
        (no_start, "BOS"),
        (not_shifted, "reads the very token"),
        (only_rolled, "last token"),
        (looks_ahead, "other way"),
        (swapped, "exchanged"),
        (longer, "drop the last"),
        (starts_with_pad, "padding"),
        (starts_with_end, "EOS"),
        (changes_it, "in place"),
        (lambda t: (loop_shift(t)[0], t[:, 1:]), "what it reads is right"),
        (
            lambda t: (pad_shift(t)[0], F.pad(t[:, 1:], (0, 1))),
            "what it reads is right",
        ),
        (
            lambda t: (longer(t)[0], F.pad(t, (0, 1))),
            "both are too long by one",
        ),
        (without_end, "EOS stays"),
        (lambda target: target, "reads as well"),
        (lambda target: loop_shift(target)[0], "say as well"),
        (lambda target: torch.stack(loop_shift(target)), "one tensor"),
        (lambda target: torch.stack(loop_shift(target), 1), "one tensor"),
        (end_again, "what it reads is right"),
        (start_behind, "BOS stands at the end"),
        (left_out_of_the_loss, "-100"),
        (lambda t: (*loop_shift(t), t > 0), "mask is not asked"),
        (lambda t: (pad_shift(t)[0], t * (t != EOS)), "EOS must be said"),
        (lambda t: (t * 0 + BOS, t), "every token that it reads"),
        (lambda t: (longer(t)[0], longer(t)[0]), "before both"),
        (first_text, "only the first text"),
        (both_shifted, "the target itself"),
        (next_token, "BOS is missing"),
        (start_over_first, "the first token's position"),
        (rolled_texts, "dims=1"),
        (start_row, "a column is needed"),
        (float_start, "torch.full_like"),
    ],
    "beam_step": [
        (each_own_best, "each beginning goes on"),
        (forgets_total, "forgets"),
        (multiplies, "add"),
        (worst_ones, "worst"),
        (by_beam_size, "number of tokens"),
        (turned, "exchanged"),
        (worst_first, "best first"),
        (added_to_tokens, "a row of steps"),
        (only_one, "as many as"),
        (flat_positions, "return two tensors"),
        (own_best_ranked, "each beginning goes on"),
        (not_flattened, "flatten the sums"),
        (values_and_positions, "// and %"),
        (fractions, "whole number"),
        (undivided, "position in the flattened sums"),
        (sums_and_tokens, "holds the sums"),
        (by_position, "order of their positions"),
        (as_many_as_tokens, "as there are tokens"),
        (token_by_token, "token by token"),
        (chosen_by(lambda a, b: a.exp() + b.exp()), "adds probabilities"),
        (chosen_by(lambda a, b: b - a), "subtracts total"),
        (chosen_by(lambda a, b: a + b.exp()), "without exp"),
        (one_step(lambda a, b, _: torch.stack([a, b])), "put into one"),
        (one_step(lambda a, b, _: torch.stack([a, b], 1)), "put into one"),
        (
            one_step(lambda a, b, _: [*zip(a.tolist(), b.tolist())]),
            "put into one",
        ),
        (one_step(lambda a, b, _: (1.0 * a, b)), "not whole"),
        (one_step(lambda a, _, sums: (a, sums)), "second holds the sums"),
        (one_step(lambda *all_three: all_three), "sums are not asked"),
        (goes_on_with(lambda total: int(total.argmax())), "likeliest"),
        (goes_on_with(lambda total: 0), "only the first beginning"),
        (
            one_step(lambda a, b, _: (0 * a + a[0], 0 * b + b[0])),
            "again and again",
        ),
        (chosen_by(lambda a, b: a * b.exp()), "multiplied by a probability"),
        (chosen_by(lambda a, b: a.exp() + b), "total is a log already"),
        (one_step(lambda a, b, sums: sums), "those are the sums"),
        (each_token_once, "each token is taken once"),
        (always_two, "always keeps 2"),
        (divided_by("beam", "tokens"), "the beginning is"),
        (divided_by("tokens", "beam"), "the token is"),
        (rows_alone, "from each beginning by itself"),
    ],
}
RIGHT = {
    "third_merge": ["ed", " ED ", ("e", "d"), "e + d", "'ed'", "e, d", "e-d"],
    "small_bleu": [70.71, 100 * 0.5**0.5, torch.tensor(70.7107)],
    "shift": [loop_shift, roll_shift, pad_shift, listed_shift, flat_roll],
    "beam_step": [
        topk_step,
        sorted_step,
        divided_step,
        unravelled,
        chosen_by(lambda a, b: a.exp() * b.exp()),
    ],
}
