"""Steps of a beam search, a right one and wrong ones, for lesson 07's check."""

import torch

from attn_course.checks.engine import Mistake


def step_by_loops(total, steps):
    chosen = []
    totals, rows = total.tolist(), steps.tolist()
    for _ in range(len(total)):
        best = None
        for i in range(steps.shape[0]):
            for j in range(steps.shape[1]):
                score = totals[i] + rows[i][j]
                if (i, j) not in [c[1:] for c in chosen] and (
                    best is None or score > best[0]
                ):
                    best = (score, i, j)
        chosen.append(best)
    return (
        torch.tensor([i for _, i, _ in chosen]),
        torch.tensor([j for *_, j in chosen]),
    )


def _top(scores, beam_size, size, largest=True):
    best = scores.flatten().topk(beam_size, largest=largest).indices
    return best // size, best % size


def _right(total, steps):
    return _top(total[:, None] + steps, len(total), steps.shape[1])


def _flat(total, steps):
    return (total[:, None] + steps).flatten().topk(len(total)).indices


def _each_own_best_ranked(total, steps):
    sums, tokens = (total[:, None] + steps).max(dim=1)
    order = sums.argsort(descending=True)
    return order, tokens[order]


def _each_token_once(total, steps):
    best, beginnings = (total[:, None] + steps).max(dim=0)
    tokens = best.topk(len(total)).indices
    return beginnings[tokens], tokens


def _each_row_apart(total, steps):
    tokens = (total[:, None] + steps).topk(len(total), dim=1).indices
    return torch.arange(len(total))[:, None].expand_as(tokens), tokens


WRONG_STEPS = [
    Mistake(
        lambda t, s: (torch.arange(len(t)), s.argmax(1)),
        "each beginning goes on with its own best token: the best "
        "two may both come from one beginning",
    ),
    Mistake(
        _each_own_best_ranked,
        "each beginning goes on with its own best token: the best "
        "two may both come from one beginning",
    ),
    Mistake(
        lambda t, s: (t[:, None] + s).topk(len(t), dim=1),
        "topk looks into each row by itself: flatten the sums first",
    ),
    Mistake(
        lambda t, s: tuple((t[:, None] + s).flatten().topk(len(t))),
        "topk gives the sums and their positions in the flattened row: "
        "take the positions apart with // and %",
    ),
    Mistake(
        lambda t, s: (_flat(t, s) / s.shape[1], _flat(t, s) % s.shape[1]),
        "/ gives fractions: // gives the whole number below",
    ),
    Mistake(
        lambda t, s: _top(s, len(t), s.shape[1]),
        "it forgets total, how likely each beginning was",
    ),
    Mistake(
        lambda t, s: _top(t[:, None] * s, len(t), s.shape[1]),
        "it multiplies log probabilities: add them",
    ),
    Mistake(
        lambda t, s: _top(t[:, None] + s, len(t), s.shape[1], False),
        "it takes the worst ones: the largest sums are wanted",
    ),
    Mistake(
        lambda t, s: _top(t[:, None] + s, len(t), len(t)),
        "a position in the flattened sums is parent * size + token: "
        "divide by the number of tokens, not by the beam size",
    ),
    Mistake(
        lambda t, s: _right(t, s)[::-1],
        "the two are exchanged: the beginnings first, then the tokens",
    ),
    Mistake(
        lambda t, s: tuple(x.flip(0) for x in _right(t, s)),
        "the right ones, in the wrong order: the best first",
    ),
    Mistake(
        lambda t, s: _top(t + s[:, : len(t)], len(t), len(t)),
        "total[i] belongs to a row of steps: total[:, None] + steps",
    ),
    Mistake(
        lambda t, s: (_flat(t, s), _flat(t, s) % s.shape[1]),
        "the first is the position in the flattened sums: // the "
        "number of tokens gives the beginning",
    ),
    Mistake(
        lambda t, s: (
            (t[:, None] + s).flatten().topk(len(t)).values,
            _flat(t, s) % s.shape[1],
        ),
        "the first holds the sums: return which beginning each comes from",
    ),
    Mistake(
        lambda t, s: (
            _flat(t, s).sort().values // s.shape[1],
            _flat(t, s).sort().values % s.shape[1],
        ),
        "the right ones, in the order of their positions: the best first",
    ),
    Mistake(
        lambda t, s: _top(t[:, None] + s, s.shape[1], s.shape[1]),
        "it keeps as many as there are tokens: keep as many as there "
        "were beginnings",
    ),
    Mistake(
        lambda t, s: _top(t.exp()[:, None] + s.exp(), len(t), s.shape[1]),
        "it adds probabilities: add their logs, or multiply them",
    ),
    Mistake(
        lambda t, s: _top((t[:, None] + s).mT, len(t), s.shape[1]),
        "the sums are flattened token by token, but // and % take "
        "rows of one beginning: do not transpose",
    ),
    Mistake(
        lambda t, s: _top(s - t[:, None], len(t), s.shape[1]),
        "it subtracts total: log probabilities are added",
    ),
    *(
        Mistake(
            one_result,
            "both are right, but put into one: return two tensors, "
            "the beginnings and the tokens",
        )
        for one_result in (
            lambda t, s: torch.stack([*_right(t, s)]),
            lambda t, s: torch.stack([*_right(t, s)], dim=1),
            lambda t, s: torch.stack([*_right(t, s)], dim=1).tolist(),
        )
    ),
    Mistake(
        lambda t, s: (_right(t, s)[0].float(), _right(t, s)[1]),
        "the numbers are right, but not whole: // of whole numbers "
        "gives whole ones",
    ),
    Mistake(
        lambda t, s: (
            _right(t, s)[0],
            (t[:, None] + s).flatten().topk(len(t)).values,
        ),
        "the second holds the sums: return which token is added",
    ),
    Mistake(
        lambda t, s: (
            *_right(t, s),
            (t[:, None] + s).flatten().topk(len(t)).values,
        ),
        "the two are right; the sums are not asked",
    ),
    Mistake(
        lambda t, s: (_flat(t, s) // len(t), _flat(t, s) % s.shape[1]),
        "the beginning is the position // the number of tokens, not "
        "// the beam size",
    ),
    Mistake(
        lambda t, s: (_flat(t, s) // s.shape[1], _flat(t, s) % len(t)),
        "the token is the position % the number of tokens, not % the "
        "beam size",
    ),
    Mistake(
        lambda t, s: (
            t.argmax().expand(len(t)),
            s[t.argmax()].topk(len(t)).indices,
        ),
        "only the likeliest beginning goes on: those of all compete",
    ),
    Mistake(
        lambda t, s: (torch.zeros_like(t).long(), s[0].topk(len(t)).indices),
        "only the first beginning goes on: those of all compete",
    ),
    Mistake(
        _each_token_once,
        "each token is taken once at most: two beginnings may go on "
        "with the same token",
    ),
    Mistake(
        lambda t, s: _top(t[:, None] + s, 2, s.shape[1]),
        "it always keeps 2: keep as many as there were beginnings",
    ),
    Mistake(
        _flat,
        "those are positions in the flattened sums: take each apart, // and % "
        "the number of tokens, and return two tensors",
    ),
    Mistake(
        _each_row_apart,
        "the tokens come from each beginning by itself: flatten the "
        "sums, so that all beginnings compete",
    ),
    Mistake(
        lambda t, s: _top(t[:, None] + s.exp(), len(t), s.shape[1]),
        "a log probability and a probability are added: steps are "
        "logs already, without exp",
    ),
    Mistake(
        lambda t, s: tuple(x[:1] for x in _right(t, s)),
        "only the best one: keep as many as there were beginnings",
    ),
    Mistake(
        lambda t, s: tuple(x[:1].expand(len(t)) for x in _right(t, s)),
        "the best one is taken again and again: topk takes different ones",
    ),
    Mistake(
        lambda t, s: _top(t[:, None] * s.exp(), len(t), s.shape[1]),
        "a log probability is multiplied by a probability: add the logs",
    ),
    Mistake(
        lambda t, s: _top(t.exp()[:, None] + s, len(t), s.shape[1]),
        "a probability and a log probability are added: total is a log already, without exp",
    ),
    Mistake(
        lambda t, s: _top(t[:, None] + s.topk(len(t)).values, len(t), len(t)),
        "those are ranks among the best of each row, not tokens: look them up in topk's indices",
    ),
    Mistake(
        lambda t, s: (
            t.argsort(descending=True),
            s[t.argsort(descending=True)].argmax(1),
        ),
        "each beginning goes on with its own best token: the best two may both come from one beginning",
    ),
    Mistake(
        lambda t, s: (t[:, None] + s).flatten().topk(len(t)).values,
        "those are the sums: return which beginning each comes from, and which token it adds",
    ),
]
