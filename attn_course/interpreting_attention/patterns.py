"""What a head looks at: five simple patterns, and a pronoun's noun."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attn_course.data.probes import (
    GENDER_FRAMES,
    MEANING_FRAMES,
    NUMBER_FRAMES,
)
from attn_course.interpreting_attention.reading import SentenceReading

PATTERNS = ("previous word", "next word", "itself", "[CLS]", "[SEP]")


def pattern_scores(
    weights: Float[Tensor, "*heads n n"],
) -> Float[Tensor, " patterns *heads"]:
    """Say how much of its weight a head gives to five simple positions.

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
    before = weights.diagonal(-1, -2, -1)  # entry i: from i + 1 to i
    after = weights.diagonal(1, -2, -1)  # entry i: from i to i + 1
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
    head that knows only positions cannot do better.
    """
    sentences = []
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
                sentences.append(
                    Reference(
                        text.format(first, second, pronoun),
                        pronoun,
                        nouns[0].split()[-1],
                        nouns[1].split()[-1],
                        number,
                        is_first,
                    )
                )
    return sentences


def reference_hits(
    readings: Sequence[SentenceReading], sentences: Sequence[Reference]
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


def meaning_references() -> list[Reference]:
    """Write 28 sentences in which only the meaning says what "it" is.

    Both nouns are singular things, and the last word decides. Again the first
    noun is right in exactly one half.

    Source: the idea is that of Levesque, Davis and Morgenstern (2012), "The
    Winograd schema challenge"; the sentences are the course's own.
    """
    sentences = []
    for number, (first, second, text, *endings) in enumerate(MEANING_FRAMES):
        for ending, nouns in zip(endings, [(first, second), (second, first)]):
            sentences.append(
                Reference(
                    f"{text}{ending}.", "it", *nouns, number, nouns[0] == first
                )
            )
    return sentences
