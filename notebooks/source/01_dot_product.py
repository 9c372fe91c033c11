# %% [markdown]
# # How can a program look something up *softly*?
#
# *The animal did not cross the street because it was tired.* What is *it*? A
# dictionary gives one answer or none. Attention gives a little of every answer,
# most of the one that fits best.
#
# **You will be able to**
# - work out attention for one query and two keys with a pocket calculator;
# - say what query, key, value, *score* and *weight* mean;
# - write it as a loop, as a matrix product, as a function;
# - let the words of a sentence look each other up;
# - sharpen or soften the lookup with a temperature.
#
# **Minutes:** 85. **Needs:** lesson 00; Python lists; vectors and matrix
# products.

# %% [markdown] tags=["navigation"]
# [← 00 start here](00_start_here.ipynb) ·
# [The map](00_start_here.ipynb) ·
# [02 scaled dot product →](02_scaled_dot_product.ipynb)

# %%
import math

import torch

from attn_course import checks, plotting, session

session.start(0)

# %% [markdown]
# ## A word that needs another
#
# You read *it*, looked among the other words, and found *animal*. Had the
# sentence ended in *wide*, you would have found *street* (both sentences
# after Uszkoreit 2017).
#
# A program that reads has a list of numbers for each word, a **vector**. The
# vector that stands for *it* is the same in both sentences, so it cannot say
# what is meant. It must fetch that from other words: from which, and how much
# of each? That is a lookup. We build it with numbers for paper, and then come
# back to this sentence.

# %% [markdown]
# ## A lookup that fails
#
# A dictionary compares the key you ask for with the keys it holds. Either two
# keys are *equal*, or there is nothing.
#
# **Predict:** what does the next cell print for `"grey"`?

# %%
paint = {"black": 0.0, "white": 1.0}
print("black:", paint.get("black"))
print("grey: ", paint.get("grey"))

# %% [markdown]
# Nothing, although grey lies between black and white. A person would answer
# "about 0.5", because *grey is similar to both*.
#
# So let us replace "equal" by "how similar?", and "take that value" by "take
# some of every value". That is the whole idea of attention.

# %% [markdown]
# ## The hand example
#
# One **query**: what we look for. Two **keys**: what things are filed under.
# Two **values**: what is filed there. All are vectors of two numbers.
#
# These numbers come back in every lesson up to 04.

# %%
query = [1.0, 0.0]
keys = [[1.0, 1.0], [0.0, 1.0]]
values = [[1.0, 2.0], [3.0, 4.0]]

# %% [markdown]
# Who makes these vectors? Here, we write them. In a model all three are made
# *from the words*: each word's vector is multiplied by three matrices. The first
# gives its query (what does this word look for?), the second its key (by what
# can it be found?), the third its value (what does it hand over?). The matrices
# are learned from examples; lesson 03 builds them.
#
# Key and value are two things, as with a library book: it is found by its
# title, and what you take home is its text.

# %% [markdown]
# ### Step 1: how similar? The score
#
# The **dot product** multiplies two vectors number by number, and adds up:
#
# $$\text{score}_j = \text{query} \cdot \text{key}_j
# = \sum_c \text{query}_c \, \text{key}_{j,c}$$
#
# Here j numbers the keys, c the numbers inside a vector, and $\sum_c$ adds up
# over all c. Code counts from 0: $\text{key}_{2,1}$ is `keys[1][0]`.
#
# The score is large when both point the same way, 0 when they stand at a right
# angle, negative when they are further apart than that. It grows with their
# lengths too: a key twice as long scores twice as much.

# %%
score_1 = query[0] * keys[0][0] + query[1] * keys[0][1]
score_2 = query[0] * keys[1][0] + query[1] * keys[1][1]
print("scores:", score_1, score_2)

# %% [markdown]
# The query fits key 1 with score 1. It stands at a right angle to key 2, and
# fits it with score 0.
#
# **Predict:** a score of 0 sounds like "no match". Will key 2's value get no
# say at all?

# %% [markdown]
# ### Step 2: from scores to weights, by softmax
#
# **Weights** have to be positive and share 1 between them. Scores may be
# negative and add up to anything, so we cannot just divide by their sum. But
# $e^x$ is always positive, and grows with x (e = 2.71828...). Raise e to each
# score, *then* divide by the sum:
#
# $$\text{weight}_j = \frac{e^{\text{score}_j}}{\sum_i e^{\text{score}_i}}$$
#
# (i runs over all keys, as j does; it needs a letter of its own.) Why e? Squares
# would not do: a score of -3 would get more than 2. Powers of 2 would, and e is
# easiest to calculate with.

# %%
power_1, power_2 = math.exp(score_1), math.exp(score_2)
weight_1 = power_1 / (power_1 + power_2)
weight_2 = power_2 / (power_1 + power_2)
print(f"powers:  {power_1:.4f} {power_2:.4f}")
print(f"weights: {weight_1:.4f} {weight_2:.4f}")

# %% [markdown]
# Key 2 keeps 0.2689: $e^x$ is never 0, so on paper no key gets weight 0. (A
# computer rounds: with scores of 0 and -800 it prints a weight of exactly 0.)
# Here $0.7311 = e / (e + 1)$.
#
# And only *differences* of scores count. Scores of 6 and 5 would give the same
# weights as 1 and 0: numerator and denominator both become $e^5$ times as
# large.

# %% [markdown]
# ### Step 3: mix the values
#
# The **output** takes each value by its weight, and adds:
#
# $$\text{output} = \sum_j \text{weight}_j \, \text{value}_j$$

# %%
output_hand = [
    weight_1 * values[0][0] + weight_2 * values[1][0],
    weight_1 * values[0][1] + weight_2 * values[1][1],
]
print([round(number, 4) for number in output_hand])
assert [round(number, 4) for number in output_hand] == [1.5379, 2.5379]

# %% [markdown]
# [1.5379, 2.5379] lies between [1, 2] and [3, 4], nearer to the first. Each
# part of the output is one weighted average, with the same two weights.
#
# Here is the whole road in one picture.
#
# ![Flow of attention: the query [1, 0] is compared by dot product with the
# keys [1, 1] and [0, 1], which gives the scores 1 and 0; softmax turns them
# into the weights 0.7311 and 0.2689; these multiply the values [1, 2] and
# [3, 4], and the weighted sum is the output
# [1.5379, 2.5379].](../figures/attention_flow.svg)

# %% [markdown]
# ## Move the query
#
# Drag the query in the plane (or press Tab to reach it, then the arrow
# keys). **Predict first:** where must it point so that key 2 wins? Can you
# reach an output of exactly [3, 4]?

# %%
from attn_course.widgets.dot_product import QueryPlane

QueryPlane(query, keys, values)

# %% [markdown]
# Key 2 wins when the query points left: both keys have the same upward part,
# so only the left-right part decides. The further left, the nearer to
# [3, 4]: about [2.85, 3.85] at the edge of the plane. It never arrives, since
# key 1 always keeps some weight.

# %% [markdown]
# ## The same in a loop
#
# By hand we wrote each product out. A loop does it for any number of keys
# and any size, and reads almost like the three formulas above.

# %%
def attend_loop(query, keys, values):
    scores = [sum(q * k for q, k in zip(query, key)) for key in keys]
    powers = [math.exp(score) for score in scores]
    weights = [power / sum(powers) for power in powers]
    return [
        sum(w * value[c] for w, value in zip(weights, values))
        for c in range(len(values[0]))
    ]


output_loop = attend_loop(query, keys, values)
print([round(number, 4) for number in output_loop])
torch.testing.assert_close(output_loop, output_hand)  # stops if they differ

# %% [markdown]
# ## The same as matrix products
#
# Put one query per row, one key per row, one value per row. Then all scores
# are one matrix product, and so is all mixing:
#
# | name | shape | here |
# |---|---|---|
# | query | (q, d) | (1, 2) |
# | key | (k, d) | (2, 2) |
# | value | (k, v) | (2, 2) |
# | scores, weights | (q, k) | (1, 2) |
# | output | (q, v) | (1, 2) |

# %%
Q = torch.tensor([query], dtype=torch.float64)  # (q, d)
K = torch.tensor(keys, dtype=torch.float64)  # (k, d)
V = torch.tensor(values, dtype=torch.float64)  # (k, v)
scores = Q @ K.T  # (q, d) @ (d, k) = (q, k)
weights = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)
output = weights @ V  # (q, k) @ (k, v) = (q, v)
print("weights:", weights)
print("output: ", output)

# %% [markdown]
# `[query]` in double brackets is a matrix with one row, (1, 2). `K.T` turns
# keys into columns, so that row times column is query times key. `dim=-1` (the
# last dimension) sums along a row: *each query shares 1 among its keys*.
# `keepdim=True` keeps the sums as a column, (q, 1), which broadcasting (lesson
# 00) stretches over the row: each row is divided by its own sum. `float64` are
# the numbers that Python uses too.
#
# Is it the loop's output? `assert_close` stops the notebook if not.

# %%
from_loop = torch.tensor([output_loop], dtype=torch.float64)
torch.testing.assert_close(output, from_loop)
print("matrix = loop")

# %% [markdown]
# For `float64`, `assert_close` allows a difference in the seventh digit, no
# more: computers round, and may add in another order. Something that is a
# thousandth off does not pass:

# %%
try:
    torch.testing.assert_close(output + 0.001, from_loop)
except AssertionError:
    print("0.001 too much is refused")

# %% [markdown]
# ## The same as a function
#
# Three lines, given a name:

# %%
def attend(query, key, value):
    scores = query @ key.T  # (q, k)
    weights = torch.softmax(scores, dim=-1)  # (q, k)
    return weights @ value, weights  # (q, v), (q, k)


output_function, _ = attend(Q, K, V)
torch.testing.assert_close(output_function, output)
print("function = matrix:", output_function)

# %% [markdown]
# (`_` takes what is not needed: here the weights.) The package of this course
# keeps the same function, with a temperature (see below) and with refusals for
# shapes that do not fit. torch has it under a long name; `scale=1` switches off
# a scaling that is lesson 02's story.

# %%
from attn_course.dot_product import dot_product_attention

output_module, _ = dot_product_attention(Q, K, V)
output_torch = torch.nn.functional.scaled_dot_product_attention(
    Q, K, V, scale=1.0
)
torch.testing.assert_close(output_module, output_function)
torch.testing.assert_close(output_torch, output_function)
print("module = torch = function")

# %% [markdown]
# ## Several queries at once
#
# Nothing in the function says that there is one query. **Predict** for the
# queries [1, 0], [0, 1] and [-1, 0]: which one shares its weight evenly?
# (`.double()` makes float64 numbers of others.)

# %%
three = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
_, weights_three = dot_product_attention(three.double(), K, V)
print(weights_three)

# %%
plotting.show(
    plotting.weights_heatmap(
        weights_three,
        ["[1, 0]", "[0, 1]", "[-1, 0]"],
        ["[1, 1]", "[0, 1]"],
        title="The query [0, 1] fits both keys alike",
    ),
    alt="Heat map of weights, queries on rows and keys on columns: query "
    "[1, 0] gives 0.73 and 0.27, query [0, 1] gives 0.50 twice, query "
    "[-1, 0] gives 0.27 and 0.73.",
)

# %% [markdown]
# The middle one: its scores are 1 and 1. Look at the layout, because every
# picture of attention in this course has it. Each **row is one query** and
# sums to 1; each column is one key.
#
# And that query is our grey, alike to both keys. With the paint box as values,
# black 0 and white 1 (`.item()` is the one number in a tensor):

# %%
grey, _ = dot_product_attention(
    torch.tensor([[0.0, 1.0]]).double(),
    K,
    torch.tensor([[paint["black"]], [paint["white"]]]).double(),
)
print("grey:", grey.item())

# %% [markdown]
# ## Back to the sentence
#
# Now eleven words. Five numbers for each, written by hand: is it a *thing*, is
# it *alive*, does it *stand for* another word, is it something one *does*, or
# *how* one is? The little words get zeros.

# %%
words = "The animal did not cross the street because it was tired".split()
numbers = {  # thing, alive, stands for, does, how
    "animal": [1, 1, 0, 0, 0],
    "street": [1, 0, 0, 0, 0],
    "it": [0, 0, 1, 0, 0],
    "cross": [0, 0, 0, 1, 0],
    "tired": [0, 0, 0, 0, 1],
}
X = torch.tensor([numbers.get(w, [0] * 5) for w in words]).double()
print("words, numbers of each:", tuple(X.shape))

# %% [markdown]
# One matrix makes queries of them: *it* looks for a thing (2) that is alive
# (2), *cross* for things (3), *tired* for something alive (3); the numbers in
# brackets are how much, and stand in the matrix. Another makes
# keys: a word is found by whether it is a thing, and alive. The values are the
# words' own numbers. **Predict:** at which words will *it* look, and at which
# will *cross*?

# %%
W_query = torch.tensor([[0, 0], [0, 0], [2, 2], [3, 0], [0, 3]]).double()
W_key = torch.tensor([[1, 0], [0, 1], [0, 0], [0, 0], [0, 0]]).double()
new, weights_words = dot_product_attention(X @ W_query, X @ W_key, X)
it = words.index("it")
for word in ("animal", "street", "tired"):
    print(f"it -> {word:6} {weights_words[it, words.index(word)]:.2f}")

# %%
plotting.show(
    plotting.weights_heatmap(
        weights_words, words, words,
        title='"it" looks most at "animal"',
    ),
    alt="Heat map of weights, the eleven words of the sentence as queries on "
    "rows and as keys on columns. Row it: 0.77 on animal, 0.10 on street. "
    "Row cross: 0.41 on animal and on street. Row tired: 0.67 on animal. "
    "All other rows are even.",
)

# %% [markdown]
# One matrix, queries by keys: who looks at whom. A word with query [0, 0] looks
# at all alike.
#
# And what has *it* got from that?

# %%
print("it, before:", X[it])
print("it, after: ", new[it])

# %% [markdown]
# The output is the word *changed*: *it* has become mostly a living thing. That
# is what attention does to a sentence.
#
# What is missing? With *wide* for *tired*, our *it* would still find the
# animal: its query does not know the last word. In a model *it* can first fetch
# that word, and then ask again, in a second layer (lesson 06). And there the
# matrices are learned, so that nobody has to know what to look for.

# %% [markdown]
# ## Temperature: how soft is soft?
#
# Divide the scores by a **temperature** T before the softmax. **Predict:**
# what happens to the weights 0.7311 and 0.2689 when T is very small? Very
# large?

# %%
for temperature in (0.1, 0.5, 1.0, 2.0, 10.0):
    output, weights = dot_product_attention(Q, K, V, temperature)
    first, second = weights[0].tolist()
    print(f"T = {temperature:4}: weights {first:.5f} {second:.5f}")

# %% [markdown]
# Cold is sharp: at T = 0.1 nearly all weight lies on key 1. That is almost a
# dictionary again, but one that always answers, with the best key. Hot is
# even: at T = 10 every key gets almost the same. So temperature is a *dial*
# between "pick one" and "average all".

# %%
import ipywidgets


def weights_at(temperature, gap):
    scores = torch.tensor([[gap, 0.0]], dtype=torch.float64)
    return torch.softmax(scores / temperature, dim=-1)


def draw(temperature, gap):
    return plotting.weights_heatmap(
        weights_at(temperature, gap),
        ["query"],
        ["key 1", "key 2"],
        title=f"Scores {gap:.1f} and 0 at T = {temperature:.1f}",
    )


def say(temperature, gap):
    first, second = weights_at(temperature, gap)[0].tolist()
    return f"The weights of key 1 and key 2 are {first:.4f} and {second:.4f}."

# %% [markdown]
# Two sliders: the temperature, and the gap between the two scores. **Find**
# two different settings with the same weights. What do they share?

# %%
from attn_course.widgets import explore

explore(
    draw,
    say,
    temperature=ipywidgets.FloatSlider(
        value=1.0, min=0.1, max=10.0, step=0.1, description="temperature"
    ),
    gap=ipywidgets.FloatSlider(
        value=1.0, min=-5.0, max=5.0, step=0.1, description="score gap"
    ),
)

# %% [markdown]
# The ratio gap / T. Doubling both changes nothing:
# $e^{2 / 2} = e^{1 / 1}$. Keep this in mind for lesson 02, where scores grow
# by themselves, as if somebody had turned the temperature down.

# %% [markdown]
# ## An old idea: predict from your neighbours
#
# Soft lookup is fifty years older than attention. Nadaraya and, independently,
# Watson (both 1964) predicted a curve at a new point as the weighted average
# of the measurements, near ones counting most: a *kernel regression* (the
# *kernel* says how much a distance counts). Query: the new point. Keys: where
# we measured. Values: what we measured. (`linspace(0, 6, 25)`: 25 points from 0
# to 6, evenly spaced.)

# %%
key_x = torch.linspace(0, 6, 25, dtype=torch.float64)
noise = 0.25 * torch.randn(25, dtype=torch.float64)
value_y = torch.sin(key_x) + noise
query_x = torch.linspace(0, 6, 121, dtype=torch.float64)

# %% [markdown]
# Only the score is new; softmax and weighted sum stay:
#
# $$\text{score} = -\frac{(\text{query} - \text{key})^2}{2 \, \text{width}^2}$$
#
# **Predict:** which of the widths 0.05, 0.5 and 5 comes nearest to the true
# curve, the sine? (Measured by the *root mean square error*: square the errors,
# take their mean, then the root.)

# %%
from attn_course.dot_product import kernel_regression

fits, error = {}, {}
for width in (0.05, 0.5, 5.0):
    predicted, near = kernel_regression(query_x, key_x, value_y, width)
    fits[f"width {width}"] = (query_x, predicted)
    error[width] = (predicted - torch.sin(query_x)).pow(2).mean().sqrt()
    print(f"width {width}: root mean square error {error[width]:.3f}")
assert error[0.5] < error[0.05] < error[5.0]

# %%
figure = plotting.curves(
    fits, xlabel="x", ylabel="y", title="Too sharp, about right, too soft"
)
axes = figure.axes[0]
axes.plot(query_x, torch.sin(query_x), color="0.75", lw=4, zorder=0)
axes.plot(key_x, value_y, "k.", label="measured (true curve: grey)")
axes.legend(ncols=2, fontsize=8)
plotting.show(
    figure,
    alt="25 noisy measurements of a sine and three predictions: width 0.05 "
    "jumps from point to point, width 0.5 follows the sine but flattens its "
    "peaks, width 5 is almost a flat line.",
)

# %% [markdown]
# That was one draw of the noise. Such an order is luck until it is seen again:
# the claims of this course that compare are run with several seeds and have a
# row, or the text calls them *one run*. Here are
# [E01.1](../experiments/results/01_dot_product.md#e011) and
# [E01.2](../experiments/results/01_dot_product.md#e012), over fifty draws. In
# brackets is the interval in which the true difference lies, 19 times in 20.

# %%
from attn_course import evidence

evidence.show("E01.1", "E01.2")

# %% [markdown]
# Of three widths the middle one is best; that it is the best of all is not said.
# The squared width is the temperature again: too sharp repeats the noise, too
# soft forgets the place. In attention, *what near means* and *how sharp to be*
# lie in the queries and keys, and are learned.
#
# Is the function right? A loop over the formula says so.

# %%
def regression_loop(x, width):
    powers = [math.exp(-((x - k) ** 2) / (2 * width**2)) for k in key_x]
    return sum(p * v for p, v in zip(powers, value_y)) / sum(powers)


loop = torch.stack([regression_loop(x, 0.5) for x in query_x])
torch.testing.assert_close(loop, fits["width 0.5"][1])
print("loop = function at all", len(loop), "points")

# %% [markdown]
# ## Summary
#
# - A **query** is compared with every **key**: one *score* each, here a dot
#   product.
# - **Softmax** makes *weights*: above 0 (on paper), each row sums to 1.
# - The **output** is the weighted average of the **values**.
# - **Temperature** turns from "pick one" (cold) to "average all" (hot).
# - One query is a row; many queries are a matrix, and cost no new code.
# - In a sentence each word has a query, a key and a value, made from its vector;
#   the weights are **one matrix of queries by keys**, the outputs changed words.

# %% [markdown]
# ## Exercises
#
# Replace the dots and run the cell again: a check says at once what is wrong.
# Below each stand a hint and a folded solution.
# Starting here? First choose *Run → Run All Above Selected Cell*.

# %% [markdown]
# ### Exercise 1: find the slip (5 min, easy)
#
# The text from which this course grew works through the hand example and
# prints the output **[1.54, 2.08]**. One of the two is wrong. Do its sum again
# on paper, then put in what should stand there.

# %%
right = ...

checks.dot_product.slip(right)

# %% [markdown]
# You might have seen it without any multiplication. Look at the two values
# only: by how much *must* the output's second number exceed its first?

# %%
difference = ...

checks.dot_product.by_eye(difference)

# %% [markdown]
# <details><summary>Hint</summary>
#
# For the slip: the first number is 0.7311 × 1 + 0.2689 × 3. Which two numbers
# stand in the places of 1 and 3 for the second one?
#
# Without multiplication: in each value, how much larger is the second number
# than the first? And what is the average of two equal differences?
#
# </details>

# %% tags=["solution"]
# Solution
right = weight_1 * 2 + weight_2 * 4
checks.dot_product.slip(right)

# %% tags=["solution"]
# Solution
difference = weight_1 * (2 - 1) + weight_2 * (4 - 3)
checks.dot_product.by_eye(difference)

# %% [markdown]
# ### Exercise 2: softmax with a temperature (10 min, easy)
#
# Write softmax for scores of shape `(..., k)`. Each row of the last dimension
# must sum to 1. Write the exponential yourself, not `torch.softmax`.

# %%
def my_softmax(scores, temperature):
    ...


checks.dot_product.softmax(my_softmax)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The temperature comes first of all. Then it is the line with `.exp()` from
# "The same as matrix products".
#
# </details>

# %% tags=["solution"]
# Solution
def my_softmax(scores, temperature):
    powers = torch.exp(scores / temperature)
    return powers / powers.sum(dim=-1, keepdim=True)


checks.dot_product.softmax(my_softmax)

# %% [markdown]
# ### Exercise 3: the whole lookup (10 min, medium)
#
# Write attention for `query` (q, d), `key` (k, d), `value` (k, v). Return the
# output (q, v), a tensor. No temperature, no scaling. You may use
# `torch.softmax`.

# %%
def my_lookup(query, key, value):
    ...


checks.dot_product.lookup(my_lookup)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Three lines, and each one's shape: scores (q, k), weights (q, k), output
# (q, v). Which matrix products give these shapes?
#
# </details>

# %% tags=["solution"]
# Solution
def my_lookup(query, key, value):
    scores = query @ key.T  # (q, k)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value  # (q, v)


checks.dot_product.lookup(my_lookup)

# %% [markdown]
# ### Exercise 4: aim the query (10 min, medium)
#
# Find a query whose output is [2.5, 3.5]: a quarter of value 1, three quarters
# of value 2. There are many; what do they have in common?

# %%
aimed = ...

checks.dot_product.aim(aimed)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Weights 1/4 and 3/4 mean that the second power of e is three times the first.
# Write both scores for a query [a, b]: how do they differ? The *natural
# logarithm*, `math.log`, undoes powers of e: $e^x = 3$ for x = `math.log(3)`,
# 1.0986.
#
# </details>

# %% tags=["solution"]
# Solution
# The scores are a + b and b, so a = -log 3; b is free.
aimed = [-math.log(3), 0.0]
checks.dot_product.aim(aimed)

# %% [markdown]
# ### Exercise 5: change this and explain (15 min, hard)
#
# Multiply both keys by 10. What happens to the weights, and why is that the
# same as a temperature of 0.1? Then add the vector [5, 5] to both keys
# instead (`K + 5` adds 5 to every number of K). Predict, run, and explain both
# in two sentences.

# %%
changed_keys = K  # change this: 10 * K, then K + 5
dot_product_attention(Q, changed_keys, V)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Work out the two scores in each case, and then only their difference.
#
# </details>

# %% tags=["solution"]
# Solution
for name, changed in (("times 10", 10 * K), ("plus [5, 5]", K + 5)):
    changed_output, changed_weights = dot_product_attention(Q, changed, V)
    print(name, changed_weights[0].numpy(), changed_output[0].numpy())

# %% [markdown]
# <details><summary>Answer</summary>
#
# Times 10 multiplies every score by 10, like dividing by T = 0.1: the first
# key takes nearly all (the printed 1 is 0.99995, rounded). Adding one vector to
# *all* keys adds one number to all scores of a query, and softmax sees only
# differences: nothing changes.
#
# </details>

# %% [markdown]
# ## Test yourself
#
# Choose an answer, then open it: each says why it is right or not.
#
# ### Question 1: all three scores of a query are 1000. What are the weights?
#
# <details><summary>A. All 1000</summary>
#
# No. Those are the scores; weights share 1.
#
# </details>
# <details><summary>B. All 1/3</summary>
#
# Yes. Only differences count, and there are none.
#
# </details>
# <details><summary>C. It overflows, so there are none</summary>
#
# Written as in this lesson it does: e to the 1000 is too large a number for the
# computer (it *overflows*). That is a fault of the program, not of softmax:
# lesson 02 mends it.
#
# </details>

# %% [markdown]
# ### Question 2: which of these can the output of attention never be?
#
# <details><summary>A. Larger than every value</summary>
#
# Right, it can never be: an average of numbers lies between the smallest and
# the largest of them.
#
# </details>
# <details><summary>B. Negative</summary>
#
# It can: values may be negative. Only weights may not.
#
# </details>
# <details><summary>C. Equal to no value</summary>
#
# It can, and mostly is: a mixture, as [1.5379, 2.5379] was.
#
# </details>

# %% [markdown]
# ### Question 3: you want the lookup to be more like a dictionary. What helps?
#
# <details><summary>A. A higher temperature</summary>
#
# No. That evens the weights out.
#
# </details>
# <details><summary>B. Longer keys (each multiplied by 5)</summary>
#
# Yes. All scores grow five times, so their differences do: like T = 1/5.
#
# </details>
# <details><summary>C. More values</summary>
#
# No. Values are mixed after the weights are known; they change no weight.
#
# </details>

# %% [markdown]
# ## Next
#
# With vectors of 2 numbers the scores were 1 and 0. With 512 random numbers of
# variance 1, scores beyond 20 are common, and a softmax of such scores gives one
# key nearly all, by chance. Lesson
# [02_scaled_dot_product](02_scaled_dot_product.ipynb) measures it, and divides
# by the square root of d. It needs four words: variance, loss, gradient and
# `nn.Linear`. Lesson [00](00_start_here.ipynb) has half a page on each.

# %% [markdown]
# To read: Luong, Pham and Manning (2015), section 3.1, for the dot-product
# score; Bahdanau, Cho and Bengio (2015), section 3.1, for the first attention
# in translation, with another score (lesson 05); Nadaraya (1964), "On
# estimating regression"; Watson (1964), "Smooth regression analysis"; Uszkoreit
# (2017), "Transformer: a novel neural network architecture for language
# understanding", for the sentence.

# %% [markdown] tags=["navigation"]
# [← 00 start here](00_start_here.ipynb) ·
# [The map](00_start_here.ipynb) ·
# [02 scaled dot product →](02_scaled_dot_product.ipynb)
