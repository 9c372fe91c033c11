# %% [markdown]
# # Can attention listen?
#
# A second of speech is 8,000 numbers, and none of them says where a word
# begins. A decoder with attention can find out; so can another method, CTC,
# whose attention stays inside the encoder.
#
# **You will be able to**
# - turn a recording into log-mel features, step by step;
# - explain CTC by counting paths, and train with it;
# - train a listener with attention, and measure it on *unseen speakers*:
#   voices it never heard, one of them real;
# - see where it listens, and when that goes wrong.
#
# **Minutes:** 120, of which the exercises take 58. **Needs:** lessons 05 and
# 06. The training cell takes under four minutes.

# %% [markdown] tags=["navigation"]
# [← 10 detection segmentation](10_detection_segmentation.ipynb) ·
# [The map](00_start_here.ipynb) ·
# [12 rnn cnn attention →](12_rnn_cnn_attention.ipynb)

# %%
import random

import numpy as np
import torch
from torch.nn import functional as F
from transformers import audio_utils

from attn_course import checks, evidence, plotting, session, training
from attn_course import speech_attention as hearing
from attn_course.common.measuring import count_parameters
from attn_course.common.text import Vocabulary
from attn_course.data import speech
from attn_course.widgets import speech_attention as views

session.start(0)
device = session.device()

# %% [markdown]
# ## The recordings
#
# Digits and short commands, 60 words in all. Most are spoken by eSpeak NG, a
# program that computes sounds by rules, in many voices and eight accents.
# `other` are seven voices of two more programs, Flite and Festival, built from
# recordings of five people. The test voices are none of the training voices.

# %%
recordings = {split: speech.load(split) for split in speech.SPLITS}
for split, part in recordings.items():
    minutes = sum(len(one.wave) for one in part) / speech.SAMPLE_RATE / 60
    voices = len({one.voice for one in part})
    print(f"{split:6} {len(part):5} recordings, {minutes:4.1f} minutes, "
          f"{voices} voices")

# %% [markdown]
# Listen to one of the test voices.

# %%
commands = [one for one in recordings["test"] if "kitchen" in one.text]
views.player(commands[0].wave, commands[0].text)

# %% [markdown]
# And the real thing: ten digits by Allison Smith, a professional speaker, from
# the Asterisk telephone system (CC BY-SA 3.0, see the data's card). No model
# here trains on her voice, nor on any sentence that a person spoke: it is a
# test of how far synthetic voices carry.

# %%
digits = speech.load_human("en")[:10]
print([one.text for one in digits])
views.player(digits[3].wave, digits[3].text)

# %% [markdown]
# ## From wave to features: frames
#
# The ear hardly cares whether a wave starts with a rise or a fall. It hears
# which frequencies are strong, and how that changes. So cut the wave into
# **frames** of 256 samples (32 ms), one every 128. First by hand.

# %%
wave = digits[3].wave
by_hand = torch.stack(
    [wave[at : at + 256] for at in range(0, len(wave) - 255, 128)]
)  # (frames, 256)
assert torch.equal(by_hand, hearing.frame(wave))
print(len(wave), "samples become", tuple(by_hand.shape))

# %% [markdown]
# ## Window and spectrum
#
# A frame that is cut off hard has an edge, and an edge sounds like all
# frequencies at once. A **window** fades both ends to 0. Then the Fourier
# transform tells the strength of 129 frequencies from 0 to 4,000 Hz: here it
# is as what it is, a matrix product with waves.

# %%
windowed = by_hand * torch.hann_window(256)
steps = torch.outer(torch.arange(129), torch.arange(256))
waves = torch.exp(-2j * torch.pi * steps / 256)  # (frequencies, samples)
spectrum = windowed.to(waves.dtype) @ waves.T
torch.testing.assert_close(
    spectrum, torch.fft.rfft(windowed), rtol=1e-3, atol=1e-3
)
power = spectrum.abs() ** 2  # (frames, 129)
print("power:", tuple(power.shape))

# %% [markdown]
# ## Mel bands
#
# We hear 200 and 300 Hz as far apart, 3,200 and 3,300 Hz as nearly the same.
# The **mel** scale is $2595 \log_{10}(1 + f/700)$: even steps of it are about
# even steps for the ear. Twenty-four triangles, evenly spaced in mel, gather
# the power.

# %%
print(hearing.hz_to_mel(torch.tensor([200.0, 300.0, 3200.0, 3300.0])))
triangles = hearing.mel_filterbank()  # (24, 129)
figure, ax = plotting.figure(6.4, 2.2)
ax.plot(torch.arange(129) * 31.25, triangles[::2].T)
ax.set(xlabel="Hz", ylabel="weight", title="Every second mel filter")
plotting.show(
    figure,
    alt="Twelve triangles over 0 to 4,000 Hz, narrow and close at low "
    "frequencies, wide and far apart at high ones.",
)

# %% [markdown]
# The same triangles come from the library `transformers`.

# %%
theirs = audio_utils.mel_filter_bank(
    num_frequency_bins=129, num_mel_filters=24, min_frequency=60,
    max_frequency=4000, sampling_rate=8000,
)
assert np.allclose(theirs.T, triangles, atol=1e-6)
print("our filters = the library's:", True)

# %% [markdown]
# ## Logarithm
#
# Loudness is heard in ratios, so take decibels, $10 \log_{10}$. The loudest
# feature of a recording becomes 1, what is 50 decibels weaker or less
# becomes 0.

# %%
decibels = 10 * torch.log10((power @ triangles.T).clamp(min=1e-10))
features = (1 + (decibels - decibels.max()) / 50).clamp(min=0)
torch.testing.assert_close(
    features, hearing.log_mel_spectrogram(wave), rtol=1e-3, atol=1e-3
)
print("by hand = log_mel_spectrogram:", tuple(features.shape))

# %% [markdown]
# **Predict:** what happens to the features if the recording is ten times as
# loud? (Ten times as large numbers. A microphone that is too near *clips* the
# wave, which does change it.)

# %%
louder = hearing.log_mel_spectrogram(10 * wave)
change = (louder - hearing.log_mel_spectrogram(wave)).abs().max()
print("they change by more than 0.001:", bool(change > 1e-3))
plotting.show(
    views.feature_steps(wave),
    alt="The word three, in three panels over time: the wave, its power over "
    "frequency, and 24 mel bands. The low stripes are the voice's pitch; a "
    "broad band above, a resonance of the mouth, bends where r becomes ee.",
)

# %% [markdown]
# Panel two is striped: evenly spaced multiples of the voice's **pitch**. In
# the mel bands only the lowest two or three are left as stripes. Above them
# the broad bright band is a resonance of the mouth, a **formant**. Where the
# formants are makes a vowel, so little is lost with the pitch.

# %% [markdown]
# ## Mean normalisation
#
# A microphone makes some bands louder, in every frame alike: in decibels it
# *adds* one number to a whole band. **Predict:** what is left of it if each
# band's mean over the recording is taken away?

# %%
microphone = torch.linspace(-0.3, 0.3, 24)  # weak low bands, strong high ones
both = torch.stack([features, features + microphone])
centred = hearing.mean_normalize(both, torch.tensor([len(features)] * 2))
torch.testing.assert_close(centred[0], features - features.mean(dim=0))
print(f"before: {(both[1] - both[0]).abs().max():.2f} apart, "
      f"after: {(centred[1] - centred[0]).abs().max():.2f}")

# %% [markdown]
# Nothing. (In a real recording nearly nothing: what lay 50 decibels down was
# cut to 0 before.) All models here begin with this *mean normalisation*: then
# they have little to learn of what a microphone does. It is an old trick
# (Atal, 1974), known as *cepstral mean normalisation* where it is done on the
# **cepstrum**, a cosine transform of such features.

# %% [markdown]
# ## CTC: words without an alignment
#
# The models will make one **encoder frame**, a vector, of every four frames
# (64 ms). A usual recording has 21 of them and 3 or 4 words, and nobody says
# where. **CTC** (connectionist temporal classification; Graves et al., 2006)
# lets each encoder frame name a word or a **blank** (here 0). A row of names
# is a *path*. Join repeats, then drop blanks, and it says something.

# %%
print(hearing.ctc_collapse([0, 5, 5, 0, 5, 7]))
print(hearing.ctc_collapse([0, 5, 5, 5, 5, 7]))

# %% [markdown]
# **Predict:** three encoder frames, two words 1 and 2. How many of the 27
# paths say "1 2"?

# %%
probs = torch.tensor(
    [[0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]], dtype=torch.float64
)  # (frames, [blank, 1, 2])
total = 0.0
for path in torch.cartesian_prod(*[torch.arange(3)] * 3).tolist():
    if hearing.ctc_collapse(path) == [1, 2]:
        prob = probs[range(3), path].prod().item()
        total += prob
        print(path, f"{prob:.3f}")
print(f"together {total:.3f}")

# %% [markdown]
# CTC's probability of "1 2" is the sum over those five. With 21 encoder frames
# there are far too many paths; but they share their beginnings. The *forward
# algorithm* walks through the frames and keeps one probability per position in
# `[0, 1, 0, 2, 0]`, that of all paths that stand there now: they stayed,
# stepped on, or skipped a blank between two *different* words.

# %%
torch.testing.assert_close(hearing.ctc_forward(probs, [1, 2]).item(), total)
loss = F.ctc_loss(
    probs.log()[:, None], torch.tensor([[1, 2]]), torch.tensor([3]),
    torch.tensor([2]), reduction="sum",
)
torch.testing.assert_close(torch.exp(-loss).item(), total)
print("all paths = forward algorithm = torch's ctc_loss")

# %% [markdown]
# CTC has a price: given the sound, each encoder frame names its word without
# knowing what the others name. And a gift: its output comes in the order of
# the encoder frames, always. (Of the frames, not surely of the sound: an
# encoder with self-attention may carry what it heard to another frame.)

# %% [markdown]
# ## Three models
#
# All begin with **convolutional subsampling**. Two convolutions make one
# encoder frame of four frames, two more let each hear 0.3 s to either side,
# more than a word. The last two cut an encoder frame's features into four
# groups (the listener's into two), each read by itself.
#
# - *CTC*: three layers of lesson 06's encoder, one output per encoder frame.
# - *Listen, attend, spell* (after Chan et al., 2016): a recurrent layer in both
#   directions, and lesson 05's decoder with additive attention. (Theirs has a
#   pyramid in place of the convolutions, and spells letters.)
# - *Transformer* (Dong et al., 2018): two layers of lesson 06's encoder, one
#   of its decoder.

# %%
taught = recordings["train"] + recordings["other"]
train_texts = [one.text for one in taught]
vocabulary = Vocabulary.from_texts(train_texts, min_freq=1)
for kind, Model in hearing.SPEECH_MODELS.items():
    count = count_parameters(Model(len(vocabulary)))
    print(f"{kind:22} {count:,} parameters")

# %% [markdown]
# Each writes whole words, by *greedy decoding*: the likeliest at each step.
# With 60 words that is easier than letters, and the attention has one row per
# word. The price: a word that is not among the 60 can never be written.
#
# The two decoders get help: 0.3 of their loss is CTC on the encoder frames
# (Kim, Hori and Watanabe, 2017), meant to let attention find something to
# attend to. It also leaves a second reader in each model, whom we shall ask
# too.

# %% [markdown]
# ## Other voices, other rooms
#
# A program speaks clearly, always in the same silence. To prepare for people,
# change each recording anew each time, on its features, where it costs little:
# *data augmentation*. Time is stretched. Bands are warped, as if by a longer
# or shorter throat: *vocal tract length perturbation* (Jaitly and Hinton,
# 2013). Up to 0.13 s of quiet come before and after. Another microphone, noise,
# a telephone's narrow band follow.
# (*SpecAugment*, Park et al., 2019, hides random bands and stretches of time;
# here the telephone alone hides any.)

# %%
one = hearing.log_mel_spectrogram(commands[0].wave)
generator = torch.Generator().manual_seed(5)
changed, lengths = hearing.augment(
    one.expand(3, -1, -1), torch.tensor([len(one)] * 3), generator
)
figure, axes = plotting.figure(7.4, 2.2, cols=4)
shown = [one, *(x[:n] for x, n in zip(changed, lengths))]
for ax, x in zip(axes, shown):
    ax.imshow(x.T, "viridis", origin="lower", aspect="auto", vmin=0, vmax=1)
    ax.set_title("as it was" if x is one else "changed", fontsize=9)
plotting.show(
    figure,
    alt="One command's features, and three changed versions: longer, with "
    "bands moved, noise in the gaps or over nearly everything, or upper "
    "bands missing. Across: frames; upwards: mel bands.",
)

# %% [markdown]
# And people pause, as the program rarely does: once, before training, the words
# of every second recording are parted, by up to 0.3 s of silence each.

# %% [markdown]
# ## How wrong?
#
# The **word error rate** counts the fewest changes that make what was said
# into what was written: *substitutions* (another word), *insertions* (one too
# many), *deletions* (one lost); divided by the number of words said. (Over
# letters: the **character error rate**.) Fill a table: each cell from its
# left, upper and diagonal neighbour.

# %%
def table_of(hypothesis, reference):
    d = np.zeros((len(reference) + 1, len(hypothesis) + 1), dtype=int)
    d[:, 0], d[0] = range(len(reference) + 1), range(len(hypothesis) + 1)
    for i, said in enumerate(reference, 1):
        for j, wrote in enumerate(hypothesis, 1):
            d[i, j] = min(d[i - 1, j - 1] + (said != wrote),
                          d[i - 1, j] + 1, d[i, j - 1] + 1)
    return d


reference = "turn on the light".split()
hypothesis = "turn the the light on".split()
print(table_of(hypothesis, reference))
print(hearing.edit_counts(hypothesis, reference))

# %% [markdown]
# Two changes for four words: 50 %. **Predict:** can the rate be above 100 %?

# %%
edits = hearing.edit_counts("go on and on and on".split(), ["gone"])
print(edits.total, "changes for 1 word")

# %% [markdown]
# ## The recipe
#
# Batches of 16 recordings, of nearly one length. In half of the batches two or
# four are joined to one row, which leaves eight rows or four: else a model
# learns that nothing ever follows a command. AdamW, learning rate up to 0.002,
# then down along a cosine.
#
# The convolutions and the learning rate were chosen by the *validation* voices.
# The number of bands, mean normalisation, the other programs' voices, the joined
# rows and the strength of the augmentation were set after looks at the human
# digits: there the error rates below are too good.

# %%
ready = [hearing.log_mel_spectrogram(one.wave).to(device) for one in taught]
targets = hearing.make_targets(vocabulary, train_texts).to(device)
dice = random.Random(0)
paused = [
    hearing.log_mel_spectrogram(hearing.add_pauses(one, dice)).to(device)
    for one in taught
]
SHORT, LONG = 1000, hearing.STEPS

# %%
def plan(kind, steps, features=ready, transform=None, note=""):
    """Make a model, and the job that trains it."""
    steps = steps // 40 if session.quick() else steps
    session.set_seed(0)
    model = hearing.SPEECH_MODELS[kind](len(vocabulary)).to(device)
    batches = hearing.speech_batches(features, targets, transform=transform)
    return model, lambda: hearing.train_speech(
        model, batches, steps=steps, label=kind + note
    )


# %% [markdown]
# Each kind of model sees the recordings as they are, nearly five times. Then
# the Transformer again, more than twice as long, without and with changed
# recordings. **Predict:** who leads on voices never heard? And on a real one?
#
# Two at a time, each on one core, the longest first: three and a half
# minutes in all.

# %%
plans = {kind: plan(kind, SHORT) for kind in hearing.SPEECH_MODELS}
plans["Transformer, long"] = plan("Transformer", LONG, note=", long")
plans["long, with changes"] = plan("Transformer", LONG, paused,
                                   hearing.augment, ", long, changed")
training.run_in_parallel([job for _, job in reversed(plans.values())])
models = {name: model for name, (model, _) in plans.items()}
model = models["long, with changes"]

# %% [markdown]
# ## Voices never heard, and a real one
#
# For the real voice, its ten digits and 100 sequences of one to five of them,
# with pauses of up to 0.2 s. For the intervals, recordings of one voice stand
# or fall together (Bisani and Ney, 2004), so whole voices are drawn; and the
# 80 held-out voices are ten *timbres* in eight accents each, so whole timbres.
# The voices are new, the sentences partly not: four in ten test texts stand in
# the training set too.

# %%
dice = random.Random(0)
sequences = digits + [
    speech.join(dice.choices(digits, k=dice.randint(1, 5)),
                dice.uniform(0, 0.2))
    for _ in range(100)
]
tested = recordings["test"][:: 4 if session.quick() else 1]
sets = {"held-out voices": tested, "a real voice": sequences}
mels = {
    name: [hearing.log_mel_spectrogram(one.wave).to(device) for one in part]
    for name, part in sets.items()
}

# %% [markdown]
# Five models, six ways of reading: the last, *its CTC part*, is "long, with
# changes" once more, read without the decoder, by the CTC output that helped
# in training.

# %%
references = {name: [one.text for one in part] for name, part in sets.items()}
ways = {kind: (model, "greedy_decode") for kind, model in models.items()}
ways["its CTC part"] = models["long, with changes"], "ctc_greedy_decode"
hypotheses = {
    (name, way): hearing.transcribe(model, vocabulary, mels[name],
                                    method=method)
    for name in sets for way, (model, method) in ways.items()
}

# %%
def error_rate(way, name, unit):
    voices = [one.voice.split("+")[-1] for one in sets[name]]  # timbres
    counts = hearing.error_counts(hypotheses[name, way], references[name],
                                  unit)
    one_voice = len(set(voices)) == 1  # then draw recordings
    return hearing.error_interval(*counts, None if one_voice else voices)

# %%
panels = {
    f"{name}, {unit} errors in %": {
        way: error_rate(way, name, unit) for way in ways
    }
    for name in sets for unit in ("word", "character")
}
for name in sets:
    two = {key: panels[key] for key in panels if key.startswith(name)}
    plotting.show(
        plotting.interval_panels(two, title=f"Errors on {name}"),
        alt=f"Chart of word and character error rates on {name}, with 95 "
        "percent intervals: CTC, listen attend spell, Transformer, the "
        "Transformer trained long, long with changed recordings, and the CTC "
        "part of the last.",
    )

# %% [markdown]
# The right way to read the second chart: ten sounds of one person, again and
# again. Its interval speaks of other *sequences* of these sounds, not of other
# people.

# %%
errors = {name: panels[f"{name}, word errors in %"] for name in sets}
best = min(rate.score for rate in errors["held-out voices"].values())
real = errors["a real voice"]
gain = real["Transformer, long"].score - real["long, with changes"].score
print("best on held-out voices at most 8 %:", best <= 8)
print("changes help on the real voice, by 10 points:", gain >= 10)
print("with them, at most 40 %:", real["long, with changes"].score <= 40)
assert session.quick() or (
    best <= 8 and gain >= 10 and real["long, with changes"].score <= 40
)

# %% [markdown]
# This is one run of each, with one learning rate for all, and the three kinds
# differ in size, layers and loss: the order in the charts is no result. So we
# asked *small* models, five seeds each: digits alone, 64 numbers, 500 steps on
# recordings as they are. Of two learning rates, 0.002 and 0.004, validation
# voices chose 0.004 for CTC and 0.002 for the Transformer: edges of what was
# tried.

# %%
evidence.show("E11.1", "E11.2")

# %% [markdown]
# After so few steps CTC leads on both
# ([E11.1](../experiments/results/11_speech_attention.md#e111) and
# [E11.2](../experiments/results/11_speech_attention.md#e112): yes, yes). Longer training was
# not compared.
#
# Two goals were set for the lesson's model: 5 % on held-out voices, 20 % on the
# real digits. With three seeds its CTC part made 4.1, 5.2 and 6.1 % on held-out
# voices (3.0, 4.3 and 4.9 with long silence shortened, as below), and 8.4, 15.4
# and 13.0 % on the real voice. The chart's interval knows of one training alone;
# it is too narrow.

# %% [markdown]
# What the changes do, only one run says, and their strength was set after
# looks at this voice: without them the same model makes at least 10 more
# errors per 100 words on it. Which change does it was not tried. Whether CTC
# in the loss helps the decoder, single trials of ours did not agree.

# %% [markdown]
# ## Where does it listen?
#
# The decoder's weights for each word, over time. The true words are given, one
# after the other (teacher forcing, lesson 05), so that each row has a word to
# be compared with. Dashed: where the word truly starts, as the speaking
# program said. The model never saw these times. **Predict:** what will the
# picture look like?

# %%
long_ones = [one for one in recordings["test"] if len(one.starts) == 5]
one = long_ones[3]
mel = hearing.log_mel_spectrogram(one.wave).to(device)
words, weights = hearing.align(model, vocabulary, mel, one.text)
plotting.show(
    views.listening(mel, words, weights, starts=one.starts,
                    title="The attention walks forward, word by word"),
    alt="Log-mel features of five spoken words, and below them the weights of "
    "each word over time: bright patches run from upper left to lower right, "
    "each near its word's dashed true start.",
)

# %% [markdown]
# ## A number for it
#
# Two measures. The **centre** of a row is the mean time under its weights. The
# share of steps, from one row to the next, in which it moves forward is called
# *monotonicity* here. And how much weight lies *inside* the word's own time? As
# a baseline, the same rows in a random order.

# %%
by_hand = weights @ (torch.arange(weights.shape[1]).to(weights) + 0.5) * 0.064
torch.testing.assert_close(by_hand, hearing.centres(weights))
monotonicity = (by_hand.diff() > 0).double().mean().item()
assert monotonicity == hearing.monotonicity(weights)

# %%
def measure(model, scramble=False):
    """Mean over every other test recording of three words or more."""
    shares = []
    spoken = [one for one in tested if len(one.starts) >= 3]
    for one in spoken[::2]:
        mel = hearing.log_mel_spectrogram(one.wave).to(device)
        words, rows = hearing.align(model, vocabulary, mel, one.text)
        if scramble:
            rows = rows[torch.randperm(len(rows))]
        seconds = len(one.wave) / speech.SAMPLE_RATE
        shares.append([hearing.monotonicity(rows),
                       hearing.weight_inside(rows, one.starts, seconds)])
    return torch.tensor(shares).mean(dim=0).tolist()

# %%
attending = ("listen, attend, spell", "long, with changes")
measured = {kind: measure(models[kind]) for kind in attending}
measured["the same, scrambled"] = measure(model, scramble=True)
plotting.show(
    plotting.sheet(
        ["rows from", "steps forward", "weight inside the word"],
        [[name, *(f"{share:.2f}" for share in shares)]
         for name, shares in measured.items()],
    ),
    alt="Table of the share of steps forward and of weight inside the word's "
    "own time, for both models and for scrambled rows, which lie lower: near "
    "one half and one quarter.",
)

# %%
ahead, scrambled = [*measured.values()][1:]
print("forward at least 0.9:", ahead[0] >= 0.9)
print("scrambled at most 0.6:", scrambled[0] <= 0.6)
assert session.quick() or (ahead[0] >= 0.9 and scrambled[0] <= 0.6)

# %% [markdown]
# Nobody told the decoder to walk forward (though CTC in its encoder's loss
# knows the order). The models differ in steps, changes and kind, so the table
# does not say why one walks straighter. And a state need not be about its own
# time: the encoder has mixed neighbours, so weights can be early or late and
# still right.

# %%
evidence.show("E11.13", "E11.14")

# %% [markdown]
# The small Transformers walk forward, too
# ([E11.13](../experiments/results/11_speech_attention.md#e1113): yes), and listen inside the
# word more than even weights would
# ([E11.14](../experiments/results/11_speech_attention.md#e1114): yes). Both were
# first asked of the Transformer that had quiet in training, and were *undecided*
# there. "The arms" in the results shows both models.

# %% [markdown]
# ## Scrub through it
#
# Choose a recording and a word: the white curve over the features is that
# word's attention. **Find** a word whose attention lies late, and one that
# looks at two moments.

# %%
views.scrub_explorer(model, vocabulary, long_ones[:12])

# %% [markdown]
# ## What goes wrong: long recordings
#
# A row in training held four recordings at most; rows of four had 15 words on
# average, 22 at most in 1,000 batches. Join test recordings into ones of at
# least 6, 12, 24 and 48 words, and draw thirty of each. **Predict:** which way
# of reading breaks?

# %%
def join_up(parts, words):
    """Join recordings of one voice until they hold so many words."""
    joined, held = [], []
    for one in parts:
        if held and held[0].voice != one.voice:
            held = []
        held.append(one)
        if sum(len(part.starts) for part in held) >= words:
            joined.append(speech.join(held, 0.1))
            held = []
    return joined


by_voice = sorted(recordings["test"], key=lambda one: one.voice.split("+")[1])
by_voice = [one._replace(voice=one.voice.split("+")[1]) for one in by_voice]
joined = {}
for words in (1, 6, 12, 24, 48):
    rows = join_up(by_voice, words)
    joined[words] = rows[:: len(rows) // 30][:30]
print({words: len(part) for words, part in joined.items()})

# %% [markdown]
# (The accent changes within a joined recording, the timbre does not.)

# %%
compared = ("CTC", "listen, attend, spell", "long, with changes",
            "its CTC part")

# %%
def edit_rates(model, method, part):
    """Rates of substitutions, insertions and deletions, in per cent."""
    mels = [hearing.log_mel_spectrogram(one.wave).to(device) for one in part]
    texts = hearing.transcribe(model, vocabulary, mels, method=method)
    counts = [hearing.edit_counts(text.split(), one.text.split())
              for text, one in zip(texts, part)]
    total = sum(len(one.text.split()) for one in part)
    return [100 * sum(kind) / total for kind in zip(*counts)]


rates = {
    way: [edit_rates(*ways[way], part) for part in joined.values()]
    for way in compared
}

# %%
curves = {way: (list(joined), [sum(kinds) for kinds in edits])
          for way, edits in rates.items()}
figure = plotting.curves(
    curves, xlabel="words in a recording, at least", logx=True,
    ylabel="word errors, %", title="One run: the decoders fail on long ones",
)
figure.axes[0].minorticks_off()
figure.axes[0].set_xticks([*joined], [*joined])
plotting.show(
    figure,
    alt="Word error rate against the number of words in a recording, 1 to 48: "
    "it rises most for the models with a decoder.",
)

# %% [markdown]
# (A decoder here may write 60 words at most: in a recording of 48 it can add
# about ten, no more.)
#
# What kind of errors? A deletion is a skip (or an end too soon), an insertion
# often a repeat.

# %%
plotting.show(
    plotting.sheet(
        ["24 words and more", "substitutions, %", "insertions, %",
         "deletions, %"],
        [[way, *(f"{rate:.0f}" for rate in edits[3])]
         for way, edits in rates.items()],
    ),
    alt="Table of substitutions, insertions and deletions in recordings of 24 "
    "words and more, for the four ways of reading.",
)
decoder, by_ctc = (sum(rates[way][3]) for way in [*rates][2:])
print("the decoder makes at least 1.5 times its CTC part's errors:",
      decoder >= 1.5 * by_ctc)
assert session.quick() or decoder >= 1.5 * by_ctc

# %% [markdown]
# The Transformer's decoder can know where it is by what it wrote and by
# positions. Six words and more filled a quarter of the training's rows, 24
# none. In this one run most of its errors here are deletions: it jumps over
# a stretch or ends too soon. CTC's errors rise far less. (At 48 words the last
# positions were never seen.)
#
# *Why* is not shown. Rows of 24 words are longer in time as well. And training
# on longer rows is no sure cure: 240 more steps with rows of 4, 8 or 16
# recordings did not mend an earlier model of ours.

# %%
evidence.show("E11.10", "E11.11", "E11.12")

# %% [markdown]
# Small decoders, too, do far worse than their CTC part at 24 words
# ([E11.10](../experiments/results/11_speech_attention.md#e1110): yes).
# But they are not level with it at 6 words either
# ([E11.11](../experiments/results/11_speech_attention.md#e1111): no),
# which training did have. With six words that pauses make as long as 24, they
# do far worse, too
# ([E11.12](../experiments/results/11_speech_attention.md#e1112): yes).
# But so they did at six words without the pauses: whether length in time adds
# to it, these rows do not say.

# %% [markdown]
# ## What goes wrong: silence
#
# A recording that is made by hand begins and ends with a moment of silence.
# **Predict** what 1 or 2 s of it on either side do to a small Transformer that
# was trained without. And to one whose training had up to 1.1 s of quiet?

# %%
silences, small = (0, 0.5, 1, 2), evidence.arms("11")
name = "held-out voices"
names = [name, *(f"{name}, {seconds:g} s" for seconds in silences[1:])]
figure = plotting.curves(
    {f"{arm}{part}": (silences, [
        100 * np.mean(small[arm].means[one + part]) for one in names])
     for arm in ("Transformer", "Transformer, quiet")
     for part in ("", ", CTC part")},
    xlabel="silence on each side, s", ylabel="word errors, %",
    title="Small models: word errors by silence",
)
figure.axes[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
plotting.show(
    figure,
    alt="Word errors by silence, means of five seeds. Trained without quiet: "
    "the decoder rises steeply, from about 20 to 100, its CTC part from 5 to "
    "18. Trained with quiet: the decoder is worst without silence and with 2 "
    "s, lowest between; its CTC part stays near 10.",
)

# %%
evidence.show("E11.3", "E11.4", "E11.5", "E11.6")

# %% [markdown]
# Without quiet in training, 1 s of silence adds over 20 errors per 100 words
# ([E11.3](../experiments/results/11_speech_attention.md#e113): yes), and more to the decoder than
# to its CTC part ([E11.4](../experiments/results/11_speech_attention.md#e114):
# yes). With it, 1 s even takes errors away: the interval lies below 0
# ([E11.5](../experiments/results/11_speech_attention.md#e115): yes). And on
# the real voice in 1 s of silence this model makes fewer errors than the one
# without ([E11.6](../experiments/results/11_speech_attention.md#e116): yes). A
# cure?

# %%
evidence.show("E11.7", "E11.8", "E11.9")

# %% [markdown]
# Not after 500 steps: *without* silence this model makes far more errors than
# the other ([E11.7](../experiments/results/11_speech_attention.md#e117): no,
# not level). Nearly all its recordings had quiet; no small model was trained
# longer. Undecided: what 2 s do to it
# ([E11.8](../experiments/results/11_speech_attention.md#e118)), and what they
# do to one word and the model trained *without* quiet
# ([E11.9](../experiments/results/11_speech_attention.md#e119)).
#
# (An earlier model of the lesson's size was trained with up to 1.1 s from the
# start. It missed the checks above.)

# %% [markdown]
# So the program below does not learn long silence, it *shortens* it, by level:
# of each silence 0.1 s are left beside what is loud, at the ends and in pauses
# (`hearing.shorten_silence`). Loud is what lies 6 decibels above the
# background. **Predict** what this does to the lesson's model, trained with
# changes, when silence stands around a recording. And between its words?

# %%
some = tested[::3]


def part_words(one, seconds):
    starts = [round(at * speech.SAMPLE_RATE) for at in one.starts[1:]]
    words = torch.tensor_split(one.wave, starts)
    silence = torch.zeros(round(seconds * speech.SAMPLE_RATE))
    return torch.cat([part for word in words for part in (word, silence)])


cases = {
    f"{seconds:g} s": [
        F.pad(one.wave, [round(seconds * speech.SAMPLE_RATE)] * 2)
        for one in some
    ]
    for seconds in silences
}
cases["1 s between"] = [part_words(one, 1) for one in some]

# %%
def silence_errors(method, change):
    """Word errors in per cent, case by case."""
    found = []
    for waves in cases.values():
        mels = [hearing.log_mel_spectrogram(change(wave)).to(device)
                for wave in waves]
        texts = hearing.transcribe(model, vocabulary, mels, method=method)
        wrong, words = hearing.error_counts(texts, [x.text for x in some])
        found.append(100 * (wrong.sum() / words.sum()).item())
    return found


by_silence = {
    (reader, done): silence_errors(method, change)
    for done, change in (("as it is", lambda wave: wave),
                         ("shortened", hearing.shorten_silence))
    for reader, method in (("decoder", "greedy_decode"),
                           ("CTC part", "ctc_greedy_decode"))
}

# %%
plotting.show(
    plotting.sheet(
        ["word errors, %", "silence", *cases],
        [[*way, *(f"{rate:.1f}" for rate in found)]
         for way, found in by_silence.items()],
    ),
    alt="Table of word errors of the decoder and the CTC part by silence on "
    "each side and between words, as it is and shortened. As it is they rise "
    "far, shortened they hardly change.",
)
mended = dict(zip(cases, by_silence["CTC part", "shortened"]))
print("shortened, by CTC: at most 5 % without silence:", mended["0 s"] <= 5)
print("at most 8 % with 1 s, 12 % with 2 s:",
      mended["1 s"] <= 8 and mended["2 s"] <= 12)
print("at most 12 % with 1 s between words:", mended["1 s between"] <= 12)
assert session.quick() or (
    mended["0 s"] <= 5 and mended["1 s"] <= 8 and mended["2 s"] <= 12
    and mended["1 s between"] <= 12
)

# %% [markdown]
# Two more seeds say the same. Trained without pauses, two seeds still made 40
# and 42 % with 1 s between words, shortened: the 0.2 s that are left of a pause
# were new to them.
#
# The level was set on the validation voices; where noise is strong, it parts
# the two less well. In noise and in joined recordings CTC made fewer errors
# there than the decoder: so the program reads by CTC.

# %% [markdown]
# Why silence does harm, we did not try: band means are taken over the silence
# too, so all features move; and even one word makes a long recording.

# %% [markdown]
# In practice one cuts long recordings, lets CTC score beside the decoder
# (Watanabe et al., 2017), or makes attention remember where it was (Chorowski
# et al., 2015).

# %% [markdown]
# ## Your own voice
#
# Record a few digits or a command ("turn on the kitchen light") as .wav, up to
# 20 seconds, of any rate. Long silence is shortened, the CTC part writes the
# words, and the decoder shows where it listens for them. **Predict** how well it
# does: it has never heard a sentence that a person spoke. On 300 single digits by
# six people who are not in this course, an earlier model of this kind (one run,
# read by its decoder) made 36 % word errors, far more than the charts show for
# the studio voice.

# %%
recogniser = hearing.Recogniser(model, vocabulary, "Transformer")
views.recording_explorer(recogniser)

# %% [markdown]
# The same on the command line; the first call trains a model and keeps it in
# your cache folder:
#
# ```
# python -m attn_course.speech_attention my_voice.wav
# ```

# %% [markdown]
# ## Summary
#
# - **Log-mel features**: frames, window, spectrum, mel bands, logarithm.
# - **CTC** sums over all paths that say the words. Each encoder frame speaks
#   for itself; its output has the order of the frames.
# - **Attention** reads the encoder frames word by word and learned to walk
#   forward in time. Nothing holds it there: in rows of 24 words small decoders
#   made far more errors than their CTC part (E11.10), and silence cost them
#   more (E11.4).
# - On voices of the same program errors are rare. A real person is harder:
#   in our run changed recordings narrowed that gap and did not close it.

# %% [markdown]
# ## Exercises
#
# Exercises 1 to 4 have a stub, a check that says at once what is wrong, a hint
# and a folded solution; exercise 5 is open: write your own cells.
# Starting here? First choose *Run → Run All Above Selected Cell*.

# %% [markdown]
# ### Exercise 1: count encoder frames (3 min, easy)
#
# A recording of exactly 2 seconds at 8,000 samples a second. Windows of 256
# samples, one every 128, and only whole ones count; then four frames become
# one encoder frame. How many encoder frames?

# %%
encoder_frames = ...

checks.speech_attention.encoder_frames(encoder_frames)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The last window starts at sample 16,000 - 256. Count the starts.
#
# </details>

# %% tags=["solution"]
# Solution
encoder_frames = (1 + (16_000 - 256) // 128) // 4
print(encoder_frames)
checks.speech_attention.encoder_frames(encoder_frames)

# %% [markdown]
# ### Exercise 2: what a path says (10 min, easy)
#
# Write `ctc_collapse`: given a list of ids, 0 the blank, return the list of
# words that it says.

# %%
def my_ctc_collapse(path):
    ...


checks.speech_attention.ctc_collapse(my_ctc_collapse)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Keep an id if it is not 0 and differs from the one just before it, blank or
# not.
#
# </details>

# %% tags=["solution"]
# Solution
def my_ctc_collapse(path):
    return [
        symbol for before, symbol in zip([0, *path], path)
        if symbol != 0 and symbol != before
    ]


checks.speech_attention.ctc_collapse(my_ctc_collapse)

# %% [markdown]
# ### Exercise 3: count word errors (15 min, medium)
#
# Write `word_errors(hypothesis, reference)` for two lists of words, written
# and said: the fewest substitutions, insertions and deletions, 1 each. One row
# of the table at a time is enough.

# %%
def my_word_errors(hypothesis, reference):
    ...


checks.speech_attention.word_errors(my_word_errors)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The first row is `0, 1, 2, ...`: to write j words where none were said takes
# j changes.
#
# </details>

# %% tags=["solution"]
# Solution
def my_word_errors(hypothesis, reference):
    row = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, 1):
        above, row = row, [i]
        for j, wrote in enumerate(hypothesis, 1):
            row.append(min(above[j - 1] + (said != wrote),
                           above[j] + 1, row[-1] + 1))
    return row[-1]


checks.speech_attention.word_errors(my_word_errors)

# %% [markdown]
# ### Exercise 4: how monotonic? (10 min, medium)
#
# `weights` is `(words, encoder frames)`, float64, two words or more. Return
# the share of steps, from one word to the next, in which the centre (the mean
# position under the row's weights) moves forward, from 0 to 1.

# %%
def my_monotonicity(weights):
    ...


checks.speech_attention.monotonicity(my_monotonicity)

# %% [markdown]
# <details><summary>Hint</summary>
#
# The centres are one matrix product with `0, 1, 2, ...`, as float64 like the
# weights (`.to(weights)`); then `diff()`, and the share above 0.
#
# </details>

# %% tags=["solution"]
# Solution
def my_monotonicity(weights):
    centre = weights @ torch.arange(weights.shape[1]).to(weights)
    return (centre.diff() > 0).double().mean().item()


checks.speech_attention.monotonicity(my_monotonicity)

# %% [markdown]
# ### Exercise 5: change this and explain (20 min, hard)
#
# Add white noise of growing strength to 60 test waves and draw the word error
# rate against it, for the long Transformer trained with and without changed
# recordings. Which is better without noise, which with much? Was that noise in
# the training? Explain in three sentences, then open the folded answer.

# %% [markdown]
# <details><summary>Hint</summary>
#
# `wave + level * wave.std() * torch.randn_like(wave)` for levels from 0 to 1;
# then `hearing.log_mel_spectrogram`, `hearing.transcribe`,
# `hearing.error_counts`.
#
# </details>

# %% tags=["solution"]
# Solution
sample = recordings["test"][::4][:60]


def noisy_errors(model, level):
    torch.manual_seed(0)
    mels = []
    for one in sample:
        noise = level * one.wave.std() * torch.randn_like(one.wave)
        mels.append(hearing.log_mel_spectrogram(one.wave + noise).to(device))
    texts = hearing.transcribe(model, vocabulary, mels)
    errors, words = hearing.error_counts(texts, [one.text for one in sample])
    return 100 * (errors.sum() / words.sum()).item()

# %% tags=["solution"]
# Solution
levels = (0, 0.1, 0.2, 0.4, 0.8)
trained = {"with changes": model, "without": models["Transformer, long"]}
noisy = {name: (levels, [noisy_errors(model, level) for level in levels])
         for name, model in trained.items()}
plotting.show(
    plotting.curves(noisy, xlabel="noise, in deviations of the wave",
                    ylabel="word errors, %",
                    title="What was trained with noise, bears noise"),
    alt="Word error rate against the strength of noise, for two models: the "
    "one trained without changed recordings starts lower and ends far higher.",
)

# %% [markdown]
# <details><summary>Answer</summary>
#
# In one run the two are close without noise, and the model trained with changes
# makes far fewer errors with much. The features of quiet were mostly 0 in
# training without changes, and now they never are. The other model has heard
# noise of many levels, laid over the features with the statistics of white
# noise. So this is close to what it was trained on; a door that slams, or
# another voice, would be a harder and fairer test.
#
# </details>

# %% [markdown]
# ## Test yourself
#
# Choose an answer, then open it: each says why it is right or not.
#
# ### Question 1: a CTC model is to write "six six" over four encoder frames. Which path does it?
#
# <details><summary>A. six six six six</summary>
#
# No. Repeats are joined: that says "six" once.
#
# </details>
# <details><summary>B. six blank six six</summary>
#
# Yes. The blank keeps the two apart.
#
# </details>
# <details><summary>C. blank six six blank</summary>
#
# No. The two neighbours are joined to one.
#
# </details>

# %% [markdown]
# ### Question 2: a model has 4 % word errors on 80 synthetic voices of the same program. What may one say of people?
#
# <details><summary>A. About 4 % as well</summary>
#
# No. All voices share one program. The studio voice above was harder, and six
# people who were recorded elsewhere harder still: 36 % (one run).
#
# </details>
# <details><summary>B. Nothing, until it is tried on people</summary>
#
# Yes. The interval speaks of more voices of this kind, not of another kind.
#
# </details>
# <details><summary>C. 4 % at most, since people speak more clearly</summary>
#
# No. People hesitate, rooms echo, microphones hum.
#
# </details>

# %% [markdown]
# ### Question 3: in a recording of 24 words the decoder leaves out a stretch; its CTC part writes it. What can be said?
#
# <details><summary>A. The encoder did not hear the stretch</summary>
#
# No. CTC reads the same encoder's states, and finds it there.
#
# </details>
# <details><summary>B. The decoder left out what the states hold; nothing forbids that</summary>
#
# Yes. Each step may look anywhere, and "the end" may be written at any time.
# *Why* it goes wrong on inputs longer than those of training is not shown by
# this.
#
# </details>
# <details><summary>C. Attention cannot look further than a few encoder frames</summary>
#
# No. Any of them can be attended to.
#
# </details>

# %% [markdown]
# ## Next
#
# You have seen recurrence, convolution and attention at one task. When is
# which the right tool? Lesson 12 asks.
#
# To read: Graves et al. (2006), sections 3 and 4; Chan et al. (2016), sections
# 3 and 4; Hannun (2017), "Sequence modeling with CTC" (Distill).

# %% [markdown] tags=["navigation"]
# [← 10 detection segmentation](10_detection_segmentation.ipynb) ·
# [The map](00_start_here.ipynb) ·
# [12 rnn cnn attention →](12_rnn_cnn_attention.ipynb)
