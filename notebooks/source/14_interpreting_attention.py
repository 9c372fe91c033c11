# %% [markdown]
# # Do weights explain?
#
# A word has the weight 0.9. Is it *why* the model answers as it does? We open a
# trained model, find out what its heads do, take heads away, shuffle
# weights, and see when they mislead.
#
# **You will be able to**
# - find heads by scores over many sentences, and confirm them on others;
# - compare weights, rollout, flow, gradients and ablation;
# - say what "attention is not explanation" showed, and what not;
# - train a model until an induction head appears, and prove that it is needed.
#
# **Minutes:** 120, of which the exercises take 55. **Needs:** lessons 04, 06,
# 08 and 09. The computer needs one to two minutes.

# %%
import math
from types import SimpleNamespace

import torch
from torch.nn import functional as F

from attn_course import checks, plotting, session, training
from attn_course import image_attention as vision
from attn_course import interpreting_attention as ia
from attn_course import text_classification as tc
from attn_course.common.attribution import gradient_x_input
from attn_course.common.statistics import (
    mean_interval,
    spearman,
    wilson_interval,
)
from attn_course.common.text import Vocabulary
from attn_course.data import probes, snippets
from attn_course.widgets import interpreting_attention as views

session.start(0)
device = session.device()

# %% [markdown]
# ## A model that others trained
#
# **all-MiniLM-L6-v2** turns a sentence into a vector of 384 numbers, so that
# sentences of like meaning lie near each other. It has 6 layers of 12 heads, and
# was trained on more than a billion pairs of sentences. Its file comes inside a
# pinned package, under the Apache 2.0 licence. We read its parameters into
# **lesson 06's own layers**: post-norm, GELU.

# %%
model = ia.load_minilm().to(device)
tokenizer = ia.load_tokenizer()
parameters = sum(p.numel() for p in model.parameters())
layer = model.encoder.layers[0]
print(type(layer).__module__, type(layer).__name__, "norm_first =",
      layer.norm_first)
print(f"{len(model.attentions)} layers, {layer.attention.heads} heads, "
      f"{parameters:,} parameters")

# %% [markdown]
# What its own card in the package says:

# %%
card = (ia.model_folder() / "README.md").read_text("utf-8")
print("its licence:", card.split("license: ")[1].split("\n")[0])

# %% [markdown]
# Is it the same model? The proof: the library `transformers` with the same
# file, the same sentences, the same weights in every head. (Its import takes
# some seconds; nothing else here needs it.)

# %%
import os

os.environ["HF_HUB_OFFLINE"] = "1"
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

settings = BertConfig.from_json_file(ia.model_folder() / "config.json")
settings._attn_implementation = "eager"  # the others give no weights
theirs = BertModel(settings).eval().to(device)
stored = load_file(ia.model_folder() / "model.safetensors")
_ = theirs.load_state_dict(stored, strict=False)

# %% [markdown]
# Two sentences of different length, so that one is padded:

# %%
texts = ["The queen greeted the king before she sat down.", "Hello, world!"]
ids, mask = (x.to(device) for x in ia.encode(tokenizer, texts))
with torch.no_grad():
    states, weights = model(model.embed(ids), mask, need_weights=True)
    they = theirs(ids, attention_mask=mask.long(), output_attentions=True)

# %%
real = mask[:, None, :, None]  # a padded query's row means nothing
same = {"rtol": 1e-4, "atol": 1e-4}
torch.testing.assert_close(
    states[mask], they.last_hidden_state[mask], **same
)
for ours, other in zip(weights, they.attentions):
    torch.testing.assert_close(ours * real, other * real, **same)
print("the course's layers = transformers:", tuple(weights.shape))

# %% [markdown]
# ## Look first
#
# 72 heads, one sentence. Each small picture is one head: queries on rows, keys
# on columns. Click one, or use the arrow keys on it; then point at a word and
# see where it looks. (Layers and heads count from 0, as in Python.)
#
# **Predict:** will *she* look at *queen*?

# %%
reading = ia.read_sentences(model, tokenizer, texts[:1])[0]
view = views.AttentionViewer(
    reading.weights, reading.words, layer=1, head=3,
    query=reading.words.index("she"),
)
view

# %% [markdown]
# In this head, in this sentence, it does. A tempting story, and one picture out
# of 72. With 72 heads and a dozen words one finds a picture for *any* story.
# So from here on: **scores over many sentences**, and a second set of sentences
# to confirm what the first set suggested.

# %% [markdown]
# ## A score for a head
#
# How much of its weight does a head give to the word before? By hand, for
# three words between `[CLS]` and `[SEP]`, the two *special tokens* that the
# tokenizer adds at the ends:

# %%
small = torch.tensor([
    [1.0, 0.0, 0.0, 0.0, 0.0],  # [CLS]
    [0.7, 0.1, 0.1, 0.1, 0.0],  # the
    [0.1, 0.8, 0.1, 0.0, 0.0],  # old
    [0.2, 0.0, 0.6, 0.1, 0.1],  # king
    [0.5, 0.1, 0.1, 0.1, 0.2],  # [SEP]
], dtype=torch.float64)
by_hand = (0.8 + 0.6) / 2  # old to the, king to old
print("previous word:", by_hand)

# %% [markdown]
# *the* has no word before it, and the special tokens do not count. As a loop,
# then as the diagonal of the matrix, then the module's function, which scores
# five positions at once:

# %%
pairs = [small[i, i - 1].item() for i in range(2, 4)]
loop = sum(pairs) / len(pairs)
diagonal = small.diagonal(-1)[1:-1].mean().item()
scores = ia.pattern_scores(small)
assert abs(loop - by_hand) + abs(diagonal - by_hand) < 1e-9
assert abs(scores[0].item() - by_hand) < 1e-9
for name, score in zip(ia.PATTERNS, scores.tolist()):
    print(f"{name:14} {score:.3f}")

# %% [markdown]
# Now 200 sentences from film reviews and newspapers. The model's tokens are
# pieces of words: weights *to* the pieces of a word are added, weights *from*
# them averaged (Clark et al., 2019, section 4.1).

# %%
texts = [s.text for s in snippets.load("test")
         if s.source in ("movies", "news")
         and 8 <= len(s.text.split()) <= 24][:200]
readings = ia.read_sentences(model, tokenizer, texts)

# %%
scores = torch.stack([ia.pattern_scores(r.weights) for r in readings])
scores = scores.double()  # (sentences, patterns, layers, heads)
choose, confirm = scores[::2].mean(dim=0), scores[1::2].mean(dim=0)
chance = sum(1 / len(r.words) for r in readings) / len(readings)
print(tuple(scores.shape), f"looking everywhere alike: {chance:.2f}")

# %% [markdown]
# **Predict** how sharp the best "previous word" head is. Half of the sentences
# choose the head, the other half say what it is worth.

# %%
best = {}
for number, name in enumerate(ia.PATTERNS):
    layer, head = best[name] = divmod(int(choose[number].argmax()), 12)
    print(f"{name:14} layer {layer}, head {head:2}: "
          f"{choose[number, layer, head]:.2f}, "
          f"confirmed {confirm[number, layer, head]:.2f}")
    assert abs((choose - confirm)[number, layer, head]) < 0.05

# %% [markdown]
# All heads, four of the patterns:

# %%
maps = {name: confirm[number] for number, name in enumerate(ia.PATTERNS)
        if name != "itself"}
plotting.show(
    views.head_maps(maps, title="One head for the word before, many sinks"),
    alt="Four maps of 6 layers by 12 heads. Previous word: one head near 1. "
    "Next word: one head at two thirds. CLS: many bright heads from layer 1 "
    "on. SEP: all dark.",
)

# %%
sinks = (confirm[3] + confirm[4] > 0.5).sum().item()
print("heads that give special tokens more than half:", sinks, "of 72")
assert 20 <= sinks <= 40
assert confirm[0].max() > 0.9 and confirm[1].max() > 0.6

# %% [markdown]
# One head looks almost only at the word before. Nearly a third of all heads
# give more than half of their weight to the special tokens, nearly all of that
# to `[CLS]`, which is no word: a **sink** (Xiao et al., 2024). A softmax must
# spend 1 somewhere. Clark et al. (2019, section 3.2) suggest that a head does
# nothing when it looks at a special token. We shall test that.
#
# **Predict:** shuffle the words of each sentence. Which score survives?

# %%
generator = torch.Generator().manual_seed(0)
shuffled = []
for text in texts[:60]:
    words = text.split()
    order = torch.randperm(len(words), generator=generator).tolist()
    shuffled.append(" ".join(words[i] for i in order))
again = torch.stack([ia.pattern_scores(r.weights)
                     for r in ia.read_sentences(model, tokenizer, shuffled)])
for name in ("previous word", "next word"):
    score = again[:, ia.PATTERNS.index(name), *best[name]].mean().item()
    print(f"{name}, words shuffled: {score:.2f}")
    assert score > 0.6

# %% [markdown]
# Both. These heads read *positions*, not words.

# %% [markdown]
# ## Does a head find what a pronoun means?
#
# A harder question, and a fair test needs a control. The course has 160
# sentences in fours. Grammar says what is meant; each noun is first, and is
# meant, equally often:

# %%
sentences = ia.references()
for s in sentences[:4]:
    print(f"{s.text:45} {s.pronoun} = {s.antecedent}")

# %% [markdown]
# A head is right if the pronoun's row gives the noun that is meant more weight
# than the other noun. Rules that know only positions get exactly one half:

# %%
firsts = sum(s.first for s in sentences) / len(sentences)
print("always the first noun:", firsts, " always the nearest:", 1 - firsts)
read = ia.read_sentences(model, tokenizer, [s.text for s in sentences])
hits = ia.reference_hits(read, sentences).double()  # (160, 6, 12)

# %% [markdown]
# 72 heads are 72 chances to be lucky, so again: twenty frames choose, twenty
# other frames judge.

# %%
even = torch.tensor([s.frame % 2 == 0 for s in sentences])
chosen = int(hits[even].mean(dim=0).argmax())
best["pronoun"] = divmod(chosen, 12)
print("chosen: layer, head", best["pronoun"])

# %% [markdown]
# And on the frames that did not choose it:

# %%
right = hits[~even].flatten(1)[:, chosen]
_, low, high = wilson_interval(int(right.sum()), len(right))
print(f"right in {int(right.sum())} of {len(right)} unseen, "
      f"interval {low:.2f} to {high:.2f}")
print("mean of all heads:", round(hits[~even].mean().item(), 2))
assert low > 0.8

# %% [markdown]
# That is real: far above one half, on sentences that did not choose it. But
# *what* did it find? In all of these, number or gender settles it. 28 sentences
# of the Winograd kind (Levesque et al., 2012) are settled by meaning alone.
# **Predict.**

# %%
hard = ia.meaning_references()
print(hard[0].text, "=", hard[0].antecedent)
print(hard[1].text, "=", hard[1].antecedent)

# %%
hard_hits = ia.reference_hits(
    ia.read_sentences(model, tokenizer, [s.text for s in hard]), hard
).double()
rows = {}
for name, part in (("grammar settles it", right[:, None]),
                   ("only meaning does", hard_hits.flatten(1)[:, [chosen]])):
    rows[name] = wilson_interval(int(part.sum()), len(part))

# %%
plotting.show(
    plotting.interval_rows(
        rows, line=0.5, xlabel="share right, 95 % interval",
        title="The pronoun head knows agreement, not meaning"),
    alt="Share of pronouns right for the best head: above 0.8 where grammar "
    "settles it, near one half where only meaning does.",
)
share, low, high = rows["only meaning does"]
print("meaning alone: one half lies in the interval:", low < 0.5 < high)
assert low < 0.5 < high

# %% [markdown]
# So: a head for **agreement**. It pairs *she* with *queen* and *they* with
# plurals. Where both nouns agree, 28 sentences cannot tell it from chance. "A
# coreference head" would have been too large a name, and the one picture above
# would not have told.

# %% [markdown]
# ## Two words, three answers
#
# Now the harder half: do weights tell *why*? Take the hand example of lesson
# 01. Weights 0.7311 and 0.2689, values [1, 2] and [3, 4]. Let the answer be the
# output's first number, 1.5379. Which word is responsible? **Predict.**

# %%
query, keys = torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 1.0], [0.0, 1.0]])
values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
weights = (keys @ query).softmax(dim=0)
answer = (weights @ values)[0]
print("weights     ", weights)
print("weight*value", weights * values[:, 0], "sum", round(answer.item(), 4))

# %% [markdown]
# By weight it is the first word, by what it *adds* the second. And by
# **ablation**, leaving a word out? Alone, the other word has weight 1:

# %%
without = torch.stack([values[1, 0], values[0, 0]])
print("loses without it:", answer - without)

# %% [markdown]
# Without the "important" first word the answer does not fall, it *rises* to 3.
# The softmax gives the freed weight to the other. The gradient, values as the
# input, is weight times value exactly:

# %%
values.requires_grad_()
(slope,) = torch.autograd.grad((weights @ values)[0], values)
torch.testing.assert_close((slope * values).sum(1), weights * values[:, 0])
print("gradient times input = weight * value")

# %% [markdown]
# Two words, one query, and weights, contributions and ablation already disagree.
# None of the three is wrong. They answer different questions.

# %% [markdown]
# ## Through several layers: rollout and flow
#
# Above the first layer a "word" is a mixture. **Rollout** (Abnar and Zuidema,
# 2020; lesson 09) multiplies the layers. By hand, two layers, the same weights
# in both; half of each layer is the residual:

# %%
w = torch.tensor([[0.7311, 0.2689], [0.5, 0.5]]).double()
a = (w + torch.eye(2)) / 2
by_paths = a[0, 0] * a[0, 1] + a[0, 1] * a[1, 1]  # via word 0, via word 1
product = (a @ a)[0, 1]
both = w.expand(2, 1, 2, 2)  # (layers, heads, query, key)
torch.testing.assert_close(by_paths, product)
torch.testing.assert_close(product, vision.attention_rollout(both)[0, 1])
print(a)
print(f"paths = product = rollout: {product:.4f}")

# %% [markdown]
# **Flow** (the same paper) takes the weights for the widths of pipes. How much
# fits from word 0 on top to word 1 below? Along each path the narrowest pipe
# decides:

# %%
by_hand = min(a[0, 0], a[0, 1]) + min(a[0, 1], a[1, 1])
top = torch.tensor([1.0, 0.0]).double()  # we ask word 0
flow = ia.attention_flow(both, top)
print(f"by hand {by_hand:.4f}, attention_flow {flow[1]:.4f}")
assert abs(by_hand - flow[1]) < 1e-5

# %% [markdown]
# The same from networkx, a library of graphs. **Predict** whether flow can be
# smaller than rollout.

# %%
import networkx

graph = networkx.DiGraph()
for i in range(2):
    graph.add_edge("answer", f"top {i}", capacity=top[i].item())
    for j in range(2):
        graph.add_edge(f"top {i}", f"middle {j}", capacity=a[i, j].item())
        graph.add_edge(f"middle {i}", f"word {j}", capacity=a[i, j].item())
for j in range(2):
    wide = networkx.maximum_flow_value(graph, "answer", f"word {j}")
    assert abs(wide - flow[j].item()) < 1e-5
assert (flow >= top @ vision.attention_rollout(both) - 1e-5).all()
print("networkx = attention_flow; flow is never below rollout")

# %% [markdown]
# What rollout sends along the pipes always fits into them.

# %% [markdown]
# ## Which one tells what a word is for?
#
# MiniLM's answer is a *similarity*: the cosine between two sentences. 40 pairs
# of the course mean the same in other words. Leave one word (token) out of the
# first sentence, masked, while the others keep their positions: how much
# similarity is lost? That is the cost to be explained. It is a *counterfactual*
# (the answer as it would be without the word), and *causal* evidence: something
# was changed, and the answer followed. A score that tells what the model really
# uses has *faithfulness* (Jacovi and Goldberg, 2020).

# %%
first, second = (list(side) for side in zip(*probes.PAIRS))
print(first[0], "/", second[0])
ids, mask = (x.to(device) for x in ia.encode(tokenizer, first))
with torch.no_grad():
    whole = model.sentence(model.embed(ids), mask)
    pair_ids, pair_mask = (x.to(device)
                           for x in ia.encode(tokenizer, second))
    target = model.sentence(model.embed(pair_ids), pair_mask)
    _, weights = model(model.embed(ids), mask, need_weights=True)

# %%
nearest = (whole @ target.T).argmax(dim=1).cpu()
hits = (nearest == torch.arange(40)).sum().item()
print("finds the partner among 40:", hits, "of 40")
assert hits >= 37

# %% [markdown]
# Five candidates: the weights of the last layer (mean over heads and queries),
# rollout, flow, gradient times input, and the plain length of the word's
# vector, which knows nothing of the sentence. **Predict** the winner.

# %%
def similarity(vectors):
    return (model.sentence(vectors, mask) * target).sum(dim=-1)


costs = ia.leave_one_out(model, ids, mask, target).cpu().double()
slopes = gradient_x_input(similarity, model.embed(ids)).cpu().double()
lengths = model.word.weight[ids].norm(dim=-1).cpu().double()


def candidates(row, n):
    own = weights[:, row, :, :n, :n].cpu().double()
    start = torch.full((n,), 1 / n).double()  # the answer is a mean
    return {"last layer's weights": own[-1].mean(dim=(0, 1)),
            "rollout": start @ vision.attention_rollout(own),
            "flow": ia.attention_flow(own, start),
            "gradient times input": slopes[row, :n],
            "length of the vector": lengths[row, :n]}

# %% [markdown]
# How well does each agree with the cost? For each sentence *Spearman's rho*, the
# correlation of the ranks (1: the same order of words, 0: nothing in common),
# then mean and interval over the 40 sentences:

# %%
agree = {}
for row in range(40):
    n = int(mask[row].sum())
    inner = slice(1, n - 1)  # without [CLS] and [SEP]
    for name, score in candidates(row, n).items():
        rho = spearman(score[inner], costs[row, inner])
        agree.setdefault(name, []).append(rho)
rows = {name: mean_interval(torch.stack(rhos))
        for name, rhos in agree.items()}

# %%
plotting.show(
    plotting.interval_rows(
        rows, line=0, xlabel="rank correlation with leaving the word out",
        title="The last layer tells something; rollout and gradient mislead"),
    alt="Rank correlations with the cost of leaving a word out, with "
    "intervals: last layer's weights about one half, length of the vector "
    "a little less, flow near zero, rollout and gradient below zero.",
)
for name in ("last layer's weights", "length of the vector"):
    print(f"{name}, interval above 0.3:", rows[name][1] > 0.3)
for name in ("rollout", "gradient times input"):
    print(f"{name}, interval below 0:", rows[name][2] < 0)

# %%
assert rows["last layer's weights"][1] > 0.3
assert rows["length of the vector"][1] > 0.3
assert rows["rollout"][2] < 0 and rows["gradient times input"][2] < 0
assert abs(rows["flow"][0]) < 0.2

# %% [markdown]
# Not what one hopes. The simplest look, the last layer's weights, agrees with
# ablation best. Yet the length of the word's vector, which has seen no
# sentence, is nearly as good: rare words matter. Rollout and gradient times
# input have the order slightly *wrong*. In lesson 08 the gradient was the
# best guide: there the model was linear behind it. Here six layers bend.
# **No method is right by name; test it on your model.**

# %% [markdown]
# ## Silence a head
#
# Lesson 04's head mask multiplies a head's part by 0. How far does the
# sentence's vector turn? 72 heads, 20 sentences, some seconds.

# %%
each = ia.head_importance(model, ids[:20], mask[:20])  # (20, 6, 12)
cost = each.mean(dim=0).double()
other = ia.head_importance(model, ids[20:], mask[20:]).mean(dim=0).double()
stable = spearman(cost.flatten(), other.flatten()).item()
print("the same order on 20 other sentences, above 0.9:", stable > 0.9)
assert stable > 0.9

# %% [markdown]
# What are our named heads worth? **Predict:** of 72, which rank has the
# sharpest sink head?

# %%
for name in ("previous word", "next word", "[CLS]", "pronoun"):
    rank = 1 + int((cost > cost[best[name]]).sum())
    print(f"{name:14} head {best[name]}: among the 20 costliest:", rank <= 20,
          " among the 5 cheapest:", rank > 67)
sink_rank = 1 + int((cost > cost[best["[CLS]"]]).sum())
assert sink_rank > 67

# %% [markdown]
# The sharpest sink costs next to nothing, as Clark et al. suspected. Is that
# a rule? A head's *sharpness* is its mean largest weight (Voita et al., 2019,
# section 4, "confidence"). Does sharpness go with cost?

# %%
def sharpness(part):
    every = [r.weights[..., part, part].amax(-1).mean(-1) for r in readings]
    return torch.stack(every).mean(dim=0).double()  # (layers, heads)


sharp = {"all positions": sharpness(slice(None))}
rho = spearman(sharp["all positions"].flatten(), cost.flatten())
print(f"all positions, sharpness and cost: {rho:.2f}")

# %% [markdown]
# Below zero: the sharper, the *cheaper*? Ask where that largest weight lies:
# often on `[CLS]`. Voita et al. left out the special token at the end.
# **Predict** what is left when only words count.

# %%
sharp["words only"] = sharpness(slice(1, -1))
rho = spearman(sharp["words only"].flatten(), cost.flatten())
print(f"words only, sharpness and cost: {rho:.2f}")

# %% [markdown]
# Each with an interval, by a bootstrap (72 heads drawn anew, 1,000 times). And
# the last layer is nearest to the answer: its heads cost most, whatever they
# do. So compare heads of one layer only, too:

# %%
drawn = torch.randint(72, (1000, 72),
                      generator=torch.Generator().manual_seed(0))
ends, inside = {}, {}
for name, x in sharp.items():
    spread = spearman(x.flatten()[drawn], cost.flatten()[drawn])
    ends[name] = spread.quantile(torch.tensor([0.025, 0.975]).double())
    inside[name] = spearman(x, cost).mean()  # of six layers
    print(f"{name}: below 0: {bool(ends[name][1] < 0)}, within a layer "
          f"below -0.1: {bool(inside[name] < -0.1)}, "
          f"above 0.1: {bool(inside[name] > 0.1)}")

# %%
assert ends["all positions"][1] < 0 and inside["all positions"] < -0.1
low, high = ends["words only"]
assert low < 0 < high and inside["words only"] > 0.1

# %% [markdown]
# The sign turns. With the special tokens, sharp heads look cheap: they are the
# sinks. Without them nothing is left over all heads, and within a layer the
# heads that point sharply at *words* cost rather more, as Voita et al. found. A
# few words in a definition, "without the special tokens", turned the finding.

# %% [markdown]
# ## How many heads can go?
#
# Order the heads by cost on the first 20 sentences, silence more and more, and
# judge on the other 20: the cosine with the whole model's vector, and whether
# the partner is still the nearest of 40 sentences.

# %%
order = cost.flatten().argsort()
orders = {
    "least costly first": order,
    "at random": torch.randperm(72,
                                generator=torch.Generator().manual_seed(0)),
    "most costly first": order.flip(0),
}
COUNTS = [0, 12, 24, 36, 48, 60, 72]

# %%
@torch.no_grad()
def without(heads):
    keep = torch.ones(72, dtype=torch.bool)
    keep[heads] = False
    with ia.mask_heads(model.attentions, keep.view(6, 12)):
        ours = model.sentence(model.embed(ids[20:]), mask[20:])
        partner = model.sentence(model.embed(pair_ids), pair_mask)
    nearest = (ours @ partner.T).argmax(dim=1).cpu()
    hits = (nearest == torch.arange(20, 40)).double().mean().item()
    return (ours * whole[20:]).sum(-1).mean().item(), hits

# %% [markdown]
# **Predict** how many of 72 can go before the cosine falls below 0.9, and what
# is left when *all* are gone.

# %%
pruned = {name: [without(heads[:count]) for count in COUNTS]
          for name, heads in orders.items()}
curves = {name: (COUNTS, [cosine for cosine, _ in points])
          for name, points in pruned.items()}
plotting.show(
    plotting.curves(curves, xlabel="heads silenced, of 72",
                    ylabel="cosine with the whole model",
                    title="Half of the heads can go: the right half"),
    alt="Cosine with the whole model against the number of silenced heads. "
    "Least costly first: above 0.9 up to 36. At random: falls at once. Most "
    "costly first: steepest. All end at the same point.",
)

# %%
half = pruned["least costly first"][3]
rest = pruned["at random"][3]
none = pruned["at random"][-1]
print(f"36 silenced: cosine {half[0]:.2f}, partner found {half[1]:.2f}")
print(f"36 at random: cosine {rest[0]:.2f}, partner found {rest[1]:.2f}")
print(f"72 silenced: cosine {none[0]:.2f}, partner found {none[1]:.2f}")
assert half[0] > 0.9 > rest[0] and none[1] >= 0.8

# %% [markdown]
# Michel et al. (2019) and Voita et al. (2019) found the same: many heads can
# go. But read the last line twice. With **no attention at all** the model still
# finds nearly all partners: shared and related words are enough. A task that
# needs no attention cannot tell which heads matter. Look at the measure before
# you believe the pruning.

# %% [markdown]
# ## Shuffle the weights inside
#
# The other test: keep the heads, and give their weights to the wrong words.
# `permute_weights` deals each row out anew; `uniform_weights` makes them equal
# (Jain and Wallace, 2019; Wiegreffe and Pinter, 2019). **Predict** what hurts
# more than having no attention at all.

# %%
row = torch.tensor([[0.7, 0.2, 0.1, 0.0]])
seen = torch.tensor([[True, True, True, False]])
print(ia.permute_weights(row, seen, seed=1), ia.uniform_weights(row, seen))

# %%
@torch.no_grad()
def changed(patch, attentions):
    with ia.patch_attention(attentions, patch):
        ours = model.sentence(model.embed(ids[20:]), mask[20:])
        return (ours * whole[20:]).sum(-1).mean().item()

# %%
layers = [[attention] for attention in model.attentions]
table = {
    name: [changed(patch, which) for which in [*layers, model.attentions]]
    for name, patch in (("permuted", ia.permute_weights),
                       ("uniform", ia.uniform_weights))
}
for name, cosines in table.items():
    print(f"{name:9}", *[f"{c:.2f}" for c in cosines[:-1]],
          f" all layers: {cosines[-1]:.2f}")
print(f"no attention at all:  {none[0]:.2f}")
assert max(c[-1] for c in table.values()) < none[0]

# %% [markdown]
# In a deep model the weights *matter*: wrong weights in all layers are worse
# than none. Equal weights in one layer do less harm than permuted ones. And
# the first layer, with the previous-word head, suffers most from permuting. So
# weights are part of how it works. Whether a *reader* of weights learns why,
# is another question.

# %% [markdown]
# ## "Attention is not explanation"
#
# Jain and Wallace (2019) looked at classifiers: an encoder, then one attention
# over its states. They asked (section 4): do weights agree with gradients and
# with leaving words out? And do other weights give another answer? Lesson 08's
# sentiment models are of this kind. One pools bare words, one has a Transformer
# layer *before* the pooling. About 15 seconds.

# %%
texts, labels = tc.sentiment_task(snippets.load("train"))
vocabulary = Vocabulary.from_texts(texts)
tokens, labels = vocabulary.encode(texts).to(device), labels.to(device)
CLASSIFIERS = {
    "words alone": {"pooling": "attention"},
    "words in context": {"pooling": "attention", "layers": 1, "mlp_dim": 128,
                         "dropout": 0.3, "word_dropout": 0.3},
}

# %%
def train(name):
    deep = "layers" in CLASSIFIERS[name]
    steps = (300 if deep else 400) // (20 if session.quick() else 1)
    session.set_seed(0)
    classifier = tc.TextClassifier(len(vocabulary), 2, **CLASSIFIERS[name])
    training.fit(
        classifier.to(device),
        lambda m, batch: F.cross_entropy(m(batch[0]), batch[1]),
        batches=tc.text_batches(tokens, labels, 128), steps=steps,
        lr=2e-3 if deep else 4e-3, weight_decay=0.05, warmup=steps // 10,
        threads=1, label=name,
    )
    return classifier

# %%
classifiers = {name: train(name) for name in CLASSIFIERS}

# %% [markdown]
# 400 test texts with eight words or more. What leaving out each word moves, up
# or down, one word after the other:

# %%
test_texts, test_labels = tc.sentiment_task(snippets.load("test"))
rows = vocabulary.encode(test_texts)
long = ((rows != 0).sum(dim=1) >= 8).nonzero()[:400, 0]
rows = rows[long, : int((rows[long] != 0).sum(dim=1).max())].to(device)
real = rows != 0


@torch.no_grad()
def moves(classifier, p, named):
    costs = torch.zeros(rows.shape)
    for position in range(rows.shape[1]):
        one = F.one_hot(torch.tensor(position), rows.shape[1]).to(rows)
        left = tc.delete_top(rows, one.expand_as(rows).float(), 1)
        after = tc.predict_proba(classifier, left)
        lost = (p - after).gather(1, named[:, None])[:, 0]
        lost = torch.where(real[:, position], lost, 0)
        costs[:, position] = lost.cpu()
    return costs.abs().double()

# %% [markdown]
# A text's weights, against the size of the gradient and of the move; and the
# answer with other weights in the pooling:

# %%
@torch.no_grad()
def inspect(classifier):
    result = SimpleNamespace()
    states = classifier.states(classifier.embedding(rows), real)
    pooled, weights = classifier.pool(states, real)

    def answer(w):
        return classifier.head((w[:, None] @ states)[:, 0]).softmax(dim=-1)

    p = answer(weights)
    result.weights, result.named = weights.cpu().double(), p.argmax(dim=-1)
    result.moves = moves(classifier, p, result.named)
    permuted = [answer(ia.permute_weights(weights, real, seed)) - p
                for seed in range(20)]
    shift = torch.stack(permuted).abs().amax(dim=-1)  # (20, texts)
    result.shift = shift.median(dim=0).values.cpu()
    equal = answer(ia.uniform_weights(weights, real)).argmax(dim=-1)
    result.same = (equal == result.named).double().mean().item()
    return result

# %%
def gradients(classifier):
    def answer(vectors):  # log probability of the class it names
        scores, _ = classifier.read_vectors(vectors, real)
        return scores.log_softmax(dim=-1).amax(dim=-1)

    return gradient_x_input(answer, classifier.embedding(rows)).cpu()

# %%
seen = {name: inspect(c) for name, c in classifiers.items()}
for name, classifier in classifiers.items():
    slopes = gradients(classifier).abs().double()
    for what, other in (("gradient", slopes),
                        ("leaving out", seen[name].moves)):
        rhos = [spearman(w[r], o[r]) for w, o, r in
                zip(seen[name].weights, other, real.cpu())]
        setattr(seen[name], what, mean_interval(torch.stack(rhos)))

# %% [markdown]
# **Predict:** for which model do the weights agree better?

# %%
table = {f"{name}: {what}": getattr(seen[name], what)
         for what in ("gradient", "leaving out") for name in CLASSIFIERS}
plotting.show(
    plotting.interval_rows(
        table, line=0, xlabel="rank correlation with the weights",
        title="Context before the pooling loosens the weights from the words"),
    alt="Rank correlation of weights with gradients and with leaving words "
    "out, with intervals; higher for words alone than for words in context, "
    "both times.",
)
for what in ("gradient", "leaving out"):
    alone, mixed = (getattr(seen[name], what) for name in CLASSIFIERS)
    print(f"{what}: words alone surely higher:", alone[1] > mixed[2])
    assert session.quick() or alone[1] > mixed[2]

# %% [markdown]
# All are above 0, none is near 1, and one layer of context lowers them: a weight
# now belongs to a *position* into which other words were mixed. That is Jain and
# Wallace's first finding. The second: other weights, the same answer.

# %%
curves = {}
for name, part in seen.items():
    size, _ = part.shift.sort()
    curves[name] = (size, (torch.arange(len(size)) + 1) / len(size))
plotting.show(
    plotting.curves(curves, xlabel="how far permuting moves the probability",
                    ylabel="share of the texts", logx=False,
                    title="In context, permuted weights change little"),
    alt="Share of the texts against how far permuted weights move the "
    "probability, at the median of 20 permutations: in context nearly all "
    "move very little, words alone move more.",
)
alone, mixed = (seen[name] for name in CLASSIFIERS)
print("in context, equal weights name the same class, over 0.9:",
      mixed.same > 0.9)
print("words alone, permuting moves more than twice as far:",
      bool(alone.shift.mean() > 2 * mixed.shift.mean()))

# %%
assert session.quick() or mixed.same > 0.9
assert session.quick() or alone.shift.mean() > 2 * mixed.shift.mean()

# %% [markdown]
# So the paper is right? **Wiegreffe and Pinter (2019)** answered: first ask
# whether the model *needs* its attention (section 3.2). Ours in context does
# not: equal weights name the same class nearly always. Weights that do no work
# explain nothing, and cannot be tested so. And weights that were permuted after
# training are not a model that anyone would train.

# %% [markdown]
# **Serrano and Smith (2019)** erased: give the word with most weight 0, share
# its weight out, and see whether the class flips. Against a word at random, and
# the word with the largest gradient:

# %%
def flips(classifier, part, score):
    top = score.to(device).masked_fill(~real, -1e9).argmax(1, keepdim=True)
    left = part.weights.to(device).float().scatter(1, top, 0.0)
    left = left / left.sum(dim=1, keepdim=True)
    with torch.no_grad():
        states = classifier.states(classifier.embedding(rows), real)
        after = classifier.head((left[:, None] @ states)[:, 0])
    return (after.argmax(dim=-1) != part.named).double().mean().item()

# %%
chance = torch.rand((10, *rows.shape),
                    generator=torch.Generator().manual_seed(1))
for name, classifier in classifiers.items():
    part, slopes = seen[name], gradients(classifier)
    shares = [flips(classifier, part, s)
              for s in (*chance, part.weights.float(), slopes)]
    shares[:10] = [sum(shares[:10]) / 10]  # ten words at random, their mean
    print(f"{name}: random < weight < gradient:", shares == sorted(shares))
    print(f"{name}: weight flips less than 0.3:", shares[1] < 0.3)
    assert session.quick() or (shares == sorted(shares) and shares[1] < 0.3)

# %% [markdown]
# The word with most weight decides more often than a word at random, less often
# than the word that the gradient names, and mostly not at all. Weights are a
# hint where to look. The proof is always an ablation.

# %% [markdown]
# ## A head that we can explain
#
# Can any head be understood in full? Take a tiny task: a random block of
# letters, repeated. After `q x m` came `k` once; now `q x m` comes again. What
# is next? One rule does it: **find the same letter before, copy what followed**.
# A head that does so is an *induction head* (Olsson et al., 2022).

# %%
tokens = torch.tensor([[3, 7, 5, 3, 7]])  # d h f d h
targets = ia.induction_targets(tokens)[0].int()
print(targets)
assert targets.nonzero().tolist() == [[3, 1], [4, 2]]

# %% [markdown]
# Row 3 (the second 3) should look at position 1, what followed the first 3. The
# score is the mean weight there, over the rows that have such a position:

# %%
weights = torch.full((5, 5), 0.0)
weights[3, :4] = torch.tensor([0.1, 0.7, 0.1, 0.1])
weights[4] = torch.tensor([0.1, 0.1, 0.5, 0.2, 0.1])
by_hand = (0.7 + 0.5) / 2
score = ia.induction_scores(weights[None, None], tokens)
torch.testing.assert_close(score, torch.tensor([by_hand]))
print("by hand = induction_scores:", by_hand)

# %% [markdown]
# The model: lesson 04's attention twice, no MLP. Blocks are 5 to 12 letters
# long, so no fixed distance helps. One layer has 4 heads, the second has 1.
# The control has a single layer. Elhage et al. (2021) argue that one layer
# cannot do it: the key must know *which letter stands before it*, and only an
# earlier layer can have written that down. They call it *K-composition*: the
# keys of a later head are made of what an earlier head wrote.

# %% [markdown]
# They also take a head apart. Its query and key parameters say where it looks,
# the *QK circuit*; its value and output parameters what it brings from there,
# the *OV circuit*. An induction head needs both: QK finds the letter behind the
# same letter, OV copies it.

# %%
test = ia.repeated_blocks(128, torch.Generator().manual_seed(99))
sequences, sizes = (x.to(device) for x in test)


def next_letter(model, batch):
    scores = model(batch[0].to(device))[:, :-1]
    return F.cross_entropy(scores.flatten(0, 1),
                           batch[0][:, 1:].flatten().to(device))


def look(model):
    new, known = ia.repeat_losses(model, sequences, sizes)
    weights = model.read(sequences)[1]
    return {"known": known, "new": new,
            "induction": ia.induction_scores(weights[-1], sequences).max(),
            "previous": ia.previous_token_scores(weights[0]).max()}

# %% [markdown]
# **Predict** the loss curve: a slow slope, or something else? (Some
# seconds.)

# %%
def grow(heads):
    session.set_seed(0)
    model = ia.AttentionOnly(dim=48, heads=heads).to(device)
    generator = torch.Generator().manual_seed(0)
    history = training.fit(
        model, next_letter, lambda _: ia.repeated_blocks(64, generator),
        steps=20 if session.quick() else 200, warmup=20, lr=3e-3,
        schedule="constant", evaluate=look, eval_every=10, threads=1,
        label=f"{len(heads)}-layer model",
    )
    return model, history

# %%
one, one_history = grow((4,))
two, history = grow((4, 1))

# %%
steps, score = history.curve("induction")
_, known = history.curve("known")
moment = next((s for s, x in zip(steps, score) if x > 0.5), steps[-1])
halved = next((s for s, x in zip(steps, known) if x < known[0] / 2),
              steps[-1])
plotting.show(
    views.moment(
        {"two layers, known letters": history.curve("known"),
         "two layers, new letters": history.curve("new"),
         "one layer, known letters": one_history.curve("known")},
        {"induction, second layer": (steps, score),
         "previous letter, best head of the first layer":
         history.curve("previous")},
        moment, title=f"At step {moment} the head appears, the loss falls"),
    alt="Above, losses by step: with two layers the loss of known letters "
    "falls steeply at one moment, with one layer slowly, and new letters stay "
    "high. Below, the induction score jumps at the same moment.",
)

# %%
print("loss of known letters, two layers, below 0.1:", known[-1] < 0.1)
print("one layer, above 1:", one_history.curve("known")[1][-1] > 1)
print("induction score above 0.9:", score[-1] > 0.9)
print("score and loss turn within 30 steps:", abs(moment - halved) <= 30)
assert session.quick() or (known[-1] < 0.1 and score[-1] > 0.9)
assert session.quick() or one_history.curve("known")[1][-1] > 1
assert session.quick() or abs(moment - halved) <= 30

# %% [markdown]
# A slope, then a cliff, in the very steps in which the head appears: a *phase
# change*. Olsson et al. saw one in large language models too. The single layer
# only slides: it can see *which* letters are in the block (a guess among 8 costs
# ln 8 = 2.08), hardly which comes next. (A head that looked everywhere alike
# would have 0.1 for the previous letter; the best has about 0.3.)
#
# Is it *this* head? Silence each head alone:

# %%
@torch.no_grad()
def loss_without(layer, head):
    attention = two.attentions[layer]
    attention.prune_heads([head])
    _, known = ia.repeat_losses(two, sequences, sizes)
    attention.prune_heads([])
    return known.item()


weights = two.read(sequences)[1]
previous = ia.previous_token_scores(weights[0])
alone = {f"layer 0, head {h}": loss_without(0, h) for h in range(4)}
alone["layer 1, head 0"] = loss_without(1, 0)

# %%
scores = [*previous.tolist(), ia.induction_scores(weights[1], sequences)[0]]
shown = {f"{name}, score {s:.2f}": loss
         for (name, loss), s in zip(alone.items(), scores)}
plotting.show(
    views.bars(
        shown, line=math.log(32),
        xlabel="loss of known letters when the head is silent",
        title="Two heads carry it: the induction head, and one below it"),
    alt="Loss of known letters without each head. Without the induction head "
    "of layer 1: highest. Without the best previous-letter head of layer 0: "
    "clearly raised. The others: low. Dotted: guessing.",
)

# %%
guide = alone[f"layer 0, head {int(previous.argmax())}"]
print("without the induction head, above 3:", alone["layer 1, head 0"] > 3)
print("without the best previous-letter head, above 0.3:", guide > 0.3)
print("the median of layer 0's heads, below 0.5:",
      sorted(list(alone.values())[:4])[1] < 0.5)
assert session.quick() or (alone["layer 1, head 0"] > 3 and guide > 0.3)
assert session.quick() or sorted(list(alone.values())[:4])[1] < 0.5

# %% [markdown]
# Without the induction head the loss is near that of guessing, ln 32 = 3.47, or
# worse. Without the one below it, which tells each letter what stands before it, the
# induction head finds little. That is an explanation: a *mechanism*, found by a
# score, confirmed by ablation, with a moment of birth. And it holds for blocks
# of 13 to 15 letters, which it never saw:

# %%
far = ia.repeated_blocks(128, torch.Generator().manual_seed(98),
                         low=13, high=15)[0].to(device)
reach = ia.induction_scores(two.read(far)[1][1], far).item()
print("induction score on longer blocks, above 0.6:", reach > 0.6)
assert session.quick() or reach > 0.6
stack = [F.pad(w[0], (0, 0) * 2 + (0, 4 - w.shape[1]))
         for w in two.read(sequences[:1])[1]]
assert torch.stack(stack).shape == (2, 4, 32, 32)

# %% [markdown]
# Look at it in the viewer, a layer of four heads and a layer of one (the three
# empty squares). **Find** the stripes. And find out why the previous-letter
# score is no more than 0.3: in our run that head looks back sharply in the first
# dozen positions, where the first copy stands, and hardly later, where nobody
# needs it. (Trained weights differ a little from machine to machine, so this
# output is not compared.)

# %% tags=["nbval-ignore-output"]
letters = [chr(97 + n % 26) + "'" * (n // 26) for n in sequences[0].tolist()]
induction = views.AttentionViewer(torch.stack(stack), letters, layer=1,
                                  query=20)
assert induction.shape == [2, 4, 32, 32]
induction

# %% [markdown]
# ## Summary
#
# - Find heads by **scores over many sentences**, choose on one half, confirm on
#   the other, and compare with a control. MiniLM has a previous-word head, many
#   sinks, and a head for agreement, *not* for meaning.
# - Weights, gradients, rollout and ablation answer **different questions**. Here
#   the last layer's weights agreed with ablation, rollout did not.
# - **Half of the heads can go.** Whether sharp heads matter hangs on whether you
#   count the sinks.
# - Weights in front of mixed words explain little, and less if the model does
#   not need them.
# - An **induction head** is explained: score, ablation, mechanism, birth.

# %% [markdown]
# ## Exercises
#
# Exercises 1 to 4 have a stub, a check that says at once what is wrong, a hint
# and a folded solution; exercise 5 is an experiment of your own.

# %% [markdown]
# ### Exercise 1: a word that holds the answer down (5 min, easy)
#
# Two words, weights 0.8 and 0.2, values 1 and 6; the answer is the weighted
# mean. Give three numbers: the answer; what it **loses** when the first word
# is left out; what it loses when the second is.

# %%
three = ...

checks.interpreting_attention.two_words(three)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A word alone gets weight 1. "Loses" is before minus after, and may be below 0.
#
# </details>

# %% tags=["solution"]
# Solution
answer = 0.8 * 1 + 0.2 * 6
three = [answer, answer - 6, answer - 1]
print([round(x, 2) for x in three])
checks.interpreting_attention.two_words(three)

# %% [markdown]
# ### Exercise 2: the next-word score (10 min, easy)
#
# `weights` (heads, n, n), the first token is `[CLS]`, the last `[SEP]`. Return
# for each head the mean weight of a word on the **next word**. The special
# tokens do not count, neither as query nor as next word.

# %%
def my_next_score(weights):
    ...


checks.interpreting_attention.next_score(my_next_score)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `weights.diagonal(1, -2, -1)` has n - 1 numbers: entry i holds the weight from
# i to i + 1. Which of them involve a special token?
#
# </details>

# %% tags=["solution"]
# Solution
def my_next_score(weights):
    after = weights.diagonal(1, -2, -1)  # (heads, n - 1)
    return after[:, 1:-1].mean(dim=-1)


checks.interpreting_attention.next_score(my_next_score)

# %% [markdown]
# ### Exercise 3: permute the weights (15 min, medium)
#
# Write `my_permute(weights, noise)`: `weights` and `noise` (batch, n). Sort each
# row's *weights* by the order of its noise: the weight at the smallest noise
# comes first. Every row by its own noise.

# %%
def my_permute(weights, noise):
    ...


checks.interpreting_attention.permute(my_permute)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `noise.argsort(dim=-1)` gives for each row the positions in order; `gather`
# fetches from them.
#
# </details>

# %% tags=["solution"]
# Solution
def my_permute(weights, noise):
    return weights.gather(-1, noise.argsort(dim=-1))


checks.interpreting_attention.permute(my_permute)

# %% [markdown]
# ### Exercise 4: where should an induction head look? (15 min, hard)
#
# `tokens` (length,). Return a boolean (length, length): entry (i, j) is True
# if token j - 1 equals token i, and j is not after i. The first key has nothing
# before it.

# %%
def my_targets(tokens):
    ...


checks.interpreting_attention.targets(my_targets)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `tokens[:, None] == tokens[None, :]` compares i with j. Shift its columns by
# one to the right (`F.pad(..., (1, 0))` after you drop the last), then keep the
# lower triangle with `tril()`.
#
# </details>

# %% tags=["solution"]
# Solution
def my_targets(tokens):
    same = tokens[:, None] == tokens[None, :-1]  # (i, j - 1)
    return F.pad(same, (1, 0)).tril()


checks.interpreting_attention.targets(my_targets)

# %% [markdown]
# ### Exercise 5: change this and explain (10 min, hard)
#
# Train with `grow((4, 4))`: four heads in the second layer too. Predict: how
# many become induction heads, and what does silencing *one* of them cost?
# Silence all four. Explain in three sentences what this says about ablating
# single heads. (Some seconds.)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `ia.induction_scores(four.read(sequences)[1][1], sequences)`, then
# `four.attentions[1].prune_heads([...])` and `ia.repeat_losses`.
#
# </details>

# %% tags=["solution"]
# Solution
four, _ = grow((4, 4))
many = ia.induction_scores(four.read(sequences)[1][1], sequences)


def loss_silenced(heads):
    four.attentions[1].prune_heads(heads)
    loss = ia.repeat_losses(four, sequences, sizes)[1].item()
    four.attentions[1].prune_heads([])
    return loss


dearest = max(loss_silenced([h]) for h in range(4)) - loss_silenced([])
print("all four scores above 0.5:", bool((many > 0.5).all()))
print("any one silent costs less than 0.5:", dearest < 0.5)
all_silent = loss_silenced(range(4))
print("all silent, above 2:", all_silent > 2)
assert session.quick() or (dearest < 0.5 and all_silent > 2)

# %% [markdown]
# <details><summary>Answer</summary>
#
# All four learn the same, and any one can be missed. "Silencing it costs
# nothing" does not show that a head does nothing: others may stand in. Ablate
# sets of heads, not only single ones. That holds for the pruning of MiniLM too.
#
# </details>

# %% [markdown]
# ## Test yourself
#
# Choose an answer, then open it: each says why it is right or not.
#
# ### Question 1: in one sentence, head 3 links "she" to "queen". What do you know?
#
# <details><summary>A. It is a coreference head</summary>
#
# No. One picture of 72 heads proves nothing; and ours knew agreement only.
#
# </details>
# <details><summary>B. Where this head looks, in this sentence</summary>
#
# Yes. For more you need a score, other sentences and a control.
#
# </details>
# <details><summary>C. The model understands the sentence</summary>
#
# No. Even if it did, a weight could not show it.
#
# </details>

# %% [markdown]
# ### Question 2: permuted weights give the same answer. What follows?
#
# <details><summary>A. Attention never explains anything</summary>
#
# Too much. In MiniLM permuting hurts; in a model of two layers we explained it.
#
# </details>
# <details><summary>B. These weights, in this model, hardly matter to the answer</summary>
#
# Right. Ask next whether the model needs its attention: try equal weights.
#
# </details>
# <details><summary>C. The model is broken</summary>
#
# No. It may be as accurate as before, with its information spread over states.
#
# </details>

# %% [markdown]
# ### Question 3: silencing a head changes nothing. Is it useless?
#
# <details><summary>A. Yes, it can be pruned</summary>
#
# It can be pruned, *as long as the others stay*. Another head may do the same.
#
# </details>
# <details><summary>B. Only if silencing it together with others changes nothing too</summary>
#
# That is the better test. See exercise 5.
#
# </details>
# <details><summary>C. No, a sharp head always matters</summary>
#
# The sharpest sink was among the least costly of all 72.
#
# </details>

# %% [markdown]
# ## Next
#
# Lesson 15_recommendation lets attention read what you have watched, and asks
# what comes next.
#
# To read: Clark et al. (2019), "What does BERT look at?"; Jain and Wallace
# (2019), "Attention is not explanation"; Wiegreffe and Pinter (2019),
# "Attention is not not explanation"; Serrano and Smith (2019), "Is attention
# interpretable?"; Olsson et al. (2022), "In-context learning and induction
# heads".
