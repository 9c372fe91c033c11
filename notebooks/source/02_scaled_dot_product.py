# %% [markdown]
# # Why divide by the square root of d?
#
# Most Transformers hold one small division. We take it out: what breaks?
#
# **You will be able to**
# - derive why a score of size-d vectors has variance d;
# - show, in numbers, how large scores freeze a softmax, and slow learning;
# - take a softmax that never overflows;
# - mask padding and the future, before the softmax;
# - build the `Attention` layer, equal to torch's function, and find where a `nan`
#   comes from.
#
# **Minutes:** 100, of which the exercises take 60. **Needs:** lesson 01;
# what a variance, a gradient and `nn.Linear` are
# (lesson 00 has half a page on each). Four cells train.

# %% [markdown] tags=["navigation"]
# [← 01 dot product](01_dot_product.ipynb) ·
# [The map](00_start_here.ipynb) ·
# [03 self attention →](03_self_attention.ipynb)

# %%
import math

import ipywidgets
import torch
from torch import nn
from torch.nn import functional as F

from attn_course import checks, evidence, plotting, session, training
from attn_course.widgets import explore

session.start(0)

# %% [markdown]
# ## The hand example, scaled
#
# The query [1, 0] had the scores 1 and 0 with the two keys. *Scaled*
# dot-product attention divides them by the square root of d, the size of
# query and key, before the softmax. Here d = 2.
#
# **Predict:** does key 1's weight, 0.7311 until now, rise or fall?

# %%
query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)  # (q, d)
key = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)  # (k, d)
value = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)  # (k, v)

# %%
scores = query @ key.T / math.sqrt(2)  # (q, k)
weights = torch.softmax(scores, dim=-1)
print("scores: ", scores)
print("weights:", weights)
print("output: ", weights @ value)

# %% [markdown]
# It falls to 0.6698: dividing by a number above 1 is a *higher temperature*.
# The text that this course grew from states this formula, but works its
# example out unscaled; lesson 01 followed the example.
#
# With d = 2 the division hardly matters. So why bother? Let d grow.

# %% [markdown]
# ## How large are the scores?
#
# A new layer starts from random numbers, so its queries and keys are random
# too. Let each of their d numbers have mean 0 and variance 1, as good first
# weights see to it. Draw 256 queries and 64 keys, and look at the variance of
# their scores.
#
# **Predict:** from d = 2 to d = 512, what happens to the variance?

# %%
for d in (2, 8, 32, 128, 512):
    q = torch.randn(256, d, dtype=torch.float64)
    k = torch.randn(64, d, dtype=torch.float64)
    print(f"d = {d:3}: variance of the scores {(q @ k.T).var():6.1f}")

# %% [markdown]
# About d, each time. Three lines say why. Take independent $q_c$ and $k_c$
# with mean 0 and variance 1:
#
# $$\operatorname{E}[q_c k_c] = \operatorname{E}[q_c]\operatorname{E}[k_c] = 0$$
#
# $$\operatorname{Var}[q_c k_c] = \operatorname{E}[q_c^2 k_c^2] - 0^2
# = \operatorname{E}[q_c^2]\operatorname{E}[k_c^2] = 1$$
#
# $$\operatorname{Var}\Big[\sum_{c=1}^{d} q_c k_c\Big] = \sum_{c=1}^{d} 1 = d$$
#
# Variances of independent terms add up: the third line. So a typical score is
# as large as $\sqrt{d}$, and dividing by $\sqrt{d}$ brings the variance back to
# 1, for every d.

# %% [markdown]
# ## What do large scores do to the softmax?
#
# Numbers that go into a softmax are called *logits*; in attention they are the
# scores. Scores of size $\sqrt{d}$ are a temperature of $1 / \sqrt{d}$: cold.
# Lesson 01 showed what cold does.
#
# Here is a function that draws random queries and keys of size d, divides the
# scores by a power of d (exponent 0: unscaled; 1/2: the square root), and
# gives the weights. (`amax(dim=-1)` below is the largest of each row.)

# %%
def weights_of(d, exponent, queries=6, keys=16):
    generator = torch.Generator().manual_seed(1)
    options = {"generator": generator, "dtype": torch.float64}
    q, k = torch.randn(queries, d, **options), torch.randn(keys, d, **options)
    return torch.softmax(q @ k.T / d**exponent, dim=-1)  # (queries, keys)

# %% [markdown]
# **Predict:** six queries look at 16 keys, with d = 512. How large is the
# largest weight of each, without scaling? And with it?

# %%
raw, scaled = weights_of(512, 0), weights_of(512, 0.5)
print("largest weight of each query")
print("unscaled:", raw.amax(dim=-1))
print("scaled:  ", scaled.amax(dim=-1))

# %%
assert (raw.amax(dim=-1) > 0.9).sum() == 5 and scaled.max() < 0.4
figure, panels = plotting.figure(9.0, 2.6, cols=2)
titles = ("Unscaled: 5 of 6 are sure of one key", "Scaled: none is sure")
for weights, title, ax in zip((raw, scaled), titles, panels):
    plotting.weights_heatmap(weights, title=title, ax=ax)
plotting.show(
    figure,
    alt="Two heat maps of the weights of 6 random queries over 16 random "
    "keys at d = 512. Unscaled, five rows have one bright cell and are "
    "dark elsewhere; scaled, the weights are spread over every row.",
)

# %% [markdown]
# Nobody has learned anything yet, and the unscaled layer is already sure. It
# picks one key *at random*. Six queries are one small draw; here are five draws
# of 500 queries, [E02.1](../experiments/results/02_scaled_dot_product.md#e021)
# (lesson 01 says what such a row is):

# %%
evidence.show("E02.1")

# %% [markdown]
# To be sure is no crime in itself. The question is whether it can still change
# its mind.

# %% [markdown]
# ## A frozen softmax has hardly a gradient
#
# How much does a weight $w$ move when its own score $s$ moves? Differentiating
# the softmax gives
#
# $$\frac{\partial w}{\partial s} = w \, (1 - w)$$
#
# **Predict:** for which w is that largest, and what is it at w = 0.99999?

# %%
for gap in (0.0, 1.0, 5.0, 11.5, 23.0):
    s = torch.tensor([gap, 0.0], dtype=torch.float64, requires_grad=True)
    w = torch.softmax(s, dim=0)
    (slope,) = torch.autograd.grad(w[0], s)
    torch.testing.assert_close(slope[0], w[0] * (1 - w[0]))
    print(f"gap {gap:4}: weight {w[0].item():.6f}, slope {slope[0]:.1e}")

# %% [markdown]
# An even split is easiest to move. At a gap of 11.5 the slope is a hundred
# thousandth; at 23, nothing unusual where scores have the size
# $\sqrt{512}$, it is $10^{-10}$. Whatever the loss wants of such a query,
# hardly anything of it gets through the softmax: its gradient *vanishes*.

# %% [markdown]
# ## The measurement
#
# The lesson's file `attn_course/scaled_dot_product.py` (below: the module)
# measures three things for random queries and
# keys: the variance of the scores, the *entropy* of the weights (how many
# bits of doubt are left: 6 when 64 keys share evenly, 0 when one takes all),
# and the gradient of each query's largest weight with respect to the scores
# that enter the softmax: its length, the *gradient norm*, as a median over the
# queries.

# %%
from attn_course.scaled_dot_product import score_statistics

sizes = [2**n for n in range(1, 13)]
unscaled = [score_statistics(d, scale=1.0) for d in sizes]
scaled = [score_statistics(d, scale=1 / math.sqrt(d)) for d in sizes]

# %% [markdown]
# **Predict** for d = 4096: the variance, and a guess at the gradient, without
# scaling.

# %%
print("        unscaled                     scaled")
print("   d    variance entropy gradient    variance entropy gradient")
for d, a, b in zip(sizes, unscaled, scaled):
    print(
        f"{d:4} {a.variance:11.2f} {a.entropy:7.2f} {a.gradient:8.0e}"
        f" {b.variance:11.2f} {b.entropy:7.2f} {b.gradient:8.0e}"
    )

# %% [markdown]
# In the left half the variance runs away, and doubt and gradient run dry. In
# the right half nothing moves: whatever d is, the layer starts alike. Up to
# about d = 64 the unscaled gradient is no smaller, though at 64 little doubt is
# left.
#
# But this is a median. Is it also gone on average? The largest weight $w_i$
# moves with every score: $\partial w_i / \partial s_j = w_i (1 - w_i)$ for its
# own, $-w_i w_j$ for the others. The length of that row, for each query:

# %%
def gradient_lengths(d, exponent):
    weights = weights_of(d, exponent, queries=256, keys=64)
    top, best = weights.max(dim=-1)
    one_hot = F.one_hot(best, 64)
    return top * (one_hot - weights).norm(dim=-1)  # (256,)

# %% [markdown]
# **Predict:** at d = 4096 the median is about $10^{-8}$. And the mean?

# %%
for d in (64, 256, 1024, 4096):
    raw, even = (gradient_lengths(d, e) for e in (0.0, 0.5))
    print(
        f"d = {d:4}: unscaled median {raw.median():.0e}, mean "
        f"{raw.mean():.3f}; scaled median {even.median():.3f}, mean "
        f"{even.mean():.3f}"
    )

# %% [markdown]
# The mean falls slowly, and stays far above $10^{-8}$. At 4096 most queries
# have hardly any gradient; a few have two nearly equal best keys, and keep a
# large one. Both are
# true, and a summary by one number hides half of it.

# %%
means = [gradient_lengths(d, 0.0).mean() for d in sizes]
figure, panels = plotting.figure(9.6, 3.2, cols=3)
titles = {
    "variance": "Variance grows as d",
    "entropy": "Doubt (bits) goes to 0",
    "gradient": "Gradient: median vanishes",
}
for (field, title), ax in zip(titles.items(), panels):
    series = {
        "unscaled": (sizes, [getattr(s, field) for s in unscaled]),
        "divided by sqrt(d)": (sizes, [getattr(s, field) for s in scaled]),
    }
    if field == "gradient":
        series["unscaled, mean"] = (sizes, means)
    plotting.curves(
        series, xlabel="d", ylabel=field, title=title, logx=True,
        logy=field != "entropy", ax=ax,
    )
plotting.show(
    figure,
    alt="Three panels against d from 2 to 4096. Unscaled, the variance of "
    "the scores rises in a straight line from 2 to about 4000, the entropy "
    "falls from 4.8 bits to 0.1; the median gradient rises a little at first "
    "and then falls to 1e-8, while its mean falls to 0.025. Divided by "
    "sqrt(d), all three are level: 1, 5.3 bits and 0.09.",
)

# %%
assert all(0.9 < s.variance / d < 1.1 for s, d in zip(unscaled, sizes))
assert all(0.9 < s.variance < 1.1 for s in scaled)
assert unscaled[-1].gradient < 1e-7 and unscaled[-1].entropy < 0.2
assert 0.015 < means[-1] < 0.03
assert all(s.gradient > 0.07 and s.entropy > 5.2 for s in scaled)
print("variance within 10 % of d, or of 1 when scaled, at all 12 sizes")

# %% [markdown]
# Vaswani et al. (2017, section 3.2.1) *suspect* this. Five draws say the same
# of most queries
# ([E02.2](../experiments/results/02_scaled_dot_product.md#e022))
# and of the mean, which does not vanish
# ([E02.3](../experiments/results/02_scaled_dot_product.md#e023)).
# Nor is the mean always shorter than with the root: at d = 64 it is longer
# ([E02.5](../experiments/results/02_scaled_dot_product.md#e025)), at
# 4096 shorter ([E02.6](../experiments/results/02_scaled_dot_product.md#e026)).
# Yet by the *query* the mean is longer there
# ([E02.4](../experiments/results/02_scaled_dot_product.md#e024)): slopes are
# multiplied by whole keys, with the root by keys divided by $\sqrt{d}$.

# %%
evidence.show("E02.2", "E02.3", "E02.5", "E02.6", "E02.4")

# %% [markdown]
# ## What if d = 512? What if we divide by d?
#
# Choose d and the exponent: scores are divided by d to the power of it, so 0
# is unscaled and 0.5 the square root. **Find** for d = 128 and for d = 2048
# the smallest exponent at which no query of this draw is frozen. And what
# happens at 1?

# %%
def state(d, exponent):
    weights = weights_of(d, exponent, queries=8)
    top = weights.amax(dim=-1)
    return weights, top, top * (1 - top)  # the last: the slopes


def draw(d, exponent):
    figure, (left, right) = plotting.figure(8.4, 2.9, cols=2)
    weights, _, slopes = state(d, exponent)
    title = f"d = {d}, scores / d^{exponent:.2f}"
    plotting.weights_heatmap(weights, title=title, ax=left)
    right.barh(range(8), slopes, color=plotting.COLORS[1])
    right.set(xlim=(0, 0.26), yticks=range(8), xlabel="slope w (1 - w)")
    right.set_title("How far each query can be moved")
    right.invert_yaxis()
    return figure

# %% [markdown]
# A second function says the same in words, for those who cannot see the
# figure. A query counts as *frozen* if its slope is below 0.01.

# %%
def words(d, exponent):
    _, top, slopes = state(d, exponent)
    return (
        f"At d = {d}, scores divided by d to the power {exponent:.2f}: "
        f"{(slopes < 0.01).sum()} of 8 queries are frozen; the largest "
        f"weights go from {top.min():.2f} to {top.max():.2f}."
    )

# %%
explore(
    draw,
    words,
    d=ipywidgets.SelectionSlider(
        options=[2, 8, 32, 128, 512, 2048], value=512, description="d"
    ),
    exponent=ipywidgets.FloatSlider(
        value=0.0, min=0.0, max=1.0, step=0.05, description="exponent"
    ),
)

# %% [markdown]
# In this draw, nobody is frozen from 0.2 on at d = 128, from 0.3 on at d =
# 2048. So is a root smaller than the square root enough? Eight queries are too
# few to say so. In a thousand draws of eight
# ([E02.7](../experiments/results/02_scaled_dot_product.md#e027),
# [E02.8](../experiments/results/02_scaled_dot_product.md#e028)):

# %%
evidence.show("E02.7", "E02.8")

# %% [markdown]
# In four or five draws of ten somebody is frozen: eight do not settle it. And at
# exponent 1 all rows turn one flat colour. Nothing is frozen there, so why not
# divide by d, without a root?

# %% [markdown]
# ## Why not divide by d?
#
# Attention should be *unsure of noise* and *sure of a match*. A perfect match
# is a key equal to the query: its score is
# $\sum_c q_c^2$, about d. Noise scores have the size $\sqrt{d}$.
#
# Let every query meet one match and 15 random keys. (`.mT` below swaps the
# last two dimensions, as `.T` does for a matrix.)

# %%
d = 512
q = torch.randn(256, 1, d, dtype=torch.float64)
noise = torch.randn(256, 15, d, dtype=torch.float64)
keys = torch.cat([q, noise], dim=1)  # (256, 16, d), key 0 is the match

# %% [markdown]
# **Predict:** what weight does the match get when scores are divided by $d^0$,
# $d^{1/2}$, $d^1$? How sure is the softmax of the noise alone?

# %%
for exponent in (0.0, 0.5, 1.0):
    s = (q @ keys.mT).squeeze(1) / d**exponent  # (256, 16)
    w, w_noise = torch.softmax(s, -1), torch.softmax(s[:, 1:], -1)
    print(
        f"exponent {exponent}: noise {s[:, 1:].std():5.2f}, "
        f"match {s[:, 0].mean():6.2f}, weight of the match "
        f"{w[:, 0].mean():.2f}, surest of noise {w_noise.amax(-1).mean():.2f}"
    )

# %% [markdown]
# - Exponent 0: sure of the match, but also of pure noise, far more than with
#   the root ([E02.11](../experiments/results/02_scaled_dot_product.md#e0211)).
# - Exponent 1: unsure of noise, and *at numbers of variance 1* nearly blind to a
#   perfect match (0.15; an even share is 0.06;
#   [E02.10](../experiments/results/02_scaled_dot_product.md#e0210)).
# - Exponent 1/2: noise has size 1, a match $\sqrt{d}$. Both are told apart
#   ([E02.9](../experiments/results/02_scaled_dot_product.md#e029)).

# %%
evidence.show("E02.9", "E02.10", "E02.11")

# %% [markdown]
# ## Does it matter for learning?
#
# A task for one attention layer: there are 64 people; 16 of them stand in a
# room, each wearing a colour (3 numbers). Asked for one who is there, give the
# colour. The layer has to *look up by content*: make the query for Ada fit
# the key of Ada, for all 64, whoever is there. Queries and keys have size
# d = 256.

# %%
from attn_course.scaled_dot_product import scaled_dot_product_attention


class Recall(nn.Module):
    def __init__(self, d, exponent, spread):
        super().__init__()
        self.query = nn.Linear(d, d, bias=False)
        self.key = nn.Linear(d, d, bias=False)
        for layer in (self.query, self.key):
            nn.init.normal_(layer.weight, std=spread)
        self.scale = d**-exponent

    def forward(self, query, key, value):
        return scaled_dot_product_attention(
            self.query(query), self.key(key), value, scale=self.scale
        )

# %% [markdown]
# First weights with standard deviation 1/16 $= 1/\sqrt{d}$ keep the variance
# at 1, so the scores of the new layer have variance d.
#
# Every batch holds 16 rooms, drawn anew. A person is a fixed random vector of
# size 256; the colours change from room to room, so they cannot be learned by
# heart.

# %%
def rooms(people, size=16):
    who = torch.rand(size, len(people)).argsort(dim=-1)[:, :16]
    key = people[who.to(people.device)]  # (size, 16, d)
    value = torch.rand(size, 16, 3).to(people.device)  # colours
    wanted = torch.randint(16, (size,)).to(people.device)
    query = key[range(size), wanted][:, None]  # None: (size, 1, d)
    return query, key, value, wanted

# %% [markdown]
# The loss compares the colour that the layer gives with the right one. So all
# that it learns has to come back through the softmax.

# %%
def loss(model, room):
    query, key, value, wanted = room
    output, _ = model(query, key, value)
    return F.mse_loss(output[:, 0], value[range(len(value)), wanted])

# %% [markdown]
# Three exponents, three seeds each, everything else alike: plain gradient
# descent (SGD) with learning rate 1, 120 steps. Accuracy: how often does the
# largest weight lie on the right person, in 200 new rooms? Guessing gives
# 1/16.
#
# `training.fit` is the course's training loop: draw a batch, take the loss, go
# backward, step; now and then call `evaluate`. `schedule="constant"` keeps
# the rate, `max_grad_norm=None` leaves gradients as they are.
#
# **Predict:** how does each of the exponents 0, 1/2, 1 do?

# %%
def learn(exponent, seed, steps=120, lr=1.0, adam=False, spread=1 / 16):
    session.set_seed(seed)
    people = torch.randn(64, 256).to(session.device())
    model = Recall(256, exponent, spread).to(people.device)
    test = rooms(people, 200)

    def evaluate(model):
        weights = model(*test[:3])[1][:, 0]  # (200, 16)
        right = weights.argmax(dim=-1) == test[3]
        wrong = weights.amax(dim=-1)[~right]
        sure = wrong.median() if len(wrong) else 0.0
        return {"accuracy": right.float().mean(), "sure": sure}

    kind = torch.optim.Adam if adam else torch.optim.SGD
    return training.fit(
        model, loss, lambda step: rooms(people), steps=steps, eval_every=20,
        optimizer=kind(model.parameters(), lr=lr), schedule="constant",
        evaluate=evaluate, label=f"d^{exponent}, seed {seed}", threads=1,
        max_grad_norm=None,
    )

# %%
steps = 40 if session.quick() else 120
runs = {
    exponent: [learn(exponent, seed, steps) for seed in range(3)]
    for exponent in (0.0, 0.5, 1.0)
}

# %%
last = {e: [run.metrics[-1] for run in runs[e]] for e in runs}
learned = all(m["accuracy"] > 0.9 for m in last[0.5])
stalled = all(m["accuracy"] < 0.5 for m in last[0.0] + last[1.0])
print("divided by sqrt(d), above 0.9 on all 3 seeds:   ", learned)
print("the others, below 0.5 on all 3 seeds:           ", stalled)

# %% [markdown]
# And of the answers that are wrong: how large is the weight on the wrong
# person, as a median? **Predict** for both failures.

# %%
sure = min(m["sure"] for m in last[0.0]) > 0.95
unsure = max(m["sure"] for m in last[1.0]) < 0.1
print("median weight of wrong answers, unscaled, > 0.95:", sure)
print("median weight of wrong answers, / d, < 0.1:      ", unsure)
assert session.quick() or (learned and stalled and sure and unsure)

# %%
curve = {}
for exponent, name in {0.0: "unscaled", 0.5: "/ sqrt(d)", 1.0: "/ d"}.items():
    x, _ = runs[exponent][0].curve("accuracy")
    y = torch.tensor([run.curve("accuracy")[1] for run in runs[exponent]])
    y = [1 / 16, *y.mean(dim=0).tolist()]  # from guessing on
    curve[f"{name}: {y[-1]:.2f} at the end"] = ([0, *x], y)

# %%
figure = plotting.curves(
    curve, xlabel="step", ylabel="accuracy, mean of 3 seeds",
    title="At rate 1 the square root learns in 120 steps, the others hardly",
)
plotting.show(
    figure,
    alt="Accuracy against training steps. Divided by sqrt(d) it rises above "
    "0.9; unscaled it rises slowly, divided by d slowly but steadily; "
    "both stay below one half.",
)

# %% [markdown]
# Two failures, opposite in kind:
#
# - **Unscaled** is wrong *and sure of it*, also at its best rate
#   ([E02.16](../experiments/results/02_scaled_dot_product.md#e0216)):
#   most of its wrong answers have a weight above 0.9.
# - **Divided by d**, at rate 1, is wrong and unsure: more wrong answers have a
#   weight below 0.9 than above
#   ([E02.17](../experiments/results/02_scaled_dot_product.md#e0217)).
#
# But who chose rate 1? We did, and it suits one of the three. A fair race gives
# each exponent the rate that is best for *it*. **Predict:** does any of eight
# rates from 0.03 to 100 rescue the unscaled layer? Or the one divided by d?

# %%
evidence.show("E02.16", "E02.17")

# %%
names = ("unscaled", "/ sqrt(d)", "/ d")
tried = {name: evidence.arms("02")[name].search for name in names}
series = {
    name: tuple(zip(*[(one["lr"], right) for one, right in search]))
    for name, search in tried.items()
}
best = {name: max(right for _, right in tried[name]) for name in names}
assert best["unscaled"] < 0.4 and min(best["/ sqrt(d)"], best["/ d"]) > 0.99

# %%
figure = plotting.curves(
    series, xlabel="learning rate", ylabel="accuracy after 120 steps",
    title="Two exponents have good rates, none of the eight suits unscaled",
    logx=True,
)
plotting.show(
    figure,
    alt="Accuracy after 120 steps against eight learning rates from 0.03 to "
    "100, mean of three runs. Unscaled stays below 0.4 at every rate. Divided "
    "by sqrt(d) the curve is near 1 from rate 1 to 10 and falls off on both "
    "sides; divided by d it is near 1 from rate 10 to 100, and rises to it "
    "from rate 1.",
)

# %% [markdown]
# So "only the square root learns" was our choice of rate. These runs chose the
# rates, so they do not count. With new seeds and new rooms, five for each
# exponent at its best rate:
# [E02.12](../experiments/results/02_scaled_dot_product.md#e0212),
# [E02.13](../experiments/results/02_scaled_dot_product.md#e0213); and
# with 600 steps
# [E02.14](../experiments/results/02_scaled_dot_product.md#e0214),
# [E02.15](../experiments/results/02_scaled_dot_product.md#e0215).

# %%
evidence.show("E02.12", "E02.13", "E02.14", "E02.15")

# %% [markdown]
# Divided by d or by its root, all is learned (500 of 500 answers are right, so
# the interval has no width): the first only needs a larger rate.
#
# Unscaled is far behind, at its best rate (E02.12) and with five times the
# steps (E02.14). But it does not *stall*: it goes on learning, slowly (E02.15).
#
# Why slowly? How many queries are frozen before the first step, and how large
# is the gradient norm of a whole batch?

# %%
for exponent in (0.0, 0.5, 1.0):
    session.set_seed(0)
    people = torch.randn(64, 256)
    model, room = Recall(256, exponent, 1 / 16), rooms(people, 500)
    top = model(*room[:3])[1].amax(dim=-1)  # (500, 1)
    frozen = (top * (1 - top) < 0.01).float().mean()
    loss(model, room).backward()
    norm = nn.utils.get_total_norm(p.grad for p in model.parameters())
    print(f"exponent {exponent}: {frozen:.1f} frozen, norm {norm:.3f}")

# %% [markdown]
# More than half of the unscaled queries are frozen
# ([E02.18](../experiments/results/02_scaled_dot_product.md#e0218)). Yet
# the gradient of the batch is not short: it is *longer* than with the square
# root ([E02.20](../experiments/results/02_scaled_dot_product.md#e0220)
# asks the opposite). Of the gradient by the queries the frozen have almost no part
# ([E02.19](../experiments/results/02_scaled_dot_product.md#e0219)); the others
# make nearly all of it. That learning is slow for this reason was not tested.
#
# Divided by d nobody is frozen; in this draw the gradient is just small, and a
# larger rate makes up for it. Exercise 5 tries Adam.

# %%
evidence.show("E02.18", "E02.19", "E02.20")

# %% [markdown]
# ## A softmax that does not overflow
#
# Lesson 01's softmax raises e to each score. **Predict:** float32 ends near
# $3.4 \cdot 10^{38}$, which is $e^{88.7}$. What are the weights for the scores
# 100 and 99? At d = 4096 one unscaled score in 17 is that large, or larger.

# %%
def naive_softmax(scores):
    powers = torch.exp(scores)
    return powers / powers.sum(dim=-1, keepdim=True)

# %%
large = torch.tensor([100.0, 99.0])
low = torch.tensor([-1000.0, -1001.0])
half = torch.tensor([12.0, 11.0], dtype=torch.float16)
for name, s in (("large", large), ("low", low), ("float16", half)):
    print(f"{name:8} powers {torch.exp(s)}, weights {naive_softmax(s)}")

# %% [markdown]
# `inf / inf` and `0 / 0` are `nan`, not a number. float16 ends at 65,504, so
# there a score of 12 is too much.
#
# The cure: softmax sees only *differences*. So subtract the largest score
# first. Then the largest power is $e^0 = 1$: none overflows, and the sum is
# never 0.

# %%
def shifted_softmax(scores):
    top = scores.amax(dim=-1, keepdim=True)
    powers = torch.exp(scores - top)  # all at most 1
    return powers / powers.sum(dim=-1, keepdim=True)

# %%
for name, s in (("large", large), ("low", low), ("float16", half)):
    torch.testing.assert_close(shifted_softmax(s), torch.softmax(s, dim=-1))
    print(f"{name:8} weights {shifted_softmax(s)}")

# %% [markdown]
# All three give 0.7311 and 0.2689 again, up to float16's three digits: a gap
# of 1 is a gap of 1. `torch.softmax` does this by itself, and so does
# `stable_softmax` of the module. Because of the lost digits, this course's
# attention computes half precision in float32.

# %% [markdown]
# ## Masks: who may look at whom
#
# Two kinds of keys must get no weight:
#
# - **padding**: sentences in a batch differ in length and are filled up;
# - **the future**: a model that predicts the next word must not see it.
#
# A mask says for each query and key: `True` = may attend. Masks combine
# with `&`.

# %%
from attn_course.scaled_dot_product import causal_mask, padding_mask

causal = causal_mask(5)  # (q, k)
padding = padding_mask(torch.tensor([3, 5]), 5)  # (batch, k)
print("padding:", padding.int().tolist())

# %% [markdown]
# Two sentences, of 3 and of 5 words, filled up to 5. `None` adds a dimension
# of size 1, which stretches to any size. **Predict** the shape of both masks
# together, and the rows of the first sentence.

# %%
both = causal & padding[:, None, :]  # (q, k) & (batch, 1, k)
print("both:", tuple(both.shape))
print(both[0].int())

# %%
figure, panels = plotting.figure(9.0, 3.0, cols=3)
masks = {
    "Causal: the past and itself": causal,
    "Padding: the 3 real tokens": padding[0].expand(5, 5),
    "Both": both[0],
}
for (title, mask), ax in zip(masks.items(), panels):
    plotting.weights_heatmap(mask, title=title, ax=ax, numbers=False)
plotting.show(
    figure,
    alt="Three masks of 5 queries by 5 keys, bright where attention is "
    "allowed: the causal mask is a lower triangle; the padding mask of a "
    "sentence of 3 tokens allows the first 3 columns; both together allow "
    "the triangle within these columns.",
)

# %% [markdown]
# ### Before the softmax, or after?
#
# Scores 1, 0 and 2; key 3 is padding. **Predict:** one line below sets
# the third *weight* to 0 after the softmax, the other the third *score* to
# $-\infty$ before it (`masked_fill(~mask, x)` writes x wherever the mask is
# False). Which row still sums to 1?

# %%
scores = torch.tensor([1.0, 0.0, 2.0])
mask = torch.tensor([True, True, False])
after = torch.softmax(scores, dim=-1) * mask
before = torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)
print(f"after:  {after}, sum {after.sum():.4f}")
print(f"before: {before}, sum {before.sum():.4f}")

# %% [markdown]
# After the softmax it is too late: the padding has taken its 0.6652 in the
# denominator. Before it, $e^{-\infty} = 0$ gives key 3 nothing, and the
# others share 1: 0.7311 and 0.2689, as if key 3 were not there.

# %% [markdown]
# ### A row with nothing allowed
#
# A sentence of length 0 has no key that may be looked at. **Predict:** what is
# the softmax of $-\infty, -\infty$? And what should attention answer?

# %%
plain = torch.softmax(torch.full((1, 2), -math.inf), dim=-1)
print("plain -inf:", plain)

# %% [markdown]
# $-\infty$ minus the largest, $-\infty$, is `nan`, and one `nan` spreads
# through a whole network in a step. The cure takes the lowest *finite* number
# in place of $-\infty$: the row shares its weights evenly, whatever that means,
# and a second line sets them to 0. In all other rows nothing changes, since
# $e^{\text{lowest} - m}$ is 0 too.

# %%
def masked_softmax(scores, mask):
    lowest = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~mask, lowest), dim=-1)
    return weights.masked_fill(~mask, 0.0)

# %%
nothing = torch.zeros(1, 2, dtype=torch.bool)
print("weights", masked_softmax(torch.tensor([[1.0, 0.0]]), nothing))
q = query.clone().requires_grad_()
fused = F.scaled_dot_product_attention
for function in (scaled_dot_product_attention, fused):
    output = function(q, key, value, nothing)
    output = output[0] if isinstance(output, tuple) else output
    (gradient,) = torch.autograd.grad(output.sum(), q)
    print(f"output {output.detach()}, gradient {gradient}")

# %% [markdown]
# Such a row gets weights 0, output 0 and gradient 0, from the course's
# function and from torch's. No answer, and no harm.

# %% [markdown]
# ### Paint a mask
#
# Click cells, or drag over them; by keyboard, Tab to the grid, arrow keys to
# move, space to change. **Find:** a mask whose rows are all sure (weight 1); a
# row that sums to less than 1, but not to 0; a row of NaN. ("How" is the
# choice above the grid.)

# %%
from attn_course.widgets.scaled_dot_product import MaskPainter

sentence = ["the", "cat", "sat", "here", "(pad)"]
generator = torch.Generator().manual_seed(4)
MaskPainter(sentence, torch.randn(5, 5, generator=generator))

# %% [markdown]
# One allowed key in each row, such as the diagonal, makes all rows sure if the
# mask comes before the softmax: that key gets everything, whatever its score.
# So under a causal mask the first query always gives its only key the weight 1.
# A sum below 1: zeros after the softmax, with some cells of the row forbidden,
# not all. NaN: plain -inf, with an empty row.

# %% [markdown]
# ### Does padding content matter?
#
# Fill the padding with zeros, then with a million.
# **Predict:** by how much do the outputs differ?

# %%
x = torch.randn(2, 5, 8, dtype=torch.float64)  # (batch, length, dim)
mask = padding[:, None, :]  # (batch, 1, k): the same for every query
zeros, millions = (
    x.masked_fill(~padding[..., None], content) for content in (0.0, 1e6)
)
print("tokens that differ:", (zeros != millions).any(dim=-1).sum().item())
one, other = (
    scaled_dot_product_attention(x, filled, filled, mask)[0]
    for filled in (zeros, millions)
)
print("largest difference of the outputs:", (one - other).abs().max().item())

# %% [markdown]
# ### Is the future really hidden?
#
# Ask the gradient: if output i does not depend on value j, its derivative is
# 0. Here is a 1 for each pair where it is not 0.

# %%
v = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
output, _ = scaled_dot_product_attention(x[1], x[1], v, causal)
depends = torch.stack([
    torch.autograd.grad(output[i].sum(), v, retain_graph=True)[0].norm(dim=-1)
    for i in range(5)
])  # (q, k)
print((depends > 0).int())
assert torch.equal(depends > 0, causal)

# %% [markdown]
# The pattern of dependence is the mask, exactly. This is a better test than
# looking at weights: it holds for a whole model, through all its layers.

# %% [markdown]
# ## All of it in one function
#
# Scores, scale, mask, softmax, mix. **Read** each line and name the section of
# this lesson that it came from.

# %%
def attend(query, key, value, mask):
    scale = 1 / math.sqrt(query.shape[-1])
    scores = query @ key.mT * scale  # (*batch, q, k)
    weights = masked_softmax(scores, mask)  # (*batch, q, k)
    output = weights @ value  # (*batch, q, v)
    return output, weights

# %%
every_key = torch.ones(1, 2, dtype=torch.bool)
print(attend(query, key, value, every_key)[0])

# %% [markdown]
# The same numbers as at the start. The module has the same lines; before them
# it looks whether shapes, dtypes and devices fit, and takes half precision to
# float32. With `need_weights=False` it calls torch's function instead. For
# inputs of four dimensions, as in lesson 04, that has a *fused kernel*: one
# compiled routine for all steps, which never stores the weights. All must agree
# in the output *and* in every gradient. This collects both:

# %%
def output_and_gradients(function):
    inputs = [t.clone().requires_grad_() for t in (x, x.flip(1), x * 2)]
    output = function(*inputs)
    return output, *torch.autograd.grad(output.square().sum(), inputs)

# %%
rungs = {
    "ours": lambda *qkv: attend(*qkv, both)[0],
    "module": lambda *qkv: scaled_dot_product_attention(*qkv, both)[0],
    "module, without weights": lambda *qkv: scaled_dot_product_attention(
        *qkv, both, need_weights=False
    )[0],
}
torchs = output_and_gradients(lambda *qkv: fused(*qkv, attn_mask=both))
for name, function in rungs.items():
    torch.testing.assert_close(output_and_gradients(function), torchs)
    print(f"{name} = torch: output and {len(torchs) - 1} gradients")

# %% [markdown]
# torch's function takes the mask as we do, True = may attend. Beware:
# `nn.MultiheadAttention`, its layer, takes it the *other way round*. Lesson 04
# falls into that trap on purpose.

# %% [markdown]
# ### The causal mask by its name
#
# A causal mask is half empty, and a kernel that knows so skips that half: say
# `is_causal=True` instead of handing over a table. **Predict:** do weights
# differ? And what does `is_causal` mean together with a padding mask?

# %%
tables = {"causal": (None, causal), "and padding": (padding[:, None], both)}
for name, (mask, table) in tables.items():
    named = scaled_dot_product_attention(x, x, x, mask, is_causal=True)
    written = scaled_dot_product_attention(x, x, x, table)
    torch.testing.assert_close(named, written, rtol=0, atol=0)
    print(f"{name}: is_causal=True equals the table, digit for digit")
torch.testing.assert_close(fused(x, x, x, is_causal=True),
                           fused(x, x, x, attn_mask=causal))

# %% [markdown]
# Both together allow what both allow. The forbidden half is skipped only with
# `need_weights=False` and no other mask. Lesson 13 counts such skipped tiles.

# %% [markdown]
# ### Nan in, nan out?
#
# Neither our function nor torch's looks at the numbers themselves: it would cost
# time on every call. **Predict:** key 2 is `nan`, and the mask hides it. What
# is the output, and what is the query's gradient?

# %%
inputs = [t.clone() for t in (query, key, value)]
inputs[1][1] = math.nan
q = inputs[0].requires_grad_()
first_only = torch.tensor([[True, False]])
output, weights = scaled_dot_product_attention(*inputs, first_only)
(gradient,) = torch.autograd.grad(output.sum(), q, retain_graph=True)
print(f"weights {weights.detach()}, output {output.detach()}")
print(f"gradient of the query {gradient}")

# %% [markdown]
# Our output is right, and the gradient is not: on the way back the hidden
# score's gradient, 0, is multiplied by the key, and `0 * nan` is `nan`. After
# one step the parameters that made the query are `nan`, and with them all that
# follows. (torch's function gives `nan` at once: it *adds* $-\infty$ to the
# hidden score. And a hidden `nan` in a *value* spoils the output of both.)
#
# torch finds the operation for you: under `detect_anomaly`, backward stops
# where the first `nan` arises.

# %%
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is slow, and says so
    with torch.autograd.detect_anomaly():
        output, _ = scaled_dot_product_attention(*inputs, first_only)
        try:
            output.sum().backward()
        except RuntimeError as error:
            print(error)

# %% [markdown]
# `MmBackward0` is the way back through a matrix product, here the scores'
# (without the filter, torch also prints the line). The course's training loop,
# `training.fit`, refuses a loss that is not finite, and names the first module
# whose output was not.

# %% [markdown]
# ## The layer
#
# Many texts write attention as a layer, a class. It needs one number, the size
# of queries and keys.

# %%
class MyAttention(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.scale = 1 / math.sqrt(hidden_size)

    def forward(self, query, key, value):
        weights = torch.softmax(query @ key.mT * self.scale, dim=-1)
        return weights @ value

# %% [markdown]
# The module's `Attention` has the same interface, and checks its input.
# **Predict:** what can this layer learn? Count its parameters.

# %%
from attn_course.scaled_dot_product import Attention

mine, theirs = MyAttention(8), Attention(hidden_size=8)
for layer in (mine, theirs):
    torch.testing.assert_close(layer(x, x, x), fused(x, x, x))
    print("parameters:", sum(p.numel() for p in layer.parameters()))

# %% [markdown]
# Nothing! The same queries, keys and values give the same output, however long
# it is trained. All that attention learns, it learns in what stands *before*
# it: the `Recall` model above had two matrices for that. Lesson 03 gives
# queries, keys and values a projection each.

# %% [markdown]
# ## Summary
#
# - A score of size-d vectors has **variance d**; divided by sqrt(d), 1.
# - Unscaled at large d, the softmax **saturates**: sure of noise; most queries
#   have hardly a gradient. At d = 256, from the usual first weights, training
#   is slow at every rate tried. Divided by d, SGD needs a larger rate.
# - **Subtract the largest score** before the exponential: nothing overflows.
# - **Masks** forbid scores *before* the softmax; a causal mask has a name,
#   `is_causal=True`.
# - Function = module = torch, in values and gradients, for finite inputs. None
#   looks for `nan`: one that the mask hides comes back.
# - The `Attention` layer has no parameters: it learns nothing by itself.

# %% [markdown]
# ## Exercises
#
# Replace the dots and run the cell again: a check says at once what is wrong.
# Each has a hint and a folded solution.
# Starting here? First choose *Run → Run All Above Selected Cell*.

# %% [markdown]
# ### Exercise 1: scaled by hand (5 min, easy)
#
# The query is [1, 1, 1, 1], the keys are [1, 1, 1, 1] and [1, -1, 1, -1].
# What weight does key 1 get in *scaled* dot-product attention? Four digits,
# from your pocket calculator.

# %%
weight = ...

checks.scaled_dot_product.by_hand(weight)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The scores are 4 and 0. Which d is under the root? Then
# $e^{a} / (e^{a} + e^{b})$.
#
# </details>

# %% tags=["solution"]
# Solution
weight = math.exp(4 / 2) / (math.exp(4 / 2) + math.exp(0 / 2))
print(f"{weight:.4f}")
checks.scaled_dot_product.by_hand(weight)

# %% [markdown]
# ### Exercise 2: a softmax that stands anything (10 min, medium)
#
# Write softmax over the last dimension of `scores`, of shape `(..., k)`, so
# that no finite score gives `nan` or `inf`. Do not use `torch.softmax`.

# %%
def my_softmax(scores):
    ...


checks.scaled_dot_product.softmax(my_softmax)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Subtract the largest score *of each row*: one row may lie at 1000 and
# another at -1000. `scores.amax(dim=-1, keepdim=True)` has one number a row.
#
# </details>

# %% tags=["solution"]
# Solution
def my_softmax(scores):
    powers = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
    return powers / powers.sum(dim=-1, keepdim=True)


checks.scaled_dot_product.softmax(my_softmax)

# %% [markdown]
# ### Exercise 3: one mask for both (10 min, medium)
#
# Given `lengths` (batch,) and the padded `length`, return a boolean mask
# `(batch, length, length)`: query i may attend to key j if j is not after i
# *and* j is a real token. Write it without the module's two functions.

# %%
def my_mask(lengths, length):
    ...


checks.scaled_dot_product.mask(my_mask)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `positions = torch.arange(length)`. Compare `positions[None, :]` with
# `positions[:, None]` for the first condition, and with `lengths[:, None]` for
# the second. Then add the dimension that is missing, and use `&`.
#
# </details>

# %% tags=["solution"]
# Solution
def my_mask(lengths, length):
    positions = torch.arange(length)
    causal = positions[None, :] <= positions[:, None]  # (q, k)
    real = positions[None, :] < lengths[:, None]  # (batch, k)
    return causal & real[:, None, :]  # (batch, q, k)


checks.scaled_dot_product.mask(my_mask)

# %% [markdown]
# ### Exercise 4: attention with a mask (15 min, medium)
#
# Write scaled dot-product attention for `query` (batch, q, d), `key`
# (batch, k, d), `value` (batch, k, v) and a boolean `mask` (batch, q, k),
# True = may attend. Return the output alone. A query that may attend to
# nothing gets 0.

# %%
def my_attention(query, key, value, mask):
    ...


checks.scaled_dot_product.attention(my_attention)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Try it without scrolling up. The scores are divided by $\sqrt{d}$ *before* the
# mask. For the empty row: what is the softmax of equal finite numbers, and
# which second `masked_fill` cures it?
#
# </details>

# %% tags=["solution"]
# Solution
def my_attention(query, key, value, mask):
    scores = query @ key.mT / math.sqrt(query.shape[-1])  # (batch, q, k)
    lowest = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~mask, lowest), dim=-1)
    return weights.masked_fill(~mask, 0.0) @ value  # (batch, q, v)


checks.scaled_dot_product.attention(my_attention)

# %% [markdown]
# ### Exercise 5: change this and explain (20 min, hard)
#
# Train the three exponents again with Adam (`learn(..., lr=0.003,
# adam=True)`), which divides each gradient by its usual size. Which failure
# does it cure, which not, and why? Then a harder one: rescue the *unscaled*
# layer without touching its scale, by its first weights alone (`spread=...`).
# Explain both, then open the folded answer.

# %%
run = learn(0.0, 0, steps, lr=0.003, adam=True)  # change this
print("accuracy above 0.9:", run.metrics[-1]["accuracy"] > 0.9)

# %% [markdown]
# <details><summary>Hint</summary>
#
# With first weights of spread $\sigma$ in both matrices, the scores have
# the standard deviation $d^{3/2} \sigma^2 \cdot$ scale. For which
# $\sigma$ is it 1 at scale 1?
#
# </details>

# %% tags=["solution"]
# Solution
def accuracy(exponent, **options):
    return learn(exponent, 0, steps, **options).metrics[-1]["accuracy"]


adam = {e: accuracy(e, lr=0.003, adam=True) for e in (0.0, 0.5, 1.0)}
print("Adam, / sqrt(d) above 0.9: ", adam[0.5] > 0.9)
print("Adam, / d above 0.9:       ", adam[1.0] > 0.9)
print("Adam, unscaled below 0.7:  ", adam[0.0] < 0.7)
assert session.quick() or min(adam[0.5], adam[1.0]) > 0.9
assert session.quick() or adam[0.0] < 0.7
evidence.show("E02.21", "E02.22")

# %% tags=["solution"]
# Solution
small = learn(0.0, 0, steps, lr=1 / 16, spread=1 / 64)
print("unscaled, small first weights, above 0.9:",
      small.metrics[-1]["accuracy"] > 0.9)
root = learn(0.5, 0, steps, lr=1.0, spread=1 / 16)
torch.testing.assert_close(small.losses, root.losses)
print("the losses of all steps are those of sqrt(d) at rate 1")
assert session.quick() or small.metrics[-1]["accuracy"] > 0.9

# %% [markdown]
# <details><summary>Answer</summary>
#
# Adam makes small gradients large, so dividing by d no longer crawls. In the
# first unscaled gradient the frozen queries had almost no part; Adam changes how
# long a step is, hardly whose. That it fails for this is a guess.
#
# First weights of $d^{-3/4} = 1/64$ give scores of variance 1 without a scale:
# the same scores as with the square root, from matrices 4 times smaller. At a
# rate 16 times smaller, SGD takes the same steps. So what fails is not a missing
# division, but large scores at the start. The scale mends them for the usual
# first weights, whatever d is.
#
# </details>

# %% [markdown]
# ## Test yourself
#
# Choose an answer, then open it: each says why it is right or not.
#
# ### Question 1: queries and keys have d = 64 independent numbers of mean 0 and variance 4. Which divisor gives scores of variance 1?
#
# <details><summary>A. 8</summary>
#
# No. That is the square root of 64, right for numbers of variance 1.
#
# </details>
# <details><summary>B. 32</summary>
#
# Yes. Each product has variance 4 · 4 = 16, so the sum has 64 · 16 = 1024,
# and its root is 32.
#
# </details>
# <details><summary>C. 64</summary>
#
# No. That is d; the variance of the scores would be 1024 / 64² = 1/4.
#
# </details>

# %% [markdown]
# ### Question 2: a mask is applied by setting weights to 0 after the softmax. What goes wrong?
#
# <details><summary>A. Forbidden values still reach the output</summary>
#
# No. Their weights are 0, so they do not.
#
# </details>
# <details><summary>B. The allowed weights depend on the forbidden keys</summary>
#
# Yes. The forbidden scores stand in the denominator: the row no longer sums
# to 1, and the content of the padding changes the output.
#
# </details>
# <details><summary>C. Nothing, it is only slower</summary>
#
# No. Remember 0.3348: the row lost two thirds of its weight.
#
# </details>

# %% [markdown]
# ### Question 3: at d = 256 the unscaled layer was slow at all eight rates. Why?
#
# <details><summary>A. Its scores overflow to inf</summary>
#
# No. They are about 16 in size, and the softmax subtracts the largest anyway.
#
# </details>
# <details><summary>B. Its learning rate is too small</summary>
#
# No. Eight rates from 0.03 to 100 were tried, and the best left it far behind.
# Nor does Adam rescue it
# ([E02.22](../experiments/results/02_scaled_dot_product.md#e0222)),
# though it does rescue the layer that divides by d
# ([E02.21](../experiments/results/02_scaled_dot_product.md#e0221)).
#
# </details>
# <details><summary>C. Its softmax is saturated from the start</summary>
#
# It fits: more than half of the queries are frozen before the first step
# ([E02.18](../experiments/results/02_scaled_dot_product.md#e0218)). That this
# alone makes it slow was not tested.
#
# </details>

# %% [markdown]
# ## Next
#
# Query, key and value may all come from one sentence: every word asks every
# other. Lesson [03_self_attention](03_self_attention.ipynb) builds it, and
# finds that it has forgotten the order of the words.
#
# To read: Vaswani et al. (2017), "Attention is all you need", sections 3.2.1
# and 3.2.3. For those who meet 1/d in the wild: Yang et al. (2022), "Tensor
# programs V", divide by d on purpose, since in *trained* wide models queries
# and keys are no longer independent.

# %% [markdown] tags=["navigation"]
# [← 01 dot product](01_dot_product.ipynb) ·
# [The map](00_start_here.ipynb) ·
# [03 self attention →](03_self_attention.ipynb)
