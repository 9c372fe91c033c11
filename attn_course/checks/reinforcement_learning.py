"""Checks of lesson 16's exercises."""

import torch

from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import normal


def paper(answer):
    """Exercise 1: the returns-to-go of the rewards 2, 0, 3, 1."""
    return check_value(
        answer,
        [6.0, 4.0, 4.0, 1.0],
        praise="the reward of 0 changes nothing: 4 stands twice",
        mistakes=[
            (
                [2.0, 2.0, 5.0, 6.0],
                "those are sums of what has come: add what is still to come",
            ),
            (
                [4.0, 4.0, 1.0, 0.0],
                "a step's own reward counts too: it is still to come",
            ),
            ([2.0, 0.0, 3.0, 1.0], "those are the rewards: add them up"),
            (
                [6.0, 6.0, 6.0, 6.0],
                "that is the whole return at every step: leave out what was "
                "received before",
            ),
            (
                [1.0, 4.0, 4.0, 6.0],
                "right numbers, in the order in which one finds them: turn them "
                "round",
            ),
        ],
    )


def token(answer):
    """Exercise 2: the number of a token, and how many it sees."""
    return check_value(
        answer,
        [22.0, 23.0],
        praise="seven steps of three, then the return, then the state",
        mistakes=[
            ([22.0, 22.0], "a token sees itself too: one more"),
            (
                [23.0, 22.0],
                "right numbers, swapped: first which token it is, then how "
                "many it sees",
            ),
            (
                [22.0, 24.0],
                "that counts its own action too: it comes after the state",
            ),
            (
                [22.0, 30.0],
                "the mask is causal: nothing after the token is seen",
            ),
            ([21.0, 22.0], "21 is the return of step 7: the state comes next"),
            (
                [23.0, 24.0],
                "23 is the action of step 7, or the state counted from 1",
            ),
            (
                [23.0, 23.0],
                "counted from 1: from 0 the state's number is one less",
            ),
            (
                [19.0, 20.0],
                "that is step 6: steps are counted from 0, so seven stand before "
                "step 7",
            ),
            ([7.0, 8.0], "each step has three tokens"),
            ([15.0, 16.0], "each step has three tokens, not two"),
        ],
    )


# Exercise 3: returns-to-go --------------------------------------------------


def _oracle_returns(rewards, lengths):
    rows = []
    for row, length in zip(rewards, lengths.tolist()):
        found = [0 * row.sum()] * len(row)
        total = 0.0
        for step in range(length - 1, -1, -1):
            total = total + row[step]
            found[step] = total
        rows.append(torch.stack(found))
    return torch.stack(rows)


def _real(rewards, lengths):
    return torch.arange(rewards.shape[1]) < lengths[:, None]


def _clean(rewards, lengths):
    return torch.where(_real(rewards, lengths), rewards, 0.0)


def _from_right(rewards, dim=-1):
    return rewards.flip(dim).cumsum(dim=dim).flip(dim)


def _wrong(fn):
    """Do something to clean rewards, then set the padding to 0."""

    def returns(rewards, lengths):
        found = fn(_clean(rewards, lengths))
        return _clean(found, lengths)

    return returns


def _without_last(rewards):
    return torch.cat([rewards[:, :-1], 0 * rewards[:, -1:]], dim=-1)


def _discounted(rewards, rate):
    found = 0 * rewards
    for step in reversed(range(rewards.shape[1])):
        later = found[:, step + 1] if step + 1 < rewards.shape[1] else 0.0
        found[:, step] = rewards[:, step] + rate * later
    return found


def _first_lost(rewards, lengths):
    found = _from_right(_clean(rewards, lengths))
    return torch.cat([0 * found[:, :1], found[:, 1:]], dim=-1)


RETURNS = [
    Mistake(
        _first_lost,
        "the first column stays 0: a loop down to step 0 needs range(..., -1, "
        "-1)",
    ),
    Mistake(
        lambda r, n: _clean(r, n).cumsum(dim=0),
        "it sums over the episodes, dim=0: sum over the steps, from the right",
    ),
    Mistake(
        lambda r, n: _clean(_clean(r, n).flip(-1).cumsum(dim=-1), n),
        "the sums stand in reverse order: flip them back, then set what stands "
        "behind the end to 0",
    ),
    Mistake(
        lambda r, n: _from_right(_clean(r, n)) + r - _clean(r, n),
        "the nonsense behind the end is still there: the returns-to-go there "
        "are 0",
    ),
    Mistake(
        lambda r, n: _clean(r, n).sum(-1, keepdim=True) - _clean(r, n),
        "it takes only each step's own reward off the whole return: what came "
        "before goes, the own stays",
    ),
    Mistake(
        lambda r, n: _from_right(_clean(r, n))[:, : int(n.max())],
        "the rows are cut to the longest episode: the result has the shape of "
        "rewards, with 0 behind each end",
    ),
    Mistake(
        lambda r, n: _from_right(_clean(r, n - 1)),
        "each episode's last reward is missing: steps are counted from 0, so "
        "step < lengths is real",
    ),
    Mistake(
        lambda r, n: _without_last(_from_right(_clean(r, n))),
        "the last column stays 0: the loop ends one step too early",
    ),
    Mistake(
        lambda r, n: _from_right(_without_last(_clean(r, n))),
        "the last column's reward is never counted: a slice or loop ends one "
        "step too early",
    ),
    Mistake(
        lambda r, n: _from_right(r - _clean(r, n)),
        "the mask is the wrong way round: it keeps the nonsense and sets the "
        "rewards to 0",
    ),
    Mistake(
        lambda r, n: _from_right(r) - _clean(_from_right(r), n),
        "the mask is the wrong way round, and comes after the sum: set the "
        "nonsense to 0 first",
    ),
    Mistake(
        lambda r, n: r.cumsum(dim=-1),
        "it sums from the start, and counts what stands behind the end: set "
        "that to 0, then sum from the right",
    ),
    Mistake(
        lambda r, n: _clean(r.cumsum(dim=-1), n),
        "it sums from the start: that is what has come, not what is still to "
        "come",
    ),
    Mistake(
        lambda r, n: r.flip(-1).cumsum(dim=-1),
        "it counts what stands behind the end, and the sums are not flipped "
        "back",
    ),
    *(
        Mistake(
            lambda r, n, rate=rate: _discounted(_clean(r, n), rate),
            f"it discounts later rewards by {rate}: here they count in full",
        )
        for rate in (0.99, 0.9, 0.95, 0.5)
    ),
    Mistake(
        lambda r, n: _from_right(_clean(r, n)) / n[:, None],
        "it divides by the length: a return is a sum, no mean",
    ),
    Mistake(
        lambda r, n: _clean(r, n).sum(dim=-1),
        "that is one return for each episode: one for each step is wanted",
    ),
    Mistake(
        lambda r, n: _clean(r, n).cumsum(dim=-1) - _clean(r, n),
        "that is what came before each step: add what is still to come, its "
        "own reward too",
    ),
    Mistake(
        lambda r, n: _clean(r, n) + _clean(r.roll(-1, -1), n - 1),
        "each step adds only the next reward: add the next step's *return*, "
        "from the end on",
    ),
]


def returns(answer):
    """Exercise 3: returns-to-go of padded episodes."""
    small = torch.tensor([[1.0, 0.0, 2.0, 9.0], [3.0, 1.0, 5.0, 2.0]])
    return check(
        answer,
        oracle=_oracle_returns,
        cases=[
            Case((small, torch.tensor([3, 4])), "two episodes, one padded"),
            Case(
                (normal(4, 6), torch.tensor([6, 1, 3, 5])),
                "four episodes of 6, 1, 3 and 5 steps",
            ),
            Case(
                (normal(3, 3), torch.tensor([2, 3, 1])),
                "as many episodes as steps",
            ),
            Case((normal(1, 1), torch.tensor([1])), "a single step"),
            Case(
                (normal(2, 5), torch.tensor([3, 2])),
                "two episodes of 3 and 2 steps in rows of 5",
            ),
        ],
        mistakes=[
            Mistake(
                lambda r, n: _from_right(r),
                "what stands behind the end is counted: set it to 0 first",
            ),
            Mistake(
                lambda r, n: _clean(_from_right(r), n),
                "the padding is set to 0 after the sum, which has already "
                "counted it: set it to 0 first",
            ),
            Mistake(
                lambda r, n: _from_right(_clean(r, n + 1)),
                "one step too many is counted: steps are counted from 0, so "
                "the last real one is lengths - 1",
            ),
            Mistake(
                _wrong(lambda r: r.cumsum(dim=-1)),
                "it sums from the start: that is what has come, not what is "
                "still to come",
            ),
            Mistake(
                lambda r, n: _clean(r, n).cumsum(dim=-1),
                "it sums from the start: that is what has come, not what is "
                "still to come",
            ),
            Mistake(
                lambda r, n: _from_right(_clean(r, n)) - _clean(r, n),
                "a step's own reward counts too: do not take it off",
            ),
            Mistake(
                lambda r, n: _clean(r, n).flip(-1).cumsum(dim=-1),
                "the sums stand in reverse order: flip them back",
            ),
            Mistake(
                lambda r, n: _from_right(_clean(r, n), 0),
                "it sums over the episodes: use the last dimension",
            ),
            Mistake(
                lambda r, n: _clean(r, n),
                "those are the rewards: add up those that follow",
            ),
            Mistake(
                lambda r, n: _clean(r, n).sum(-1, keepdim=True).expand_as(r),
                "that is the whole return at every step, and in the padding",
            ),
            Mistake(
                _wrong(lambda r: r.sum(-1, keepdim=True).expand_as(r)),
                "that is the whole return at every step: leave out what came "
                "before",
            ),
            *RETURNS,
        ],
        praise="from the right, and nothing from behind the end",
    )


# Exercise 4: the row of tokens ----------------------------------------------


def _oracle_weave(returns, states, actions):
    row = []
    for step in range(returns.shape[1]):
        for kind in (returns, states, actions):
            row.append(kind[:, step])
    return torch.stack(row, dim=1)


def _overwritten(returns, states, actions):
    row = torch.zeros_like(torch.cat([returns, states, actions], dim=1))
    for step in range(returns.shape[1]):
        for place, kind in enumerate((returns, states, actions)):
            row[:, step + place] = kind[:, step]
    return row


def weave(answer):
    """Exercise 4: return, state, action, step by step."""

    def case(*shape, name):
        kinds = tuple(normal(*shape, seed=n) for n in range(3))
        return Case(kinds, name)

    first = tuple(
        torch.tensor([[[x, x], [x + 3, x + 3]]]) for x in (1.0, 2.0, 3.0)
    )
    return check(
        answer,
        oracle=_oracle_weave,
        cases=[
            Case(first, "two steps of two numbers"),
            case(2, 4, 5, name="two episodes of four steps, dim 5"),
            case(3, 3, 3, name="three episodes of three steps, dim 3"),
            case(2, 1, 2, name="a single step"),
        ],
        mistakes=[
            Mistake(
                lambda r, s, a: torch.cat([r, s, a], dim=1),
                "all returns stand first, then all states: the three of a "
                "step belong together",
            ),
            Mistake(
                lambda r, s, a: torch.stack([r, s, a], dim=1).flatten(1, 2),
                "stack with dim=1 keeps each kind together: the new dimension "
                "belongs after steps",
            ),
            Mistake(
                lambda r, s, a: torch.stack([r, s, a], dim=-1).reshape(
                    len(r), -1, r.shape[-1]
                ),
                "stack with dim=-1 mixes the numbers of three tokens: the new "
                "dimension belongs before dim",
            ),
            Mistake(
                lambda r, s, a: _oracle_weave(s, r, a),
                "the return comes first, then the state",
            ),
            Mistake(
                lambda r, s, a: _oracle_weave(s, a, r),
                "the return comes first: the decision has to see it",
            ),
            Mistake(
                lambda r, s, a: _oracle_weave(a, s, r),
                "each step stands in reverse order: return, state, action",
            ),
            Mistake(
                lambda r, s, a: _oracle_weave(a, r, s),
                "the action comes last: the decision is made before it",
            ),
            Mistake(
                lambda r, s, a: _oracle_weave(r, a, s),
                "the action comes last: before the state it would be seen by "
                "its own decision",
            ),
            Mistake(
                lambda r, s, a: torch.cat([r, s, a], dim=-1),
                "that makes one wide token of three: reshape it to 3 * steps",
            ),
            Mistake(
                lambda r, s, a: torch.stack([r, s, a], dim=2),
                "steps and kinds are still two dimensions: join them",
            ),
            Mistake(
                lambda r, s, a: torch.stack([r, s, a], dim=0).reshape(
                    len(r), -1, r.shape[-1]
                ),
                "stack with dim=0 puts the kinds before the episodes, and "
                "reshape cuts across them: use dim=2",
            ),
            Mistake(
                lambda r, s, a: r + s + a,
                "the three are added: they should stand side by side",
            ),
            Mistake(
                lambda r, s, a: torch.cat(
                    [
                        _oracle_weave(r, s, a)[:, :-3],
                        0 * _oracle_weave(r, s, a)[:, -3:],
                    ],
                    dim=1,
                ),
                "the last step is missing: the loop ends one too early",
            ),
            Mistake(
                lambda r, s, a: _oracle_weave(r, s, 0 * a),
                "the actions' places stay 0: token 3 t + 2 is the action",
            ),
            Mistake(
                lambda r, s, a: (r + s + a) / 3,
                "the three are averaged: they should stand side by side",
            ),
            Mistake(
                _overwritten,
                "the places overlap: step t begins at token 3 t, so write to "
                "3 t, 3 t + 1 and 3 t + 2",
            ),
            Mistake(
                lambda r, s, a: _oracle_weave(r, s, a).transpose(0, 1),
                "the batch stands second: stack with dim=1 when the list goes "
                "over the tokens",
            ),
            Mistake(
                lambda r, s, a: torch.stack([r, s], dim=2).flatten(1, 2),
                "the actions are missing: each step has three tokens",
            ),
            Mistake(
                lambda r, s, a: torch.stack([s, a], dim=2).flatten(1, 2),
                "the returns are missing: each step has three tokens",
            ),
            Mistake(
                lambda r, s, a: torch.stack([r, s, a], dim=1),
                "the kinds are still a dimension of their own, and before "
                "steps: stack with dim=2, then join the two",
            ),
            Mistake(
                lambda r, s, a: torch.cat([r, s, a], dim=0),
                "the three stand behind each other as if they were episodes: "
                "they are tokens of one row",
            ),
            Mistake(
                lambda r, s, a: _oracle_weave(r, s, a).flip(1),
                "the row runs backwards: R0 comes first",
            ),
            Mistake(
                lambda r, s, a: torch.stack([r, s, a], dim=2).flatten(0, 1),
                "episodes and steps are joined: join steps and kinds, "
                "flatten(1, 2)",
            ),
        ],
        praise="R0 s0 a0 R1 s1 a1, in every episode",
    )
