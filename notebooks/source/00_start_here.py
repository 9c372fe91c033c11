# %% [markdown]
# # Is my machine ready, and how do I learn here?
#
# Before the road starts: see that all is installed, meet the four things that
# every lesson has (shapes, checks, widgets, terms), and four ideas that lesson
# 02 needs.
#
# **You will be able to**
# - run a cell, a widget and a check;
# - read a shape such as (batch, length, dim);
# - say what variance, `nn.Linear`, loss and gradient are;
# - find a lesson, and a term in English and Chinese.
#
# **Minutes:** 45. **Needs:** Python; vectors and the product of two matrices;
# arrays (numpy) seen once. What lesson 02 needs beyond that stands below, half a
# page each.

# %% [markdown] tags=["navigation"]
# [The map](00_start_here.ipynb) ·
# [01 dot product →](01_dot_product.ipynb)

# %%
import torch

from attn_course import checks, plotting, session

session.start(0)

# %% [markdown]
# Click into the cell above and press **Shift + Enter**: it runs, and the next
# one is selected. *Run → Run All Cells* runs the whole lesson. If variables are
# mixed up, *Kernel → Restart Kernel and Run All Cells* starts again from
# nothing. For a cell of your own, to try something, press Esc and then **B**.

# %% [markdown]
# `session.start(0)` heads every lesson. It sets the start of all random numbers
# (the *seed*, 0), so that you get the lesson's numbers, and how numbers and
# pictures look. "Ready" says that it has run; the first time takes some seconds.
#
# The lessons come with their outputs, and they ask you to **predict** before
# you look. So start each one with *Edit → Clear Outputs of All Cells*.

# %% [markdown]
# ## How checks work
#
# An exercise has a stub with `...` in it. Run it as it is, and the check says
# "not attempted". A right answer is told so; a wrong one is told *which*
# mistake it makes if that is a usual one, or else what was expected. Run this
# with the dots, then put in 5, then 3, then 6.

# %%
from attn_course.checks import engine

how_many = ...  # how many numbers has a table of 2 rows and 3 columns?

engine.check_value(
    how_many,
    6,
    mistakes=[
        (5, "that is 2 + 3: each of the 2 rows has 3 numbers"),
        (3, "that is one row: there are 2"),
    ],
)

# %% [markdown]
# Checks try your function on inputs that you have not seen, change none of
# your variables, and stop a loop that never ends after ten seconds.

# %% [markdown]
# ## Is all installed?
#
# The course was tested with exactly the versions under "wanted". Another
# version will mostly work too, but numbers may then differ in the last digit.

# %% tags=["nbval-ignore-output"]
from attn_course.start_here import environment

parts = environment()
for part in parts:
    print(f"{part.name:20} wanted {part.wanted:9} found {part.found}")
print("computes on:", session.device())
assert all(part.found != "missing" for part in parts)

# %% [markdown]
# The computer does not need a graphics card. If it has one from NVIDIA, the line
# "computes on" names it, and longer trainings use it by themselves. Set before
# you start JupyterLab, the environment variable `ATTN_DEVICE` asks for another:
# `cpu`, or on a Mac `mps`, its graphics chip, on which no one has run all
# lessons yet. Lessons 01, 05, 06 and 16 always compute on the CPU: their models
# are so small that a graphics card would mostly wait for its next order.

# %% [markdown]
# **torch** is the library that this course computes with. Its **tensor** is what
# numpy calls an array: a box of numbers, all of one kind (its `dtype`). Unlike
# numpy, torch finds gradients (below), and computes on a graphics card too.
#
# A first computation. `@` multiplies matrices: each row of the first with each
# column of the second, number by number, added up. A column of ones therefore
# adds up each row: 0 + 1 + 2 = 3, and 3 + 4 + 5 = 12. (`arange(6)` are the
# whole numbers 0 to 5, `int64`; `@` wants both of one kind.)

# %%
table = torch.arange(6).reshape(2, 3)
ones = torch.ones(3, 1, dtype=torch.int64)
print(table @ ones)

# %% [markdown]
# ## Shapes, and how we say them
#
# A tensor is a box of numbers; its **shape** says how many there are each way.
# Many errors in this field are errors of shape, so each line of code here
# that changes one says so in a comment. These names come again and again; what
# queries and heads are is told in their lessons.
#
# | name | what it counts |
# |---|---|
# | batch | examples computed together |
# | length | *tokens* (words, or pieces of words) of a sequence |
# | dim | numbers of one vector |
# | q, k, d, v | queries, keys, and the numbers in each (lesson 01) |
# | heads | attentions side by side (lesson 04) |
#
# Dimensions are counted from 0: in (batch, length, dim), dimension 0 is the
# batch. -1 is the last one.

# %%
from attn_course.start_here import named_shape

x = torch.zeros(2, 5, 8)  # (batch, length, dim)
print(named_shape(x, "batch length dim"))
print(named_shape(x.transpose(1, 2), "batch dim length"))
print(named_shape(x.reshape(2, 5, 2, 4), "batch length heads dim"))

# %% [markdown]
# **Predict:** `x` holds 2 × 5 × 8 = 80 numbers. How many numbers do the other
# two hold? (`numel()` counts them.)

# %%
print(x.transpose(1, 2).numel(), x.reshape(2, 5, 2, 4).numel())

# %% [markdown]
# The same. But the two do not do the same thing. **Predict** both:

# %%
small = torch.tensor([[1, 2, 3], [4, 5, 6]])  # (2, 3)
print("transpose(0, 1):\n", small.transpose(0, 1))
print("reshape(3, 2):\n", small.reshape(3, 2))

# %% [markdown]
# Both have shape (3, 2). `transpose` swaps two dimensions: rows become columns,
# 1 and 4 now stand in one row. `reshape` reads the numbers in their old order,
# row by row, and only cuts anew. Whoever takes one for the other gets no error
# and wrong numbers; lesson 04 shows it.
#
# `@` on larger boxes multiplies the *last two* dimensions as matrices, once for
# each example of the batch:

# %%
y = torch.zeros(2, 8, 6)
print("(2, 5, 8) @ (2, 8, 6) =", tuple((x @ y).shape))

# %% [markdown]
# Next, a picture to play with: which size stretches it where? The colour only
# numbers the cells, from dark to light.

# %%
def draw(batch, length, dim):
    figure, axes = plotting.figure(7.0, 2.6, cols=batch)
    axes = [axes] if batch == 1 else axes
    for number, ax in enumerate(axes):
        numbers = torch.arange(length * dim) + number * length * dim
        numbers = numbers.reshape(length, dim)
        ax.imshow(numbers, cmap="cividis", vmin=0, vmax=batch * length * dim)
        ax.set(title=f"example {number}", xlabel="dim", xticks=[], yticks=[])
    axes[0].set_ylabel("length")
    return figure


def words(batch, length, dim):
    return (
        f"A tensor of shape ({batch}, {length}, {dim}): {batch} pictures, "
        f"each of {length} rows (tokens) and {dim} columns, "
        f"{batch * length * dim} numbers in all."
    )

# %% [markdown]
# Under a picture with sliders stands in words what it shows. That sentence is
# for everybody who does not see the picture, and it changes with the sliders.
# Every other picture carries such a sentence too, for screen readers.

# %%
import ipywidgets

from attn_course.widgets import explore

explore(
    draw,
    words,
    batch=ipywidgets.IntSlider(2, 1, 4, description="batch"),
    length=ipywidgets.IntSlider(5, 1, 10, description="length"),
    dim=ipywidgets.IntSlider(8, 1, 10, description="dim"),
)

# %% [markdown]
# ## A trap worth seeing once: silent broadcasting
#
# Five tokens of one number each, minus five numbers, one for each token. The
# first is a column, shape (5, 1): 5 rows of 1 number. The second is a plain row
# of 5 numbers, shape (5,): it has one dimension only. **Predict:** does the next
# cell fail, give 5 numbers, or something else?

# %%
tokens = torch.arange(5.0).reshape(5, 1)  # (length, 1)
means = torch.ones(5)  # (5,)
print("tokens - means has shape", tuple((tokens - means).shape))

# %% [markdown]
# Twenty-five numbers, and no word of warning. The rule of **broadcasting**:
# 1. write both shapes flush right: (5, 1) and ( , 5);
# 2. a missing dimension counts as 1: (5, 1) and (1, 5);
# 3. where one has size 1, it is repeated to the other's size: (5, 5);
# 4. sizes that differ otherwise are an error.
#
# Often that is what you want: `x + 5` adds 5 everywhere. The attention
# functions of this course never stretch query, key and value. They stop, and
# name the argument, what was expected, what came:

# %%
from attn_course.dot_product import dot_product_attention

try:
    dot_product_attention(torch.ones(1, 2), torch.ones(3, 2), torch.ones(4, 2))
except ValueError as error:
    print(error)

# %% [markdown]
# ## Four ideas for lesson 02
#
# Lesson 01 does without them. If you know variance, `nn.Linear`, loss and
# gradient, go on to the map; if not, take half a page of each.
#
# ### Variance: how far numbers spread
#
# Take the distance of each number from the mean, square it, and take the mean
# of the squares: the *variance*. Its root, the *standard deviation*, has the
# unit of the numbers: a typical distance. **Predict:** numbers of variance 1 are
# multiplied by 3. What is their variance now?

# %%
numbers = torch.tensor([2.0, 4.0, 9.0])  # mean 5, distances -3, -1, 4
print("by hand:  ", round(((-3) ** 2 + (-1) ** 2 + 4**2) / 3, 3))
print("by torch: ", round(numbers.var(correction=0).item(), 3))
many = torch.randn(100_000)  # random, of mean 0 and variance 1
print("times 3:  ", round((3 * many).var().item(), 1))

# %% [markdown]
# 9: it grows by the *square* of the factor. One more rule: if two numbers are
# drawn **independently** (one tells nothing about the other), the variance of
# their sum is the sum of their variances. (`var()` divides by n - 1 unless told
# not to, `correction=0`; with many numbers that hardly matters.)

# %%
more = torch.randn(100_000)
print("independent:", round((many + more).var().item(), 1))
print("not at all: ", round((many + many).var().item(), 1))

# %% [markdown]
# 1 + 1 = 2 for independent numbers. A number plus *itself* is 2 times it, so
# the variance is 4.
#
# ### `nn.Linear`: a matrix that can be learned
#
# Most layers of a network do this to each vector x: multiply it by a matrix W
# of **weights**, and add a vector b, the **bias**. (These weights are
# parameters. Attention's weights are something else: they come out of a
# softmax, anew for each input.)

# %%
layer = torch.nn.Linear(3, 2)  # from 3 numbers to 2
tokens = torch.randn(5, 3)  # (length, dim)
by_hand = tokens @ layer.weight.T + layer.bias  # (5, 3) @ (3, 2) + (2,)
torch.testing.assert_close(layer(tokens), by_hand)
print("weight", tuple(layer.weight.shape), " out", tuple(by_hand.shape))

# %% [markdown]
# W has one row for each number that comes out, hence the `.T` (transpose). It
# starts at random. W and b are the layer's *parameters*: training changes them.
# An `nn.Module`, such as this layer, keeps its parameters; whoever calls it
# runs its `forward`.
#
# ### Loss: one number that says how wrong
#
# To train, we say in *one* number how far the answers are from what we want:
# the *loss*. 0 is perfect. Here a model with one parameter w shall make 6 of 2,
# and the loss is the squared error.

# %%
def loss_of(w):
    return (w * 2 - 6) ** 2


for w in (1.0, 2.0, 3.0, 4.0):
    print(f"w = {w}: loss {loss_of(w)}")

# %% [markdown]
# Lowest at w = 3. If answers are *classes*, the usual loss is the
# **cross-entropy**: minus the logarithm of the probability that the model gives
# to the right class. Sure and right costs 0; half sure costs ln 2 = 0.69; sure
# and wrong costs very much.
#
# ### Gradient: which way, and how steep
#
# The *gradient* says how fast the loss changes when a parameter changes a
# little: here, the slope at w = 1. **Predict** its sign.

# %%
slope = (loss_of(1.001) - loss_of(1.0)) / 0.001
print("a small step:", round(slope, 2))
w = torch.tensor(1.0, requires_grad=True)
loss_of(w).backward()  # torch works all gradients out, and keeps them
print("torch:       ", w.grad.item())

# %% [markdown]
# -16: if w grows by a thousandth, the loss falls by about sixteen thousandths.
# (By rule: the derivative of $(2w - 6)^2$ is $4(2w - 6)$.) With many
# parameters the gradient is a vector, a slope for each.
#
# *Gradient descent* steps against the slope, again and again. How far is set by
# the *learning rate*, here 0.1:

# %%
w = 1.0
for step in range(4):
    w = w - 0.1 * 4 * (2 * w - 6)
    print(f"step {step + 1}: w = {w:.3f}, loss {loss_of(w):.4f}")

# %% [markdown]
# That is training. With a *vanishing* gradient, a slope near 0 though the loss
# is high, the steps stand still: lesson 02 is about that.
#
# For more: chapters 2 and 3 of [Dive into Deep Learning](https://d2l.ai) take
# their time over these.
#
# ## The map
#
# Each lesson asks one question and needs those before it. Its first line and its
# last lead to its neighbours and back here. JupyterLab's *Table of Contents*
# (*View → Table of Contents*) leads to the sections of the lesson that is open.
#
# | lesson | part | question |
# |---|---|---|
# | [00 start here](00_start_here.ipynb) | start | Is my machine ready? |
# | [01 dot product](01_dot_product.ipynb) | foundations | How to look up softly? |
# | [02 scaled dot product](02_scaled_dot_product.ipynb) | foundations | Why divide by sqrt(d)? |
# | [03 self attention](03_self_attention.ipynb) | foundations | What if every word asks? |
# | [04 multi head attention](04_multi_head_attention.ipynb) | foundations | Why several heads? |
# | [05 additive attention](05_additive_attention.ipynb) | language | Where did it come from? |
# | [06 transformer](06_transformer.ipynb) | language | How is the whole put together? |
# | [07 translation](07_translation.ipynb) | language | Can it translate? |
# | [08 text classification](08_text_classification.ipynb) | language | Which words decide? |
# | [09 image attention](09_image_attention.ipynb) | at work | Can attention see? |
# | [10 detection segmentation](10_detection_segmentation.ipynb) | at work | Where, and which pixels? |
# | [11 speech attention](11_speech_attention.ipynb) | at work | Can attention listen? |
# | [12 rnn cnn attention](12_rnn_cnn_attention.ipynb) | understood | When is it the right tool? |
# | [13 efficient attention](13_efficient_attention.ipynb) | understood | Why expensive, what helps? |
# | [14 interpreting attention](14_interpreting_attention.ipynb) | understood | Do weights explain? |
# | [15 recommendation](15_recommendation.ipynb) | beyond | What will you want next? |
# | [16 reinforcement learning](16_reinforcement_learning.ipynb) | beyond | Can attention act? |

# %% [markdown]
# ## The terms
#
# You need none of them now: the number says in which lesson a term is
# explained. Come back when you have forgotten one. Here are those of lessons 01
# to 04; for all, write "16" for "04". The two that are mixed up most: a
# **score** comes *before* the softmax, a **weight** *after* it.

# %%
from attn_course.start_here import GLOSSARY

for term in GLOSSARY:
    if term.lesson <= "04":
        print(f"{term.lesson}  {term.english}  {term.chinese}: {term.meaning}")

# %% [markdown]
# ## Summary
#
# - **Shift + Enter** runs a cell; *Restart and Run All* starts from nothing.
# - Shapes are read from left to right: batch, heads, length, dim.
# - `transpose` swaps dimensions; `reshape` cuts the same order anew.
# - torch stretches shapes in silence; the attention functions here do not.
# - *Variance* is the mean squared distance from the mean; `nn.Linear` multiplies
#   by a learned matrix; the *loss* says how wrong, the *gradient* which way.
# - A check says "not attempted", "right", or what is wrong.

# %% [markdown]
# ## Exercises
#
# Starting here? First choose *Run → Run All Above Selected Cell*.
#
# ### Exercise 1: a shape (2 min, easy)
#
# Two sentences, each of five words, each word a vector of eight numbers. What
# is the shape of the batch, as three numbers?

# %%
shape = ...

checks.start_here.batch_shape(shape)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Look at the table under "Shapes": from the outermost box to the innermost.
#
# </details>

# %% tags=["solution"]
# Solution
shape = (2, 5, 8)
checks.start_here.batch_shape(shape)

# %% [markdown]
# ### Exercise 2: the shape of a product (3 min, easy)
#
# `a` has shape (2, 5, 8) and `b` has shape (2, 8, 3). What is the shape of
# `a @ b`? Say it before you try it.

# %%
shape = ...

checks.start_here.product_shape(shape)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `@` multiplies the last two dimensions as matrices, rows times columns, and
# does so for each example of the batch.
#
# </details>

# %% tags=["solution"]
# Solution
shape = (torch.zeros(2, 5, 8) @ torch.zeros(2, 8, 3)).shape
checks.start_here.product_shape(shape)

# %% [markdown]
# ### Exercise 3: one vector per sentence (5 min, medium)
#
# Write a function that takes `x` of shape (batch, length, dim) and returns the
# mean over the tokens of each sentence: shape (batch, dim). Use torch, not
# numpy (`x` has what numpy's arrays have, such as `.mean`). It is the simplest
# way to sum up a sentence; attention will do it with unequal weights.

# %%
def my_mean(x):
    ...


checks.start_here.mean_over_length(my_mean)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `x.mean(dim=...)`: which dimension has to vanish, counted from 0?
#
# </details>

# %% tags=["solution"]
# Solution
def my_mean(x):
    return x.mean(dim=1)  # (batch, length, dim) -> (batch, dim)


checks.start_here.mean_over_length(my_mean)

# %% [markdown]
# ### Exercise 4: change this and explain (5 min, hard)
#
# Make the check of exercise 3 give four *different* verdicts, by four wrong
# functions. (`lambda x: ...` is a function without a name that returns what
# stands behind the colon. A check returns its verdict; `.message` is its text.)
# Which of your mistakes did torch itself notice? Which may never be noticed?
# Explain in a sentence why those are the dangerous ones.

# %%
wrong = lambda x: x  # change this
print(checks.start_here.mean_over_length(wrong).message)

# %% tags=["solution"]
# Solution
for mistake in (
    lambda x: x.mean(dim=0),
    lambda x: x.mean(dim=2),
    lambda x: x.sum(dim=1),
    lambda x: x.mean(dim=3),
):
    print(checks.start_here.mean_over_length(mistake).message.split("\n")[0])

# %% [markdown]
# <details><summary>Answer</summary>
#
# torch noticed only the last one at once: x has no dimension 3. The means over
# dim 0 and dim 2 have another shape: noticed later, or never, if sizes
# happen to be equal. The sum has the right shape, and nothing ever notices.
#
# </details>

# %% [markdown]
# ## Test yourself
#
# Choose an answer, then open it: each says why it is right or not.
#
# ### Question 1: what is the shape of `x.transpose(1, 2)` for `x` of shape (4, 3, 7)?
#
# <details><summary>A. (3, 4, 7)</summary>
#
# No. Dimensions are counted from 0, so 1 and 2 are the last two.
#
# </details>
# <details><summary>B. (4, 7, 3)</summary>
#
# Yes. Dimensions 1 and 2 change places, dimension 0 (the batch) stays.
#
# </details>
# <details><summary>C. (4, 21)</summary>
#
# No. That would merge two dimensions; transpose keeps all three.
#
# </details>

# %% [markdown]
# ### Question 2: a check says "not attempted". What does it mean?
#
# <details><summary>A. The answer is wrong.</summary>
#
# No. A wrong answer is called wrong.
#
# </details>
# <details><summary>B. The stub is still as it came.</summary>
#
# Yes. The dots are still there, or the function does nothing yet.
#
# </details>
# <details><summary>C. The check is broken.</summary>
#
# No. Every stub says so until you replace its dots.
#
# </details>

# %% [markdown]
# ## Next
#
# [01_dot_product](01_dot_product.ipynb): one query, two keys, two values, and a
# pocket calculator.

# %% [markdown] tags=["navigation"]
# [The map](00_start_here.ipynb) ·
# [01 dot product →](01_dot_product.ipynb)
