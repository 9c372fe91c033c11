"""Three models from features to words: CTC, listen-attend-spell, Transformer.

Each has ``encode(features, lengths)``, ``loss(features, lengths, targets)``
and ``greedy_decode(memory)``; the two with attention also have
``decode(memory, target)``, with its weights, and ``ctc_greedy_decode(memory)``.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_course.additive_attention import EncoderDecoder
from attn_course.common.seq2seq import (
    Memory,
    greedy_decode,
    sequence_loss,
    shift_right,
)
from attn_course.speech_attention.ctc import ctc_greedy_decode, ctc_loss
from attn_course.speech_attention.encoders import (
    AttentionEncoder,
    RecurrentEncoder,
)
from attn_course.transformer import Decoder

MAX_WORDS = 60  # of one transcript
LABEL_SMOOTHING = 0.1  # of the decoder's loss


class CTCModel(nn.Module):
    """Each encoder frame names a word or the blank, by itself: no decoder.

    Source: Graves et al. (2006); with this encoder, after Higuchi et al.
    (2020) and others.
    """

    def __init__(
        self,
        vocab_size: int,
        dim: int = 128,
        layers: int = 3,
        dropout: float = 0.0,
    ) -> None:
        """Create encoder and output for ``vocab_size`` token ids."""
        super().__init__()
        self.encoder = AttentionEncoder(dim, layers, dropout)
        self.ctc_head = nn.Linear(dim, vocab_size)

    def encode(
        self,
        features: Float[Tensor, "batch frames n_mels"],
        lengths: Int[Tensor, " batch"],
    ) -> Memory:
        """Read features of these lengths."""
        return self.encoder(features, lengths)

    def loss(
        self,
        features: Float[Tensor, "batch frames n_mels"],
        lengths: Int[Tensor, " batch"],
        targets: Int[Tensor, "batch t"],
    ) -> Float[Tensor, ""]:
        """Return the CTC loss."""
        memory = self.encode(features, lengths)
        return ctc_loss(self.ctc_head(memory.states), memory.mask, targets)

    def greedy_decode(self, memory: Memory) -> Int[Tensor, "batch t"]:
        """Return the word ids of what was heard."""
        return ctc_greedy_decode(self.ctc_head(memory.states), memory.mask)


class _JointCTCAttention:
    """What the two models with a decoder share: the loss, and decoding."""

    def loss(
        self,
        features: Float[Tensor, "batch frames n_mels"],
        lengths: Int[Tensor, " batch"],
        targets: Int[Tensor, "batch t"],
    ) -> Float[Tensor, ""]:
        """Return ``(1 - ctc_weight) * decoder loss + ctc_weight * CTC loss``.

        The CTC loss trains the encoder too; it is meant to let attention find
        words in its states sooner. The decoder's loss has smooth labels.

        Source: Kim, Hori and Watanabe (2017), "Joint CTC-attention based
        end-to-end speech recognition using multi-task learning", equation 12.
        """
        memory = self.encode(features, lengths)
        logits = self.decode(memory, shift_right(targets))[0]
        loss = sequence_loss(logits, targets, label_smoothing=LABEL_SMOOTHING)
        if not self.ctc_weight:
            return loss
        by_ctc = ctc_loss(self.ctc_head(memory.states), memory.mask, targets)
        return (1 - self.ctc_weight) * loss + self.ctc_weight * by_ctc

    def greedy_decode(self, memory: Memory) -> Int[Tensor, "batch t"]:
        """Return the word ids of what was heard, the likeliest at each step."""
        return greedy_decode(self, memory, MAX_WORDS)

    def ctc_greedy_decode(self, memory: Memory) -> Int[Tensor, "batch t"]:
        """Return what the CTC part alone hears, without the decoder."""
        return ctc_greedy_decode(self.ctc_head(memory.states), memory.mask)


class ListenAttendSpell(_JointCTCAttention, EncoderDecoder):
    """Lesson 05's decoder with additive attention, on a recurrent listener.

    Source: Chan et al. (2016), "Listen, attend and spell"; here convolutions
    make the time shorter, in place of a pyramid, and whole words are spelt.
    """

    def __init__(
        self,
        vocab_size: int,
        dim: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
        ctc_weight: float = 0.3,
    ) -> None:
        """Create listener, attention and decoder for these token ids."""
        super().__init__(
            1, vocab_size, dim, attention="additive", dropout=dropout
        )
        del self.embed_source  # there are no source tokens to embed
        self.encoder = RecurrentEncoder(dim, layers, dropout)
        self.ctc_head = nn.Linear(dim, vocab_size)
        self.ctc_weight = ctc_weight

    def encode(
        self,
        features: Float[Tensor, "batch frames n_mels"],
        lengths: Int[Tensor, " batch"],
    ) -> Memory:
        """Read features of these lengths."""
        memory = self.encoder(features, lengths)
        summary = torch.tanh(self.summarise(memory.summary))
        return memory._replace(summary=summary)


class SpeechTransformer(_JointCTCAttention, nn.Module):
    """Lesson 06's encoder and decoder, fed with sound in place of embeddings.

    Source: Dong, Xu and Xu (2018), "Speech-Transformer".
    """

    def __init__(
        self,
        vocab_size: int,
        dim: int = 128,
        layers: int = 2,
        dropout: float = 0.0,
        ctc_weight: float = 0.3,
    ) -> None:
        """Create encoder and one decoder layer for these token ids."""
        super().__init__()
        self.encoder = AttentionEncoder(dim, layers, dropout)
        self.embed = nn.Embedding(vocab_size, dim)
        nn.init.normal_(self.embed.weight, std=dim**-0.5)
        self.decoder = Decoder(1, dim, 4, 2 * dim, dropout=dropout)
        self.readout = nn.Linear(dim, vocab_size)
        self.ctc_head = nn.Linear(dim, vocab_size)
        self.ctc_weight = ctc_weight

    def encode(
        self,
        features: Float[Tensor, "batch frames n_mels"],
        lengths: Int[Tensor, " batch"],
    ) -> Memory:
        """Read features of these lengths."""
        return self.encoder(features, lengths)

    def decode(
        self, memory: Memory, target: Int[Tensor, "batch t"]
    ) -> tuple[
        Float[Tensor, "batch t vocab"], Float[Tensor, "batch t s"] | None
    ]:
        """Score the next word after each.

        Also return the heads' mean weights; in training, where nobody looks
        at them, None.
        """
        scaled = self.embed(target) * math.sqrt(self.embed.embedding_dim)
        x = scaled + self.encoder.positions[: target.shape[1]]
        # Padding stands behind the words, so no word can see it.
        x, _, weights = self.decoder(
            self.encoder.dropout(x),
            memory.states,
            memory_mask=memory.mask[:, None],
            is_causal=True,
            need_weights=not self.training,
        )
        if weights is not None:
            weights = weights[-1].mean(dim=1)  # last layer: (batch, t, s)
        return self.readout(x), weights


SPEECH_MODELS = {
    "CTC": CTCModel,
    "listen, attend, spell": ListenAttendSpell,
    "Transformer": SpeechTransformer,
}
