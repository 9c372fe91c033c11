"""Draw the cheat sheet: all formulas and shapes of the course on two pages.

``python -m teaching.cheatsheet`` writes ``teaching/cheatsheet.pdf``, the same
bytes every time. Each formula stands beside a function that checks it in
numbers against the course's own code; the tests run them all. It is set by
matplotlib, which the course has anyway: the site's PDF would need Chromium and
npm, and would not be the same bytes twice.
"""

import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.nn import functional as F

TARGET = Path(__file__).parent / "cheatsheet.pdf"
WIDTH, HEIGHT, MARGIN, GAP = 8.27, 11.69, 0.45, 0.3  # inches: A4
INK, GREY, LINE = "#1a1a1a", "#555555", "#0072B2"


@dataclass(frozen=True)
class Entry:
    """A formula with its shapes, and a check that raises if it is wrong."""

    name: str
    formula: str
    shapes: str
    check: Callable[[], None]


@dataclass(frozen=True)
class Section:
    """The entries of one lesson or two."""

    title: str
    entries: list[Entry] = field(default_factory=list)


close = torch.testing.assert_close


def _random(*shape: int):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# Checks --------------------------------------------------------------------


def _dot() -> None:
    from attn_course.dot_product import dot_product_attention

    q, k, v = _random(2, 4), _random(3, 4), _random(3, 5)
    output, weights = dot_product_attention(q, k, v)
    close(weights, (q @ k.T).exp() / (q @ k.T).exp().sum(-1, keepdim=True))
    close(output, weights @ v)
    assert output.shape == (2, 5)


def _temperature() -> None:
    from attn_course.dot_product import softmax

    s = _random(3, 4)
    powers = (s / 0.5).exp()
    close(softmax(s, 0.5), powers / powers.sum(-1, keepdim=True))


def _kernel() -> None:
    from attn_course.dot_product import kernel_regression

    q, k, v = _random(2), _random(5), _random(5)
    found = kernel_regression(q, k, v, 0.7)
    found = found[0] if isinstance(found, tuple) else found
    far = (q[:, None] - k) ** 2
    close(found, (-far / (2 * 0.7**2)).softmax(-1) @ v)


def _scaled() -> None:
    from attn_course.scaled_dot_product import scaled_dot_product_attention

    q, k, v = _random(2, 3, 4), _random(2, 5, 4), _random(2, 5, 6)
    output, weights = scaled_dot_product_attention(q, k, v)
    close(weights, torch.softmax(q @ k.mT / math.sqrt(4), -1))
    assert output.shape == (2, 3, 6) and weights.shape == (2, 3, 5)


def _variance() -> None:
    q, k = _random(4000, 64), _random(4000, 64).roll(1, 0)
    assert abs((q * k).sum(-1).var().item() / 64 - 1) < 0.1


def _stable() -> None:
    from attn_course.scaled_dot_product import stable_softmax

    s = _random(3, 4) * 1000
    powers = (s - s.amax(-1, keepdim=True)).exp()
    close(stable_softmax(s), powers / powers.sum(-1, keepdim=True))


def _masks() -> None:
    from attn_course.scaled_dot_product import causal_mask, padding_mask

    place = torch.arange(4)
    assert torch.equal(causal_mask(4), place[None] <= place[:, None])
    real = padding_mask(torch.tensor([2, 4]), 4)
    wanted = place[None] < torch.tensor([[2], [4]])
    assert torch.equal(real.reshape(2, -1)[:, -4:], wanted)


def _slope() -> None:
    s = _random(4).requires_grad_()
    a = s.softmax(-1)
    jacobian = torch.autograd.functional.jacobian(lambda x: x.softmax(-1), s)
    close(jacobian, torch.diag(a) - a[:, None] * a[None])


def _self() -> None:
    from attn_course.self_attention import SelfAttention

    layer = SelfAttention(6, 4).double()
    found = layer(_random(2, 3, 6))
    output = found[0] if isinstance(found, tuple) else found
    assert output.shape == (2, 3, 4)


def _waves() -> None:
    from attn_course.self_attention import sinusoidal_positions

    table = sinusoidal_positions(7, 6)
    for i in range(7):
        for c in range(3):
            angle = i / 10000 ** (2 * c / 6)
            assert abs(table[i, 2 * c].item() - math.sin(angle)) < 1e-5
            assert abs(table[i, 2 * c + 1].item() - math.cos(angle)) < 1e-5


def _rope() -> None:
    from attn_course.self_attention import apply_rotary_emb

    q, k = _random(1, 4), _random(1, 4)

    def score(i, j):
        return (
            apply_rotary_emb(q, torch.tensor([i]))
            @ apply_rotary_emb(k, torch.tensor([j])).T
        ).item()

    assert abs(score(5, 2) - score(13, 10)) < 1e-5


def _alibi() -> None:
    from attn_course.self_attention import AlibiBias

    bias = AlibiBias(0.25)(_random(4, 2), _random(4, 2))
    place = torch.arange(4)
    close(
        bias.tril().double(),
        (-0.25 * (place[:, None] - place).double()).tril(),
    )


def _heads() -> None:
    from attn_course.multi_head_attention import merge_heads, split_heads

    x = _random(2, 3, 8)
    assert split_heads(x, 4).shape == (2, 4, 3, 2)
    close(split_heads(x, 4)[:, 1], x[..., 2:4])
    close(merge_heads(split_heads(x, 4)), x)


def _parameters() -> None:
    from attn_course.multi_head_attention import MultiHeadAttention

    for heads in (1, 4):
        count = sum(
            p.numel() for p in MultiHeadAttention(16, heads).parameters()
        )
        assert count == 4 * 16 * 16 + 4 * 16


def _additive() -> None:
    from attn_course.additive_attention import additive_scores, general_scores

    q, k = _random(1, 2, 3), _random(1, 4, 5)
    wq, wk, v, w = _random(6, 3), _random(6, 5), _random(6), _random(3, 5)
    found = additive_scores(q, k, wq, wk, v)
    for i in range(2):
        for j in range(4):
            close(found[0, i, j], v @ torch.tanh(wq @ q[0, i] + wk @ k[0, j]))
    assert found.shape == (1, 2, 4)
    try:
        close(general_scores(q, k, w), q @ w @ k.mT)
    except ValueError:
        close(general_scores(q, k, w.T), q @ w @ k.mT)


def _layer() -> None:
    from attn_course.transformer import EncoderLayer

    layer = EncoderLayer(16, 4, 32)
    count = sum(p.numel() for p in layer.parameters())
    d, h = 16, 32
    assert count == 4 * d * d + 4 * d + 2 * d * h + h + d + 4 * d


def _norm() -> None:
    x = _random(3, 8)
    mean, variance = (
        x.mean(-1, keepdim=True),
        x.var(-1, keepdim=True, correction=0),
    )
    close(F.layer_norm(x, (8,)), (x - mean) / (variance + 1e-5).sqrt())


def _smooth() -> None:
    from attn_course.transformer import smooth_labels

    found = smooth_labels(torch.tensor([2]), 4, 0.1)
    close(found, torch.tensor([[0.025, 0.025, 0.925, 0.025]]))


def _warmup() -> None:
    from attn_course.transformer import noam_lr

    for step in (1, 50, 400):
        wanted = 64**-0.5 * min(step**-0.5, step * 100**-1.5)
        assert abs(noam_lr(step, 64, 100) - wanted) < 1e-9


def _bleu() -> None:
    from attn_course.translation import bleu

    text = ["the cat sat on the old mat today"]
    assert abs(bleu(text, text) - 100) < 1e-6
    # all n-grams of the shorter text are right: only the length costs
    short = bleu(["the cat sat on the old"], text)
    assert abs(short - 100 * math.exp(1 - 8 / 6)) < 1e-6


def _beam() -> None:
    p = torch.tensor([0.5, 0.4])
    close(p.log().sum().exp(), torch.tensor(0.2))
    assert p.log().sum() / 2 > p.log().sum()


def _pool() -> None:
    from attn_course.text_classification import AttentionPooling

    states, mask = torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    found = AttentionPooling(4)(states, mask)
    pooled = found[0] if isinstance(found, tuple) else found
    assert pooled.shape == (2, 4)


def _interval() -> None:
    from attn_course.common.statistics import wilson_interval

    found = wilson_interval(890, 1000)
    lower, upper = found[-2:]
    half = 1.96 * math.sqrt(0.89 * 0.11 / 1000)
    assert abs((upper - lower) / 2 - half) < 0.001


def _patches() -> None:
    from attn_course.image_attention import patchify

    images = _random(2, 3, 8, 8)
    assert patchify(images, 4).shape == (2, 4, 48)
    close(patchify(images, 4)[0, 1], images[0, :, :4, 4:].flatten())


def _rollout() -> None:
    from attn_course.image_attention import attention_rollout

    weights = torch.rand(2, 4, 3, 3).softmax(-1)  # (depth, heads, ...)
    one, two = (0.5 * w.mean(0) + 0.5 * torch.eye(3) for w in weights)
    close(attention_rollout(weights), two @ one)


def _boxes() -> None:
    """Two squares on a grid, their areas counted cell by cell."""
    grid = [(x, y) for x in range(4) for y in range(4)]
    a = {(x, y) for x, y in grid if x < 2 and y < 2}
    b = {(x, y) for x, y in grid if 1 <= x < 3 and 1 <= y < 3}
    enclosing = {(x, y) for x, y in grid if x < 3 and y < 3}
    iou = len(a & b) / len(a | b)
    giou = iou - (len(enclosing) - len(a | b)) / len(enclosing)
    assert abs(iou - 1 / 7) < 1e-12 and abs(giou - (1 / 7 - 2 / 9)) < 1e-12
    apart = 0 - (16 - 2) / 16  # two cells in opposite corners
    assert apart < giou < iou


def _matching() -> None:
    from scipy.optimize import linear_sum_assignment

    cost = torch.tensor([[4.0, 1, 3], [2, 0, 5], [3, 2, 2]])
    rows, columns = linear_sum_assignment(cost)
    from itertools import permutations

    best = min(
        sum(cost[i, p[i]] for i in range(3)) for p in permutations(range(3))
    )
    assert cost[rows, columns].sum() == best


def _mel() -> None:
    assert abs(2595 * math.log10(1 + 1000 / 700) - 1000) < 0.1


def _ctc() -> None:
    """Sum by hand over all paths of three frames that read "a"."""
    logits = _random(3, 1, 2).log_softmax(-1)
    paths = [
        p
        for p in torch.cartesian_prod(*[torch.arange(2)] * 3).tolist()
        if "".join("-a"[s] for s in p).strip("-").replace("a", "") == ""
        and 1 in p
    ]
    total = sum(
        math.exp(sum(logits[t, 0, s].item() for t, s in enumerate(p)))
        for p in paths
    )
    loss = F.ctc_loss(
        logits,
        torch.tensor([[1]]),
        torch.tensor([3]),
        torch.tensor([1]),
        reduction="sum",
    )
    assert abs(loss.item() + math.log(total)) < 1e-9


def _wer() -> None:
    # "one two three" heard as "one too tree four": 2 wrong, 1 new, of 3
    assert (2 + 0 + 1) / 3 == 1.0


def _paths() -> None:
    from attn_course.rnn_cnn_attention import path_length

    assert path_length("GRU", 100) == 101
    assert path_length("attention", 100) == 1


def _crossing() -> None:
    n, d = 96, 64
    assert 3 * n * d**2 + 2 * n**2 * d == 6 * n * d**2


def _gru() -> None:
    from attn_course.rnn_cnn_attention import gru_step

    cell = torch.nn.GRUCell(3, 4).double()
    x, h = _random(1, 3), _random(1, 4)
    close(
        gru_step(
            x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
        ),
        cell(x, h),
    )


def _online() -> None:
    s, v = _random(1, 6), _random(6, 2)
    m, total, mixed = torch.tensor(-math.inf), 0.0, torch.zeros(2).double()
    for j in range(6):
        new = torch.maximum(m, s[0, j])
        old = torch.exp(m - new)
        power = torch.exp(s[0, j] - new)
        total, mixed, m = old * total + power, old * mixed + power * v[j], new
    close(mixed / total, (s.softmax(-1) @ v)[0])


def _cache() -> None:
    from attn_course.efficient_attention import cache_bytes

    assert cache_bytes(40, 8, 128, 2048, 2) == 2 * 40 * 8 * 128 * 2048 * 2


def _linear() -> None:
    from attn_course.efficient_attention import linear_attention

    q, k, v = _random(1, 5, 4), _random(1, 5, 4), _random(1, 5, 3)
    a, b = F.elu(q) + 1, F.elu(k) + 1
    scores = a @ b.mT
    found = linear_attention(q, k, v, causal=False)
    found = found[0] if isinstance(found, tuple) else found
    close(found, scores / scores.sum(-1, keepdim=True) @ v)


def _grouped() -> None:
    key = _random(1, 2, 3, 4)
    close(key.repeat_interleave(3, dim=1)[:, 4], key[:, 4 // 3])


def _induction() -> None:
    from attn_course.interpreting_attention import induction_targets

    tokens = torch.tensor([[3, 5, 3, 4]])
    found = induction_targets(tokens).reshape(4, 4)
    for i in range(4):
        for j in range(4):
            wanted = 1 <= j <= i and tokens[0, j - 1] == tokens[0, i]
            assert bool(found[i, j]) == bool(wanted)


def _gradient() -> None:
    x = _random(5).requires_grad_()
    w = _random(5)
    (w @ x).backward()
    with torch.no_grad():
        close(
            x.grad[2] * x[2], w @ x - w @ x.index_fill(0, torch.tensor([2]), 0)
        )


def _ranks() -> None:
    places = [1, 3, 12]
    assert sum(p <= 10 for p in places) / 3 == 2 / 3
    gain = sum(1 / math.log2(1 + p) for p in places if p <= 10) / 3
    assert abs(gain - 0.5) < 1e-12


def _returns() -> None:
    from attn_course.reinforcement_learning import returns_to_go

    rewards = torch.tensor([[2.0, 0.0, 3.0, 1.0]])
    close(returns_to_go(rewards), torch.tensor([[6.0, 4.0, 4.0, 1.0]]))


def _tokens() -> None:
    from attn_course.reinforcement_learning import interleave

    r, s, a = (_random(2, 3, 4) for _ in range(3))
    assert interleave(r, s, a).shape == (2, 9, 4)


# What stands on it ---------------------------------------------------------


PAGES = [
    [
        Section(
            "01  Dot product",
            [
                Entry(
                    "Soft lookup",
                    r"$s_j=q\cdot k_j,\quad a=\mathrm{softmax}(s),"
                    r"\quad o=\sum_j a_j v_j$",
                    "q (q, d)  k (k, d)  v (k, v)  ->  "
                    "weights (q, k), output (q, v)",
                    _dot,
                ),
                Entry(
                    "Softmax with temperature",
                    r"$a_j=\dfrac{e^{s_j/T}}{\sum_i "
                    r"e^{s_i/T}}$",
                    "T small: picks one.  T large: averages. "
                    " Each row sums to 1",
                    _temperature,
                ),
                Entry(
                    "Kernel regression",
                    r"$a=\mathrm{softmax}(-(q-k)^2/2\sigma^2)$",
                    "query (q)  key (k)  value (k)  ->  (q)",
                    _kernel,
                ),
            ],
        ),
        Section(
            "02  Scaled dot product",
            [
                Entry(
                    "Attention",
                    r"$\mathrm{softmax}\left(QK^{\top}/\sqrt{d}"
                    r"\right)V$",
                    "Q (*, q, d)  K (*, k, d)  V (*, k, v)  ->  (*, q, v)",
                    _scaled,
                ),
                Entry(
                    "Why the root",
                    r"$\mathrm{Var}(q\cdot k)=d$",
                    "numbers of mean 0 and variance 1, size d",
                    _variance,
                ),
                Entry(
                    "Slope of the softmax",
                    r"$\partial a_i/\partial s_j="
                    r"a_i(\delta_{ij}-a_j)$",
                    "0 where a row is sure: frozen",
                    _slope,
                ),
                Entry(
                    "Stable softmax",
                    r"$\mathrm{softmax}(s)=\mathrm{softmax}"
                    r"(s-\max s)$",
                    "nothing overflows; softmax sees differences",
                    _stable,
                ),
                Entry(
                    "Masks: True = may attend",
                    r"$j\leq i\quad\wedge\quad "
                    r"j<\mathrm{length}$",
                    "causal (q, k)  padding (batch, 1, k); "
                    "-inf before the softmax",
                    _masks,
                ),
            ],
        ),
        Section(
            "03  Self-attention",
            [
                Entry(
                    "Three roles",
                    r"$Q=XW_q,\quad K=XW_k,\quad V=XW_v$",
                    "X (batch, length, dim)  W (dim, size)  ->  (batch, length, "
                    "size)",
                    _self,
                ),
                Entry(
                    "Sinusoidal positions",
                    r"$\sin,\cos\left(i/10000^{2c/d}"
                    r"\right)$",
                    "table (length, dim), columns 2c and 2c + 1",
                    _waves,
                ),
                Entry(
                    "RoPE",
                    r"$(R_iq)\cdot(R_jk)=q\cdot R_{j-i}\,k$",
                    "pairs of numbers turned by the angle i / 10000^(2c/d)",
                    _rope,
                ),
                Entry(
                    "ALiBi",
                    r"$s_{ij}-m\,(i-j)$",
                    "slope m per head, j up to i",
                    _alibi,
                ),
            ],
        ),
        Section(
            "04  Multi-head",
            [
                Entry(
                    "Split and merge",
                    r"$h=\mathrm{dim}/\mathrm{heads},\quad"
                    r"\mathrm{scale}=1/\sqrt{h}$",
                    "(batch, length, dim) -> (batch, heads, length, h)",
                    _heads,
                ),
                Entry(
                    "Parameters",
                    r"$4d^2+4d$",
                    "for any number of heads; torch's layer: True = blocked",
                    _parameters,
                ),
            ],
        ),
        Section(
            "05  Additive",
            [
                Entry(
                    "Bahdanau; Luong",
                    r"$v\cdot\tanh(W_qq+W_kk),\qquad"
                    r"q\cdot Wk$",
                    "query (batch, q, d)  key (batch, k, e)  ->  "
                    "scores (batch, q, k)",
                    _additive,
                )
            ],
        ),
        Section(
            "06  Transformer",
            [
                Entry(
                    "Pre-norm layer",
                    r"$x\leftarrow x+\mathrm{attn}(\mathrm{norm}"
                    r"(x)),\;x\leftarrow x+\mathrm{mlp}(\mathrm{norm}(x))$",
                    "parameters: 4d² + 4d  +  2dh + h + d  +  2 (2d)",
                    _layer,
                ),
                Entry(
                    "Layer norm",
                    r"$(x-\mu)/\sqrt{\sigma^2+\epsilon}$",
                    "over the last dimension, token by token",
                    _norm,
                ),
                Entry(
                    "Label smoothing",
                    r"$(1-\epsilon)\,\mathrm{onehot}+\epsilon/"
                    r"\mathrm{classes}$",
                    "expected (n)  ->  (n, classes)",
                    _smooth,
                ),
                Entry(
                    "Warm-up",
                    r"$d^{-1/2}\min(t^{-1/2},\;t\,w^{-3/2})$",
                    "step t, warm-up w",
                    _warmup,
                ),
            ],
        ),
        Section(
            "07  Translation",
            [
                Entry(
                    "BLEU",
                    r"$100\,\min(1,e^{1-r/c})\,(p_1p_2p_3p_4)^{1/4}$",
                    "c, r: lengths of candidate and reference; p: clipped shares",
                    _bleu,
                ),
                Entry(
                    "Beam",
                    r"$\max\;\frac{1}{n}\sum_t\log p(y_t\mid y_{<t},x)$",
                    "total (width)  steps (width, size)  ->  width best",
                    _beam,
                ),
            ],
        ),
        Section(
            "08  Text",
            [
                Entry(
                    "Attention pooling",
                    r"$\mathrm{softmax}(Hq)^{\top}H$",
                    "states H (batch, length, dim)  query (dim)  ->  (batch, dim)",
                    _pool,
                ),
                Entry(
                    "95 % interval",
                    r"$p\pm1.96\sqrt{p(1-p)/n}$",
                    "a share p of n texts",
                    _interval,
                ),
            ],
        ),
    ],
    [
        Section(
            "09  Images",
            [
                Entry(
                    "Patches",
                    r"$n=\dfrac{H}{s}\cdot\dfrac{W}{s}$",
                    "(batch, c, H, W)  ->  (batch, n, c s s), + 1 class token",
                    _patches,
                ),
                Entry(
                    "Rollout",
                    r"$\prod_l\,\frac{1}{2}(\bar{A}_l+I)$",
                    "last block leftmost; mean over heads; (tokens, tokens)",
                    _rollout,
                ),
            ],
        ),
        Section(
            "10  Detection, segmentation",
            [
                Entry(
                    "IoU, generalised",
                    r"$\mathrm{IoU}=\dfrac{|A\cap B|}{|A\cup B|},"
                    r"\quad\mathrm{GIoU}=\mathrm{IoU}-\dfrac{|C|-|A\cup B|}{|C|}$",
                    "C: smallest box around both",
                    _boxes,
                ),
                Entry(
                    "Matching",
                    r"$\min_{\pi}\;\sum_i\mathrm{cost}(i,\pi(i))$",
                    "cost (queries, objects): one query per object",
                    _matching,
                ),
            ],
        ),
        Section(
            "11  Speech",
            [
                Entry(
                    "Mel scale",
                    r"$2595\,\log_{10}(1+f/700)$",
                    "(samples)  ->  log-mel (frames, bands)",
                    _mel,
                ),
                Entry(
                    "CTC",
                    r"$-\log\sum_{\pi\to y}\prod_t\,p_t(\pi_t)$",
                    "all paths that give y: repeats joined, blanks left out",
                    _ctc,
                ),
                Entry(
                    "Word error rate",
                    r"$(S+D+I)/N$",
                    "wrong, lost, new words; N words spoken",
                    _wer,
                ),
            ],
        ),
        Section(
            "12  RNN, CNN, attention",
            [
                Entry(
                    "GRU",
                    r"$h'=(1-z)\,n+z\,h$",
                    "r, z: sigmoid;  n = tanh(W x + r "
                    "(U h));  x (d), h (size)",
                    _gru,
                ),
                Entry(
                    "Path over distance D",
                    r"$D+1,\quad\lceil D/(k-1)\rceil,"
                    r"\quad1$",
                    "GRU, CNN of kernel k (layers), attention",
                    _paths,
                ),
                Entry(
                    "Multiply-adds",
                    r"$6nd^2\;\mathrm{(GRU)},\quad3nd^2+2n^2d$",
                    "equal at n = 1.5 d",
                    _crossing,
                ),
            ],
        ),
        Section(
            "13  Efficient attention",
            [
                Entry(
                    "Online softmax",
                    r"$\ell'=e^{m-m'}\ell+e^{s-m'},\quad o'="
                    r"e^{m-m'}o+e^{s-m'}v$",
                    "m' = max(m, s); the output is o / l: exact",
                    _online,
                ),
                Entry(
                    "Cache of one sequence",
                    r"$2\cdot\mathrm{layers}\cdot"
                    r"\mathrm{kv}\cdot h\cdot n\cdot\mathrm{bytes}$",
                    "kv heads of size h, n tokens",
                    _cache,
                ),
                Entry(
                    "Grouped queries",
                    r"$\mathrm{key\ head}=\lfloor i\,/\,"
                    r"(\mathrm{heads}/\mathrm{kv})\rfloor$",
                    "query (batch, heads, q, d)  key (batch, kv, k, d)",
                    _grouped,
                ),
                Entry(
                    "Linear attention",
                    r"$\dfrac{\phi(q)\sum_j\phi(k_j)v_j^{\top}}"
                    r"{\phi(q)\cdot\sum_j\phi(k_j)}$",
                    "phi = elu + 1; state (d, v), whatever the length",
                    _linear,
                ),
            ],
        ),
        Section(
            "14  Interpreting",
            [
                Entry(
                    "Induction head",
                    r"$j\leq i,\quad t_{j-1}=t_i$",
                    "looks at what followed the same token",
                    _induction,
                ),
                Entry(
                    "Gradient times input",
                    r"$x_i\cdot\partial f/\partial x_i$",
                    "what leaving x out costs, if f is linear",
                    _gradient,
                ),
            ],
        ),
        Section(
            "15  Recommendation",
            [
                Entry(
                    "HR@k, NDCG@k",
                    r"$\frac{1}{n}\sum[p\leq k],\quad"
                    r"\frac{1}{n}\sum[p\leq k]/\log_2(1+p)$",
                    "p: place of the hidden item among all",
                    _ranks,
                )
            ],
        ),
        Section(
            "16  Acting",
            [
                Entry(
                    "Return-to-go",
                    r"$R_t=\sum_{u\geq t}r_u$",
                    "rewards (batch, steps)  ->  (batch, steps)",
                    _returns,
                ),
                Entry(
                    "Tokens",
                    r"$R_0,s_0,a_0,R_1,s_1,a_1,\ldots$",
                    "three of (batch, steps, dim)  ->  (batch, 3 steps, dim)",
                    _tokens,
                ),
            ],
        ),
        Section(
            "The hand example",
            [
                Entry(
                    "Unscaled",
                    r"$q=[1,0],K=[[1,1],[0,1]],V=[[1,2],[3,4]]$",
                    "scores 1, 0   weights 0.7311, 0.2689   output [1.5379, "
                    "2.5379]",
                    lambda: _hand(1.0, (0.7311, 1.5379, 2.5379)),
                ),
                Entry(
                    "Scaled",
                    r"$\mathrm{scores}/\sqrt{2}$",
                    "weights 0.6698, 0.3302   output [1.6605, 2.6605]",
                    lambda: _hand(2**-0.5, (0.6698, 1.6605, 2.6605)),
                ),
            ],
        ),
    ],
]


def _hand(scale: float, wanted: tuple[float, float, float]) -> None:
    from attn_course.scaled_dot_product import scaled_dot_product_attention

    q = torch.tensor([[1.0, 0.0]])
    k, v = torch.tensor([[1.0, 1], [0, 1]]), torch.tensor([[1.0, 2], [3, 4]])
    output, weights = scaled_dot_product_attention(q, k, v, scale=scale)
    found = (weights[0, 0].item(), *output[0].tolist())
    assert [round(x, 4) for x in found] == list(wanted)


# Drawing -------------------------------------------------------------------


class TooFull(ValueError):
    """Something on the sheet does not fit."""


SIZES = {"section": 11, "name": 9, "formula": 11, "shapes": 7.6}
ROOM = {"section": 0.34, "name": 0.19, "formula": 0.05, "shapes": 0.28}


class Sheet:
    """One page, on which text is measured before it is written."""

    def __init__(self) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(WIDTH, HEIGHT), dpi=300)
        self.renderer = FigureCanvasAgg(self.figure).get_renderer()

    def write(
        self, x: float, y: float, text: str, limit: float, **style
    ) -> float:
        """Write a text whose top is at y; return its height in inches.

        Raises:
            TooFull: if it is wider than ``limit`` inches.
        """
        artist = self.figure.text(
            x / WIDTH, y / HEIGHT, text, va="top", **{"color": INK, **style}
        )
        box = artist.get_window_extent(self.renderer)
        width, height = box.width / 300, box.height / 300
        if width > limit:
            raise TooFull(
                f"{text!r} is {width:.2f} inches wide ({limit:.2f} at most)"
            )
        return height

    def section(
        self, x: float, y: float, width: float, section: Section
    ) -> float:
        """Write a section; return the y at which the next one begins."""
        from matplotlib.lines import Line2D

        self.figure.add_artist(
            Line2D(
                [x / WIDTH, (x + width) / WIDTH], [y / HEIGHT] * 2, color=LINE
            )
        )
        self.write(
            x,
            y - 0.06,
            section.title,
            width,
            weight="bold",
            color=LINE,
            fontsize=SIZES["section"],
        )
        y -= ROOM["section"]
        for entry in section.entries:
            self.write(
                x, y, entry.name, width, weight="bold", fontsize=SIZES["name"]
            )
            y -= ROOM["name"]
            y -= self.write(
                x + 0.15,
                y,
                entry.formula,
                width - 0.15,
                fontsize=SIZES["formula"],
            )
            y -= ROOM["formula"]
            self.write(
                x + 0.15,
                y,
                entry.shapes,
                width - 0.15,
                color=GREY,
                fontsize=SIZES["shapes"],
            )
            y -= ROOM["shapes"]
        return y


def _split(page: list[Section], width: float) -> int:
    """Return how many sections stand in the left column."""
    sheet = Sheet()
    sizes = [-sheet.section(0, 0, width, section) for section in page]
    return min(
        range(1, len(page)), key=lambda n: max(sum(sizes[:n]), sum(sizes[n:]))
    )


def figure(page: list[Section], number: int):
    """Draw one page.

    Raises:
        TooFull: if a line is wider than its column, or a column too tall.
    """
    width = (WIDTH - 2 * MARGIN - GAP) / 2
    sheet = Sheet()
    top = HEIGHT - 0.35
    sheet.write(
        MARGIN,
        top,
        "Attention, from one dot product up",
        WIDTH,
        fontsize=14,
        weight="bold",
    )
    sheet.write(
        WIDTH - MARGIN - 1.75,
        top - 0.05,
        f"formulas and shapes, {number} of 2",
        1.8,
        fontsize=9,
        color=GREY,
    )
    cut = _split(page, width)
    for place, column in enumerate((page[:cut], page[cut:])):
        x, y = MARGIN + place * (width + GAP), top - 0.4
        for section in column:
            y = sheet.section(x, y, width, section)
        if y < MARGIN / 2:
            raise TooFull(f"page {number}, column {place + 1} ends at {y:.2f}")
    return sheet.figure


def write(target: Path = TARGET) -> None:
    """Write the two pages as one PDF, without a date."""
    import matplotlib
    from matplotlib.backends.backend_pdf import PdfPages

    logging.getLogger("fontTools").setLevel(logging.ERROR)
    about = {
        "Title": "Attention, from one dot product up: cheat sheet",
        "CreationDate": None,
        "Producer": None,
        "Creator": None,
    }
    with (
        matplotlib.rc_context({"pdf.fonttype": 42}),
        PdfPages(target, metadata=about) as pages,
    ):
        for number, page in enumerate(PAGES, 1):
            pages.savefig(figure(page, number))


def main() -> int:
    """Write the cheat sheet; return the exit code."""
    write()
    print(
        f"teaching/{TARGET.name}: {sum(len(s.entries) for p in PAGES for s in p)}"
        " formulas"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
