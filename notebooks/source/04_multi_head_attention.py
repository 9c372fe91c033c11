# %% [markdown]
# # Why several heads?
#
# One softmax gives one mixture. Whoever wants to know two things at once
# needs two.
#
# **You will be able to**
# - split a tensor into heads and merge it again, and say why a plain `view`
#   is wrong;
# - build multi-head attention and show that it equals torch's layer;
# - avoid the trap of torch's opposite masks;
# - name a task that one head cannot solve, and prove it;
# - cut heads out of a trained model and measure what each was worth.
#
# **Minutes:** 110, of which the exercises take 65. **Needs:** lessons 01 to
# 03. The training cells take about
# 20 seconds in all.

# %%
import math

import torch
from torch import nn
from torch.nn import functional as F

from attn_course import checks, plotting, session, training
from attn_course.scaled_dot_product import (
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
)

session.start(0)

# %% [markdown]
# ## One head gives one mixture
#
# The hand example once more, unscaled: the query [1, 0], two keys, two
# values. The output was [1.5379, 2.5379].

# %%
query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)  # (q, dim)
key = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
value = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
output, weights = scaled_dot_product_attention(query, key, value, scale=1)
print("weights:", weights)
print("output: ", output)

# %% [markdown]
# Both numbers of the output are mixed with the *same* two weights. So the
# output always lies on the straight line from [1, 2] to [3, 4].
#
# **Predict:** can any query reach [1, 4], the first number of value 1 and
# the second number of value 2?

# %%
queries = torch.randn(1000, 2, dtype=torch.float64) * 5
outputs, _ = scaled_dot_product_attention(queries, key, value, scale=1)
print("second minus first, lowest: ", (outputs[:, 1] - outputs[:, 0]).min())
print("second minus first, highest:", (outputs[:, 1] - outputs[:, 0]).max())

# %% [markdown]
# Never: for 1000 random queries the second number is the first plus 1, on
# the line. In [1, 4] it would be the first plus 3. One set of weights
# cannot take different things from different places.

# %% [markdown]
# ## Two heads by hand
#
# Cut every vector in two. **Head 1** gets the first number of the query, of
# each key and of each value; **head 2** gets the second. Each does attention
# on its own, then the two answers are put side by side.
#
# **Predict:** which key does head 2 prefer?

# %%
e = math.exp
# Head 1: query 1, keys 1 and 0, values 1 and 3.
first = (e(1 * 1) * 1 + e(1 * 0) * 3) / (e(1 * 1) + e(1 * 0))
# Head 2: query 0, keys 1 and 1, values 2 and 4.
second = (e(0 * 1) * 2 + e(0 * 1) * 4) / (e(0 * 1) + e(0 * 1))
print(f"[{first:.4f}, {second:.4f}]")

# %% [markdown]
# None: its keys are 1 and 1, so its scores are equal and its weights are one
# half each. Head 1 still weighs 0.7311 to 0.2689.
#
# The output [1.5379, 3] does not lie on the old line (3 is not 2.5379). Two
# heads, two mixtures.

# %% [markdown]
# ## The same in a loop
#
# For any number of heads: head h owns `head_dim = dim / heads` numbers of
# each vector. Each head divides its scores by the square root of *its own*
# size, `head_dim`. Here that is 1, so nothing changes.

# %%
def attend_loop(query, key, value, heads):
    head_dim = query.shape[-1] // heads
    parts = []
    for h in range(heads):
        own = slice(h * head_dim, (h + 1) * head_dim)
        part, _ = scaled_dot_product_attention(
            query[..., own], key[..., own], value[..., own]
        )
        parts.append(part)  # (*batch, q, head_dim)
    return torch.cat(parts, dim=-1)  # (*batch, q, dim)

# %%
looped = attend_loop(query, key, value, heads=2)
torch.testing.assert_close(looped, torch.tensor([[first, second]]).double())
print("loop = hand:", looped)

# %% [markdown]
# ## All heads in one call
#
# A loop over heads is slow. `scaled_dot_product_attention` takes any number
# of leading dimensions, so let the heads be one of them: cut the last
# dimension in two, then move the heads to the front.
#
# Here are three tokens of four numbers. Read 23 as *token 2, number 3*.

# %%
x = torch.tensor([[[11, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34]]])
cut = x.view(1, 3, 2, 2)  # (batch, length, heads, head_dim)
split = cut.transpose(1, 2)  # (batch, heads, length, head_dim)
print("head 1:\n", split[0, 0])
print("head 2:\n", split[0, 1])

# %% [markdown]
# Each head sees all three tokens, half of the numbers of each.
#
# The shape is (1, 2, 3, 2). Why not ask for that shape at once?
# **Predict:** what will head 1 hold after `x.view(1, 2, 3, 2)`?

# %%
wrong = x.view(1, 2, 3, 2)  # looks like (batch, heads, length, head_dim)
print("same shape:", wrong.shape == split.shape)
print("head 1:\n", wrong[0, 0])

# %% [markdown]
# The right shape, and nonsense in it. `view` reads numbers in the order of
# memory: head 1 gets all of token 1 as if it were two tokens, and half of
# token 2. Token 3 is not in it at all. No error, no warning; a test of
# shapes passes.
#
# What does it do to the hand example?

# %%
wrong = [x.view(1, 2, -1, 1) for x in (query, key, value)]
parts, _ = scaled_dot_product_attention(*wrong)
print("plain view:", parts.flatten())
print("right:     ", looped.flatten())

# %% [markdown]
# Wrong numbers, quietly. The way back has the same trap: first move the
# heads back beside their numbers, *then* flatten.

# %%
merged = split.transpose(1, 2).flatten(2)  # (batch, length, dim)
careless = split.reshape(1, 3, 4)
print("merged:\n", merged[0])
print("without transpose:\n", careless[0])
assert torch.equal(merged, x) and not torch.equal(careless, x)

# %% [markdown]
# The package keeps both ways as `split_heads` and `merge_heads`.

# %%
from attn_course.multi_head_attention import (
    MultiHeadAttention,
    merge_heads,
    split_heads,
)

assert torch.equal(split_heads(x, 2), split)
assert torch.equal(merge_heads(split), x)

# %% [markdown]
# With them, multi-head attention is one call. Random numbers, a batch of
# three, four heads: is it the loop?

# %%
q, k, v = torch.randn(3, 3, 5, 8, dtype=torch.float64)  # (batch, 5, 8) each
parts, weights = scaled_dot_product_attention(
    split_heads(q, 4), split_heads(k, 4), split_heads(v, 4)
)
torch.testing.assert_close(merge_heads(parts), attend_loop(q, k, v, heads=4))
print("weights (batch, heads, q, k):", tuple(weights.shape))

# %% [markdown]
# ## The layer
#
# So far head 1 *had* to look at the first numbers. In the layer, each head
# learns what to look at. Matrices project the input to queries, keys and
# values; a last matrix mixes what the heads found:
#
# $$\text{head}_h = \text{attention}(X W_h^Q,\, X W_h^K,\, X W_h^V)$$
# $$\text{output} = [\text{head}_1, \dots, \text{head}_n]\, W^O$$
#
# (Vaswani et al. 2017, section 3.2.2).

# %%
class SmallMultiHead(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(dim, 3 * dim)  # queries, keys, values
        self.project_out = nn.Linear(dim, dim)

    def forward(self, x):  # (batch, length, dim)
        q, k, v = (
            split_heads(part, self.heads)  # (batch, heads, length, head_dim)
            for part in self.project_in(x).chunk(3, dim=-1)
        )
        parts, _ = scaled_dot_product_attention(q, k, v)
        return self.project_out(merge_heads(parts))  # (batch, length, dim)

# %% [markdown]
# ![Flow of multi-head attention: tokens of 4 numbers are projected to
# queries, keys and values; these are split into two heads of 2 numbers; each
# head does attention with its own weights; the two parts are put side by
# side and mixed by the output projection.](../figures/multi_head_flow.svg)
#
# One matrix, `project_in`, makes queries, keys and values of all heads: one
# large product is faster than many small ones.
#
# The package's `MultiHeadAttention` is this layer with masks,
# cross-attention, weights on request, and clear errors.

# %%
small = SmallMultiHead(dim=8, heads=4).double()
layer = MultiHeadAttention(8, heads=4).double()
layer.load_state_dict(small.state_dict())
found, weights = layer(q, need_weights=True)
torch.testing.assert_close(found, small(q))
print("output ", tuple(found.shape), " weights", tuple(weights.shape))

# %% [markdown]
# And the hand example? With the unit matrix for every projection, two heads
# must give [1.5379, 3]. (`query[None]` makes a batch of one.) **Predict:**
# will one head give [1.5379, 2.5379]?

# %%
def hand_layer(heads):
    layer = MultiHeadAttention(2, heads, bias=False).double()
    with torch.no_grad():
        layer.project_in.weight.copy_(torch.eye(2).repeat(3, 1))
        layer.project_out.weight.copy_(torch.eye(2))
    return layer

# %%
for heads in (1, 2):
    found, _ = hand_layer(heads)(query[None], key[None], value[None])
    print(f"heads = {heads}:", found.detach()[0])
torch.testing.assert_close(found[0], looped)

# %% [markdown]
# Two heads: yes. One head: no, because the layer divides its scores by the
# square root of 2, which gives lesson 02's weights 0.6698 and 0.3302.
#
# **Predict:** how many more parameters have 8 heads than 1?

# %%
for heads in (1, 2, 4, 8):
    layer = MultiHeadAttention(64, heads)
    count = sum(p.numel() for p in layer.parameters())
    print(f"heads {heads}, head_dim {layer.head_dim:2}: {count} parameters")

# %% [markdown]
# None. Heads share out the same `dim` numbers. What more heads cost is
# *width*: each compares with fewer numbers.

# %% [markdown]
# ## The same as torch's layer
#
# `torch.nn.MultiheadAttention` keeps its matrices in the same order, so
# weights can be copied. Output *and* gradients must agree.

# %%
theirs = nn.MultiheadAttention(8, 4, batch_first=True, dtype=torch.float64)
ours = MultiHeadAttention.from_torch(theirs)
output_ours, weights_ours = ours(q, need_weights=True)
output_theirs, weights_theirs = theirs(q, q, q, average_attn_weights=False)
torch.testing.assert_close(output_ours, output_theirs)
torch.testing.assert_close(weights_ours, weights_theirs)
print("outputs and weights agree:", tuple(weights_ours.shape))

# %% [markdown]
# (torch averages the weights over the heads unless told not to. What one
# head sees is then lost.) Now the gradients of some loss:

# %%
output_ours.pow(2).sum().backward()
output_theirs.pow(2).sum().backward()
for mine, torchs in zip(ours.parameters(), theirs.parameters()):
    torch.testing.assert_close(mine.grad, torchs.grad)
print("gradients agree:", len(list(theirs.parameters())), "parameter tensors")

# %% [markdown]
# ## A trap: torch's masks mean the opposite
#
# In this course, and in torch's own `F.scaled_dot_product_attention`, True
# means *may attend*. In `nn.MultiheadAttention` True means **blocked**.
#
# The hand example gets a third token, padding, with the value [99, 99].
# **Predict:** what does torch's layer give with our mask?

# %%
pad = torch.tensor([[0.0, 0.0], [99.0, 99.0]], dtype=torch.float64)
key_3 = torch.cat([key, pad[:1]])[None]  # (batch, k, dim)
value_3 = torch.cat([value, pad[1:]])[None]
real = padding_mask(torch.tensor([2]), 3)  # (batch, k)
print("real tokens:", real)

# %%
ours = hand_layer(heads=2)
theirs = ours.to_torch()
good, _ = ours(query[None], key_3, value_3, mask=real[:, None, :])
bad, _ = theirs(query[None], key_3, value_3, key_padding_mask=real)
right, _ = theirs(query[None], key_3, value_3, key_padding_mask=~real)
for name, found in [("ours", good), ("torch", bad), ("torch, ~", right)]:
    print(f"{name:9}", found.detach()[0])

# %% [markdown]
# [99, 99]: torch's layer blocked the two real tokens and read nothing but
# padding. With `~real` it agrees with ours. Nothing warns you: the shapes
# fit, and training even goes on.
#
# The causal mask has the same trap, with a louder end. **Predict:** which
# token may attend to what, if `causal_mask` is passed as it is?

# %%
three = torch.randn(1, 3, 2, dtype=torch.float64)
_, swapped = theirs(three, three, three, attn_mask=causal_mask(3))
print("our mask:\n", swapped.detach()[0])
_, right = theirs(three, three, three, attn_mask=~causal_mask(3))
assert torch.equal(right[0] > 0, causal_mask(3))
print("with ~: causal again:", True)

# %% [markdown]
# Every token looks only into the *future*, and the last one, which has none,
# gets `nan` (not a number), which the next step spreads to every weight.
# In our layer every head of such a query finds 0.
#
# Write `~mask` when you call torch's layer, and look once at the
# weights of two tokens: the first must not see the second.

# %% [markdown]
# ## Cross-attention
#
# The asker and the asked need not be one sequence. `layer(x)` is
# self-attention. `layer(x, memory)` is **cross-attention**: queries from `x`,
# keys and values from `memory`, of any length. In translation the words
# written so far ask the source sentence so (Vaswani et al. 2017, section
# 3.2.3).

# %%
layer = MultiHeadAttention(8, heads=2).double()
x = torch.randn(1, 2, 8, dtype=torch.float64)  # 2 queries
memory = torch.randn(1, 5, 8, dtype=torch.float64)  # 5 keys and values
found, weights = layer(x, memory, need_weights=True)
print("output ", tuple(found.shape), " weights", tuple(weights.shape))

# %% [markdown]
# One row per query, for each head: weights (batch 1, heads 2, q 2, k 5).
# **Predict:** what happens to the output if the memory is shuffled?

# %%
shuffled, _ = layer(x, memory[:, [3, 0, 4, 1, 2]])
torch.testing.assert_close(shuffled, found)
print("the order of the memory does not matter:", True)

# %% [markdown]
# Nothing: keys and values moved together. A third input may differ too:
# `layer(query, key, value)` lets keys say *where* something is and values
# *what* it is. The next section needs exactly that.

# %% [markdown]
# ## A task that one head cannot solve
#
# Eight people live in a street, in any order; each has a lamp, on or off. You
# name **two** people and want both lamps.
#
# Keys know only *who* lives in a house, values only whether the *lamp* is on.
# The query knows the two names. So the weights cannot depend on the lamps.

# %%
PEOPLE = ["Ann", "Ben", "Cem", "Dia", "Eli", "Fay", "Gus", "Hoa"]


def streets(count, asked, generator):
    def shuffled():
        return torch.rand(count, 8, generator=generator).argsort(dim=1)

    who = shuffled()  # (count, 8): who lives in house j
    lit = torch.randint(2, (count, 8), generator=generator)
    house = shuffled()[:, :asked]  # (count, asked): about which houses?
    return who, lit, who.gather(1, house), lit.gather(1, house)

# %%
who, lit, names, answers = streets(1, 2, torch.Generator().manual_seed(0))
print("houses: ", *(PEOPLE[i] for i in who[0]))
print("lamps:  ", *(f"{n:3}" for n in lit[0].tolist()))
print("asked:  ", *(PEOPLE[i] for i in names[0]), "- answer:", answers[0])

# %% [markdown]
# The model is one `MultiHeadAttention` between look-up tables and a *linear*
# readout: one number per question, above 0 for "on". Each name has another
# vector at each position in the question, and the query is their sum: one
# query that knows who is asked first and who second.

# %%
class LampReader(nn.Module):
    def __init__(self, dim, heads, asked=2):
        super().__init__()
        self.house = nn.Embedding(8, dim)  # keys: who lives there
        self.lamp = nn.Embedding(2, dim)  # values: off or on
        self.question = nn.Embedding(8 * asked, dim)  # name at each position
        self.attend = MultiHeadAttention(dim, heads)
        self.readout = nn.Linear(dim, asked)

    def forward(self, who, lit, names, need_weights=False):
        position = torch.arange(names.shape[1], device=names.device)
        asked = self.question(names + 8 * position)  # (batch, asked, dim)
        query = asked.sum(dim=1, keepdim=True)  # (batch, 1, dim)
        output, weights = self.attend(
            query, self.house(who), self.lamp(lit), need_weights=need_weights
        )
        return self.readout(output[:, 0]), weights  # (batch, asked)

# %% [markdown]
# ### Why one head must fail
#
# There are only two values, *on* and *off*. However many numbers each has, a
# mixture of the two lies on the straight line between them: **one number** says
# where, the weight that fell on *on*. If a head gives w to the first asked
# house and 1 - w to the second, that number is:
#
# | lamps | the head finds | with w = 0.7 |
# |---|---|---|
# | on, on | 1 | 1 |
# | on, off | w | 0.7 |
# | off, on | 1 - w | 0.3 |
# | off, off | 0 | 0 |
#
# The linear readout puts one threshold on that number per question.

# %% [markdown]
# Two thresholds cut a line into *three* pieces, but there are *four* answers.
# So at least one of the four is always wrong: **one head is right in at most
# 3/4 of the streets**, however wide it is. Weight on other houses changes
# nothing in the argument: keep their lamps as they are, and there are still
# four answers and three pieces.
#
# Do not trust the argument? Let the computer try w from 0 to 1 and every pair
# of thresholds from -0.05 to 1.05, in steps of 0.05:

# %%
lamps = [(1, 1), (1, 0), (0, 1), (0, 0)]
grid = [i / 20 for i in range(-1, 22)]
best = 0
for w in grid[1:-1]:
    number = [w * a + (1 - w) * b for a, b in lamps]
    rules = {tuple(int(n > t) for n in number) for t in grid}
    rules |= {tuple(1 - bit for bit in rule) for rule in rules}
    for one in rules:
        for two in rules:
            said = zip(one, two)
            best = max(best, sum(a == b for a, b in zip(said, lamps)))
print("best of all:", best, "of 4 answers right")

# %% [markdown]
# **Predict:** two heads of 8 numbers have as many parameters as one head of
# 16. Can they do it? And what about one *wider* head, with 64 numbers and
# twelve times the parameters? Three seeds each; 12 seconds.

# %%
device = session.device()


def batch_maker(asked, seed, count=256):
    generator = torch.Generator().manual_seed(seed)

    def batch(step):
        return [t.to(device) for t in streets(count, asked, generator)]

    return batch

# %%
def loss(model, batch):
    logits, _ = model(*batch[:3])
    return F.binary_cross_entropy_with_logits(logits, batch[3].float())


def share_right(model, asked=2):
    *inputs, answers = batch_maker(asked, seed=999, count=2000)(0)
    with torch.no_grad():
        logits, _ = model(*inputs)
    return ((logits > 0) == answers.bool()).float()  # (count, asked)

# %%
def train(dim, heads, asked=2, seed=0, make=LampReader, steps=300):
    def evaluate(model):
        return {"all": share_right(model, asked).all(1).float().mean()}

    session.set_seed(seed)
    model = make(dim, heads, asked).to(device)
    history = training.fit(
        model, loss, batch_maker(asked, seed), steps=steps, lr=1e-2,
        schedule="onecycle", evaluate=evaluate, eval_every=25,
        label=f"dim {dim}, heads {heads}, seed {seed}", threads=1,
    )
    return model, history

# %%
readers, curves, final = {}, {}, {}
for dim, heads in [(16, 1), (64, 1), (16, 2)]:
    runs = [train(dim, heads, seed=seed) for seed in range(3)]
    final[dim, heads] = [h.metrics[-1]["all"] for _, h in runs]
    readers[dim, heads] = runs[0][0]
    curves[f"dim {dim}, heads {heads}"] = runs[0][1].curve("all")

# %%
print("one head below 3/4:      ", max(final[16, 1]) < 0.75)
print("one wide head below 3/4: ", max(final[64, 1]) < 0.75)
print("two heads above 0.99:    ", min(final[16, 2]) > 0.99)
assert max(final[16, 1] + final[64, 1]) < 0.65
assert min(final[16, 2]) > 0.99

# %%
figure = plotting.curves(
    curves, xlabel="step", ylabel="both lamps right",
    title="Two heads learn it, one head never, however wide",
)
axes = figure.axes[0]
axes.axhline(0.75, color="black", linestyle=":", label="ceiling, one head")
axes.set_ylim(0, 1.05)
axes.legend(loc="lower right")
plotting.show(
    figure,
    alt="Share of streets with both lamps right against training step, seed "
    "0: two heads of 8 numbers rise to 1; one head stays near one half with "
    "16 numbers and with 64, below the dotted ceiling at three quarters.",
)

# %% [markdown]
# All seeds agree. One head even stops at one half: it reads one lamp and
# guesses the other. Three quarters is what it *could* reach; a proof gives a
# ceiling, and training need not find the way up to it.
#
# The proof can be *seen*. Draw the two numbers of the readout against each
# other, one dot per street.

# %%
*inputs, answers = batch_maker(2, seed=7, count=400)(0)
clouds = {}
for heads, title in [(1, "One head: a line"), (2, "Two heads: a plane")]:
    with torch.no_grad():
        logits, _ = readers[16, heads](*inputs)
    clouds[title] = logits.cpu().double(), answers.cpu()
    sizes = torch.linalg.svdvals(clouds[title][0] - clouds[title][0].mean(0))
    flat = (sizes[1] / sizes[0] < 1e-3).item()
    print(f"heads = {heads}: all dots on one line: {flat}")

# %%
from attn_course.widgets.multi_head_attention import readout_planes

plotting.show(
    readout_planes(clouds),
    alt="Two scatter plots of the readout for 400 streets, marked by the true "
    "answer. One head: all dots lie on one straight line. Two heads: the "
    "dots need the plane; the four answers sit in four corners.",
)

# %% [markdown]
# On a line there are no four corners. Look at the scales on the left: one readout
# swings wide, the other hardly leaves 0, which is a guess. What do the two
# heads look at? **Predict** before you run it: one street, one query, a row
# for each head.

# %%
*inputs, _ = batch_maker(2, seed=11, count=500)(0)
who, _, names = (t.cpu() for t in inputs)
with torch.no_grad():
    _, weights = readers[16, 2](*inputs, need_weights=True)
weights = weights[:, :, 0].cpu()  # (batch, heads, houses)
print("asked:", *(PEOPLE[i] for i in names[0]))

# %%
figure = plotting.weights_heatmap(
    weights[0], ["head 1", "head 2"], [PEOPLE[i] for i in who[0]],
    title="Each head goes to one of the two houses",
)
figure.axes[0].set_ylabel("the query, by head")
plotting.show(
    figure,
    alt="Heat map of the weights of two heads over eight houses in one "
    "street: each head puts most of its weight on one of the two people who "
    "were asked about.",
)

# %% [markdown]
# One street proves little. In how many of 500 do the two heads look at just
# the two people who were asked about?

# %%
seen = who.gather(1, weights.argmax(-1))  # (batch, heads): whom?
agree = (seen.sort(-1).values == names.sort(-1).values).all(1).float()
print("in more than 9 of 10 streets:", (agree.mean() > 0.9).item())
assert agree.mean() > 0.9

# %% [markdown]
# Nobody told them to share the work. It is not the only way: 0.7 and 0.3 in one
# head, 0.3 and 0.7 in the other would also give two numbers from which both
# lamps can be worked out. But one head for each lamp is what training found.

# %% [markdown]
# ## A staircase
#
# Ask about **four** lamps: 16 possible answers. With h heads the readout sees
# h numbers, so four thresholds are four cuts through a space of h
# dimensions. They make at most
# $\binom{4}{0} + \dots + \binom{4}{h}$ pieces (Schläfli's count), one
# answer each.
#
# **Predict** the ceilings for 1, 2, 3 and 4 heads.

# %%
ceilings = [sum(math.comb(4, i) for i in range(h + 1)) for h in (1, 2, 3, 4)]
print("answers within reach, of 16:", ceilings)

# %%
stairs, four = [], {}
for heads in (1, 2, 3, 4):
    four[heads], history = train(24, heads, asked=4)
    stairs.append(history.metrics[-1]["all"])

# %%
expected = [1 / 8, 1 / 4, 1 / 2, 1]
close = [abs(s - x) < 0.1 for s, x in zip(stairs, expected)]
print("within 0.1 of 1/8, 1/4, 1/2, 1:", close)
assert all(close)

# %%
heads = [1, 2, 3, 4]
figure = plotting.curves(
    {"ceiling (proof)": (heads, [c / 16 for c in ceilings]),
     "trained": (heads, stairs)},
    xlabel="heads (24 numbers in all)", ylabel="all four lamps right",
    title="In training, each head more doubles the share",
)
figure.axes[0].set(xticks=heads, ylim=(0, 1.05))
plotting.show(
    figure,
    alt="Share of streets with all four lamps right against the number of "
    "heads. Proved ceiling: 5, 11, 15 and 16 sixteenths. Trained: about one "
    "eighth, one quarter, one half and one.",
)

# %% [markdown]
# Trained models follow a simpler rule: h heads read h lamps and guess the
# others, so they are right in about $(1/2)^{4-h}$ of the streets: 1/8, 1/4,
# 1/2, 1. All have the same number of parameters.

# %% [markdown]
# ## What is a head worth? Cut it out
#
# `prune_heads({0, 2})` silences heads 0 and 2 of a trained model: their parts
# are multiplied by 0. (Code counts from 0, figures from 1.) Cut one head of the
# four-lamp reader at a time.
#
# **Predict:** which questions suffer when one of the four heads is gone?

# %%
def after_cutting(model, cut, asked):
    model.attend.prune_heads(cut)
    right = share_right(model, asked)
    model.attend.prune_heads([])
    return right

# %%
alone = torch.stack(
    [after_cutting(four[4], [h], asked=4).mean(0).cpu() for h in range(4)]
)  # (head cut, question)
hit = alone < 0.75
print("questions hurt by each head:", hit.sum(1).tolist())
print("heads that each question needs:", hit.sum(0).tolist())
assert (hit.sum(0) == 1).all() and (hit.sum(1) == 1).all()
assert (alone[~hit] > 0.95).all()

# %%
figure = plotting.weights_heatmap(
    alone, [f"without head {h}" for h in heads], [f"lamp {h}" for h in heads],
    title="Each head carries one question, alone",
)
figure.axes[0].set(xlabel="question (cells: share right)", ylabel="")
plotting.show(
    figure,
    alt="Table of right answers per lamp after cutting one head: in each row "
    "and each column one cell drops to about one half, which is guessing; "
    "the others stay near 1.",
)

# %% [markdown]
# Four specialists, no spare. Now the opposite: **eight heads for two lamps**.
# **Predict:** how many can go before answers suffer?
#
# Michel et al. (2019, section 4) cut the least important heads first, ranked
# by a gradient. With eight heads we can simply try each, and cut the one
# whose loss costs least.

# %%
def cut_greedily(model, asked):
    cut, shares = [], []
    heads = range(model.attend.heads)
    while len(cut) < len(heads):
        right = after_cutting(model, cut, asked)
        shares.append(right.all(1).float().mean().item())
        left = [h for h in heads if h not in cut]
        rest = {h: after_cutting(model, [*cut, h], asked) for h in left}
        cut.append(max(left, key=lambda h: rest[h].mean()))
    return shares  # with all heads, one fewer, ..., one

# %%
spare, _ = train(16, heads=8)
shares = {"8 heads, 2 lamps": cut_greedily(spare, 2),
          "4 heads, 4 lamps": cut_greedily(four[4], 4)}

# %%
print("8 heads, 3 cut, above 0.9:", shares["8 heads, 2 lamps"][3] > 0.9)
print("8 heads, 6 cut, below 0.95:", shares["8 heads, 2 lamps"][6] < 0.95)
print("4 heads, 1 cut, below 0.6:", shares["4 heads, 4 lamps"][1] < 0.6)
assert shares["8 heads, 2 lamps"][3] > 0.9
assert shares["8 heads, 2 lamps"][6] < 0.95
assert shares["4 heads, 4 lamps"][1] < 0.6

# %%
figure = plotting.curves(
    {n: (range(len(s), 0, -1), s) for n, s in shares.items()},
    xlabel="heads left", ylabel="all lamps right",
    title="Spare heads are cheap to cut, specialists are not",
)
figure.axes[0].invert_xaxis()
plotting.show(
    figure,
    alt="Share of streets with all answers right while heads are cut, the "
    "cheapest first. Eight heads for two lamps: hardly any loss for the "
    "first three. Four heads for four lamps: the first cut halves the share.",
)

# %% [markdown]
# At least three of the eight can go for almost nothing: their work is done
# elsewhere as well. Two heads left are *not* as good as two heads trained from
# the start (above 0.99): this model spread its work. Of the four specialists
# each cut halves the share.
#
# Large models have both kinds. In a translation model with 96 encoder heads,
# cutting one changed BLEU (a score of translations, 0 to 100) significantly
# for only 8, and for half of these the score *rose* (Michel et al. 2019,
# section 3.2). Voita et al. (2019, abstract) removed 38 of 48 encoder heads
# for 0.15 BLEU; specialists went last.

# %% [markdown]
# ## Add and cut heads yourself
#
# The four-lamp reader. Switch heads off and on, and step through streets. Left:
# this street. Right: the share of 2,000 other streets in which each lamp is
# answered right, so it moves with the boxes only. **Find** the head that
# reads lamp 1. Is it the same in every street?

# %%
from attn_course.widgets.multi_head_attention import View, head_board


def look(street, on):
    *inputs, _ = batch_maker(4, seed=street, count=1)(0)
    with torch.no_grad():
        _, weights = four[4](*inputs, need_weights=True)
    cut = set(range(4)) - set(on)
    return View(
        weights[0, :, 0], after_cutting(four[4], cut, asked=4).mean(0),
        [PEOPLE[i] for i in inputs[0][0]],
        [f"lamp {n}: {PEOPLE[i]}" for n, i in enumerate(inputs[2][0], 1)],
    )


head_board(look, heads=4)

# %% [markdown]
# The same head every time: it learned *a position in the question*, not a
# person. With two heads off, two lamps are left to chance (the dotted line at
# one half).

# %% [markdown]
# ## Summary
#
# - One softmax gives **one mixture**; several heads give several, at no cost
#   in parameters.
# - **Split**: cut the last dimension, *then* transpose. **Merge**: transpose,
#   then flatten. A plain `view` has the right shape and the wrong numbers.
# - Scores are divided by the square root of **head_dim**.
# - `nn.MultiheadAttention` masks are **True = blocked**: pass `~mask`.
# - With a linear readout, one head cannot tell two lamps (ceiling 3/4).
# - Some heads are specialists, others are spare: **cut and measure**.

# %% [markdown]
# ## Exercises
#
# Exercises 1 to 5 have a stub, a check that says at once what is wrong, a hint
# and a folded solution; exercise 6 is an experiment of your own.

# %% [markdown]
# ### Exercise 1: two heads on paper (5 min, easy)
#
# Keys and values of the hand example, query **[2, 0]**, two heads of one
# number each. Work out the output, two numbers. ($e^2 = 7.389$.)

# %%
by_hand = ...

checks.multi_head_attention.two_heads(by_hand)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Head 1 has the query 2, the keys 1 and 0, the values 1 and 3. Head 2 has the
# query 0, the keys 1 and 1, the values 2 and 4. The size of a head is 1, so
# nothing is divided.
#
# </details>

# %% tags=["solution"]
# Solution
first = (math.exp(2) * 1 + 1 * 3) / (math.exp(2) + 1)
by_hand = [first, 3.0]
checks.multi_head_attention.two_heads(by_hand)

# %% [markdown]
# ### Exercise 2: split the heads (10 min, easy)
#
# Bring `x` of shape (batch, length, dim) to (batch, heads, length, head_dim).
# Head 1 must hold the first `head_dim` numbers of every token. Do not call
# `split_heads`.

# %%
def my_split(x, heads):
    ...


checks.multi_head_attention.split(my_split)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Two steps. First only the last dimension is cut in two: `view` or `reshape`
# to (batch, length, heads, head_dim). Then `transpose(1, 2)`.
#
# </details>

# %% tags=["solution"]
# Solution
def my_split(x, heads):
    batch, length, dim = x.shape
    x = x.reshape(batch, length, heads, dim // heads)
    return x.transpose(1, 2)  # (batch, heads, length, head_dim)


checks.multi_head_attention.split(my_split)

# %% [markdown]
# ### Exercise 3: attention with heads (15 min, medium)
#
# Write multi-head attention without projections: `query` (batch, q, dim),
# `key` and `value` (batch, k, dim), and `mask` (batch, q, k), True = may
# attend, the same for all heads. Return (batch, q, dim). You may use
# `torch.softmax`, and your split from above.

# %%
def my_multi_head(query, key, value, heads, mask):
    ...


checks.multi_head_attention.multi_head(my_multi_head)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Split all three. Scores: `q @ k.transpose(-2, -1)`, divided by the square
# root of the size of *a head*. The mask needs a dimension for the heads:
# `mask[:, None]`. Fill blocked scores with `-inf`, softmax over the keys, mix
# the values, merge: transpose, then flatten.
#
# </details>

# %% tags=["solution"]
# Solution
def my_multi_head(query, key, value, heads, mask):
    q, k, v = (my_split(x, heads) for x in (query, key, value))
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~mask[:, None], -math.inf)
    parts = torch.softmax(scores, dim=-1) @ v  # (batch, heads, q, head_dim)
    return parts.transpose(1, 2).flatten(2)  # (batch, q, dim)


checks.multi_head_attention.multi_head(my_multi_head)

# %% [markdown]
# ### Exercise 4: a mask for torch's layer (10 min, medium)
#
# `nn.MultiheadAttention` wants a mask per sequence as a boolean `attn_mask` of
# shape (batch * heads, q, k), True = blocked, where the heads of sequence 1
# come first, then those of sequence 2. Make it from our `mask` (batch, q, k),
# True = may attend.

# %%
def my_torch_mask(mask, heads):
    ...


checks.multi_head_attention.torch_mask(my_torch_mask)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `~` turns a boolean mask round. `repeat_interleave(heads, dim=0)` repeats
# each sequence's mask before it goes on to the next; `repeat` goes round and
# round instead.
#
# </details>

# %% tags=["solution"]
# Solution
def my_torch_mask(mask, heads):
    return ~mask.repeat_interleave(heads, dim=0)  # (batch * heads, q, k)


mask = torch.rand(3, 5, 5) < 0.5
mask[:, :, 0] = True  # every query may attend to something
ours = MultiHeadAttention(8, heads=4).double()
theirs = ours.to_torch()
torch.testing.assert_close(
    ours(q, mask=mask)[0],
    theirs(q, q, q, attn_mask=my_torch_mask(mask, 4))[0],
)
checks.multi_head_attention.torch_mask(my_torch_mask)

# %% [markdown]
# ### Exercise 5: three lamps, one head (5 min, hard)
#
# You ask one head about **three** lamps. In which share of the streets can it
# be right at most? Give a number from 0 to 1.

# %%
at_most = ...

checks.multi_head_attention.ceiling(at_most)

# %% [markdown]
# <details><summary>Hint</summary>
#
# One head gives one number: a point on a line. Three questions put three
# thresholds on that line. Into how many pieces do they cut it, and how many
# answers are there?
#
# </details>

# %% tags=["solution"]
# Solution
at_most = 4 / 8  # three cuts make 4 pieces; three lamps have 8 answers
checks.multi_head_attention.ceiling(at_most)

# %% [markdown]
# ### Exercise 6: change this and explain (20 min, hard)
#
# The proof needs a *linear* readout. Replace it by a small network,
# `nn.Sequential(nn.Linear(dim, 64), nn.ReLU(), nn.Linear(64, asked))`, and
# train **one** head on two lamps again. Predict first: does it pass 3/4? Look
# at the column "with w = 0.7" in the table above. Explain in two sentences.

# %% tags=["solution"]
# Solution
def bent(dim, heads, asked):
    reader = LampReader(dim, heads, asked)
    reader.readout = nn.Sequential(
        nn.Linear(dim, 64), nn.ReLU(), nn.Linear(64, asked)
    )
    return reader


_, history = train(16, heads=1, make=bent, steps=600)
print("one head above 0.95:", history.metrics[-1]["all"] > 0.95)
assert history.metrics[-1]["all"] > 0.95

# %% [markdown]
# <details><summary>Answer</summary>
#
# It does. With unequal weights the one number takes four different values, 1,
# 0.7, 0.3 and 0, and a readout that bends can tell them apart. So one head
# *can* carry two facts in one number, if what follows unpacks it; a
# Transformer has such a network after attention. It takes more steps to
# learn, and noise hurts sooner.
#
# </details>

# %% [markdown]
# ## Test yourself
#
# Choose an answer, then open it: each says why it is right or not.
#
# ### Question 1: a layer of dim 512 goes from 8 heads to 16. What changes?
#
# <details><summary>A. It has twice as many parameters</summary>
#
# No. The matrices stay 512 by 512; heads only share out their rows.
#
# </details>
# <details><summary>B. Each head compares with 32 numbers, not 64</summary>
#
# Yes. More opinions, each from less evidence.
#
# </details>
# <details><summary>C. The scores are divided by a larger number</summary>
#
# No, by a smaller one: the square root of 32 instead of 64.
#
# </details>

# %% [markdown]
# ### Question 2: `x.view(batch, heads, length, head_dim)` runs. Is it right?
#
# <details><summary>A. Yes, the shape is right</summary>
#
# The shape is, the numbers are not: head 1 holds the first tokens whole.
#
# </details>
# <details><summary>B. Only if length is 1</summary>
#
# Right. With one token there are no tokens to mix, and both ways agree. (The
# same holds for one head.)
#
# </details>
# <details><summary>C. No, it raises an error</summary>
#
# It does not, and that is the trouble: it has the right number of numbers.
#
# </details>

# %% [markdown]
# ### Question 3: cutting any one of 16 heads costs nothing. What follows?
#
# <details><summary>A. All 16 can be cut</summary>
#
# No. Two heads may do the same work: each can go, but not both.
#
# </details>
# <details><summary>B. The model should have been trained with one head</summary>
#
# It does not follow. What can be cut *after* training may have helped to
# find the way there (Voita et al. 2019 train first, prune then).
#
# </details>
# <details><summary>C. No single head is the only one to know something</summary>
#
# Yes, and no more than that. To learn how many are needed, cut several.
#
# </details>

# %% [markdown]
# ## Next
#
# Attention is older than heads and Transformers. Lesson 05_additive_attention
# goes back to the recurrent network that needed it first.
#
# To read: Vaswani et al. (2017), section 3.2.2; Michel, Levy and Neubig
# (2019), "Are sixteen heads really better than one?"; Voita et al. (2019),
# "Analyzing multi-head self-attention".
