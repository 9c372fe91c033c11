"""Checks of lesson 05's exercises."""

import math

import torch

from attn_course.checks.engine import Case, Mistake, check, check_value
from attn_course.checks.inputs import normal


def by_hand(answer):
    """Exercise 1: additive scores on paper, query [-1, 1]."""
    return check_value(
        answer,
        [0.9640, 0.2024],
        tolerance=0.0045,
        praise="key 1 wins, which the dot product would not choose",
        mistakes=[
            ([0.0, 1.0], "these are dot products: add query and key instead"),
            ([2.0, 1.0], "tanh is missing: bend each number before the sum"),
            (
                [0.9640, 0.7616],
                "that is tanh of the sum (tanh comes first, then the sum), or "
                "key minus query (add them)",
            ),
            (
                [0.2024, 0.9640],
                "right numbers, wrong order: the score of key 1 comes first",
            ),
            (
                [0.0, 0.7616],
                "query and key are multiplied, then bent: add them, number "
                "by number, then tanh",
            ),
            (
                [0.6817, 0.3183],
                "these are weights: the scores come before the softmax",
            ),
            (
                [1.7256, 1.5232],
                "that is the lesson's query [1, 0]: here it is [-1, 1]",
            ),
            ([1.9281, 1.7256], "that is the query [1, 1]: here it is [-1, 1]"),
            ([0.7616, 0.0], "that is the query [-1, 0]: here it is [-1, 1]"),
            (
                [0.9640, 1.7256],
                "key 2: -1 + 0 is -1, and tanh(-1) is negative: -0.7616",
            ),
            (
                [0.9640, -0.7616],
                "key 2 has a second number, 1 + 1: add its tanh too",
            ),
            (
                [0.0, -0.7616],
                "the second numbers are missing: 1 + 1 for both keys, so add "
                "tanh(2)",
            ),
            ([-0.9640, -0.7616], "that is query minus key: add them"),
            (
                [0.4820, 0.1012],
                "that is the mean of the two tanh: v = [1, 1] adds them up",
            ),
            (
                [1.5232, 0.7616],
                "query and key are bent one by one: add them first, then tanh",
            ),
            ([1.6366, 2.6366], "that is the output: stop at the scores"),
        ],
    )


def _oracle_scores(query, key, w_query, w_key, v):
    batches = []
    for b in range(len(query)):
        rows = []
        for q in query[b]:
            rows.append(
                torch.stack(
                    [
                        sum(
                            v[h] * torch.tanh(w_query[h] @ q + w_key[h] @ k)
                            for h in range(len(v))
                        )
                        for k in key[b]
                    ]
                )
            )
        batches.append(torch.stack(rows))
    return torch.stack(batches)


def _case(batch, q, k, d, e, hidden, name):
    shapes = [
        (batch, q, d),
        (batch, k, e),
        (hidden, d),
        (hidden, e),
        (hidden,),
    ]
    args = (normal(*shape, seed=10 + n) for n, shape in enumerate(shapes))
    return Case(tuple(args), name)


def scores(answer):
    """Exercise 2: additive scores of a batch, without loops."""

    def pairs(query, key, w_query, w_key):
        asked = query @ w_query.mT
        return asked[:, :, None] + (key @ w_key.mT)[:, None]

    def written(bend=torch.tanh, weigh=lambda x, v: x @ v):
        return lambda q, k, wq, wk, v: weigh(bend(pairs(q, k, wq, wk)), v)

    def multiplied(q, k, wq, wk, v):
        both = (q @ wq.mT)[:, :, None] * (k @ wk.mT)[:, None]
        return torch.tanh(both) @ v

    def minus(q, k, wq, wk, v):
        return torch.tanh(pairs(q, -k, wq, wk)) @ v

    def repeated(q, k, wq, wk, v):
        sizes = len(q), q.shape[1], k.shape[1], -1
        asked = (q @ wq.mT).repeat(1, k.shape[1], 1)
        offered = (k @ wk.mT).repeat(1, q.shape[1], 1)
        return torch.tanh((asked + offered).reshape(sizes)) @ v

    def without_last(q, k, wq, wk, v, queries=None, keys=None):
        out = torch.zeros_like(right(q, k, wq, wk, v))
        out[:, :queries, :keys] = right(q, k, wq, wk, v)[:, :queries, :keys]
        return out

    def bent_apart(q, k, wq, wk, v):
        asked = torch.tanh(q @ wq.mT)[:, :, None]
        return (asked + torch.tanh(k @ wk.mT)[:, None]) @ v

    right = written()
    return check(
        answer,
        oracle=_oracle_scores,
        cases=[
            _case(1, 1, 2, 2, 2, 2, "1 query, 2 keys of 2 numbers, hidden 2"),
            # Here the usual slips raise no error, so that they can be named.
            _case(4, 4, 4, 4, 4, 4, "all sizes 4"),
            _case(2, 3, 4, 3, 5, 6, "batch 2, q 3, k 4, d 3, e 5, hidden 6"),
            _case(3, 4, 4, 2, 2, 5, "batch 3, q 4, k 4, d 2, e 2, hidden 5"),
        ],
        mistakes=[
            Mistake(
                written(bend=lambda x: x),
                "tanh is missing: without it the best key is the same for "
                "every query",
            ),
            Mistake(
                lambda *a: torch.softmax(right(*a), dim=-1),
                "these are weights: return the scores, before the softmax",
            ),
            Mistake(
                lambda *a: torch.log_softmax(right(*a), dim=-1),
                "these are logarithms of the weights: return the scores, "
                "before the softmax",
            ),
            Mistake(
                lambda *a: torch.softmax(right(*a), dim=-2),
                "these are weights, and over the queries: return the scores",
            ),
            Mistake(
                lambda *a: right(*a).mT,
                "queries and keys are swapped: give the queries their extra "
                "dimension where the keys stand, [:, :, None]",
            ),
            Mistake(
                written(weigh=lambda x, v: x.sum(-1)),
                "v is not used: weigh the hidden units with it (@ v)",
            ),
            Mistake(
                written(weigh=lambda x, v: (x * v).mean(-1)),
                "it takes the mean over the hidden units: take the sum",
            ),
            Mistake(
                written(weigh=lambda x, v: x),
                "v is not used: the hidden units of each pair must be "
                "weighed and summed (@ v)",
            ),
            Mistake(
                written(weigh=lambda x, v: x * v),
                "weighed with v, but not summed over the hidden units: @ v",
            ),
            Mistake(
                written(weigh=lambda x, v: (x @ v)[..., None]),
                "one dimension too many at the end: (batch, q, k)",
            ),
            Mistake(
                lambda *a: torch.tanh(written(bend=lambda x: x)(*a)),
                "tanh comes too late: bend the hidden units, then weigh "
                "them with v",
            ),
            Mistake(
                bent_apart,
                "query and key are bent one by one: add them first, then tanh",
            ),
            Mistake(
                multiplied, "query and key are multiplied: they must be added"
            ),
            Mistake(minus, "the key is subtracted: it must be added"),
            Mistake(written(bend=torch.sigmoid), "that is sigmoid: take tanh"),
            Mistake(written(bend=torch.relu), "that is relu: take tanh"),
            Mistake(
                lambda *a: right(*a) / math.sqrt(len(a[-1])),
                "nothing is divided in the additive score",
            ),
            Mistake(
                lambda *a: right(*a) / math.sqrt(a[0].shape[-1]),
                "nothing is divided in the additive score",
            ),
            Mistake(
                lambda q, k, wq, wk, v: right(q, k, wq.mT, wk.mT, v),
                "the matrices are used the wrong way round: query @ "
                "w_query.T, since w_query is (hidden, d)",
            ),
            Mistake(
                lambda q, k, wq, wk, v: right(q, k, wk, wq, v),
                "the two matrices are swapped",
            ),
            Mistake(
                lambda q, k, wq, wk, v: torch.tanh(q @ wq.mT + k @ wk.mT) @ v,
                "each query meets only the key at its own position: every "
                "query must meet every key, [:, :, None] and [:, None]",
            ),
            Mistake(
                lambda q, k, wq, wk, v: (
                    torch.tanh((q @ wq.mT)[:, None] + (k @ wk.mT)[:, None]) @ v
                ),
                "query and key got their extra dimension at the same "
                "position: the queries need it where the keys stand, [:, :, None]",
            ),
            Mistake(
                lambda q, k, wq, wk, v: (
                    torch.tanh((q @ wq.mT)[:, None] + (k @ wk.mT)[None]) @ v
                ),
                "those are the lesson's indices for one sequence: with a batch "
                "in front they must be [:, :, None] and [:, None]",
            ),
            Mistake(
                lambda q, k, wq, wk, v: torch.tanh(
                    pairs(q, k, wq, wk) * v
                ).sum(-1),
                "v comes too early: first tanh, then weigh with v",
            ),
            Mistake(
                lambda q, k, wq, wk, v: (
                    torch.tanh((q @ wq.mT)[:, :, None] + k[:, None]) @ v
                ),
                "the key is not projected: use w_key too",
            ),
            Mistake(
                lambda q, k, wq, wk, v: (
                    torch.tanh(q[:, :, None] + k[:, None]) @ v
                ),
                "neither is projected: use w_query and w_key",
            ),
            Mistake(
                lambda *a: right(*a).squeeze(),
                "squeeze() takes away *every* dimension of length 1, the "
                "batch too: say which one, squeeze(-1)",
            ),
            Mistake(
                lambda q, k, wq, wk, v: (q @ wq.mT) @ (k @ wk.mT).mT,
                "that is a dot product of the projections: add, tanh, weigh "
                "with v",
            ),
            Mistake(
                repeated,
                "queries and keys are both repeated round and round, so that "
                "the pairs are mixed up: repeat_interleave the queries",
            ),
            Mistake(
                lambda *a: without_last(*a, queries=-1),
                "the last query's scores are left at 0: the loop ends too "
                "early",
            ),
            Mistake(
                lambda *a: without_last(*a, keys=-1),
                "the last key's scores are left at 0: the loop ends too early",
            ),
            Mistake(
                lambda *a: right(*a)[0],
                "only the first of the batch is there: (batch, q, k)",
            ),
        ],
        praise="it agrees with a loop over batch, query, key and hidden unit",
    )


def _oracle_teacher(expected):
    rows = [[1, *row[:-1]] for row in expected.tolist()]
    return torch.tensor(rows)


def teacher(answer):
    """Exercise 3: the decoder's input under teacher forcing."""

    def joined(column, rest):
        def fn(x):
            return torch.cat([torch.full_like(x[:, :1], column), rest(x)], 1)

        return fn

    def cleared(x):
        """Cut EOS off too, instead of the last column."""
        shifted = torch.cat([torch.ones_like(x[:, :1]), x[:, :-1]], dim=1)
        return torch.where(shifted == 2, torch.zeros_like(x), shifted)

    def rolled(x):
        return torch.roll(x, 1, dims=1)

    def over_first(x):
        return torch.cat([torch.ones_like(x[:, :1]), x[:, 1:]], dim=1)

    def moved_left(x):
        return torch.cat([x[:, 1:], torch.ones_like(x[:, :1])], dim=1)

    def flat(x):
        return torch.cat([x.new_ones(1), x.flatten()[:-1]]).view_as(x)

    return check(
        answer,
        oracle=_oracle_teacher,
        cases=[
            Case((torch.tensor([[7, 9, 2]]),), "7 9 EOS"),
            Case(
                (torch.tensor([[5, 6, 2, 0], [7, 4, 8, 2]]),),
                "5 6 EOS PAD and 7 4 8 EOS",
            ),
            Case((torch.tensor([[2], [9], [2]]),), "three rows of one token"),
        ],
        mistakes=[
            Mistake(
                lambda x: x,
                "nothing is moved: at each position it would read the very "
                "token that it shall write",
            ),
            Mistake(
                joined(1, lambda x: x),
                "one token too many: cut the last one off",
            ),
            Mistake(
                lambda x: x[:, :-1],
                "BOS is missing: put a column of 1 in front",
            ),
            Mistake(
                joined(0, lambda x: x[:, :-1]),
                "the first column is padding (0): it must be BOS, which is 1",
            ),
            Mistake(
                joined(2, lambda x: x[:, :-1]),
                "the first column is EOS (2): it must be BOS, which is 1",
            ),
            Mistake(
                joined(3, lambda x: x[:, :-1]),
                "the first column is unknown (3): it must be BOS, which is 1",
            ),
            Mistake(
                rolled,
                "roll brings the last token to the front: BOS must stand "
                "there",
            ),
            Mistake(
                lambda x: torch.roll(x, 1),
                "roll without dims runs from one row into the next, and brings "
                "the last token to the front: BOS must stand there",
            ),
            Mistake(
                over_first,
                "BOS has replaced the first token: the others must move by "
                "one",
            ),
            Mistake(
                moved_left,
                "moved the wrong way: at each position it must read the token "
                "*before*",
            ),
            Mistake(
                lambda x: x[:, 1:],
                "the first token is cut off: cut the last, and put BOS in "
                "front",
            ),
            Mistake(
                joined(1, lambda x: x[:, 1:]),
                "BOS has replaced the first token: the others must move by "
                "one",
            ),
            Mistake(
                lambda x: torch.cat([torch.ones_like(x[:1]), x[:-1]], dim=0),
                "it moves the sentences: move the tokens, dim=1",
            ),
            Mistake(
                flat,
                "the rows are flattened, so the end of one runs into the "
                "next: work along dim=1",
            ),
            Mistake(
                cleared,
                "EOS is removed too: only the last column goes, whatever it "
                "holds; the loss does not look at what follows EOS",
            ),
            Mistake(
                lambda x: torch.cat(
                    [torch.ones_like(x[:, :1]), x[:, :-1]], 1
                ).to(torch.float32),
                "right numbers, but of another type: token ids must stay "
                "whole numbers, in a torch tensor",
            ),
            Mistake(
                lambda x: joined(1, lambda x: x[:, :1].expand_as(x[:, 1:]))(x),
                "a column is read after it was overwritten, so that the first "
                "token is copied on and on: read from expected, which stays",
            ),
            Mistake(
                lambda x: torch.cat([x[:, :-1], torch.ones_like(x[:, :1])], 1),
                "BOS stands at the end: put it in front",
            ),
        ],
        praise="at each position the right token before it",
    )
