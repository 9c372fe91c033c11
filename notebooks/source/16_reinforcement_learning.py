# %% [markdown]
# # Can attention act?
#
# So far attention has read. Here it moves a cart: it reads what has happened,
# and how much reward should still come. That is a *decision transformer*.
#
# **You will be able to**
# - turn episodes of a game into a row of tokens, and train on them offline;
# - ask a model for a return, and draw what you get against what you asked;
# - compare it with clones, and with a network that has no attention;
# - say what is known of targets beyond data.
#
# **Minutes:** 95, of which the exercises take 50. **Needs:** lessons 02 and
# 06. The long cells take about a minute and a half in all on a free core.

# %% [markdown] tags=["navigation"]
# [← 15 recommendation](15_recommendation.ipynb) ·
# [The map](00_start_here.ipynb)

# %%
import torch

from attn_course import checks, evidence, plotting, session, training
from attn_course import reinforcement_learning as rl
from attn_course.common.measuring import count_parameters
from attn_course.scaled_dot_product import causal_mask
from attn_course.widgets import reinforcement_learning as views

SEED = 0
session.start(SEED)

# %% [markdown]
# ## A pole on a cart
#
# CartPole (Barto, Sutton and Anderson, 1983) gives four numbers: position and
# velocity of the cart, angle and angular velocity of the pole. Push left (0) or
# right (1). Every step gives a **reward** of 1, also the last. A pole beyond
# 12 degrees or a cart off the track ends the episode; so do 500 steps. The sum
# of the rewards is the **return**.

# %%
coin = rl.linear_policy([0, 0, 0, 0], noise=1.0, seed=5)
one = rl.collect_episodes(coin, 1, seed=5)
plotting.show(
    views.cart_strips({"a coin": one.states[0, : int(one.lengths[0])]},
                      title="Whoever tosses a coin does not last long"),
    alt="A strip of six still pictures of a cart pushed by a coin: the pole "
    "starts upright and leans more and more, up to the limit of 12 degrees.",
)

# %% [markdown]
# ## Three players
#
# Nobody learns by trying here. Somebody else has played, and we have the
# records: that is *offline* reinforcement learning. A *policy* is a rule from
# what one sees to what one does; the one that made the records is called the
# *behaviour policy*.

# %% [markdown]
# Ours is a mixture of three players, made by hand, that push right where a
# weighted sum of the four numbers is above zero; now and then a coin decides
# instead (`noise`: how often):
#
# - **random**: a coin (weights of 0, only noise);
# - **mediocre**: balances the pole, forgets the cart, and leans a little to one
#   side for a whole episode; sooner or later it leaves the track;
# - **good**: minds all four numbers. Of its episodes there are **few**, 15 of
#   465. That is our choice, and it matters below.

# %%
PLAYERS = {
    "random": (300, [0, 0, 0, 0], {"noise": 1.0}),
    "mediocre": (150, [0, 0, 1, 0.5], {"noise": 0.1, "lean": 0.1}),
    "good": (15, [0.5, 1, 10, 2], {"noise": 0.05}),
}
parts = {}
for number, (name, (count, weights, how)) in enumerate(PLAYERS.items(), 1):
    seed = 100 * SEED + number
    policy = rl.linear_policy(weights, seed=seed, **how)
    parts[name] = rl.collect_episodes(policy, count, seed=seed, label=name)

# %% [markdown]
# All carts of a player run side by side, in one *vectorised* environment: 300
# games take as many calls as one. `rl.Episodes` holds the states, actions and
# rewards, one row per episode, with zeros after its end.

# %%
title = "Random falls at once, mediocre lasts a while, good lasts to the end"
plotting.show(
    views.spread_of_returns(parts, title=title),
    alt="Returns of all episodes as dots: 300 random ones far to the left, "
    "150 mediocre ones in the middle, 15 good ones at the end.",
)

# %%
returns = {name: part.returns for name, part in parts.items()}
print("mean return, random below 40:    ", bool(returns["random"].mean() < 40))
print("mean return, mediocre 100 to 250:",
      bool(100 < returns["mediocre"].mean() < 250))
print("mean return, good above 450:     ", bool(returns["good"].mean() > 450))
assert returns["random"].mean() < 40 and returns["good"].mean() > 450
assert 100 < returns["mediocre"].mean() < 250

# %% [markdown]
# Few episodes are not few steps. A good one is long, and training will draw
# *steps*. **Predict** the good player's share of the steps:

# %%
steps = {name: part.lengths.sum() for name, part in parts.items()}
share = (steps["good"] / sum(steps.values())).item()
print(f"of the episodes: {15 / 465:.0%}; of the steps: about {share:.1f}")
assert 0.15 < share < 0.25

# %% [markdown]
# ## What is still to come
#
# The idea of Chen et al. (2021): write beside every step how much reward was
# *still to come*, the **return-to-go**. Later one writes down the *target
# return*, what one wants, and lets the model continue. That is *return
# conditioning*.
#
# Four rewards: 1, 0, 2, 1. **Predict** the four returns-to-go. By hand:

# %%
rewards = [1.0, 0.0, 2.0, 1.0]
by_hand = [1 + 0 + 2 + 1, 0 + 2 + 1, 2 + 1, 1]
print(by_hand)

# %% [markdown]
# As a loop, from the end backwards:

# %%
to_go, by_loop = 0.0, []
for reward in reversed(rewards):
    to_go += reward
    by_loop.insert(0, to_go)
assert by_loop == by_hand
print("loop = hand")

# %% [markdown]
# As a matrix product. Step t needs the rewards from t on: a triangle of ones.
# **Predict:** which corner holds the zeros?

# %%
r = torch.tensor(rewards).double()
triangle = torch.ones(4, 4).double().triu()  # (step, step that counts)
print(triangle.long())
by_matrix = triangle @ r
torch.testing.assert_close(by_matrix, torch.tensor(by_loop).double())
print("matrix = loop")

# %% [markdown]
# It is lesson 02's causal mask, the other way up. A mask that looks back lets
# nobody see the future; a return-to-go *is* the future. We may use it only
# because the episodes are over.

# %%
assert torch.equal(triangle.bool(), causal_mask(4).T)
torch.testing.assert_close(rl.returns_to_go(r), by_matrix)
print("function = matrix")

# %% [markdown]
# ## Three tokens a step
#
# Return, state, action; return, state, action. Two steps, with two numbers per
# token, so that one can see where each goes. By hand:

# %%
R = torch.tensor([[4.0, 4.0], [3.0, 3.0]])  # (steps, dim)
s = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
a = torch.tensor([[-1.0, 0.0], [0.0, -1.0]])
tokens = torch.stack([R[0], s[0], a[0], R[1], s[1], a[1]])
print(tokens)

# %% [markdown]
# **Predict:** would `torch.cat([R, s, a])` do? It has the same shape. And why
# must the return stand *before* the action?

# %%
print("cat is right:", torch.equal(torch.cat([R, s, a]), tokens))
loop = []
for step in range(2):
    for kind in (R, s, a):
        loop.append(kind[step])
assert torch.equal(torch.stack(loop), tokens)
print("loop = hand")

# %%
stacked = torch.stack([R, s, a], dim=1).reshape(6, 2)  # (steps, 3, dim)
assert torch.equal(stacked, tokens)
assert torch.equal(rl.interleave(R[None], s[None], a[None])[0], tokens)
print("function = stack and reshape = loop")

# %% [markdown]
# The mask is causal. So the token of state 1 sees R0 s0 a0 R1 s1: all that
# one knows when one has to act, and the target. Its own action comes after it.
# The output is read there: two scores, left and right, as lesson 06 read the
# next letter.

# %%
mask = causal_mask(6)
names = ["R0", "s0", "a0", "R1", "s1", "a1"]
for row in (1, 4):
    seen = [name for name, ok in zip(names, mask[row].tolist()) if ok]
    print(names[row], "sees", *seen)

# %% [markdown]
# ## The model
#
# Each kind has its own way into `dim` numbers. A learned *timestep embedding*,
# one vector for each step since the episode began, is added to all three tokens
# of the step. Then lesson 06's encoder with a causal mask. The baseline,
# **behaviour cloning**, is the same network with as many parameters, whose
# return tokens are empty.

# %%
session.set_seed(SEED)
model = rl.DecisionTransformer()
print(count_parameters(model), "parameters; reads", model.context, "steps,",
      3 * model.context, "tokens")
window = rl.window_batches(parts["good"], context=10)(0)
scores, _ = model(*window[:4])
print("scores", tuple(scores.shape), "for windows, steps, actions")

# %% [markdown]
# Does any decision see its own action, or what comes after it? Actions are
# whole numbers, and have no gradient. So change them, from step 4 on, and look
# which scores move.

# %%
changed = window.actions.clone()
changed[:, 4:] = 1 - changed[:, 4:]
again, _ = model(window.returns, window.states, changed, window.timesteps)
torch.testing.assert_close(again[:, :5], scores[:, :5])
moved = (again - scores).abs().amax(dim=(0, 2))  # (steps,)
print("steps 0 to 4 stay:", bool((moved[:5] < 1e-4).all()))
print("step 5 changes:   ", bool(moved[5] > 1e-3))

# %% [markdown]
# ## Training, offline
#
# A batch is 64 windows of ten steps. The first step of a window may be any step
# of any episode. The loss is the cross-entropy of the actions that were taken,
# good or bad. Nothing says "balance the pole". Every model of this lesson gets
# 1,000 batches.

# %%
def train(make, episodes, size=64, label="decision transformer", **options):
    session.set_seed(SEED)
    model = make(**options)
    training.fit(
        model, rl.action_loss,
        rl.window_batches(episodes, context=model.context, size=size,
                          seed=SEED),
        steps=1000 // (50 if session.quick() else 1), warmup=50, threads=1,
        label=label,
    )
    return model

# %% [markdown]
# About 20 seconds; on the CPU, as all of this lesson: the model is so small, and
# acts one step at a time, that a graphics card would mostly wait.

# %%
everything = rl.Episodes.join(list(parts.values()))
model = train(rl.DecisionTransformer, everything)

# %% [markdown]
# ## Asking
#
# To play, write the target return as the first token. After each step the
# reward received is taken off; below 1 it never goes. Ask for 5:

# %%
target, rewards = torch.tensor([5.0]), torch.ones(1, 7)
print(rl.remaining_return(target, rewards)[0].tolist())

# %% [markdown]
# Twenty episodes for each target, all at once. The action is *drawn* by its
# probability. **Predict** the curve: on the diagonal? And at 300 and 400, which
# hardly any episode had? And at 700, which the game does not give?

# %%
TARGETS = [25, 50, 100, 150, 200, 300, 400, 500, 700]


def ask(model, targets, count=20, **options):
    each = torch.tensor(targets).float().repeat_interleave(count)
    policy = rl.return_conditioned_policy(
        model, each, seed=SEED + 7, **options
    )
    played = rl.collect_episodes(
        policy, len(each), seed=5000 + SEED, label="asked"
    )
    parts = torch.arange(len(each)).split(count)  # rows of each target
    return [played.pick(rows) for rows in parts]


def got(played):
    return torch.stack([part.returns for part in played])

# %%
played = ask(model, TARGETS)
curve = got(played)
plotting.show(
    views.return_curve(TARGETS, {"got, drawn": curve},
                       title="One run: the mean return follows the target"),
    alt="Return got against target return, 20 episodes for each of nine "
    "targets, with intervals: the mean rises with the target, and is flat "
    "at the top, where the game ends.",
)

# %%
mean = dict(zip(TARGETS, curve.mean(dim=1).tolist()))
print("asked  25, got below 60:  ", mean[25] < 60)
print("asked 150, got 100 to 230:", 100 < mean[150] < 230)
print("asked 500, got above 380: ", mean[500] > 380)
steered = mean[25] < 60 and 100 < mean[150] < 230 and mean[500] > 380
assert session.quick() or steered

# %% [markdown]
# One network, and one number that chooses among its levels. That was one
# training. What do five say, each with records of its own?
# [E16.1](../experiments/results/16_reinforcement_learning.md#e161),
# [E16.2](../experiments/results/16_reinforcement_learning.md#e162),
# [E16.3](../experiments/results/16_reinforcement_learning.md#e163):

# %%
evidence.show("E16.1", "E16.2", "E16.3")

# %% [markdown]
# So the target steers, but not exactly: asked for 400 it gets more. It is
# tempting to say why: hardly any record has such a return. Keep that guess until
# another model has read the same records. And look at the dots: a mean hides
# that some games end early and others go on to 500.

# %% [markdown]
# ## Watch it
#
# Choose a target, press Play, or scrub through the steps. Each is the middle one
# of its twenty. **Find** what a cart does that was asked for 150: how does it
# end? And one that was asked for 25? (The next text has the answer.)

# %%
views.CartPlayer(
    views.films(TARGETS, played), number=3,
    alt="Four strips of five still pictures, of carts asked for 25, 100, 300 "
    "and 700: the first loses the pole soon, the next two end later and "
    "later, the last keeps the pole upright to the end of the game.",
)

# %% [markdown]
# Asked for 25 the pole falls, as the coin's did. Asked for 150 the cart drifts
# off the track, as the mediocre player's did. That film was one game; over
# five trainings (an interval widened for few seeds may pass 1), [E16.4](../experiments/results/16_reinforcement_learning.md#e164):

# %%
evidence.show("E16.4")

# %% [markdown]
# ## Against cloning
#
# *Behaviour cloning* does what the records did, and has no target. Is
# return conditioning worth anything? Three baselines on the same game:
#
# - **cloning, all**: the same network, its return tokens empty;
# - **cloning, best tenth** (*percentile behaviour cloning*, 10 %BC; Chen et al.,
#   2021, section 5.1): trained on the tenth of the episodes with the highest
#   returns;
# - **RvS**, *reinforcement learning via supervised learning* (Emmons et al.,
#   2022): two hidden layers see state and return-to-go. No attention, no past.

# %% [markdown]
# RvS gets 640 windows of one step a batch: about as many decisions. (In a first
# draft a model of one step got 64, a tenth, and we took its low return for a
# proof that looking back wins.) A clone copies its players' coins too; greedy,
# it may leave them out. So each plays both ways, 30 games each. **Predict** the
# order. About 40 seconds.

# %%
tenth = rl.top_fraction(everything, 0.1)
clone = {"return_conditioned": False, "label": "cloning"}
models = {
    "decision transformer": model,
    "cloning, all": train(rl.DecisionTransformer, everything, **clone),
    "cloning, best tenth": train(rl.DecisionTransformer, tenth, **clone),
    "RvS": train(rl.RvS, everything, size=640, label="RvS"),
}
full = {(name, how): got(ask(one, [500], 30, greedy=how == "greedy"))[0]
        for name, one in models.items() for how in ("drawn", "greedy")}

# %%
plotting.show(
    views.returns_table({", ".join(key): row for key, row in full.items()},
                        title="One run, target 500 (clones do not see it)"),
    alt="Mean return with interval and dots, 30 episodes each, drawn and "
    "greedy, for the decision transformer, the clones of all episodes and of "
    "the best tenth, and RvS.",
)

# %%
lead = {name: (full["decision transformer", "drawn"].mean()
               - full[name, "drawn"].mean()).item() for name in models}
print("cloning all, drawn, gets 100 less or worse:",
      lead["cloning, all"] >= 100)
assert session.quick() or lead["cloning, all"] >= 100

# %% [markdown]
# One run, one learning rate: no order of the models follows from it. So each
# chose between two rates, by other games, and played again with five seeds: other
# records, another training. **Predict:** how much of the lead is left when all
# play greedily?

# %%
arms = evidence.arms("16")
five = {}
for name in ("decision transformer", "cloning, all", "cloning, best tenth",
             "cloning, best 3 %"):
    for how, measure in (("drawn", ""), ("greedy", ", greedy")):
        five[f"{name}, {how}"] = torch.tensor(
            arms[name].means[f"return, asked for 500{measure}"])
plotting.show(
    views.returns_table(
        five, title="Target 500, five trainings: a clone of 3 % is level"),
    alt="Mean return over five trainings, each a dot, drawn and greedy. The "
    "decision transformer: above 490. Clones of all episodes: 87 and 147; of "
    "the best tenth: 323 and 360; of the best 3 %: 500 in every training.",
)

# %% [markdown]
# The rows: against a clone of all episodes, drawn
# ([E16.14](../experiments/results/16_reinforcement_learning.md#e1614)) and greedy
# ([E16.15](../experiments/results/16_reinforcement_learning.md#e1615)); against one of
# the best tenth ([E16.16](../experiments/results/16_reinforcement_learning.md#e1616),
# [E16.17](../experiments/results/16_reinforcement_learning.md#e1617)); and of the best
# 3 % ([E16.18](../experiments/results/16_reinforcement_learning.md#e1618)).

# %%
evidence.show(*(f"E16.{number}" for number in range(14, 19)))

# %% [markdown]
# The lead over the first two stays when all play greedily. But part of the first
# picture came of drawing: in each of the five trainings these two clones got
# more when greedy. A clone of everything mixes three players, and two thirds of
# the best tenth's *episodes* are mediocre, though more than half of its *steps*
# are good:

# %%
best_return = tenth.returns >= 450
print(f"best tenth: {len(tenth)} episodes, {int(best_return.sum())} good")
share = (tenth.lengths[best_return].sum() / tenth.lengths.sum()).item()
print("more than half of its steps are good:", share > 0.5)
assert 0.5 < share < 0.6

# %% [markdown]
# The best 3 % are good episodes only, and a clone of them is level (E16.18).
# (That a tenth holds others too is our choice: *we* made good episodes rare.)
# But one has to find that fraction, and a clone cannot be asked for a level. Chen
# et al. (2021, section 5.1) found that the best fraction, well chosen, can keep up
# with a decision transformer on several of their tasks.

# %% [markdown]
# ## What does attention over time add?
#
# The decision transformer attends to ten steps. To ask what that adds, change
# that alone: **one step**, the same network with a `context` of 1 and 640 windows
# a batch, so that it too learns from about as many decisions. RvS sees one step
# and has no attention. Each chose the better of two rates by other games.
# **Predict:** does the past help to reach 500? To hit the targets? To guess what
# a player does next?

# %%
WANTED = [25, 50, 150, 300, 400, 500]
LABELS = {"ten steps": "decision transformer",
          "one step": "decision transformer, one step", "RvS": "RvS"}
seeds = {
    label: torch.tensor([arms[name].means[f"return, asked for {target}"]
                         for target in WANTED])  # (targets, seeds)
    for label, name in LABELS.items()
}
miss = [f"{label} {sum(arms[name].means['miss']) / 5:.0f}"
        for label, name in LABELS.items()]
plotting.show(
    views.return_curve(WANTED, seeds, title="Mean miss: " + ", ".join(miss)),
    alt="Return got against six target returns, a dot for each of five seeds, "
    "for the decision transformer of ten steps, the one of one step, and RvS. "
    "All rise with the target.",
)

# %% [markdown]
# Ten steps against one, in the same network:
# [E16.19](../experiments/results/16_reinforcement_learning.md#e1619) (to reach 500),
# [E16.20](../experiments/results/16_reinforcement_learning.md#e1620) (to hit targets),
# [E16.21](../experiments/results/16_reinforcement_learning.md#e1621) (to guess what comes
# next).

# %%
evidence.show("E16.19", "E16.20", "E16.21")

# %% [markdown]
# At 500 the two are level (E16.19). The other two questions are *undecided*: if
# ten steps help to hit targets or to guess the player, then by less than five
# trainings can show; the estimate of E16.20 even lies on the side of one step.
# So looking back is not shown to add anything here. (One thing changed with the
# context: 640 steps are drawn singly, and not ten in a row.)

# %% [markdown]
# And RvS, which has no attention at all:
# [E16.5](../experiments/results/16_reinforcement_learning.md#e165),
# [E16.6](../experiments/results/16_reinforcement_learning.md#e166),
# [E16.7](../experiments/results/16_reinforcement_learning.md#e167),
# [E16.22](../experiments/results/16_reinforcement_learning.md#e1622). And what would the
# first draft have found, with a tenth of the decisions?
# [E16.23](../experiments/results/16_reinforcement_learning.md#e1623).

# %%
evidence.show("E16.5", "E16.6", "E16.7", "E16.22", "E16.23")

# %% [markdown]
# RvS is level at 500, where the game ends, misses the targets by less (E16.6 fell,
# the other way round), and predicts the player with a lower loss, though it sees
# one step. So the gap in the records alone does not explain what happened at
# 400: RvS saw the same gap. Nor is it only the past: a Transformer of one step
# misses by more, too (E16.22). What it is we did not vary.
#
# And the first draft? A tenth of the decisions costs much of the return (E16.23):
# its "proof" had compared unequal training.

# %% [markdown]
# Two things stay open: 1,000 batches may be too few for a Transformer, and each
# chose between two rates only, so every best rate is an edge.

# %% [markdown]
# Emmons et al. (2022) found something like it: a network of two layers, given
# the outcome wanted and no history, was competitive with Transformers in every
# suite of tasks that they tried. In Atari games a context of one step did worse
# (Chen et al., 2021, section 5.3); their guess: the past shows which policy is
# playing.

# %% [markdown]
# ## Drawn or greedy?
#
# We drew actions by probability. Taking the likelier one always is *greedy*.
# **Predict:** what changes for a target of 50, which only a coin-tosser had?

# %%
FEW = [25, 50, 100, 200, 500]
both = {"drawn": curve[[TARGETS.index(target) for target in FEW]],
        "greedy": got(ask(model, FEW, greedy=True))}
plotting.show(
    views.return_curve(FEW, both, title="One run: both rise with the target"),
    alt="Return got against target return for five targets, drawn and greedy: "
    "both curves rise with the target.",
)

# %%
ends = both["greedy"][[0, -1]].mean(dim=1).tolist()
print("greedy: asked 25, got below 100; asked 500, got above 380:",
      ends[0] < 100 and ends[1] > 380)
assert session.quick() or (ends[0] < 100 and ends[1] > 380)

# %% [markdown]
# A fair coin has no likelier action; what the model takes for one is chance, or
# a bit of another player. So we guess that a greedy game lasts longer. Over
# five seeds it does; why, was not tested: [E16.8](../experiments/results/16_reinforcement_learning.md#e168):

# %%
evidence.show("E16.8")

# %% [markdown]
# ## What does it look at?
#
# Carts asked for 150, at step 30. The weights of the deciding state token, by
# how many steps back and by kind, averaged over heads and episodes:

# %%
part = played[TARGETS.index(150)]
rows = part.lengths.topk(10).indices  # the ten longest
assert session.quick() or part.lengths[rows].min() > 30
starts = torch.full_like(rows, 30 - model.context + 1)
window = rl.cut_windows(part, rows, starts, model.context)
target = 150.0 - window.timesteps  # what was still to come
with torch.no_grad():
    _, weights = model(target, *window[1:4], need_weights=True)
kinds = rl.attention_by_kind(weights)
behind = kinds[1:].sum().item()
plotting.show(
    views.kinds_by_step(kinds, title=f"One run: {behind:.0%} of the weight "
                        "lies on earlier steps"),
    alt="Stacked bars of attention weight for ten steps back, each divided "
    "into return, state and action; a dotted line where all would be alike.",
)

# %%
torch.testing.assert_close(kinds.sum(), torch.tensor(1.0))
print("more than half of the weight lies on earlier steps:", behind > 0.5)
assert session.quick() or behind > 0.5

# %% [markdown]
# Nearly flat over steps, as a mean of both heads (one run). Equal weights would put
# 27 of 29 parts on earlier steps, so E16.9 is no surprise. Over five seeds, on
# records that nobody trained on,
# [E16.9](../experiments/results/16_reinforcement_learning.md#e169) and
# [E16.10](../experiments/results/16_reinforcement_learning.md#e1610):

# %%
evidence.show("E16.9", "E16.10")

# %% [markdown]
# Why could looking back help at all, if the state says everything about cart
# and pole? It does not say **who plays**: the mediocre player's lean is hidden.
# We had expected lower losses for ten steps therefore. E16.21 is undecided, and
# RvS, which sees one step, has the lower loss (E16.7). To look at ten steps is not
# yet to make use of them.

# %% [markdown]
# Weights alone prove little (lesson 08). So hide a kind of token from all
# others while playing. **Predict:** which kind can the target not do without?

# %%
ENDS = [25, 500]
hidden = {"nothing": curve[[TARGETS.index(target) for target in ENDS]]}
for kind in rl.TOKEN_KINDS:
    hidden[kind] = got(ask(model, ENDS, hide=[kind]))
table = {f"{kind} hidden, asked {target}": row
         for kind, rows in hidden.items() for target, row in zip(ENDS, rows)}
plotting.show(
    views.returns_table(table, title="One run: hidden returns, hidden target"),
    alt="Mean return with intervals for targets 25 and 500, with nothing, the "
    "returns, the states or the actions hidden. Without returns both targets "
    "get about the same.",
)

# %%
reach = {kind: (rows[1].mean() - rows[0].mean()).item()
         for kind, rows in hidden.items()}
print("500 gets 300 more than 25, nothing hidden:", reach["nothing"] > 300)
print("less than 150 more, returns hidden:       ", reach["return"] < 150)
assert session.quick() or (
    reach["nothing"] > 300 and reach["return"] < 150)

# %% [markdown]
# Without returns the target *cannot* be known: nothing else carries it. So that
# is no finding, it is how the model is built; what is left is chance. Whether
# states and actions of earlier steps are needed is a question.
# [E16.11](../experiments/results/16_reinforcement_learning.md#e1611) and
# [E16.12](../experiments/results/16_reinforcement_learning.md#e1612):

# %%
evidence.show("E16.11", "E16.12")

# %% [markdown]
# **But** the model was never trained with hidden tokens: this too is *out of
# distribution*, unlike anything it has seen. What is lost may come from the
# strangeness and not from what the tokens said; with the states hidden it
# differed so much from training to training that E16.12 is undecided. To learn
# what states are worth, one trains without them.

# %% [markdown]
# ## Asking for what nobody had
#
# Train again, **without** the good player: 500 is then out of distribution too,
# beyond anything in the data. **Predict:** what do you get when you ask for 500,
# or for 1,000? About 20 seconds.

# %%
without = rl.Episodes.join([parts["random"], parts["mediocre"]])
poor = train(rl.DecisionTransformer, without)
BEYOND = [25, 100, 150, 200, 300, 500, 1000]
poor_curve = got(ask(poor, BEYOND))
best = without.returns.max().item()
plotting.show(
    views.return_curve(BEYOND, {"no good player seen": poor_curve}, best=best,
                       title=f"One run: the best it ever saw was {best:.0f}"),
    alt="Return got against target return by a model that saw no good player, "
    "with dots for episodes and a line at the best return it ever saw.",
)

# %%
low = dict(zip(BEYOND, poor_curve.mean(dim=1).tolist()))
print("no episode reached 500:     ", best < 500)
print("asked   25, got below 60:   ", low[25] < 60)
assert session.quick() or best < 500 and low[25] < 60

# %% [markdown]
# Look at the dots above the dotted line: games that lasted longer than any that
# the model had read. That was one training. In five, each with its own records:

# %%
poor_five = arms["decision transformer, no good player seen"].means
beyond = {
    f"asked for {target:,}":
    (range(5), poor_five[f"beats the best seen, asked for {target}"])
    for target in (500, 1000)
}
figure = plotting.curves(
    beyond, xlabel="training seed", ylabel="share beyond the best seen",
    title="Beyond the best seen: none to all of 20 games, by training",
)
figure.axes[0].set(xticks=range(5), ylim=(-0.03, 1.03))
plotting.show(figure, alt="Share of 20 games that last longer than any that "
              "training held, for five training seeds: asked for 500 from 0.1 "
              "to 1, asked for 1,000 from 0 to 1.")

# %% [markdown]
# [E16.24](../experiments/results/16_reinforcement_learning.md#e1624),
# [E16.25](../experiments/results/16_reinforcement_learning.md#e1625),
# [E16.26](../experiments/results/16_reinforcement_learning.md#e1626):

# %%
evidence.show("E16.24", "E16.25", "E16.26")

# %% [markdown]
# Asked for 500, more than one game in twenty goes beyond the data (E16.24: *no*):
# few in one training, all in another. At 1,000 it is *undecided*. Still the model
# that saw the good player gets more (E16.26). Chen et al. (2021, section 5.2)
# found that a target beyond the data sometimes brought more than any record had,
# on some tasks.

# %% [markdown]
# So do not believe the neat sentence "it cannot go beyond its data", which stood
# here once, beside a figure that showed otherwise; nor its opposite. A
# return-to-go of 1,000 is a number that the model never saw. Brandfonbrener
# et al. (2022) say when such conditioning can be *relied* upon: the wanted
# return must occur in the data, and the game be nearly deterministic.

# %% [markdown]
# ## Summary
#
# - Acting can be **continuing a text**: return-to-go, state, action, under a
#   causal mask. The return is written before the action.
# - One network plays at many levels; the target return chooses.
# - Attention over time was not needed: one step is level with ten at 500
#   (E16.19), and RvS, two layers with a target return and no past, missed by less
#   (E16.6).
# - A clone cannot be asked for a level. But try the best fraction first: here 3 %
#   were enough for 500 (E16.18).
# - Weights say where a model looks, not what it needs.
# - Beyond the data five trainings disagree: few games got there in one, all in
#   another (E16.24).

# %% [markdown]
# ## Exercises
#
# Exercises 1 to 4 have a stub, a check that says at once what is wrong, a hint
# and a folded solution; exercise 5 is an experiment of your own.
# Starting here? First choose *Run → Run All Above Selected Cell*.

# %% [markdown]
# ### Exercise 1: on paper (5 min, easy)
#
# The rewards are 2, 0, 3 and 1. What are the four returns-to-go?

# %%
to_go = ...

checks.reinforcement_learning.paper(to_go)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Begin at the end. Each step adds its own reward to what follows.
#
# </details>

# %% tags=["solution"]
# Solution
to_go = [2 + 0 + 3 + 1, 0 + 3 + 1, 3 + 1, 1]
print(to_go)
checks.reinforcement_learning.paper(to_go)

# %% [markdown]
# ### Exercise 2: which token? (5 min, easy)
#
# Count from 0. Which number has the token of the **state** of step 7, and how
# many tokens does it see, itself included? Give both numbers.

# %%
number_and_seen = ...

checks.reinforcement_learning.token(number_and_seen)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Seven whole steps stand before step 7, of three tokens each. Within a step the
# state is the second.
#
# </details>

# %% tags=["solution"]
# Solution
number_and_seen = [3 * 7 + 1, 3 * 7 + 2]
print(number_and_seen)
checks.reinforcement_learning.token(number_and_seen)

# %% [markdown]
# ### Exercise 3: returns-to-go of padded episodes (10 min, medium)
#
# `rewards` (batch, steps), `lengths` (batch,). What stands after an episode's
# end is nonsense: it must count nowhere, and the returns-to-go there are 0. Do
# not call the module.

# %%
def my_returns(rewards, lengths):
    ...


checks.reinforcement_learning.returns(my_returns)

# %% [markdown]
# <details><summary>Hint</summary>
#
# First set the nonsense to 0: `torch.arange(steps) < lengths[:, None]` is True
# where it is real. Then a running sum from the right: `flip`, `cumsum`, `flip`,
# or the triangle.
#
# </details>

# %% tags=["solution"]
# Solution
def my_returns(rewards, lengths):
    steps = rewards.shape[1]
    real = torch.arange(steps) < lengths[:, None]  # (batch, steps)
    # The rows stand on the left: the other triangle (j, t), of j >= t.
    triangle = torch.ones(steps, steps, dtype=rewards.dtype).tril()
    return torch.where(real, rewards, 0.0) @ triangle


checks.reinforcement_learning.returns(my_returns)

# %% [markdown]
# ### Exercise 4: weave the tokens (10 min, medium)
#
# `returns`, `states` and `actions`, each (batch, steps, dim). Give the row R0
# s0 a0 R1 s1 a1 ..., of shape (batch, 3 * steps, dim).

# %%
def my_tokens(returns, states, actions):
    ...


checks.reinforcement_learning.weave(my_tokens)

# %% [markdown]
# <details><summary>Hint</summary>
#
# A new dimension between steps and dim: `torch.stack(..., dim=2)`. Then steps
# and that dimension become one.
#
# </details>

# %% tags=["solution"]
# Solution
def my_tokens(returns, states, actions):
    batch, steps, dim = returns.shape
    woven = torch.stack([returns, states, actions], dim=2)
    return woven.reshape(batch, 3 * steps, dim)


checks.reinforcement_learning.weave(my_tokens)

# %% [markdown]
# ### Exercise 5: change your mind (20 min, hard)
#
# Ask for 500 for 150 steps, then say: end it, now. A policy is a function of
# `so_far, rows, step`, so one can switch between two. Predict first: does it
# obey at once? Then vary the moment, and explain in three sentences.

# %% [markdown]
# <details><summary>Hint</summary>
#
# Make two policies with `rl.return_conditioned_policy`, asked for 500 and for
# 160. The second has 10 left at step 150. Play with a function that calls the
# one or the other.
#
# </details>

# %% tags=["solution"]
# Solution
long, short = (
    rl.return_conditioned_policy(model, torch.full((20,), x), seed=seed)
    for x, seed in ((500.0, SEED), (160.0, SEED + 1))
)


def change(so_far, rows, step):
    return (long if step < 150 else short)(so_far, rows, step)


ended = rl.collect_episodes(change, 20, seed=900 + SEED, label="changed")
late = ended.returns.mean().item() - 160
print("ends more than 5 steps late, on average:", late > 5)
assert session.quick() or late > 5

# %% [markdown]
# <details><summary>Answer</summary>
#
# It ends, but late; [E16.13](../experiments/results/16_reinforcement_learning.md#e1613)
# says how late over five seeds. Our reading, which we did not test: so late, a
# record whose cart stands upright in the middle goes on for long, so target and
# state do not fit, as above with 500. To test it, choose the moment
# by the state: switch when the pole already leans.
#
# </details>

# %%
evidence.show("E16.13")

# %% [markdown]
# ## Test yourself
#
# Choose an answer, then open it: each says why it is right or not.
#
# ### Question 1: why does the return-to-go stand before the action?
#
# <details><summary>A. So that the decision can see the target</summary>
#
# Yes. The mask is causal: what comes after the state token does not exist for
# it.
#
# </details>
# <details><summary>B. Because rewards come before actions in the game</summary>
#
# No. A reward follows its action; the return-to-go is a target, or hindsight.
#
# </details>
# <details><summary>C. Any order would do</summary>
#
# No. Behind the state, the target would be hidden from this step's decision.
#
# </details>

# %% [markdown]
# ### Question 2: a model asked for 900 gets 500 in CartPole. Has it failed?
#
# <details><summary>A. Yes, it got less than was asked</summary>
#
# The game ends at 500: nobody can get more.
#
# </details>
# <details><summary>B. No, but it also shows nothing about 900</summary>
#
# Right. It played as well as the game allows; what it makes of 900 we cannot
# see.
#
# </details>
# <details><summary>C. No, it has learned to plan for 900</summary>
#
# It never saw that number, and nothing here shows a plan.
#
# </details>

# %% [markdown]
# ### Question 3: of your episodes 60 % are good. What do you try first?
#
# <details><summary>A. A decision transformer, asked for much</summary>
#
# Perhaps later. There is a simpler baseline that must be beaten first.
#
# </details>
# <details><summary>B. Cloning the best half</summary>
#
# Yes: simple, and all that it copies is good. For levels between, see A.
#
# </details>
# <details><summary>C. Cloning everything</summary>
#
# It would mix in the 40 % that are not good; sorting them out is free.
#
# </details>

# %% [markdown]
# ## Next
#
# This was the last lesson: you came from one dot product to a model that acts.
# Go back to 00_start_here for the map, and build something of your own.
#
# To read: Chen et al. (2021), "Decision Transformer: reinforcement learning via
# sequence modeling"; Brandfonbrener et al. (2022), "When does
# return-conditioned supervised learning work for offline reinforcement
# learning?"; Emmons et al. (2022), "RvS: what is essential for offline RL via
# supervised learning?"

# %% [markdown] tags=["navigation"]
# [← 15 recommendation](15_recommendation.ipynb) ·
# [The map](00_start_here.ipynb)
