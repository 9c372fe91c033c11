# %% [markdown]
# # Which words decide?
#
# One learned query reads a text, gives every word a weight, and a decision
# follows. That looks like an explanation. Is it one?
#
# **You will be able to**
# - build attention pooling: many word vectors become one;
# - compare it fairly with word counts, on texts that no model has seen, with
#   intervals;
# - mark the words of a text by their weight;
# - test whether the marked words matter.
#
# **Minutes:** 110, of which the exercises take 60. **Needs:** lessons 01, 02
# and 06. The training cells take less than a minute in all.

# %% [markdown] tags=["navigation"]
# [← 07 translation](07_translation.ipynb) ·
# [The map](00_start_here.ipynb) ·
# [09 image attention →](09_image_attention.ipynb)

# %%
import math
from functools import partial
from types import SimpleNamespace

import torch
from torch.nn import functional as F

from attn_course import checks, evidence, plotting, session, training
from attn_course import text_classification as tc
from attn_course.common.attribution import gradient_x_input
from attn_course.common.statistics import mean_interval, wilson_interval
from attn_course.common.text import Vocabulary, tokenize
from attn_course.data import snippets
from attn_course.widgets import text_classification as views

session.start(0)
device = session.device()

# %% [markdown]
# ## Sentences that people rated
#
# Hutto and Gilbert (2014) gathered sentences of four kinds: from film reviews,
# tweets, reviews of products, newspaper articles. Some twenty people rated
# each from -4, very negative, to 4, very positive. The course carries 23,077
# of them, cleaned, each once.

# %%
parts = {name: snippets.load(name) for name in snippets.SPLITS}
for name, part in parts.items():
    kinds = [sum(s.source == kind for s in part) for kind in snippets.SOURCES]
    print(f"{name:5}", len(part), "texts:", dict(zip(snippets.SOURCES, kinds)))

# %% [markdown]
# Sentences of one product review or article stand on the same side of the split,
# and so do sentences that are nearly alike: else a model could remember instead
# of read. Of the film sentences the source does not tell the review, so two of
# one review may stand on both sides. `train` is to learn from, `valid` to choose
# settings, `test` to judge at the end.

# %%
for start in ("A pleasant enough movie", "don't waste time", "To the cat,"):
    for snippet in parts["test"]:
        if snippet.text.startswith(start):
            print(f"{snippet.source:8} {snippet.rating:5.2f} ", snippet.text)

# %% [markdown]
# ## Two questions
#
# **Topic:** where does this text come from? Four classes. **Sentiment:** did
# people find it positive or negative? Ratings between -0.5 and 0.5 are left
# out: there people felt little, or did not agree. (The set is as it was
# found: some texts are rude. Its card, `attn_course/data/snippets/CARD.md`, says
# more.)

# %%
CHOOSE = {"sentiment": tc.sentiment_task, "topic": tc.topic_task}
NAMES = {"sentiment": ("negative", "positive"), "topic": snippets.SOURCES}
for task, choose in CHOOSE.items():
    print(task, NAMES[task])
    for name in ("train", "test"):
        print("   ", name, choose(parts[name])[1].bincount().tolist())

# %% [markdown]
# **Predict:** which question is harder? And the *baseline*, the least a model
# must beat: how often is one right who always names the most frequent class?

# %%
from sklearn.metrics import f1_score

for task, choose in CHOOSE.items():
    targets = choose(parts["test"])[1]
    constant = choose(parts["train"])[1].mode()[0].expand_as(targets)
    hits = constant == targets
    macro = f1_score(targets, constant, average="macro", zero_division=0)
    print(f"{task:9} {wilson_interval(int(hits.sum()), len(hits)):.3f}, "
          f"macro-F1 {macro:.3f}")

# %% [markdown]
# Wilson's (1927) interval says how far such a share could be off because
# *these* texts stand in the test, and not others of the same kind. It takes
# them for independent. Sentences of one article are not quite, so it is a
# little too narrow.
#
# Accuracy counts every text once, so frequent classes decide. **Macro-F1**
# counts every *class* once. Each class has its F1, the harmonic mean of
# *precision* (of the texts given this class, how many have it) and *recall* (of
# those that have it, how many were given it); macro-F1 is the mean over the
# classes. A class that is never named has F1 0.

# %% [markdown]
# ## From text to numbers
#
# A text is cut into words, in small letters (the product texts have no
# capitals, which would give them away). Every word gets a number, its token id.
# Id 3 stands for any word that the training texts hold only once or never, id 0
# is padding. (The other *special tokens*, 1 and 2, BOS and EOS in lesson 05,
# are not needed here.)

# %%
small = Vocabulary.from_texts(["great film", "great camera", "the film"])
print(tokenize("Don't stop: GREAT film!"))
print(small.words)
print(small.encode(["Great, great film", "film", "", "an unseen word"]))

# %% [markdown]
# An empty text is a row of padding, an unknown word is 3, and a text above 64
# words is cut there. The words seen once in training are 3 there, so a model
# learns a vector for 3 too. Now all texts of both tasks, each task with the
# vocabulary of *its own training texts*.

# %%
def prepare(task):
    data = SimpleNamespace(task=task, classes=NAMES[task])
    for name, part in parts.items():
        texts, labels = CHOOSE[task](part)
        if name == "train":
            data.vocabulary = Vocabulary.from_texts(texts)
        tokens = data.vocabulary.encode(texts).to(device)
        setattr(data, name, SimpleNamespace(
            texts=texts, tokens=tokens, labels=labels.to(device)))
    return data

# %%
tasks = {task: prepare(task) for task in CHOOSE}
for task, data in tasks.items():
    shown = data.test.tokens[data.test.tokens != 0]
    unknown = (shown == 3).double().mean().item()
    print(f"{task:9} {len(data.vocabulary)} words, test tokens "
          f"{tuple(data.test.tokens.shape)}, {unknown:.1%} unknown")

# %% [markdown]
# ## The baseline: counting words
#
# **TF-IDF** is forty years older than attention. Each text is a long row: how
# often is each word in it (*term frequency*; here $1 + \ln n$ for $n$ times),
# times how rare it is elsewhere (*inverse document frequency*; Spärck Jones,
# 1972). The product of both is usually credited to Salton and Yang (1973).
# Each row is then scaled to length 1. Logistic regression gives every word one
# number per class and adds up. scikit-learn has both.

# %%
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression


def count_words(data, longest, tried):
    vectorizer = TfidfVectorizer(
        tokenizer=tokenize, token_pattern=None, lowercase=False,
        ngram_range=(1, longest), min_df=2, sublinear_tf=True,
    )
    rows = vectorizer.fit_transform(data.train.texts)
    held_out = vectorizer.transform(data.valid.texts)
    models = [LogisticRegression(C=C, max_iter=1000).fit(
        rows, data.train.labels.cpu()) for C in tried]
    return vectorizer, max(models, key=lambda linear: linear.score(
        held_out, data.valid.labels.cpu()))

# %% [markdown]
# Once with words alone, once with pairs of neighbours too ("not good" is then
# a word of its own; words and pairs that training holds once are left out).
# `C` says how large the numbers may grow. For words `C=4` was chosen when this
# lesson was written. Pairs are what every model is compared with below, so
# there `C` is chosen here, for each task, on the *validation* texts.

# %%
predictions = {task: {} for task in tasks}
right = {task: {} for task in tasks}  # which test texts were right?
baselines = {}
for task, data in tasks.items():
    for name, longest, tried in [("TF-IDF, words", 1, [4]),
                                 ("TF-IDF, pairs", 2, [1, 4, 16])]:
        vectorizer, linear = count_words(data, longest, tried)
        classes = linear.predict(vectorizer.transform(data.test.texts))
        predictions[task][name] = torch.tensor(classes)
        right[task][name] = (
            predictions[task][name] == data.test.labels.cpu())
        baselines[task, name] = vectorizer, linear
    share = right[task]["TF-IDF, pairs"].double().mean().item()
    print(f"{task:9} C={linear.C}, pairs at least 0.75:", share >= 0.75)
    assert share >= 0.75

# %% [markdown]
# ## One query for a whole text
#
# Now attention. A text is a row of vectors, of any length. A classifier needs
# *one* vector. The plainest way is their mean. Attention pooling takes a
# **weighted** mean: a learned query asks every word "do you matter?".
#
# Two words, in the numbers of lesson 01: *great* is [1, 1], *film* is [0, 1],
# the query is [1, 0]. **Predict** the weights.

# %%
score_great = 1 * 1 + 0 * 1
score_film = 1 * 0 + 0 * 1
total = math.exp(score_great) + math.exp(score_film)
great, film = math.exp(score_great) / total, math.exp(score_film) / total
by_hand = [great * 1 + film * 0, great * 1 + film * 1]
print(f"weights {great:.4f} {film:.4f}")
print(f"pooled  {by_hand[0]:.4f} {by_hand[1]:.4f}")

# %% [markdown]
# 0.7311 and 0.2689, as ever. There is one difference to lesson 01: the words
# are keys *and* values. What makes a word matter is read from the same numbers
# that say what it means. As a loop:

# %%
def pool_loop(words, query):
    scores = [sum(q * x for q, x in zip(query, word)) for word in words]
    exps = [math.exp(score) for score in scores]
    weights = [one / sum(exps) for one in exps]
    return [sum(w * word[c] for w, word in zip(weights, words))
            for c in range(len(query))]


words, query = [[1.0, 1.0], [0.0, 1.0]], [1.0, 0.0]
assert pool_loop(words, query) == by_hand
print("loop = hand")

# %% [markdown]
# As matrices, for a batch of texts. Texts differ in length, so they are padded,
# and a mask says what is real. The third word here is padding, and holds
# nonsense.

# %%
states = torch.tensor([[*words, [99.0, 99.0]]]).double()
mask = torch.tensor([[True, True, False]])  # (batch, length)
q = torch.tensor(query).double()

# %% [markdown]
# The mask comes before the softmax, as in lesson 02.

# %%
scores = states @ q  # (batch, length)
weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
pooled = (weights[:, None] @ states)[:, 0]  # (batch, dim)
print("weights", weights)
torch.testing.assert_close(pooled, torch.tensor([by_hand]).double())
print("matrix = loop")

# %% [markdown]
# And it is the course's one attention function, with a single query. `scale=1`
# as in lesson 01: a learned query can grow as long as it must. The module
# `AttentionPooling` keeps the query as a parameter.

# %%
from attn_course.scaled_dot_product import scaled_dot_product_attention

one = q.expand(1, 1, 2)  # (batch, 1 query, dim)
output, _ = scaled_dot_product_attention(
    one, states, states, mask[:, None], scale=1
)
torch.testing.assert_close(output[:, 0], pooled)
print("function = matrix")

# %%
module = tc.AttentionPooling(2).double()
module.query.data.copy_(q)
torch.testing.assert_close(module(states, mask)[0], pooled)
print("module = function")

# %% [markdown]
# **Predict:** the module's query starts as zeros. What does it compute then?

# %%
fresh = tc.AttentionPooling(2).double()
pooled, weights = fresh(states, mask)
print("weights", weights.detach())
torch.testing.assert_close(pooled, tc.MeanPooling()(states, mask)[0])
print("a query of zeros = mean pooling")

# %% [markdown]
# The mean. So both start as one and the same model, and differ in one thing, the
# query.

# %% [markdown]
# ## Padding must not matter
#
# One text alone, and the same text beside a longer one, which pads it. Same
# output? And the same *gradients*, for each word and for the query?

# %%
long, short = torch.randn(5, 4).double(), torch.randn(3, 4).double()
module = tc.AttentionPooling(4).double()
module.query.data = torch.randn(4).double()

# %% [markdown]
# Some loss is taken from the output of one row, of which only the first three
# words are real.

# %%
def gradients(states, mask, row):
    states = states.clone().requires_grad_()
    output = module(states, mask)[0][row]
    slopes = torch.autograd.grad(output.pow(2).sum(), [states, module.query])
    return output, slopes[0][row, :3], slopes[1]

# %%
alone = gradients(short[None], torch.ones(1, 3, dtype=torch.bool), row=0)
filler = torch.full((2, 4), 99.0).double()
batch = torch.stack([long, torch.cat([short, filler])])  # (2, 5, 4)
real = torch.arange(5) < torch.tensor([[5], [3]])
padded = gradients(batch, real, row=1)

# %%
for name, a, b in zip(("output", "words", "query"), alone, padded):
    torch.testing.assert_close(a, b)
    print(f"{name}: alone = padded")

# %% [markdown]
# ## Three models
#
# Each embeds the words, makes one vector of them, and ends in a linear layer:
#
# - **mean pooling**: the control, no attention anywhere;
# - **attention pooling**: one query more, 64 parameters;
# - **Transformer**: positions and one layer of lesson 06's encoder before the
#   attention pooling. (Its dropout acts on the layer's input only, not inside
#   the layer as in lesson 06.)

# %%
MODELS = {
    "mean pooling": {"pooling": "mean"},
    "attention pooling": {"pooling": "attention"},
    "Transformer": {"layers": 1, "mlp_dim": 128, "dropout": 0.3,
                    "word_dropout": 0.3},
}

# %%
def make(data, name):
    sizes = len(data.vocabulary), len(data.classes)
    return tc.TextClassifier(*sizes, **MODELS[name]).to(device)

# %%
for name in MODELS:
    model = make(tasks["sentiment"], name)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{name:17} {parameters} parameters, "
          f"{model.embedding.weight.numel()} of them word vectors")

# %% [markdown]
# Nearly everything a model can learn is in the word vectors. Is the module what
# we built? All of attention pooling, in six lines:

# %%
def read(model, tokens):
    states = model.embedding(tokens)  # (batch, length, dim)
    scores = states @ model.pool.query  # (batch, length)
    weights = scores.masked_fill(tokens == 0, -math.inf).softmax(dim=-1)
    pooled = (weights[:, None] @ states)[:, 0]  # (batch, dim)
    return model.head(pooled)

# %% [markdown]
# `eval()` switches off what only training does. The query gets random numbers,
# since with zeros the test would be too easy.

# %%
model = make(tasks["sentiment"], "attention pooling").eval()
torch.nn.init.normal_(model.pool.query)
few = tasks["sentiment"].test.tokens[:9]
torch.testing.assert_close(read(model, few), model(few))
print("by hand = module:", tuple(model(few).shape), "scores")

# %% [markdown]
# ## Training
#
# 13,360 short texts are few, so two things are to keep the models from learning
# them by heart: **dropout** sets some numbers of the vectors to 0, **word dropout**
# leaves out about two words in ten (for the Transformer three). So a model has
# met texts with missing words when we delete some later.

# %%
def loss(model, batch):
    tokens, labels = batch
    return F.cross_entropy(model(tokens), labels)


def predict(model, part):
    return tc.predict_proba(model, part.tokens).argmax(dim=-1)

# %% [markdown]
# Every run starts from its seed, sees batches of 128 texts, and is asked every
# 50 steps about the validation texts. The poolings have 400 steps, the
# Transformer 300 at half their rate. The runs are short, so that you need not
# wait; below we ask whether they are long enough.

# %%
def train(data, name, seed=0):
    deep = "layers" in MODELS[name]
    steps = (300 if deep else 400) // (20 if session.quick() else 1)
    session.set_seed(seed)
    model = make(data, name)
    history = training.fit(
        model, loss, steps=steps, lr=2e-3 if deep else 4e-3,
        batches=tc.text_batches(data.train.tokens, data.train.labels, 128),
        weight_decay=0.05, warmup=steps // 10, threads=1, eval_every=50,
        evaluate=lambda m: {"valid": (predict(m, data.valid)
            == data.valid.labels).cpu().double().mean()},
        label=f"{data.task}, {name}",
    )
    return model, history

# %% [markdown]
# **Predict:** the order of the three, and of TF-IDF, on the test texts. Then
# run: both tasks, three models each, about 40 seconds.

# %%
models, histories = {}, {task: {} for task in tasks}
for task, data in tasks.items():
    for name in MODELS:
        model, history = train(data, name)
        models[task, name] = model
        histories[task][name] = history.curve("valid")
        predictions[task][name] = predict(model, data.test).cpu()
        right[task][name] = predictions[task][name] == data.test.labels.cpu()

# %%
plotting.show(
    views.panels(histories, xlabel="step", ylabel="accuracy, validation"),
    alt="Accuracy on the validation texts while training, one panel for "
    "sentiment, one for topic, each with mean pooling, attention pooling and "
    "the Transformer: all rise fast, then more slowly.",
)

# %% [markdown]
# Look at the ends. Where a curve still rises, the model is not trained out, and
# a comparison with it is not fair.

# %% [markdown]
# ## Who is right how often?

# %%
HOLDS = ("with 95 percent intervals, for TF-IDF with words and with pairs, "
         "mean pooling, attention pooling and Transformer")
plotting.show(
    views.accuracy_table(right["sentiment"],
                         title="Sentiment, one run of each"),
    alt=f"Sentiment, accuracies {HOLDS}: within a few hundredths.",
)

# %%
plotting.show(
    views.accuracy_table(right["topic"], title="Topic, one run of each"),
    alt=f"Topic, accuracies {HOLDS}: within a few hundredths.",
)

# %%
for task, hits in right.items():
    shares = [hit.double().mean().item() for hit in hits.values()]
    print(f"{task}: all within 0.06:", max(shares) - min(shares) < 0.06)
    assert session.quick() or max(shares) - min(shares) < 0.06

# %% [markdown]
# All are far above always naming one class, and near each other. In these runs
# topic was the easier question, though it has four answers. Is it so for each
# *class*, and each kind of text? One table of macro-F1, one by source.

# %%
rows = []
for name in right["topic"]:
    row = [name]
    for task, data in tasks.items():
        macro = f1_score(data.test.labels.cpu(), predictions[task][name],
                         average="macro")
        row += [f"{right[task][name].double().mean():.3f}", f"{macro:.3f}"]
    rows.append(row)
header = [f"{task}, {of}" for task in tasks for of in ("accuracy", "macro-F1")]
plotting.show(plotting.sheet(["one run of each", *header], rows),
              alt="Table: accuracy and macro-F1 of the five models, for "
              "sentiment and for topic.")

# %%
clear = [s for s in parts["test"] if abs(s.rating) >= 0.5]
rows = []
for kind in snippets.SOURCES:
    own = torch.tensor([s.source == kind for s in clear])
    labels = tasks["sentiment"].test.labels.cpu()[own]
    rows.append([kind, f"{len(labels)}", f"{labels.double().mean():.2f}"] + [
        f"{right['sentiment'][name][own].double().mean():.2f}"
        for name in ("TF-IDF, pairs", "attention pooling")])
plotting.show(
    plotting.sheet(["sentiment", "texts", "share positive", "TF-IDF, pairs",
                    "attention pooling"], rows),
    alt="Table: for movies, tweets, products and news the number of test "
    "texts, the share that is positive, and the accuracy of two models.",
)

# %% [markdown]
# One number had hidden this: in our run news was much harder than tweets. (Of
# the tweets two in three are positive, so a constant is right more often there
# too.)
#
# Over five trainings, too: [E08.22](../experiments/results/08_text_classification.md#e0822),
# [E08.23](../experiments/results/08_text_classification.md#e0823).

# %%
evidence.show("E08.22", "E08.23")

# %% [markdown]
# Whose lead is real? Most of the intervals overlap, but that does not settle it:
# all models read the *same* texts, and mostly fail on the same ones. So look at
# the texts on which two models differ, as **McNemar's test** does (McNemar,
# 1947).

# %%
a = right["sentiment"]["attention pooling"]
b = right["sentiment"]["TF-IDF, pairs"]
lead = a.double() - b.double()  # 1: only a is right, -1: only b
mean, margin = lead.mean(), 1.96 * lead.std() / len(lead) ** 0.5
by_hand = torch.stack([mean, mean - margin, mean + margin])
expected = torch.tensor(tc.paired_difference(a, b)).to(by_hand)
torch.testing.assert_close(by_hand, expected)
print("by hand = paired_difference")

# %% [markdown]
# Every model against TF-IDF with pairs. The dotted line is a tie; an interval
# that does not touch it is a lead, *of these trained models*, that other texts
# would probably confirm.

# %%
for task in tasks:
    title = f"{task.capitalize()}: all near word counts, in one run"
    plotting.show(
        views.difference_table(right[task], "TF-IDF, pairs", title=title),
        alt=f"For {task}, each model's accuracy minus that of TF-IDF with "
        "pairs, with 95 percent intervals: all near zero.",
    )

# %% [markdown]
# In this run, for sentiment, attention pooling leads TF-IDF with pairs; so does
# TF-IDF with words alone. What can be said *of these trained models* (each ran
# once), and is checked here:

# %%
def lead_of(task, name, other="TF-IDF, pairs"):
    return tc.paired_difference(right[task][name], right[task][other])

# %%
for task in tasks:
    tie = abs(lead_of(task, "attention pooling")[0]) < 0.03
    bound = lead_of(task, "Transformer")[2]
    print(f"{task}: attention pooling within 0.03 of TF-IDF:", tie)
    print(f"{task}: Transformer, this run, not 0.02 ahead: ", bound < 0.02)
    assert session.quick() or (tie and bound < 0.02)

# %% [markdown]
# ## One run, and five
#
# The first version of this lesson concluded here: "attention does not win". Look
# again at the curves of validation: for topic, those of both poolings still
# rise a little at the last step. A model that is not trained out says little
# about its kind.
#
# So we ask again. For each task, each chooses among four settings by the
# *validation* texts: the poolings among 400 steps at the rate 0.004, 800 at
# 0.004, 800 at 0.008 and 1600 at 0.004; the Transformer among 300 and 600 steps
# at 0.002 and 0.004; TF-IDF, here with pairs, among `C` of 0.5, 2, 8 and 32.

# %%
arms = evidence.arms("08")
for name in (f"{model}, {task}" for task in ("topic", "sentiment") for model in
             ("TF-IDF", "mean pooling", "attention pooling", "Transformer")):
    arm = arms[name]
    scores = " ".join(f"{score:.3f}" for _, score in arm.search)
    best = ", ".join(f"{key} {arm.chosen[key]}" for key in
                     ("C", "steps", "lr") if key in arm.chosen)
    print(f"{name:28} {scores}  best: {best}")

# %% [markdown]
# For topic both poolings chose twice as many steps as above (mean pooling at
# twice the rate), and TF-IDF the largest `C` tried; for sentiment both chose 400
# steps, the fewest tried. The Transformer chose 600 steps, the most tried, at
# 0.002, for both. Then each ran with five seeds that had not chosen.
# (TF-IDF is the same for every seed.) **Predict:** who leads TF-IDF now?

# %%
seeds = {task: {model: (range(5), arms[f"{model}, {task}"].means["right"])
                for model in ("TF-IDF", "mean pooling", "attention pooling",
                              "Transformer")}
         for task in tasks}
plotting.show(
    views.panels(seeds, xlabel="training seed", ylabel="accuracy, test"),
    alt="Accuracy on the test texts for five training seeds, a panel for each "
    "task. Sentiment: attention pooling highest in each, the others near "
    "each other. Topic: both poolings highest in each, then the Transformer, "
    "then TF-IDF.",
)

# %% [markdown]
# The intervals draw seeds, and whole product reviews and articles, so *their*
# sentences need not be independent. (Film sentences are drawn one by one: their
# reviews are not known.) Attention pooling against TF-IDF:
# [E08.3](../experiments/results/08_text_classification.md#e083),
# [E08.4](../experiments/results/08_text_classification.md#e084); mean pooling:
# [E08.5](../experiments/results/08_text_classification.md#e085).

# %%
evidence.show("E08.3", "E08.4", "E08.5")

# %% [markdown]
# Topic: both poolings lead TF-IDF (E08.4, E08.5). There the first conclusion
# does not hold where each chooses its settings. But that lead needs no
# attention: mean pooling has none. Sentiment: *undecided* (E08.3), though our
# run above led: its seed, 0, was the best of the five, its TF-IDF had another
# `C`, and its interval drew texts only.

# %% [markdown]
# And the Transformer? Against attention pooling both tasks are *undecided*
# ([E08.26](../experiments/results/08_text_classification.md#e0826),
# [E08.27](../experiments/results/08_text_classification.md#e0827)). It chose the
# most steps tried, so more might help it. The Transformers that led such tasks
# later had first learned from very much *other* text (Devlin et al., 2019).

# %%
evidence.show("E08.26", "E08.27")

# %% [markdown]
# And the query, is it worth its 64 parameters? Attention against mean pooling,
# both tasks, in our own runs of 400 steps:

# %%
rows = {task: lead_of(task, "attention pooling", "mean pooling")
        for task in tasks}
figure = plotting.interval_rows(
    rows, line=0, xlabel="attention minus mean pooling, 95 % interval",
    title="After 400 steps, in this run: the query is a little ahead",
)
plotting.show(figure, alt="Accuracy of attention pooling minus that of mean "
              "pooling, for both tasks, with intervals: small gains.")

# %%
gain = sum(row[0] for row in rows.values()) / 2
print("mean gain above 0, below 0.03:", 0 < gain < 0.03)
assert session.quick() or 0 < gain < 0.03

# %% [markdown]
# About one text in a hundred, in this run. Over five seeds, 400 steps each:
# [E08.1](../experiments/results/08_text_classification.md#e081),
# [E08.2](../experiments/results/08_text_classification.md#e082). But does the query
# make the *trained* model better, or only its training *faster*? **Predict** its
# lead when both chose their settings: [E08.6](../experiments/results/08_text_classification.md#e086),
# [E08.7](../experiments/results/08_text_classification.md#e087),
# [E08.8](../experiments/results/08_text_classification.md#e088).

# %%
evidence.show("E08.1", "E08.2", "E08.6", "E08.7", "E08.8")

# %% [markdown]
# Sentiment: *yes*. (E08.6 is E08.1 again: 400 steps is what both chose, the
# fewest tried.) Topic: *undecided* at 400 steps; and trained as validation asks,
# no lead is left to see, the estimate is even below 0, and level within one text
# in a hundred is *undecided* too. For topic, then, the query is not shown to
# help.

# %% [markdown]
# ## The words that are weighted
#
# What a query has learned can be looked at. Three test texts, *chosen* to show
# something; below all texts have their say. Colour, underline and the number
# below (per cent) say the same: the word's weight. **Predict** for each the word
# with most weight.

# %%
def starts(text):
    return next(s.text for s in parts["test"] if s.text.startswith(text))


def look(task, text, without=None, name="attention pooling"):
    model, data = models[task, name], tasks[task]
    return tc.read_text(model, data.vocabulary, text, without)

# %%
seen = [look("sentiment", starts(text))
        for text in ("It's a beautiful film, full of",
                     "The movie's biggest offense",
                     "don't waste time looking at")]
truth = ("positive", "negative", "positive")  # by people's ratings
rows = [views.marked(each, NAMES["sentiment"], f"people: {said}")
        for each, said in zip(seen, truth)]

# %%
plotting.show(
    views.highlight(rows, title="Sentiment, weights in per cent"),
    alt="Three texts, words marked by weight; strongest: beautiful, lack, "
    "waste. People: positive, negative, positive. The model calls the third, "
    "which praises a product, negative.",
)

# %% [markdown]
# The same as text, largest weight first. (Your numbers may differ a little, so
# this output is not compared; the words are.)

# %% tags=["nbval-ignore-output"]
for heading, words, weights in rows:
    print(f"{heading}: {views.as_list(words, weights, count=5)}")

top = [views.loudest(each) for each in seen]
assert session.quick() or top == ["beautiful", "lack", "waste"]

# %% [markdown]
# *Beautiful*, *lack*, *waste*: in these three the largest weight is on a word
# that shows a feeling, learned from nothing but ratings of whole texts. In the
# third the model looks at the word that we would look at, and still fails, sure
# of itself: "**don't** waste time" praises. A weight is not a meaning.

# %%
sure = seen[2].probs[0] >= 0.8
print("people: positive; the model: negative with 0.8 or more:", sure)
assert session.quick() or sure

# %% [markdown]
# **Topic.** The first text is from a film review, the second from a newspaper,
# the third from a product review. **Predict** what the model makes of them.

# %%
seen = [look("topic", starts(text))
        for text in ("A movie that will thrill you",
                     "Reports of a dead movie industry",
                     "let's face it - when you want")]

# %%
rows = [views.marked(each, NAMES["topic"], f"in fact: {source}")
        for each, source in zip(seen, ("movies", "news", "products"))]
plotting.show(
    views.highlight(rows, title="Topic, weights in per cent"),
    alt="Three texts, words marked by weight; strongest in all three: movie. "
    "The model says movies each time; in fact: movies, news, products.",
)

# %%
top = [views.loudest(each) for each in seen]
classes = [views.best_class(each, NAMES["topic"]) for each in seen]
print("most weight:", top)
print("it predicts:", classes)
assert session.quick() or (classes == ["movies"] * 3 and top == ["movie"] * 3)

# %% [markdown]
# Does that one word decide alone? **Predict** what the model says without it.

# %%
left = [look("topic", " ".join(w for w in each.words if w != "movie"))
        for each in seen]
falls = [one.probs[0] - two.probs[0] for one, two in zip(seen, left)]
still = [views.best_class(each, NAMES["topic"]) for each in left]
print("without it, movies loses more than 0.15:", min(falls) > 0.15)
print("without it, it predicts:", still)
assert session.quick() or min(falls) > 0.15

# %% [markdown]
# Not alone: in this run all three are still called movies. But each time the
# model is much less sure: it was *movie* that made it so. It answers "which
# words go with which source?", not "what is this text about?".

# %% [markdown]
# ## Do the marked words matter?
#
# The marks convince *us*. **Faithfulness** asks for more: do they tell what the
# *model* used? One test is **erasure**: delete the word with most weight and
# watch the probability of the class that the model had named. If the mark means
# anything, that must cost more than deleting a word at random.

# %%
tokens = torch.tensor([[11, 12, 13, 14, 0]])
marks = torch.tensor([[0.1, 0.5, 0.1, 0.3, 0.0]])
print(tc.delete_top(tokens, marks, 1))
print(tc.delete_top(tokens, marks, 2))

# %% [markdown]
# The others close up: no hole betrays the deletion. What it takes from the
# probability of the class that was named is called **comprehensiveness**
# (DeYoung et al., 2020): is everything that mattered in the marked words? Now
# for all 3,772 test texts of the sentiment task.

# %%
model = models["sentiment", "attention pooling"]
tokens = tasks["sentiment"].test.tokens
scores = {"at random": torch.rand(tokens.shape).to(device),
          "by weight": tc.weight_scores(model, tokens)}

# %%
left = tc.delete_top(tokens, scores["by weight"], 1)
before, after = (tc.predict_proba(model, x) for x in (tokens, left))
named = before.argmax(dim=-1)  # 0 or 1
cost = (before - after)[torch.arange(len(named)), named]
expected = tc.comprehensiveness(model, tokens, scores["by weight"], 1)
torch.testing.assert_close(cost, expected)
print("by hand = comprehensiveness:", len(cost), "texts")

# %% [markdown]
# Two more orders of the words, to compare with:
#
# - **gradient times input**: from the model itself, how much the answer would
#   change if the word's vector shrank a little;
# - **TF-IDF**, with words alone: the word's number in the logistic regression,
#   times how rare it is; *another model*, that is told of ours only which class
#   it has named.
#
# **Predict** the order of the four.

# %%
def by_gradient(model, tokens):
    def log_prob(vectors):  # of the class that the model chose
        logits, _ = model.read_vectors(vectors, tokens != 0)
        return logits.log_softmax(dim=-1).amax(dim=-1)

    return gradient_x_input(log_prob, model.embedding(tokens))


scores["by gradient"] = by_gradient(model, tokens)

# %%
vectorizer, linear = baselines["sentiment", "TF-IDF, words"]
names = vectorizer.get_feature_names_out()
coefficients = dict(zip(names, linear.coef_[0] * vectorizer.idf_))
table = tasks["sentiment"].vocabulary.table(coefficients).float().to(device)
toward = 2.0 * named - 1  # a word counts for the class that was named
scores["by TF-IDF"] = table[tokens] * toward[:, None]

# %%
def drops_of(model, scores, counts):
    return {
        name: {count: tc.comprehensiveness(model, tokens, score, count).cpu()
               for count in counts}
        for name, score in scores.items()
    }

# %% [markdown]
# One to five words, in each of the four orders:

# %%
drops = drops_of(model, scores, counts=(1, 2, 3, 5))
title = "Above chance; below two orders that know the direction"
plotting.show(
    views.deletion_curves(drops, title=title),
    alt="Loss of probability after deleting 1 to 5 words. At random: little. "
    "By weight: more. By gradient, by TF-IDF: most.",
)

# %%
first = {name: drop[1] for name, drop in drops.items()}
chance = mean_interval(first["by weight"] - first["at random"])
other = mean_interval(first["by TF-IDF"] - first["by weight"])
print("one word by weight costs 0.04 more than at random:", chance[1] > 0.04)
print("one word by TF-IDF costs 0.02 more than by weight:", other[1] > 0.02)
assert session.quick() or (chance[1] > 0.04 and other[1] > 0.02)

# %% [markdown]
# (Both lines ask the lower bound of the interval of the difference, text by
# text.) So the marked words of *this* trained model do matter. Over five
# trainings: [E08.9](../experiments/results/08_text_classification.md#e089),
# [E08.10](../experiments/results/08_text_classification.md#e0810),
# [E08.11](../experiments/results/08_text_classification.md#e0811):

# %%
evidence.show("E08.9", "E08.10", "E08.11")

# %% [markdown]
# A *foreign* model's list of words finds words that cost more. Why?

# %% [markdown]
# ## How loud, but not for whom
#
# Both others know the *direction*: TF-IDF was told which class our model had
# named, and the gradient is that of this class. A weight has no sign. Look for
# texts in which deleting the word with most weight *raised* the probability.
# **Predict:** can there be any?

# %%
raised = (first["by weight"] < 0).double().mean().item()
print("raised in more than one text of ten:", raised > 0.1)
print("raised in less than four of ten:    ", raised < 0.4)
assert session.quick() or 0.1 < raised < 0.4

# %% [markdown]
# Many, and not in this run only ([E08.12](../experiments/results/08_text_classification.md#e0812), below).
# In "a wonderful cast in a boring film" both adjectives are loud,
# on *opposite sides*. A weight says how loud a word speaks, not for whom.
# The linear layer behind it knows. So multiply: weight times what the head
# makes of the word's vector is the word's vote, its **logit attribution**.

# %%
seen = look("sentiment", "A wonderful cast in a boring film")
vocabulary = tasks["sentiment"].vocabulary
row = vocabulary.encode([" ".join(seen.words)]).to(device)
signed = tc.logit_attribution(model, row, target=1)[0].tolist()
sides = [seen.words[signed.index(end)] for end in (max(signed), min(signed))]
print("most for positive, most for negative:", sides)
assert session.quick() or sides == ["wonderful", "boring"]

# %%
largest = max(map(abs, signed))
figure = views.highlight(
    [("weights, per cent", seen.words, seen.weights),
     ("votes for positive, per cent of the largest", seen.words,
      [vote / largest for vote in signed])],
    title="Two loud words, two opposite votes",
)
plotting.show(figure, alt="A wonderful cast in a boring film, twice. By "
              "weight both adjectives are marked. By vote wonderful is blue, "
              "above zero, and boring orange and dashed, below zero.")

# %% [markdown]
# **Predict:** does deleting by vote cost as much as by gradient? Does it help a
# weight to get nothing but the vote's *sign*? And if we ask only *how much* the
# probability moves, up or down?

# %%
votes = tc.logit_attribution(model, tokens)
sizes = {
    "by vote": votes,
    "by weight, vote's sign": scores["by weight"] * votes.sign(),
    "by size of vote": votes.abs(),
    "the same without weight": votes.abs() / scores["by weight"].clamp(1e-9),
}
for name, order in sizes.items():
    first[name] = tc.comprehensiveness(model, tokens, order, 1).cpu()
moves = {name: drop.abs() for name, drop in first.items()}

# %%
plotting.show(
    views.side_by_side({"loss of probability": first,
                        "|change| of probability": moves},
                       title="By weight: far, but not always down"),
    alt="Intervals for one word deleted by eight orders. Left, what the "
    "probability of the named class loses: by weight clearly less than by "
    "gradient, TF-IDF and vote. Right, how far it moves: by weight almost as "
    "far as by size of vote.",
)

# %%
loses = (first["by weight"].mean() / first["by vote"].mean()).item()
best = moves["by size of vote"].mean()
moved, chance = ((moves[name].mean() / best).item()
                 for name in ("by weight", "at random"))
print("loses: weight reaches less than 0.75 of vote:     ", loses < 0.75)
print("moves: weight reaches more than 0.8 of vote's size:", moved > 0.8)
print("moves: chance reaches less than half of it:        ", chance < 0.5)
assert session.quick() or (loses < 0.75 and chance < 0.5 and moved > 0.8)

# %% [markdown]
# That was one trained model. Over five, what is lost:
# [E08.12](../experiments/results/08_text_classification.md#e0812),
# [E08.13](../experiments/results/08_text_classification.md#e0813),
# [E08.14](../experiments/results/08_text_classification.md#e0814),
# [E08.15](../experiments/results/08_text_classification.md#e0815). How far the probability
# moves, up or down: [E08.16](../experiments/results/08_text_classification.md#e0816),
# [E08.17](../experiments/results/08_text_classification.md#e0817),
# [E08.18](../experiments/results/08_text_classification.md#e0818).

# %%
evidence.show(*(f"E08.{number}" for number in range(12, 19)))

# %% [markdown]
# So the weights find words that *move* the answer, farther than words at random
# ([E08.24](../experiments/results/08_text_classification.md#e0824)) and
# more than 0.8 times as far as the size of the votes does
# (E08.16). They do not say in which direction: with nothing
# but the vote's *sign* before it, a weight costs more (E08.14). That is most of
# TF-IDF's lead, and not quite all (E08.15: *no*).

# %% [markdown]
# Counted up or down, the weights are not shown to find words that move more
# than TF-IDF's coefficients do (E08.17), or what the head makes of each word's
# vector *without* any weight (E08.18). Much of what a mark seems to show may be in
# the word vectors, not in the query.
#
# Behind its weights this model is linear. With layers between words and pooling,
# a weight belongs to a position into which others are mixed. Whether weights
# then explain an answer is what Jain and Wallace (2019) and Wiegreffe and Pinter
# (2019) argue about; lesson 14 goes on.

# %% [markdown]
# ## Does order matter?
#
# *not good, bad* and *not bad, good* are the same words in another order.
# **Predict:** which of the three models can tell them apart?

# %%
both = ["not good, bad", "not bad, good"]
pairs = tasks["sentiment"].vocabulary.encode(both).to(device)
for name in MODELS:
    one, two = tc.predict_proba(models["sentiment", name], pairs)
    same = torch.allclose(one, two, rtol=0, atol=2e-6)
    print(f"{name:17} gives both the same:", same)
    assert same == (name != "Transformer")

# %% [markdown]
# Both poolings are bags of words: a sum does not know any order. The Transformer
# has positions, and answers differently. But does it *use* them? Shuffle the
# words of every test text. **Predict** how often it changes its mind.

# %%
for task, data in tasks.items():
    model, whole = models[task, "Transformer"], data.test.tokens
    before = tc.predict_proba(model, whole).argmax(dim=-1)
    after = tc.predict_proba(model, tc.shuffle_words(whole)).argmax(dim=-1)
    changed = (before != after).double().mean().item()
    print(f"{task:9} changes in less than one text of ten:", changed < 0.1)
    assert session.quick() or changed < 0.1

# %% [markdown]
# In this run seldom. For sentiment that holds over five seeds
# ([E08.19](../experiments/results/08_text_classification.md#e0819)), and for
# topic with the settings searched
# ([E08.28](../experiments/results/08_text_classification.md#e0828)).
# It *could* read order, and for the class that it names
# order seldom mattered, here. (How far the probabilities moved
# was not measured.) Whether a model *can* do something and whether it *does* are
# two questions.

# %% [markdown]
# ## Your own text
#
# Type. Leave out a word. Change the model. **Find** a sentence that any reader
# would call positive and the model does not. What if you paste nothing, or
# ten thousand words, or words that do not exist?

# %%
readers = {
    f"{task}: {name}": (partial(look, task, name=name), NAMES[task])
    for task in tasks for name in ("attention pooling", "Transformer")
}

# %%
text = "The plot is thin, but the acting is a delight to watch."
assert session.quick() or views.loudest(look("sentiment", text)) == "thin"
views.TextReader(
    readers, text,
    alt="The text the plot is thin, but the acting is a delight to watch, "
    "words marked by weight; the strongest mark is on thin.",
)

# %% [markdown]
# With nothing typed, the last layer's constant answers alone. Of ten thousand
# words the model reads 64. All words that it does not know are one word to it.

# %% [markdown]
# ## Summary
#
# - **Attention pooling** makes one vector of many: one learned query, words as
#   keys and values. A query of zeros is mean pooling.
# - Compare with a simple baseline (**TF-IDF with logistic regression**) that is
#   tuned with equal care, on the same texts, in pairs, over several seeds. Few
#   steps and one seed had told us something else (E08.4, E08.5).
# - Words with much weight **do** move the answer, farther than words at random
#   (**erasure**, a test of **faithfulness**; E08.24). The weight does not say in which
#   direction: **logit attribution** does.
# - A model that *can* see order need not *use* it.

# %% [markdown]
# ## Exercises
#
# Exercises 1 to 4 have a stub, a check that says at once what is wrong, a hint
# and a folded solution; exercise 5 is an experiment of your own.
# Starting here? First choose *Run → Run All Above Selected Cell*.

# %% [markdown]
# ### Exercise 1: three words on paper (5 min, easy)
#
# Three words have the scores 2, 1 and 1. A fourth position is padding: its
# score is 0. What are the weights of the three words, to three digits?
# ($e = 2.718$.)

# %%
three = ...

checks.text_classification.weights(three)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The padding gets weight 0, and has no part in the sum. Divide all three
# exponentials by $e$: then they are $e$, 1 and 1.
#
# </details>

# %% tags=["solution"]
# Solution
three = [math.e / (math.e + 2), 1 / (math.e + 2), 1 / (math.e + 2)]
print([round(weight, 4) for weight in three])
checks.text_classification.weights(three)

# %% [markdown]
# ### Exercise 2: attention pooling (10 min, medium)
#
# Write it: `states` (batch, length, dim), `mask` (batch, length), True = a real
# word, `query` (dim,). Return (batch, dim). Do not divide the scores by
# anything, and do not call the module.

# %%
def my_pool(states, mask, query):
    ...


checks.text_classification.pool(my_pool)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `states @ query` gives (batch, length). Fill what is not real with `-inf`,
# softmax over the words, then a weighted sum over `dim=1`: the weights need a
# last dimension of 1.
#
# </details>

# %% tags=["solution"]
# Solution
def my_pool(states, mask, query):
    scores = (states @ query).masked_fill(~mask, -math.inf)
    weights = scores.softmax(dim=-1)  # (batch, length)
    return (weights[..., None] * states).sum(dim=1)  # (batch, dim)


checks.text_classification.pool(my_pool)

# %% [markdown]
# ### Exercise 3: delete the loudest words (15 min, hard)
#
# Write `delete_top`: `tokens` (n, length) with padding 0 at the end, `scores`
# of the same shape, `count`. Take out of each text the `count` words
# with the highest scores; the rest moves together in its order, padding behind.
# Of equal scores any may go, but no more than `count` words in all; a text of
# `count` words or fewer becomes padding.

# %%
def my_delete(tokens, scores, count):
    ...


checks.text_classification.delete(my_delete)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Padding may have the highest score: give it `-inf` first. A loop over rows is
# fine. Without one: `scatter` zeros to the highest positions, then sort by "is it
# zero?" with `argsort(stable=True)`, which keeps the order of equals.
#
# </details>

# %% tags=["solution"]
# Solution
def my_delete(tokens, scores, count):
    scores = scores.masked_fill(tokens == 0, -math.inf)
    highest = scores.argsort(dim=1, descending=True)[:, :count]
    left = tokens.scatter(1, highest, 0)
    behind = (left == 0).int().argsort(dim=1, stable=True)
    return left.gather(1, behind)


checks.text_classification.delete(my_delete)

# %% [markdown]
# ### Exercise 4: is the lead real? (10 min, medium)
#
# On 1,000 texts, 70 are right for model A only, 40 for model B only; on the
# others both are right or both wrong. What is A's lead in accuracy, and the
# **lower bound** of its 95 % interval? Give both, as shares, to four digits
# after the point.

# %%
lead_and_bound = ...

checks.text_classification.lead(lead_and_bound)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Each text counts 1, -1 or 0. The mean of these numbers is the lead. Their
# variance is the mean of their squares minus the square of their mean.
#
# </details>

# %% tags=["solution"]
# Solution
lead = (70 - 40) / 1000
deviation = ((70 + 40) / 1000 - lead**2) ** 0.5
lead_and_bound = [lead, lead - 1.96 * deviation / 1000**0.5]
print([round(number, 4) for number in lead_and_bound])
print("McNemar's statistic:", round((70 - 40) ** 2 / (70 + 40), 2))
checks.text_classification.lead(lead_and_bound)

# %% [markdown]
# <details><summary>And McNemar's test?</summary>
#
# It asks of the same two counts: if neither model were better, how often would
# they lie so far apart? Its statistic, $(70 - 40)^2 / (70 + 40)$, is above
# 3.84, so less than once in twenty.
#
# </details>

# %% [markdown]
# ### Exercise 5: change this and explain (20 min, hard)
#
# Run the deletion test on the **Transformer**: by weight of its pooling, by
# gradient, at random. Here other words are mixed into each position before it is
# weighted. Predict first: are its weights nearer to chance than before? Explain
# in three sentences. (About half a minute.)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `drops_of(model, scores, counts=(1, 3))`, with `tc.weight_scores(model,
# tokens)` and `by_gradient(model, tokens)` for this model, then
# `views.deletion_curves`.
#
# </details>

# %% tags=["solution"]
# Solution
model = models["sentiment", "Transformer"]
orders = {
    "at random": torch.rand(tokens.shape).to(device),
    "by weight": tc.weight_scores(model, tokens),
    "by gradient": by_gradient(model, tokens),
}
deep = drops_of(model, orders, counts=(1, 3))
plotting.show(
    views.deletion_curves(deep, title="The Transformer's weights"),
    alt="Loss of probability after deleting 1 and 3 words: at random least, "
    "by weight more, by gradient most.",
)

# %% tags=["solution"]
# Solution
means = [drop[3].mean().item() for drop in deep.values()]
print("random, weight, gradient, from least to most:", means == sorted(means))
assert session.quick() or means == sorted(means)

# %% [markdown]
# <details><summary>Answer</summary>
#
# The order is the same, in this run and over five seeds: above chance
# ([E08.20](../experiments/results/08_text_classification.md#e0820)), below the
# gradient ([E08.21](../experiments/results/08_text_classification.md#e0821)), which
# looks through the whole model and knows the direction. And yes, they are nearer
# to chance: what erasing by weight costs above chance is less than in attention
# pooling ([E08.25](../experiments/results/08_text_classification.md#e0825)). That fits
# words mixed into other positions; but steps, rate and dropout differ too, so
# the cause is not shown.
#
# </details>

# %% [markdown]
# ## Test yourself
#
# Choose an answer, then open it: each says why it is right or not.
#
# ### Question 1: a word has weight 0.6 in a text called negative. What follows?
#
# <details><summary>A. The word is negative</summary>
#
# Not from the weight. It may have spoken for the other side, and lost.
#
# </details>
# <details><summary>B. The model listened to it most</summary>
#
# Yes, and no more: 0.6 of all weight is this word's. (Not 0.6 of the pooled
# vector: the words' vectors differ in length.)
#
# </details>
# <details><summary>C. Without it the text would be called positive</summary>
#
# That has to be tried. The weights of all others change too.
#
# </details>

# %% [markdown]
# ### Question 2: two models score 0.78 and 0.79 on the same texts, each with an interval of 0.013 to both sides. Is one better?
#
# <details><summary>A. No, the intervals overlap</summary>
#
# Overlap does not settle it. Both read the same texts, so compare in pairs.
#
# </details>
# <details><summary>B. Yes, 0.79 is more than 0.78</summary>
#
# On these texts. The question is whether on others too.
#
# </details>
# <details><summary>C. Count the texts where only one of them is right</summary>
#
# Right: the interval of their difference decides, whichever way it falls.
#
# </details>

# %% [markdown]
# ### Question 3: why are sentences of one article kept on one side of the split?
#
# <details><summary>A. So that a model cannot recognise the article</summary>
#
# Yes. Names and rare words would link test to training, and the accuracy would
# promise more than a new article gets. For this set's films, whose reviews are
# not known, it may do so.
#
# </details>
# <details><summary>B. So that all classes are equally frequent</summary>
#
# No. The split does nothing for that, and they are not.
#
# </details>
# <details><summary>C. So that padding is short</summary>
#
# No. Batches are made of texts of like length, whatever article they are from.
#
# </details>

# %% [markdown]
# ## Next
#
# Words are a row of tokens by nature. Lesson
# [09_image_attention](09_image_attention.ipynb) makes tokens of a picture, and
# asks again whether weights explain.
#
# To read: Yang et al. (2016), "Hierarchical attention networks for document
# classification", section 2.2; Jain and Wallace (2019), "Attention is not
# explanation"; Wiegreffe and Pinter (2019), "Attention is not not
# explanation".

# %% [markdown] tags=["navigation"]
# [← 07 translation](07_translation.ipynb) ·
# [The map](00_start_here.ipynb) ·
# [09 image attention →](09_image_attention.ipynb)
