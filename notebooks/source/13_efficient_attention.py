# %% [markdown]
# # Why is it expensive, and what helps?
#
# Every token looks at every other: twice the text, four times the work, and
# four times the memory. How can models read whole books then?
#
# **You will be able to**
# - measure what attention costs, and how it grows;
# - compute it exactly without holding all scores: flash attention;
# - write with a cache of keys and values, and make it small;
# - look at less, or give up the softmax, and say what is lost;
# - predict what a large model costs.
#
# **Minutes:** 130, of which the exercises take 50. **Needs:** lessons 02, 03,
# 04 and 06. The computer needs about a minute in all.

# %% [markdown] tags=["navigation"]
# [← 12 rnn cnn attention](12_rnn_cnn_attention.ipynb) ·
# [The map](00_start_here.ipynb) ·
# [14 interpreting attention →](14_interpreting_attention.ipynb)

# %%
import math
import warnings
from functools import partial

import torch
from torch.nn import functional as F

from attn_course import checks, evidence, plotting, session, training
from attn_course import efficient_attention as ea
from attn_course.common import measuring
from attn_course.scaled_dot_product import scaled_dot_product_attention
from attn_course.widgets import efficient_attention as views
from attn_course.widgets import explore

session.start(0)
device = session.device()

# %% [markdown]
# ## What it costs
#
# For n tokens there are n² scores. Each takes d multiplications and d
# additions, and so does mixing the values: 4 n² d FLOPs (floating point
# operations). And there are two squares of n² numbers: scores, then weights.
#
# **Predict:** from 512 to 4096 tokens, by what factor do time and memory grow?

# %%
def random_qkv(length, heads=1, dim=64):
    shape = (1, heads, length, dim)
    return [torch.randn(shape, device=device) for _ in range(3)]


def plain(query, key, value, mask=None):
    return scaled_dot_product_attention(query, key, value, mask)[0]

# %% [markdown]
# `measure` takes the fastest of five runs or more, the lengths taking turns,
# after one run of each to warm up; it counts the bytes of all tensors that are
# alive at one time, and the FLOPs of matrix products. (1 MiB is 2**20 bytes.)

# %%
lengths = [512, 1024, 2048, 4096]
calls = {n: partial(plain, *random_qkv(n)) for n in lengths}
costs = ea.measure(calls, repeats=5, device=device)
for n, cost in costs.items():
    print(f"{n:5} tokens: {cost.flops / 1e6:6.0f} million FLOPs, "
          f"peak {cost.peak / 2**20:5.1f} MiB")

# %% [markdown]
# 8 times the tokens: 64 times the FLOPs, and nearly 64 times the memory. These
# are counted: they are the same at every run. Time is not. Other programs can
# only make a call slower, so we take the fastest. On logarithmic scales
# `c * n^a` is a line of slope a, so a line is fitted.

# %%
def fitted(costs, what):
    amounts = [getattr(cost, what) for cost in costs.values()]
    return ea.fit_power_law(list(costs), amounts)


grows = {what: fitted(costs, what) for what in ("seconds", "peak", "flops")}
print(f"memory grows with the power {grows['peak']:.1f}, "
      f"FLOPs with {grows['flops']:.1f}")
print("time: nearer to 2 than to 1:", grows["seconds"] > 1.5)
assert 1.95 < grows["peak"] < 2.05 and 1.95 < grows["flops"] < 2.05
assert grows["seconds"] > 1.5 or device.type != "cpu"

# %%
seconds = {n: 1000 * cost.seconds for n, cost in costs.items()}
square = {n: seconds[4096] * (n / 4096) ** 2 for n in lengths}
figure = views.growth(
    {"measured": (lengths, list(seconds.values())),
     "n² through the last": (lengths, list(square.values()))},
    xlabel="tokens", ylabel="ms", logy=True,
    title=f"Time of plain attention: power {grows['seconds']:.2f}",
)
plotting.show(figure, alt="Time of plain attention against length, both on "
              "logarithmic scales, beside a line of slope 2: on the whole "
              "they rise alike.")

# %% [markdown]
# (A GPU is not busy with so few tokens; there the power shows later.) Five repeats
# on our machine: [E13.10](../experiments/results/13_efficient_attention.md#e1310).

# %%
evidence.show("E13.10")

# %% [markdown]
# FLOPs grow with n²; on our machine time grew faster still (why, we did not
# ask). At 16,384 tokens one head's scores alone take 1 GiB, and their weights
# another. The next sections keep the result and lose that square.

# %% [markdown]
# ## A softmax in one pass
#
# A softmax needs the largest score m (or it overflows, lesson 02), then the
# sum of all `exp(s - m)`. That reads all scores twice. Must it?
#
# Take four scores that arrive one by one: 1 and 0, the hand example of lesson
# 01, then 3 and 2. Keep the maximum m so far, and the total l of
# `exp(s - m)`. **Predict:** what must happen to l when 3 arrives?

# %%
m, l = 1, 1.0  # after 1: exp(1 - 1)
l = l + math.exp(0 - m)  # 0 is not larger: just add
print(f"after 1, 0:       m = {m}, l = {l:.4f}")

# %% [markdown]
# Now 3, which is larger than the maximum:

# %%
l = l * math.exp(1 - 3) + math.exp(3 - 3)  # 3 is larger
m = 3
print(f"after 1, 0, 3:    m = {m}, l = {l:.4f}")
l = l + math.exp(2 - m)
print(f"after 1, 0, 3, 2: m = {m}, l = {l:.4f}")

# %% [markdown]
# The old total was relative to the old maximum: `exp(s - 1)`. Multiplied by
# `exp(1 - 3)` every term becomes `exp(s - 3)`. One factor mends the whole past,
# and no old score is needed: an *online softmax*. Is it the right total?

# %%
scores = torch.tensor([1.0, 0.0, 3.0, 2.0]).double()
torch.testing.assert_close(
    torch.tensor(l).double(), torch.exp(scores - 3).sum()
)
weights = torch.softmax(scores, dim=0)
print("weights", weights)
print(f"the largest, exp(3 - 3) / l: {1 / l:.4f}")

# %% [markdown]
# The output is mended by the same factor: it is a sum of `exp(s - m) * value`.
# As a loop over any number of scores (Milakov and Gimelshein, 2018):

# %%
def one_pass(scores, values):
    m, l, acc = -math.inf, 0.0, 0.0
    for score, value in zip(scores, values):
        new_m = max(m, score)
        correction = math.exp(m - new_m)
        power = math.exp(score - new_m)
        l = l * correction + power
        acc = acc * correction + power * value
        m = new_m
    return acc / l

# %%
values = torch.tensor([1.0, 3.0, 5.0, 7.0]).double()
expected = one_pass(scores.tolist(), values.tolist())
torch.testing.assert_close(torch.tensor(expected).double(), weights @ values)
print(f"output {expected:.4f}: one pass = softmax, then sum")

# %% [markdown]
# The pieces may be larger than one score: `update` takes in a block. And two
# workers may each see one half; `merge` joins what they know, in any order.
# What is known so far is an `OnlineSoftmaxState`: m, l and acc, the sum of
# `exp(s - m) * value`.

# %%
left, right = (ea.update(None, scores[part][None], values[part][:, None])
               for part in (slice(0, 2), slice(2, 4)))
both = ea.update(left, scores[None, 2:], values[2:, None])
for state in (both, ea.merge(left, right), ea.merge(right, left)):
    output = ea.finalize(state)[0, 0].item()
    print(f"m {state.m.item():.0f}, l {state.l.item():.4f}, "
          f"output {output:.4f}")
    assert math.isclose(output, expected)

# %% [markdown]
# ## Tiles
#
# Now for whole matrices. Cut queries and keys into tiles. Make the scores of one
# tile, take them in, forget them. This is the idea of **flash attention** (Dao et
# al., 2022; the memory argument is also in Rabe and Staats, 2021).
#
# Which loop is outside? The first paper's is over keys (algorithm 1). Ours is
# over queries, as in *FlashAttention-2* (Dao, 2023, section 3.1): a tile of
# queries is finished before the next one begins.

# %%
def tiles_by_hand(query, key, value, size):
    rows = []
    for q in query.split(size):
        state = None
        for k, v in zip(key.split(size), value.split(size)):
            scores = q @ k.T / math.sqrt(q.shape[-1])  # (size, size)
            state = ea.update(state, scores, v)
        rows.append(ea.finalize(state))
    return torch.cat(rows)

# %% [markdown]
# Ten queries and keys, tiles of 3, so the last tile is smaller:

# %%
q, k, v = torch.randn(3, 10, 4).double()
expected, _ = scaled_dot_product_attention(q, k, v)
torch.testing.assert_close(tiles_by_hand(q, k, v, size=3), expected)
print("tiles = lesson 02's function")

# %% [markdown]
# Step through it. **Find** a step at which the output so far is far from its
# end. How many tiles does a causal mask leave out? And a tile of 16?

# %%
explore(views.draw_tiles, views.say_tiles, **views.tile_controls())

# %% [markdown]
# (Causal, tiles of 4: six of sixteen, all that lie above the diagonal. One tile of
# 16 is the whole square: nothing left out, nothing saved.)

# %% [markdown]
# ## And backwards
#
# Training needs gradients, and those need the weights. Store them? That is the
# square again. Instead keep one number per query, the *log-sum-exp* of its
# scores, $L = \log \sum_j e^{s_j} = m + \log l$. Any weight is then $e^{s - L}$,
# computed anew for one tile. Given $dO$, the gradient that arrives at the
# output $O$, and the weights $P$ ($\circ$ multiplies number by number):
#
# $dV = P^T dO$, $\quad dP = dO\,V^T$, $\quad dS = P \circ (dP - \mathrm{rowsum}(dO \circ O))$
#
# $dQ = dS\,K / \sqrt{d}$, $\quad dK = dS^T Q / \sqrt{d}$
#
# The row sum comes from the softmax: a higher score lowers the weights of all
# other keys.

# %%
scale = 1 / math.sqrt(q.shape[-1])
L = torch.logsumexp(q @ k.T * scale, dim=-1)  # all that is kept
d_out = torch.randn(10, 4).double()
P = torch.exp(q @ k.T * scale - L[:, None])  # weights, made again
d_scores = P * (d_out @ v.T - (d_out * expected).sum(-1, keepdim=True))
by_hand = d_scores @ k * scale, d_scores.T @ q * scale, P.T @ d_out

# %%
leaves = [x.clone().requires_grad_() for x in (q, k, v)]
gradients = torch.autograd.grad(plain(*leaves), leaves, d_out)
for name, ours, theirs in zip(("query", "key", "value"), by_hand, gradients):
    torch.testing.assert_close(ours, theirs)
    print(f"gradient of the {name}: by hand = autograd")

# %% [markdown]
# (The first paper stored m *and* l for the backward pass, and divided by l after
# every tile. FlashAttention-2, section 3.1, stores L alone and divides once, at
# the end, as `finalize` does: fewer steps that are no matrix products.)
#
# `tiled_attention` does both passes in tiles. Is it equal to lesson 02's
# function in value and gradient? In three precisions, with a mask that leaves
# one query nothing to look at, and a causal one on top, given as a function of
# positions, `mask_mod`:

# %%
mask = torch.rand(2, 1, 37, 37, device=device) > 0.5
mask[0, :, 3] = False  # this query may attend to nothing
whole = mask & ea.create_mask(ea.CAUSAL, 37, device=device)
d_out = torch.randn(2, 3, 37, 8, device=device)


def both_passes(function, inputs):
    output = function(*inputs)
    return output, *torch.autograd.grad(output, inputs, d_out.to(output))

# %%
tolerance = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 0.05}
for dtype, bound in tolerance.items():
    if dtype == torch.float64 and device.type not in ("cpu", "cuda"):
        continue  # Apple's GPU has no float64
    inputs = [torch.randn_like(d_out).to(dtype).requires_grad_()
              for _ in range(3)]
    tiled = both_passes(partial(
        ea.tiled_attention, mask=mask, mask_mod=ea.CAUSAL,
        block_size=(8, 16)), inputs)
    usual = both_passes(partial(plain, mask=whole), inputs)
    for ours, theirs in zip(tiled, usual):
        torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound)
    assert not tiled[0][0, :, 3].any()
    print(f"{str(dtype)[6:]:8} value and gradients agree, empty row is 0")

# %% [markdown]
# **Predict:** with which power does the peak memory of a forward *and* backward
# pass grow now?

# %%
def train_step(function, length):
    inputs = [x.requires_grad_() for x in random_qkv(length)]
    return lambda: torch.autograd.grad(function(*inputs).sum(), inputs)


peaks = {
    name: [measuring.peak_bytes(train_step(function, n)) for n in lengths]
    for name, function in (("plain", plain), ("tiled", ea.tiled_attention))
}
powers = {name: ea.fit_power_law(lengths[1:], row[1:])
          for name, row in peaks.items()}
print("plain: power 2, nearly:         ", 1.9 < powers["plain"] < 2.1)
print("tiled: power 1 or less:         ", powers["tiled"] < 1.1)
assert 1.9 < powers["plain"] < 2.1 and powers["tiled"] < 1.1

# %%
figure = views.growth(
    {name: (lengths, [p / 2**20 for p in row]) for name, row in peaks.items()},
    xlabel="tokens", ylabel="peak, MiB", logy=True,
    title="Forward and backward: a square, and a line",
)
plotting.show(figure, alt="Peak memory against length on logarithmic scales: "
              "plain attention rises with slope 2, tiled far lower, with "
              "slope 1 or less.")

# %% [markdown]
# (Below 1, since one tile is held at any length: it weighs more in a short
# text.) Now 16,384 tokens, causal, forward and backward. The n x n matrix would
# be 1 GiB; plain attention needs about three. (A few seconds.)

# %%
n = 16_384
causal = partial(ea.tiled_attention, mask_mod=ea.CAUSAL)
peak = measuring.peak_bytes(train_step(causal, n))
square, eight_rows = 4 * n**2, 8 * n * 64 * 4  # a row: 64 float32 numbers
print(f"the square: {square / 2**20:.0f} MiB; eight rows a token: "
      f"{eight_rows / 2**20:.0f} MiB")
print("our peak is below that:", peak < eight_rows)
assert peak < eight_rows

# %% [markdown]
# Nothing is approximated. And where all may be attended to, no FLOP is saved: the
# backward pass even makes the scores a second time. On a GPU it was still
# *faster* than plain attention: it moves fewer numbers to memory and back, and
# that moving took most of the time (Dao et al., 2022, sections 2.1 and 3.2).
# torch has it as one kernel; lesson 02's `need_weights=False` calls it.

# %%
inputs = random_qkv(256, heads=2)
fused, _ = scaled_dot_product_attention(*inputs, need_weights=False)
torch.testing.assert_close(
    fused, ea.tiled_attention(*inputs), rtol=1e-4, atol=1e-5)
print("torch's fused kernel = our tiles")

# %% [markdown]
# `make bench` measures ours against it, in time and memory. (On newer GPUs
# *FlashAttention-3* lets moving and computing overlap, and can take 8 bits: Shah
# et al., 2024.)

# %% [markdown]
# ## Writing: do not compute twice
#
# A decoder writes token after token. The query of token 100 asks keys 1 to 100.
# Those of 1 to 99 were computed before, and do not change: a causal mask hides
# what comes later. So keep them, and the values. That is the **KV cache**.
# Reading the prompt is the *prefill*, all its tokens at once; writing one token
# after another is the *decode* phase.
#
# `DecoderLM` is a small language model, untrained: it writes nonsense, but
# always the same nonsense. (Our `generate` reads even the prompt token by token,
# so that a later test can ask for equal bits.)

# %%
session.set_seed(0)
model = ea.DecoderLM(256, dim=256, heads=8, layers=2).to(device).eval()
prompt = torch.randint(256, (1, 4), device=device)
caches = model.new_caches(batch=1, max_length=64)
with torch.no_grad():
    whole = model(prompt)
    parts = [model(token, caches) for token in prompt.split(1, dim=1)]
torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)
print("four tokens at once = one by one with a cache")
print("kept of each layer:", tuple(caches[0].keys[:, :, :4].shape))

# %% [markdown]
# **Predict:** write 40 tokens with the cache, and 40 by computing everything
# anew for each. Are they the same tokens? And the *logits*, the numbers that chose
# them: are they the same to the last bit?

# %%
cached, anew, by_rows = (
    ea.generate(model, prompt, 40, mode=mode)
    for mode in ("cached", "recomputed", "by rows"))
tokens_agree = torch.equal(cached.tokens, anew.tokens)
print("same 40 tokens:", tokens_agree)
assert tokens_agree

# %% [markdown]
# And how far apart are the logits?

# %%
off = (cached.logits - anew.logits).abs().max().item()
first, second = cached.logits.topk(2).values.unbind(-1)
lead = (first - second).min().item()
print("numbers differ by less than 0.0001:", off < 1e-4)
print("the best token always leads by more than twice that:", lead > 2 * off)
assert off < 1e-4 and lead > 2 * off

# %% [markdown]
# The same tokens, and here that had to be so: the best token is always further
# ahead than the differences could change. But the numbers need not be equal to
# the last bit. A product for 40 rows may add in another order than a product
# for one row, and a floating point sum depends on the order.
#
# `by rows` also recomputes everything, without any cache, but each position by
# calls of its own, of the same shapes that decoding has.

# %%
assert torch.equal(cached.tokens, by_rows.tokens)
same = torch.equal(cached.logits, by_rows.logits)
print("same tokens, and all logits equal bit for bit:", same)
assert same or device.type != "cpu"

# %% [markdown]
# Bit for bit. So here the cache itself changes *nothing*; if numbers differed
# above, many rows in one product did it. That holds under conditions: the same
# machine, precision, number of threads and kernels. On a GPU, kernels may be
# chosen by shape, and this cell then asks only for the same tokens.

# %% [markdown]
# ## What a token costs
#
# **Predict:** how does the cost of *one more token* grow with the text, with
# the cache and without?

# %%
def flops_of_next(length, keep):
    text = torch.zeros(1, length, dtype=torch.long, device=device)
    caches = model.new_caches(1, length)
    with torch.no_grad():
        model(text[:, 1:], caches)
        if keep:
            return measuring.count_flops(
                lambda: model(text[:, -1:], caches))
        return measuring.count_flops(lambda: model(text))

# %%
lengths = [32, 64, 128, 256]
flops = {keep: [flops_of_next(n, keep) for n in lengths]
         for keep in (True, False)}
for keep, row in flops.items():
    print(f"{'cached' if keep else 'anew':6}", "million FLOPs:",
          [round(x / 1e6, 1) for x in row])
print("cached, 8 times the text: times", round(flops[True][-1]
                                              / flops[True][0], 2))
assert flops[True][-1] < 1.2 * flops[True][0]

# %% [markdown]
# Nearly flat: the products with the weight matrices are the same for each
# token. Only the attention itself, 4 n d FLOPs a layer (d = 256 here, all heads
# together), still grows, and it outweighs the rest only from about n = 6 d on.
# And on the clock, for every 16th token of 256? (A few seconds.)

# %%
text = torch.randint(256, (1, 256), device=device)


def one_more(position):
    caches = model.new_caches(1, 256)
    model(text[:, :position - 1], caches)

    def step():
        for cache in caches:
            cache.seen = position - 1  # write this position again
        return model(text[:, position - 1:position], caches)

    return step

# %%
positions = range(16, 257, 16)
with torch.no_grad():
    steps = {("cached", n): one_more(n) for n in positions}
    steps |= {("computed anew", n): partial(model, text[:, :n])
              for n in positions}
    seconds = measuring.measure_seconds(steps, 5, device=device)

# %%
per_token = {name: [1000 * seconds[name, n] for n in positions]
             for name in ("cached", "computed anew")}
figure = plotting.curves(
    {name: (positions, row) for name, row in per_token.items()},
    xlabel="position of the token", ylabel="ms for one token",
    title="With a cache a token costs nearly the same, up to 256",
)
figure.axes[0].set_ylim(0)
plotting.show(
    figure,
    alt="Milliseconds per token against its position: with a cache nearly "
    "flat, computed anew rising.",
)

# %%
cached, anew = per_token["cached"], per_token["computed anew"]
flat, saved = cached[-1] < 2 * cached[0], anew[-1] > 2 * cached[-1]
print("cached: token 256 takes less than twice as long as token 16:", flat)
print("token 256: anew takes more than twice as long as cached:", saved)
assert flat and saved or device.type != "cpu"

# %% [markdown]
# A clock differs from one minute to the next. Five repeats, outside this
# notebook: [E13.11](../experiments/results/13_efficient_attention.md#e1311),
# [E13.12](../experiments/results/13_efficient_attention.md#e1312).

# %%
evidence.show("E13.11", "E13.12")

# %% [markdown]
# ## The cache is large: share it
#
# One sequence keeps `2 * layers * heads * head_dim * tokens` numbers. Shazeer
# (2019) let all query heads share **one** head of keys and values: multi-query
# attention, **MQA**. Ainslie et al. (2023) let *groups* share: **GQA**. Lesson
# 04's multi-head attention is the other end.
#
# Heads that share keys are simply more queries, so no key is copied:

# %%
layer = ea.GroupedQueryAttention(32, heads=8, kv_heads=2).to(device)
x = torch.randn(1, 5, 32, device=device)
q, k, v = layer.project(x, torch.arange(5, device=device))
print("queries", tuple(q.shape), " keys", tuple(k.shape))

# %%
rows = q.unflatten(1, (2, 4)).flatten(2, 3)  # 4 heads ask one key head
print("rows that ask", tuple(rows.shape))
shared, _ = scaled_dot_product_attention(rows, k, v)
copied, _ = scaled_dot_product_attention(
    q, k.repeat_interleave(4, dim=1), v.repeat_interleave(4, dim=1))
torch.testing.assert_close(shared.view_as(copied), copied)
print("grouped = keys copied to every head")

# %% [markdown]
# `enable_gqa=True` of torch's function does the same. And with as many key heads
# as query heads, it is lesson 04's layer, weights copied:

# %%
from attn_course.multi_head_attention import MultiHeadAttention

theirs = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
torch.testing.assert_close(theirs, copied)
print("grouped = torch's enable_gqa")

# %%
old = MultiHeadAttention(32, 8).to(device)
new = ea.GroupedQueryAttention.from_multi_head(old, kv_heads=8)
expected, _ = old(x, is_causal=True)
torch.testing.assert_close(new(x), expected)
print("with 8 key heads = lesson 04")

# %% [markdown]
# Ours, measured: three decoders of 8 query heads, caches for 1,024 tokens.
# **Predict** the ratios.

# %%
for kv_heads, name in ((8, "MHA"), (2, "GQA"), (1, "MQA")):
    decoder = ea.DecoderLM(256, 256, 8, 2, kv_heads).to(device)
    new_caches = partial(decoder.new_caches, 1, 1024)
    held = sum(cache.nbytes for cache in new_caches())
    assert held == measuring.peak_bytes(new_caches)
    assert held == ea.cache_bytes(2, kv_heads, 32, 1024, bytes_each=4)
    print(f"{name}: {kv_heads} key heads, {held / 2**20:.1f} MiB, "
          "measured = formula")

# %% [markdown]
# Models that you may have met, 16 bits a number. First a rough test of our
# table: does each model's parameter count, from its sizes alone, fit its name?
# (To 4 %. Whether input and output share one table, which is called *tied*, is
# below that for some of them, and has to be looked up.)

# %%
for name, size in ea.MODELS.items():
    named = float(name.split()[-1][:-1]) * (1e6 if name[-1] == "M" else 1e9)
    assert abs(size.parameters / named - 1) < 0.04
    print(f"{name:12} {size.parameters / 1e9:7.2f} billion, "
          f"{size.heads:2} query and {size.kv_heads:2} key heads, "
          f"cache of a token {size.cache_bytes(1) / 1024:5.0f} KiB")

# %% [markdown]
# Llama 2 70B is ten times the size of Llama 2 7B, and its cache is smaller:
# eight query heads share a key head. (Sources of the sizes: `ea.MODELS`.) Now 16
# texts of 8,192 tokens. Some of these models were not made for texts that long:
# for them it is a "what if". Mistral keeps its last 4,096 tokens only: a window,
# of which more in the next section.

# %%
rows = [[name, f"{16 * size.cache_bytes(8192) / 1e9:.1f}",
         f"{2 * size.parameters / 1e9:.1f}"]
        for name, size in ea.MODELS.items()]
plotting.show(
    views.table(["model", "cache, GB", "weights, GB"], rows,
                title="A cache may outweigh its model: "
                      "16 texts of 8,192 tokens"),
    alt="A table of seven models: " + "; ".join(
        f"{name} cache {cache} GB, weights {weights} GB"
        for name, cache, weights in rows) + ".",
)
assert float(rows[2][1]) > 4 * float(rows[2][2])

# %% [markdown]
# For Llama 2 7B the cache is five times as large as the model. What is lost by
# sharing? Ainslie et al. (2023, table 1 and figure 3) found GQA close to
# multi-head attention in quality, after some more training. Our own layers are
# too small to say.
#
# Not built here: one short vector per token, from which all heads make keys and
# values (*multi-head latent attention*, MLA, in DeepSeek-V2: Liu et al., 2024,
# section 2.1); fewer bits a number (a *quantised cache*, Hooper et al., 2024);
# memory taken in small blocks, as it is needed (a *paged cache*, Kwon et al.,
# 2023).

# %% [markdown]
# ## Look at less
#
# Must a token look at all that came before? A **sliding window** lets it
# see the last w only (Longformer, Beltagy et al., 2020; Mistral 7B, Jiang
# et al., 2023). Longformer adds **global attention**: a few tokens that see all
# and are seen by all. `SlidingWindow(3)` below looks at 3 positions before and
# itself: w = 4.

# %%
masks = {"causal": ea.CAUSAL, "window of 4": ea.SlidingWindow(3),
         "both sides, first 2 global":
             ea.SlidingWindow(2, 2, global_tokens=2)}
figure, axes = plotting.figure(8, 2.9, cols=3)
for ax, (name, mask_mod) in zip(axes, masks.items()):
    seen = ea.create_mask(mask_mod, 12)
    plotting.weights_heatmap(seen.double(), ax=ax, title=name, numbers=False)
    ax.set(xticks=[0, 11], yticks=[0, 11])
    print(f"{name}: {seen.sum().item()} of 144 pairs")
plotting.show(figure, alt="Three squares of 12 by 12, allowed pairs bright: a "
              "triangle; a band under the diagonal; a band around it with the "
              "first two rows and columns filled.")

# %% [markdown]
# A tile in which nothing is allowed need not be computed. **Predict** the power
# with which the FLOPs grow, for each mask.

# %%
def flops_under(mask_mod, length):
    inputs = random_qkv(length, dim=16)
    return measuring.count_flops(partial(
        ea.tiled_attention, *inputs, mask_mod=mask_mod, block_size=(128, 256)))

# %%
far = [1024, 2048, 4096, 8192]
for name, mask_mod in {
        "causal": ea.CAUSAL, "window of 128": ea.SlidingWindow(127),
        "and 4 global": ea.SlidingWindow(127, global_tokens=4)}.items():
    row = [flops_under(mask_mod, n) for n in far]
    print(f"{name:14} power {ea.fit_power_law(far, row):.1f}, "
          f"{row[-1] / row[0]:.0f} times the FLOPs for 8 times the text")

# %% [markdown]
# With a window nearly linear. (Causal: tiles on the diagonal are computed whole,
# which weighs more in a short text: hence 1.9 and not 2.) Global tokens of a causal model are only
# looked back at, one tile more a row. And the values are exact for that mask:

# %%
inputs = random_qkv(300)
mask_mod = ea.SlidingWindow(40, 20, global_tokens=3)
mask = ea.create_mask(mask_mod, 300, device=device)
expected, _ = scaled_dot_product_attention(*inputs, mask)
tiled = ea.tiled_attention(*inputs, mask_mod=mask_mod, block_size=(32, 32))
torch.testing.assert_close(tiled, expected, rtol=1e-4, atol=1e-5)
print("tiles left out = mask, on", int(mask.sum()), "of 90000 pairs")

# %% [markdown]
# ## The receptive field: how far back?
#
# How far does information travel? In one layer, w - 1 tokens back. But those have heard others. **Predict:** with
# 3 layers of window 4, how far back does the last token depend on?

# %%
def heard(layers, window=4, length=16):
    model = ea.DecoderLM(9, 16, 2, layers, window=window).double()
    embedded = []
    model.embedding.register_forward_hook(
        lambda module, args, out: embedded.append(out))
    last = model(torch.arange(length)[None] % 9)[0, -1]
    (touched,) = torch.autograd.grad(last.pow(2).sum(), embedded)
    return int((touched[0].abs().sum(dim=-1) > 0).sum())

# %% [markdown]
# `heard` keeps the embeddings of all tokens, and counts those that the last
# output has a gradient to:

# %%
for layers in (1, 2, 3):
    print(f"{layers} layers: {heard(layers)} tokens, itself counted")
    assert heard(layers) == layers * (4 - 1) + 1

# %% [markdown]
# `layers * (w - 1) + 1`: this *receptive field* is what *can* arrive. How much
# does is another question.
# And a cache need keep only w positions: position p overwrites p - w. Order in
# the cache does not matter, since keys carry their position in themselves
# (lesson 03), and a softmax does not know any order.

# %%
session.set_seed(0)
narrow = ea.DecoderLM(256, 64, 8, 2, 2, window=8).to(device).eval()
rolling = ea.generate(narrow, prompt, 30)
full = ea.generate(narrow, prompt, 30, mode="recomputed")
assert torch.equal(rolling.tokens, full.tokens)
torch.testing.assert_close(rolling.logits, full.logits, rtol=1e-4, atol=1e-4)
print("30 tokens: rolling cache = window mask over everything")
print("positions kept:", narrow.new_caches(1, 10_000)[0].max_length)

# %% [markdown]
# This model *has* a window. Models that were trained without one broke when the
# first tokens fell out of the cache; keeping about four of them as well was
# enough to mend it: **attention sinks** (Xiao et al., 2024, section 3; lesson 14).

# %% [markdown]
# ## No softmax at all
#
# The square comes from the softmax: it stands between $QK^T$ and $V$. Without
# it, $(QK^T)V = Q(K^TV)$, and $K^TV$ is a small d x d matrix. Katharopoulos et
# al. (2020) take weights $\phi(q)\cdot\phi(k)$ with $\phi(x) = \mathrm{elu}(x)
# + 1$, which is positive ($x + 1$ above 0, $e^x$ below), and divide by their sum.
#
# As a loop, where each token reads all before it:

# %%
q, k, v = torch.randn(3, 6, 4).double()
f, g = ea.elu_feature_map(q), ea.elu_feature_map(k)
loop = []
for i in range(6):
    parts = [(f[i] @ g[j]).item() for j in range(i + 1)]
    loop.append(sum(p * v[j] for j, p in enumerate(parts)) / sum(parts))
loop = torch.stack(loop)

# %% [markdown]
# As matrices, with a causal mask. And as a recurrent network, which keeps two
# sums, whatever the length:

# %%
products = (f @ g.T).tril()  # (6, 6)
matrix = products / products.sum(-1, keepdim=True) @ v
torch.testing.assert_close(matrix, loop)
print("matrix = loop")

# %%
state = ea.LinearState()
recurrent = torch.stack([state.step(*row) for row in zip(q, k, v)])
chunks = ea.linear_attention(q, k, v, causal=True, chunk=4)
torch.testing.assert_close(recurrent, loop)
torch.testing.assert_close(chunks, loop)
print("recurrent = chunks = loop")
print("kept:", state.pairs.numel() + state.keys.numel(), "numbers, always")

# %%
row = [measuring.count_flops(
           partial(ea.linear_attention, *random_qkv(n), causal=True))
       for n in far]
print(f"FLOPs grow with the power {ea.fit_power_law(far, row):.1f}")

# %% [markdown]
# FLOPs grow with n, and writing keeps a state of fixed size. What is the
# catch?

# %% [markdown]
# ## Where linear attention fails
#
# A list of pairs, key and value, drawn anew each time; then: "which value came
# with this key?" That is *associative recall*; copying a phone number is such a
# task. One head each, of 16 dimensions, trained alike on 2 to 48 pairs (64 are
# more than any list it saw); only the attention differs. (One run each, at one
# learning rate.) 16 values, so chance is 1/16.
# **Predict:** up to how many pairs does each get nearly all right?

# %%
KEYS, VALUES = 64, 16


def loss(model, lists):
    keys, values, order = (x.to(device) for x in lists)
    scores = model(keys, values, keys.gather(1, order))
    return F.cross_entropy(
        scores.flatten(0, 1), values.gather(1, order).flatten())


def draw(step):
    count = int(torch.randint(2, 49, ()))
    return ea.associative_recall_batch(64, count, KEYS, VALUES)

# %%
def learn(kind, size=16):
    session.set_seed(0)
    model = ea.AssociativeRecall(kind, KEYS, VALUES, 16, size).to(device)
    training.fit(model, loss, draw, lr=1e-2, threads=1, label=kind,
                 steps=40 if session.quick() else 600)
    return model

# %% [markdown]
# About five seconds each.

# %%
models = {kind: learn(kind) for kind in ("softmax", "linear")}

# %%
@torch.no_grad()
def examine(model, count):
    generator = torch.Generator().manual_seed(count)
    lists = ea.associative_recall_batch(256, count, KEYS, VALUES, generator)
    keys, values, _ = (x.to(device) for x in lists)
    correct = model(keys, values, keys).argmax(-1) == values
    own = model.weights(keys, keys).diagonal(dim1=1, dim2=2).mean()
    return correct.cpu().double().mean().item(), own.item()


counts = [2, 4, 8, 16, 32, 48, 64]
seen = {kind: [examine(model, n) for n in counts]
        for kind, model in models.items()}

# %%
figure, axes = plotting.figure(8, 3.2, cols=2)
for ax, part, name in zip(axes, (0, 1), ("share right",
                                         "weight of the right key")):
    views.growth(
        {kind: (counts, [x[part] for x in row]) for kind, row in seen.items()},
        xlabel="pairs in the list", ylabel=name, ax=ax)
    ax.set(ylim=(0, 1.05))
axes[0].set_title("Softmax recalls, linear forgets")
axes[1].set_title("Weights become flat too: the reason?")
plotting.show(figure, alt="Left, share of right answers against pairs in the "
              "list: softmax stays near 1, linear falls as the list grows. "
              "Right, weight of the right key: the same.")

# %%
softmax, linear = dict(zip(counts, seen["softmax"])), dict(
    zip(counts, seen["linear"]))
print("64 pairs: softmax right in more than 0.98: ", softmax[64][0] > 0.98)
print("64 pairs: linear right in less than 0.7:   ", linear[64][0] < 0.7)
print("4 pairs:  linear right in more than 0.9:   ", linear[4][0] > 0.9)
print("64 pairs: weight of the right key, softmax more than 3 times:",
      softmax[64][1] > 3 * linear[64][1])
assert session.quick() or (
    softmax[64][0] > 0.98 and linear[64][0] < 0.7 and linear[4][0] > 0.9
    and softmax[64][1] > 3 * linear[64][1])

# %% [markdown]
# One run each. Now five, each head at the best of four learning rates, and the
# linear one with four times the steps as well
# ([E13.1](../experiments/results/13_efficient_attention.md#e131),
# [E13.2](../experiments/results/13_efficient_attention.md#e132),
# [E13.3](../experiments/results/13_efficient_attention.md#e133),
# [E13.4](../experiments/results/13_efficient_attention.md#e134)):

# %%
evidence.show("E13.1", "E13.2", "E13.3", "E13.4")

# %% [markdown]
# **Why?** Two guesses. The *state*: a linear head keeps a 16 x 16 matrix, however
# long the list, and at most 16 keys can be at right angles in it (nearly: the
# features are positive); with more, values mix (Schlag et al., 2021, section
# 4). Or its *flat weights*, which fell together with its answers. Two curves
# that fall together show no cause.

# %% [markdown]
# So change something. Queries and keys of 32 or 64 numbers in place of 16 make
# the state larger; embeddings, values and output stay as they are (the two
# projections grow along, and the weights may sharpen too). Or take the third
# power of the features, meant to sharpen the weights, and the state stays as
# it is. **Predict** what each does to 64 pairs.

# %%
stored = evidence.arms("13")
drawn = {
    name: (counts, [sum(arm.means[f"{n} pairs"]) / 5 for n in counts])
    for name, arm in stored.items() if name not in (
        "clock", "softmax, keys of 64", "linear, 2,400 steps")}
figure = views.growth(drawn, xlabel="pairs in the list", ylabel="share right",
                      title="Wider keys, a larger state: longer lists")
figure.axes[0].set_ylim(0, 1.05)
plotting.show(
    figure,
    alt="Share right against pairs in the list, means of five runs: softmax "
    "at 1; linear with 16 numbers falls with the list, with 32 less, with 64 "
    "hardly; with cubed features no better than without.")

# %%
evidence.show("E13.14", "E13.5", "E13.6", "E13.7", "E13.8")

# %% [markdown]
# Wider queries and keys, and so a larger state, help: 32 numbers, and 64 more
# ([E13.14](../experiments/results/13_efficient_attention.md#e1314),
# [E13.5](../experiments/results/13_efficient_attention.md#e135)). The softmax, right in
# all, has nothing to gain ([E13.6](../experiments/results/13_efficient_attention.md#e136)).
# With 64, as many as there are keys, the linear head is behind it by less than one
# in a thousand ([E13.7](../experiments/results/13_efficient_attention.md#e137)). The third
# power at the same size: *undecided*, and no gain is seen
# ([E13.8](../experiments/results/13_efficient_attention.md#e138); it and the head of 16
# chose the highest of the four rates, where 16 had nearly nothing more to gain).
#
# And the weights?

# %%
evidence.show("E13.9", "E13.13")

# %% [markdown]
# In the linear head of 16 the right key has less weight
# ([E13.9](../experiments/results/13_efficient_attention.md#e139)). But the head of 64 is
# right nearly always, and gives it less than 0.7
# ([E13.13](../experiments/results/13_efficient_attention.md#e1313)): a mixture may still
# point to the right value. Yet that is more than the head of 16 gave it: state
# and weights changed together, and the third power hardly sharpened them (see
# the table of arms). Which of the two does harm, this does not show.
#
# Arora et al. (2023) compared attention with several models without it on
# language: most of the gap was recall.

# %% [markdown]
# ## Your own mask, fused
#
# torch's `flex_attention` takes two functions of batch, head and the two
# positions: its `mask_mod` says who may attend to whom, its `score_mod` changes a
# score. Our masks ask for the positions only, so a `lambda` drops the rest. Here
# with the window, a global token, and the ALiBi bias of lesson 03.

# %%
from torch.nn.attention import flex_attention as flex

mask_mod = ea.SlidingWindow(7, global_tokens=1)
block_mask = flex.create_block_mask(
    lambda b, h, i, j: mask_mod(i, j), None, None, 64, 64, device=str(device))


def alibi(score, b, h, i, j):
    return score - 0.5**(h + 1) * (i - j).abs()

# %%
q, k, v = random_qkv(64, heads=2, dim=16)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # see below
    flexible = flex.flex_attention(q, k, v, alibi, block_mask)

# %%
from attn_course.self_attention import attention_with_bias

position = torch.arange(64, device=device)
apart = (position[:, None] - position).abs()
bias = -torch.tensor([0.5, 0.25], device=device)[:, None, None] * apart
expected, _ = attention_with_bias(
    q, k, v, bias, ea.create_mask(mask_mod, 64, device=device))
torch.testing.assert_close(flexible, expected, rtol=1e-4, atol=1e-5)
print("flex_attention = mask and bias written out")

# %% [markdown]
# Called like this it writes out all scores, and warns that it does: good for
# trying a mask. `torch.compile(flex.flex_attention)` makes one fused kernel of
# your functions. On a CPU that needs a C++ compiler, and the first call takes
# half a minute or so; try it where you have one. Our
# `tiled_attention(mask_mod=...)` needs neither.

# %% [markdown]
# ## Which bottleneck?
#
# A device computes so many FLOPs a second and moves so many bytes. The
# **roofline** (Williams et al., 2009) puts both together by *arithmetic
# intensity* (the paper says *operational*), FLOPs per byte moved. Few FLOPs
# a byte: the work waits for memory; it is *memory-bound*. Many FLOPs a byte:
# it waits for arithmetic; it is *compute-bound*. Between them is the ridge.
# And everything must *fit*.

# %% [markdown]
# **Find:** a batch at which Llama 3 8B no longer fits. The one model whose cache is
# smaller than its weights even at batch 64; why? Back at Llama 3 8B, batch 1,
# prefill: the two devices on which *untiled* attention changes the bottleneck,
# and to which.

# %%
explore(views.draw_costs, views.say_costs, **views.cost_controls())

# %% [markdown]
# (The makers' numbers, without their extra speed for matrices with many zeros,
# *sparsity*: what a device can do at best. 32 bits means float32; TF32 is
# faster. Sources: `ea.ACCELERATORS`. Real programs reach a part of it.)
#
# The same numbers, printed. One token at batch 1 uses each weight once (of the
# table of embeddings it reads one row): one FLOP or so per byte, where the A100
# could do 153. So in this estimate *bandwidth* limits decoding, and
# *arithmetic* the prefill.

# %%
a100 = ea.ACCELERATORS["NVIDIA A100 80GB SXM"]
llama = ea.MODELS["Llama 3 8B"]
for phase in ea.PHASES:
    for batch in (1, 32):
        cost = ea.estimate(llama, a100, 8192, batch, phase=phase)
        tokens = batch * (8192 if phase == ea.PREFILL else 1)
        print(f"{phase:7} batch {batch:2}: {tokens / cost.seconds:6.0f} "
              f"tokens a second, {cost.intensity:7.1f} FLOPs per byte, "
              f"bottleneck: {cost.bottleneck}")

# %% [markdown]
# A larger batch shares the reading of the weights: with batch 32 ten times as
# many tokens a second. Not 32 times, since each sequence brings its own cache,
# and that is not shared. Hence GQA, and the single key head of Falcon 7B. And
# untiled attention? On the RTX 4090 its scores no longer fit; on the H100:

# %%
h100 = ea.ACCELERATORS["NVIDIA H100 80GB SXM"]
for tiled in (True, False):
    cost = ea.estimate(llama, h100, 8192, phase=ea.PREFILL, tiled=tiled)
    print(f"{'tiled' if tiled else 'untiled':8}{cost.moved / 1e9:6.0f} GB "
          f"moved, bottleneck: {cost.bottleneck}")

# %% [markdown]
# ## Summary
#
# - Plain attention takes **n²** FLOPs and memory.
# - An **online softmax** mends the past by one factor. **Tiles** are exact,
#   forward and backward, in memory that grows with n.
# - With a **KV cache** a new token costs nearly the same while the text is short
#   against 6 d. **MQA and GQA** make it smaller.
# - A **sliding window** costs n times w. Layers carry further than the window:
#   the **receptive field**.
# - **Linear attention** keeps a state of fixed size. It forgot more of long
#   lists than a softmax; wider keys helped.
# - By its **arithmetic intensity**, decoding a few texts is **memory-bound**, the
#   **prefill** of a long prompt **compute-bound**. And all must fit.

# %% [markdown]
# ## Exercises
#
# Exercises 1 to 3 have a stub, a check that says at once what is wrong, a hint
# and a folded solution; exercise 4 is an experiment of your own.
# Starting here? First choose *Run → Run All Above Selected Cell*.

# %% [markdown]
# ### Exercise 1: a cache on paper (5 min, easy)
#
# 40 layers, 40 query heads of 128 numbers, 16 bits a number, 2,048 tokens, one
# sequence. How many MiB (2**20 bytes) is the cache with 40 key heads, with 8,
# and with 1? Give the three numbers.

# %%
three_caches = ...

checks.efficient_attention.caches(three_caches)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Keys *and* values; 16 bits are 2 bytes. Start with the bytes of one token in
# one layer.
#
# </details>

# %% tags=["solution"]
# Solution
three_caches = [2 * 40 * heads * 128 * 2048 * 2 / 2**20
                for heads in (40, 8, 1)]
print(three_caches)
checks.efficient_attention.caches(three_caches)

# %% [markdown]
# ### Exercise 2: join two halves (10 min, medium)
#
# Two workers have seen different keys. Each knows its highest score `m` (q,),
# its total `l` (q,) and its **finished** output `o` (q, v), already divided by
# `l`. Return the output (q, v) over all keys.

# %%
def my_join(m1, l1, o1, m2, l2, o2):
    ...


checks.efficient_attention.join(my_join)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Make both relative to the common maximum: `l1 * exp(m1 - m)` is what the first
# contributes to the total. An output already divided by its total counts with
# that share.
#
# </details>

# %% tags=["solution"]
# Solution
def my_join(m1, l1, o1, m2, l2, o2):
    m = torch.maximum(m1, m2)
    a = (l1 * torch.exp(m1 - m))[:, None]  # (q, 1)
    b = (l2 * torch.exp(m2 - m))[:, None]
    return (a * o1 + b * o2) / (a + b)


checks.efficient_attention.join(my_join)

# %% [markdown]
# ### Exercise 3: grouped-query attention (20 min, hard)
#
# `query` (batch, heads, q, d); `key` and `value` (batch, kv_heads, k, d). Query
# head h asks key head `h // (heads / kv_heads)`. Scores are divided by the root
# of d. Return (batch, heads, q, d). No mask.

# %%
def my_grouped(query, key, value):
    ...


checks.efficient_attention.grouped(my_grouped)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `repeat_interleave(times, dim=1)` copies each key head `times` times in a row.
# Without a copy: give the query a shape (batch, kv_heads, times, q, d), and the
# key a dimension of 1.
#
# </details>

# %% tags=["solution"]
# Solution
def my_grouped(query, key, value):
    times = query.shape[1] // key.shape[1]
    q = query.unflatten(1, (key.shape[1], times))
    k, v = key[:, :, None], value[:, :, None]  # (batch, kv_heads, 1, k, d)
    scores = q @ k.transpose(-2, -1) / math.sqrt(query.shape[-1])
    return (scores.softmax(dim=-1) @ v).flatten(1, 2)


checks.efficient_attention.grouped(my_grouped)

# %% [markdown]
# ### Exercise 4: change this and explain (15 min, medium)
#
# Give queries and keys of the linear head 32 numbers instead of 16. Predict first:
# how many pairs will it recall, in nine of ten cases? Then 8 numbers. What else
# could help, without making the state larger? Explain in three sentences. (About
# ten seconds.)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `learn("linear", size=32)`, then `examine(model, count)[0]` for the counts of
# above.
#
# </details>

# %% tags=["solution"]
# Solution
shares = {f"{kind}, 16": [share for share, _ in row]
          for kind, row in seen.items()}
for size in (8, 32):
    other = learn("linear", size=size)
    shares[f"linear, {size}"] = [examine(other, n)[0] for n in counts]
softmax, linear, small, wide = (row[-1] for row in shares.values())
print("of 64 pairs, 32 numbers recall more than 16:", wide > linear + 0.1)
print("and 8 fewer:                                ", small < linear - 0.05)
assert session.quick() or small + 0.05 < linear < wide - 0.1
figure = views.growth(
    {name: (counts, row) for name, row in shares.items()},
    xlabel="pairs in the list", ylabel="share right",
    title="A larger state, longer lists (one run each)")
plotting.show(figure, alt="Share of right answers against pairs, four heads: "
              "linear with 8 numbers falls first, then with 16, then with 32; "
              "the softmax last or not at all.")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Twice the numbers in queries and keys, twice the state, and so, we think,
# room for twice as many keys; only the two projections grow along. The list
# that it still recalls grows with it.
# (One run each; five seeds say the same of 16 and 32, above.) What may help at the
# same size of state: forgetting on purpose, which overwrites a key's old value
# instead of adding to it (the *delta rule*, Schlag et al., 2021, section 4.2).
#
# </details>

# %% [markdown]
# ## Test yourself
#
# Choose an answer, then open it: each says why it is right or not.
#
# ### Question 1: what does flash attention save?
#
# <details><summary>A. FLOPs</summary>
#
# No. It does a little more: the backward pass computes the scores again. (Tiles
# that a mask leaves out are saved, but that is the mask's doing.)
#
# </details>
# <details><summary>B. Memory, and the moving of n² numbers</summary>
#
# Yes. So it is faster where moving takes longer than computing.
#
# </details>
# <details><summary>C. Accuracy is traded for speed</summary>
#
# No. It is the same function: value and gradient agree up to rounding.
#
# </details>

# %% [markdown]
# ### Question 2: a server decodes slowly at batch 1. What helps most?
#
# <details><summary>A. A device with twice the FLOP/s</summary>
#
# Hardly. At batch 1 it waits for the weights to arrive.
#
# </details>
# <details><summary>B. Weights in 8 bits instead of 16</summary>
#
# Yes: half the bytes of weights to move, and with a short cache nearly half the
# time. What it costs in quality is another question.
#
# </details>
# <details><summary>C. Tiled attention</summary>
#
# No. For one query there is no square to save.
#
# </details>

# %% [markdown]
# ### Question 3: a model has window 4,096 and 32 layers. Can it use what stood 50,000 tokens back?
#
# <details><summary>A. No, the window ends at 4,096</summary>
#
# In one layer. Each layer carries it up to 4,095 positions further.
#
# </details>
# <details><summary>B. It can, if every layer passes it on</summary>
#
# Right: 32 * 4,095 positions is the bound. Whether it does has to be measured.
#
# </details>
# <details><summary>C. Yes, as well as with full attention</summary>
#
# No. It must pass through 13 layers or more, in vectors that are needed for
# other things too.
#
# </details>

# %% [markdown]
# ## Next
#
# Lesson 14_interpreting_attention opens a trained model, and asks what its heads
# look at, and whether that explains what it says.
#
# To read: Dao et al. (2022), "FlashAttention: fast and memory-efficient exact
# attention with IO-awareness"; Shazeer (2019), "Fast Transformer decoding: one
# write-head is all you need"; Katharopoulos et al. (2020), "Transformers are
# RNNs"; Beltagy et al. (2020), "Longformer: the long-document Transformer".

# %% [markdown] tags=["navigation"]
# [← 12 rnn cnn attention](12_rnn_cnn_attention.ipynb) ·
# [The map](00_start_here.ipynb) ·
# [14 interpreting attention →](14_interpreting_attention.ipynb)
