"""Answers to lesson 16's exercises: wrong ones with their hint, right ones."""

import torch
from torch.nn import functional as F


def real(rewards, lengths):
    return torch.arange(rewards.shape[1])[None] < lengths[:, None]


def right_returns(rewards, lengths):
    clean = rewards * real(rewards, lengths)
    return clean.flip(1).cumsum(1).flip(1)


def by_difference(rewards, lengths):
    clean = rewards.masked_fill(~real(rewards, lengths), 0.0)
    return (clean.sum(1, keepdim=True) - clean.cumsum(1) + clean) * real(
        rewards, lengths
    )


def by_triangle(rewards, lengths):
    clean = torch.where(real(rewards, lengths), rewards, 0.0)
    ones = torch.ones(clean.shape[1], clean.shape[1], dtype=clean.dtype)
    return torch.einsum("tj,bj->bt", ones.triu(), clean)


def by_loop(rewards, lengths):
    rows = []
    for row, length in zip(rewards, lengths):
        sums = [row[t:length].sum() for t in range(int(length))]
        rows.append(F.pad(torch.stack(sums), (0, len(row) - int(length))))
    return torch.stack(rows)


def no_mask(rewards, lengths):
    ones = torch.ones(rewards.shape[1], rewards.shape[1]).to(rewards)
    return rewards @ ones.tril()


def mask_after(rewards, lengths):
    return no_mask(rewards, lengths) * real(rewards, lengths)


def one_too_many(rewards, lengths):
    real_or_next = torch.arange(rewards.shape[1]) <= lengths[:, None]
    return (rewards * real_or_next).flip(1).cumsum(1).flip(1)


def from_start(rewards, lengths):
    return (rewards * real(rewards, lengths)).cumsum(1)


def from_start_masked(rewards, lengths):
    return from_start(rewards, lengths) * real(rewards, lengths)


def without_own(rewards, lengths):
    clean = rewards * real(rewards, lengths)
    return by_triangle(rewards, lengths) - clean


def not_flipped_back(rewards, lengths):
    return torch.cumsum(torch.flip(rewards * real(rewards, lengths), [1]), 1)


def over_episodes(rewards, lengths):
    clean = rewards * real(rewards, lengths)
    return clean.flip(0).cumsum(0).flip(0)


def whole(rewards, lengths):
    clean = rewards * real(rewards, lengths)
    return clean.sum(1, keepdim=True) * torch.ones_like(clean)


def cut_to_longest(rewards, lengths):
    longest = max(lengths.tolist())
    return right_returns(rewards[:, :longest], lengths)


def first_step_lost(rewards, lengths):
    found = torch.zeros_like(rewards)
    for row, given, length in zip(found, rewards, lengths):
        total = 0.0
        for step in range(int(length) - 1, 0, -1):
            total += given[step]
            row[step] = total
    return found


def loop_ends_early(rewards, lengths):
    clean = rewards * real(rewards, lengths)
    found = torch.zeros_like(rewards)
    for step in range(rewards.shape[1] - 1):
        found[:, step] = clean[:, step:].sum(dim=1)
    return found


def slice_ends_early(rewards, lengths):
    clean = rewards * real(rewards, lengths)
    steps = range(rewards.shape[1])
    return torch.stack([clean[:, t:-1].sum(dim=1) for t in steps], dim=1)


def inverted(rewards, lengths):
    return no_mask(rewards.masked_fill(real(rewards, lengths), 0), lengths)


def inverted_after(rewards, lengths):
    return no_mask(rewards, lengths).masked_fill(real(rewards, lengths), 0)


def discounted(rate):
    def returns(rewards, lengths):
        total, found = 0, []
        for column in (rewards * real(rewards, lengths)).T.flip(0):
            total = column + rate * total
            found.insert(0, total)
        return torch.stack(found, dim=1)

    return returns


def only_the_next(rewards, lengths):
    clean = rewards * real(rewards, lengths)
    return clean + F.pad(clean[:, 1:], (0, 1))


def last_step_lost(returns, states, actions):
    row = torch.zeros_like(by_places(returns, states, actions))
    for t in range(returns.shape[1] - 1):
        row[:, 3 * t : 3 * t + 3] = torch.stack(
            [returns[:, t], states[:, t], actions[:, t]], dim=1
        )
    return row


def overlapping(returns, states, actions):
    batch, steps, dim = returns.shape
    row = torch.zeros(batch, 3 * steps, dim)
    for t in range(steps):
        row[:, t] = returns[:, t]
        row[:, t + 1] = states[:, t]
        row[:, t + 2] = actions[:, t]
    return row


def tokens_first(returns, states, actions):
    row = []
    for step in zip(*(x.unbind(1) for x in (returns, states, actions))):
        row += step
    return torch.stack(row)


def right_tokens(returns, states, actions):
    return torch.stack([returns, states, actions], dim=2).flatten(1, 2)


def by_cat(returns, states, actions):
    wide = torch.cat([returns, states, actions], dim=-1)
    return wide.reshape(len(returns), -1, returns.shape[-1])


def by_places(returns, states, actions):
    batch, steps, dim = returns.shape
    row = torch.zeros(batch, 3 * steps, dim, dtype=returns.dtype)
    row[:, 0::3], row[:, 1::3], row[:, 2::3] = returns, states, actions
    return row


def kinds_apart(returns, states, actions):
    return torch.hstack([returns, states, actions])


def stack_first(returns, states, actions):
    row = torch.stack([returns, states, actions], dim=1)
    return row.reshape(len(returns), -1, returns.shape[-1])


def stack_last(returns, states, actions):
    row = torch.stack([returns, states, actions], dim=3)
    return row.reshape(len(returns), -1, returns.shape[-1])


def stack_zero(returns, states, actions):
    row = torch.stack([returns, states, actions])
    return row.reshape(len(returns), -1, returns.shape[-1])


WRONG = {
    "paper": [
        ([2, 2, 5, 6], "still to come"),
        ([4, 4, 1, 0], "own reward"),
        ([2, 0, 3, 1], "add them up"),
        ([6, 6, 6, 6], "whole return"),
        ([1, 4, 4, 6], "turn them round"),
        (6, "expected"),
        ([6, 4, 4], "expected"),
        ("6 4 4 1", "numbers"),
    ],
    "token": [
        ([22, 22], "itself too"),
        ([23, 22], "swapped"),
        ([22, 24], "its own action"),
        ([22, 30], "causal"),
        ([21, 22], "return of step 7"),
        ([23, 24], "action of step 7"),
        ([23, 23], "counted from 1"),
        ([19, 20], "step 6"),
        ([7, 8], "three tokens"),
        ([15, 16], "not two"),
        (22, "expected"),
    ],
    "returns": [
        (no_mask, "behind the end is counted"),
        (mask_after, "after the sum"),
        (one_too_many, "one step too many"),
        (from_start, "from the start"),
        (from_start_masked, "from the start"),
        (without_own, "own reward"),
        (not_flipped_back, "flip them back"),
        (over_episodes, "over the episodes"),
        (lambda r, n: r * real(r, n), "those are the rewards"),
        (whole, "whole return at every step, and in the padding"),
        (lambda r, n: whole(r, n) * real(r, n), "leave out what came before"),
        (lambda r, n: right_returns(r, n).sum(1), "expected shape"),
        (lambda r, n: right_returns(r, n[None]), ""),
        (cut_to_longest, "cut to the longest"),
        (first_step_lost, "first column stays 0"),
        (lambda r, n: (r * real(r, n)).cumsum(0), "episodes, dim=0"),
        (
            lambda r, n: not_flipped_back(r, n) * real(r, n),
            "flip them back, then",
        ),
        (
            lambda r, n: torch.where(real(r, n), right_returns(r, n), r),
            "still there",
        ),
        (lambda r, n: whole(r, n) - r * real(r, n), "off the whole return"),
        (lambda r, n: right_returns(r, n - 1), "last reward is missing"),
        (loop_ends_early, "last column stays 0"),
        (slice_ends_early, "never counted"),
        (inverted, "the wrong way round: it keeps"),
        (inverted_after, "comes after the sum"),
        (lambda r, n: r.cumsum(1), "and counts what stands behind"),
        (lambda r, n: r.cumsum(1) * real(r, n), "has come"),
        (lambda r, n: torch.cumsum(r.flip(1), 1), "not flipped back"),
        (discounted(0.99), "by 0.99"),
        (discounted(0.9), "by 0.9:"),
        (discounted(0.5), "by 0.5"),
        (lambda r, n: right_returns(r, n) / n.unsqueeze(1), "no mean"),
        (lambda r, n: right_returns(r, n)[:, 0], "for each episode"),
        (lambda r, n: whole(r, n) - right_returns(r, n), "before each step"),
        (only_the_next, "only the next reward"),
    ],
    "weave": [
        (kinds_apart, "belong together"),
        (stack_last, "mixes the numbers"),
        (lambda r, s, a: right_tokens(s, r, a), "return comes first"),
        (lambda r, s, a: right_tokens(s, a, r), "decision has to see it"),
        (lambda r, s, a: right_tokens(r, a, s), "action comes last"),
        (lambda r, s, a: right_tokens(a, s, r), "reverse order"),
        (lambda r, s, a: right_tokens(a, r, s), "action comes last"),
        (lambda r, s, a: torch.cat([r, s, a], dim=2), "one wide token"),
        (lambda r, s, a: torch.stack([r, s, a], dim=2), "join them"),
        (lambda r, s, a: r + s + a, "are added"),
        (stack_first, "belong together"),
        (stack_zero, ""),
        (lambda r, s, a: right_tokens(r, s, a)[0], "expected shape"),
        (last_step_lost, "last step is missing"),
        (overlapping, "places overlap"),
        (lambda r, s, a: by_places(r, s, 0.0), "places stay 0"),
        (lambda r, s, a: torch.stack([r, s, a]).mean(0), "are averaged"),
        (tokens_first, "batch stands second"),
        (
            lambda r, s, a: right_tokens(r, s, a)[
                :, torch.arange(3 * r.shape[1]) % 3 < 2
            ],
            "actions are missing",
        ),
        (
            lambda r, s, a: right_tokens(r, s, a)[
                :, torch.arange(3 * r.shape[1]) % 3 > 0
            ],
            "returns are missing",
        ),
        (lambda r, s, a: torch.stack([r, s, a], 1), "dimension of their own"),
        (lambda r, s, a: torch.vstack([r, s, a]), "as if they were episodes"),
        (
            lambda r, s, a: right_tokens(a.flip(1), s.flip(1), r.flip(1)),
            "backwards",
        ),
        (
            lambda r, s, a: torch.stack([r, s, a], 2).reshape(
                -1, 3, r.shape[-1]
            ),
            "episodes and steps are joined",
        ),
    ],
}
RIGHT = {
    "paper": [[6, 4, 4, 1], torch.tensor([6.0, 4.0, 4.0, 1.0]), (6, 4, 4, 1)],
    "token": [[22, 23], (22, 23), torch.tensor([22, 23])],
    "returns": [
        lambda r, n: right_returns(r.detach(), n),
        right_returns,
        by_difference,
        by_triangle,
        by_loop,
    ],
    "weave": [
        lambda r, s, a: right_tokens(r, s, a).detach(),
        right_tokens,
        by_cat,
        by_places,
    ],
}
