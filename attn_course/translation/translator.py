"""From text to text: a model with its two tokenizers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_course.common.arguments import check_at_least, check_texts
from attn_course.common.batching import pad
from attn_course.common.evaluation import evaluating
from attn_course.common.seq2seq import StepwiseDecoder, shift_right
from attn_course.common.tokens import PAD, UNK
from attn_course.translation.search import beam_search
from attn_course.translation.subwords import Tokenizer


class TranslationWithAttention(NamedTuple):
    """A translation, and what each of its pieces attended to."""

    text: str
    source: list[str]  # the pieces read, EOS included
    target: list[str]  # the pieces written, EOS included
    weights: Float[Tensor, "t s"] | None
    unknown: int  # how many pieces of the source the tokenizer does not know


class Translator:
    """A model with its two tokenizers: text in, text out.

    Args of the constructor:
        model: with ``encode`` and ``decode``, as in lessons 05 and 06.
        source, target: the tokenizers of both languages.
        max_length: the longest sentence, in pieces, read or written. What is
            written is no longer than 10 + twice what was read, either.
    """

    def __init__(
        self,
        model: nn.Module,
        source: Tokenizer,
        target: Tokenizer,
        max_length: int = 60,
    ) -> None:
        """Keep the parts together."""
        self.model, self.max_length = model, max_length
        self.source, self.target = source, target

    def encode(self, text: str) -> list[int]:
        """Turn a sentence into ids.

        Raises:
            ValueError: if it is no text, empty, or too long; the message says
                what to do.
        """
        ids = self.source.encode(text)
        if len(ids) == 1:
            raise ValueError("sentence: expected at least one word, got none")
        if len(ids) > self.max_length:
            raise ValueError(
                f"sentence: expected at most {self.max_length} pieces, got "
                f"{len(ids)}: this model was made for single short sentences"
            )
        return ids

    def translate(
        self,
        texts: Sequence[str],
        *,
        beam_size: int = 1,
        batch_size: int = 100,
    ) -> list[str]:
        """Translate sentences, those alike in length together.

        Args:
            texts: a list of sentences.
            beam_size: beginnings that are kept; 1 is greedy.
            batch_size: sentences in a batch.

        Raises:
            ValueError: if ``texts`` is no list of texts, or one of them is
                empty or too long, or a number is below 1.
        """
        check_at_least(1, batch_size=batch_size)
        rows = [self.encode(text) for text in check_texts("texts", texts)]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        translations = [""] * len(rows)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            ids = self._search(pad([rows[i] for i in batch]), beam_size)
            for i, row in zip(batch, ids):
                translations[i] = self.target.decode(row)
        return translations

    def explain(
        self, text: str, *, beam_size: int = 1
    ) -> TranslationWithAttention:
        """Translate one sentence, and give the weights over its pieces.

        The weights are those with which each piece was written; a
        Transformer's are averaged over layers and heads. A model without
        attention has None.

        Raises:
            ValueError: as :meth:`translate`.
        """
        source = pad([self.encode(text)])
        ids = self._search(source, beam_size)
        ids = ids[:, : int((ids != PAD).sum())]  # the beam may leave padding
        return TranslationWithAttention(
            self.target.decode(ids[0]),
            self.source.pieces(source[0]),
            self.target.pieces(ids[0]),
            self._cross_attention(source, ids),
            int((source == UNK).sum()),
        )

    def _search(self, source: Tensor, beam_size: int) -> Tensor:
        source = source.to(next(self.model.parameters()).device)
        # A model that stutters would go on to the very end otherwise.
        limit = min(self.max_length, 10 + 2 * source.shape[1])
        return beam_search(self.model, source, limit, beam_size=beam_size)[
            0
        ].cpu()

    @torch.no_grad()
    def _cross_attention(
        self, source: Tensor, target: Tensor
    ) -> Tensor | None:
        """Return the weights (t, s) of a batch of one."""
        device = next(self.model.parameters()).device
        read = shift_right(target).to(device)
        with evaluating(self.model):
            memory = self.model.encode(source.to(device))
            if isinstance(self.model, StepwiseDecoder):  # lesson 05's
                weights = self.model.decode(memory, read)[1]
                return None if weights is None else weights[0].cpu()
            # (layers, 1, heads, t, s)
            weights = self.model.decode(memory, read, need_weights=True)[1]
            return weights.mean(dim=(0, 2))[0].cpu()
