"""Sentences as the pretrained model reads them: words, and all weights."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_course.interpreting_attention.model import (
    SentenceEncoder,
    model_folder,
)

MAX_LENGTH = 128  # in tokens; longer sentences are cut


def load_tokenizer():
    """Read the model's own tokenizer, of the library ``tokenizers``."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    return tokenizer


class SentenceReading(NamedTuple):
    """One sentence, and how every head read it."""

    words: list[str]  # "[CLS]", the words and signs, "[SEP]"
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
def read_sentences(
    model: SentenceEncoder, tokenizer, texts: Sequence[str], chunk: int = 32
) -> list[SentenceReading]:
    """Let the model read sentences, and keep the weights of every head.

    Raises:
        ValueError: as :func:`encode`.
    """
    ids, mask = encode(tokenizer, texts)
    lengths = mask.sum(dim=1)
    readings: dict[int, SentenceReading] = {}
    for rows in lengths.argsort().split(int(chunk)):  # like lengths together
        longest = int(lengths[rows].max())
        part = ids[rows, :longest].to(model.word.weight.device)
        real = mask[rows, :longest].to(part.device)
        _, weights = model(model.embed(part), real, need_weights=True)
        for position, row in enumerate(rows.tolist()):
            encoding = tokenizer.encode(texts[row])
            groups, words = _words(encoding)
            n = len(groups)
            own = weights[:, position, :, :n, :n].cpu()
            readings[row] = SentenceReading(words, merge_tokens(own, groups))
    return [readings[row] for row in range(len(texts))]


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
