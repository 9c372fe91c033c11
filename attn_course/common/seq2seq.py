"""From one sequence to another: what every encoder-decoder shares.

Reading order: an encoder leaves a ``Memory``, a decoder reads it
(``Seq2SeqModel``, and ``StepwiseDecoder`` if it has a state to go on from).
``shift_right`` and ``sequence_loss`` train it, ``greedy_decode`` lets it write,
``exact_match`` compares.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.common.arguments import check_at_least
from attn_course.common.evaluation import evaluating
from attn_course.common.tokens import BOS, EOS, PAD, UNK


class Memory(NamedTuple):
    """What an encoder leaves for the decoder."""

    states: Float[Tensor, "batch s dim"]  # one row per source position
    mask: Bool[Tensor, "batch s"]  # True = real, False = padding
    summary: Float[Tensor, "batch dim"] | None  # the whole source in one row


@runtime_checkable
class Seq2SeqModel(Protocol):
    """A model that reads a source once, and writes a target token by token."""

    def encode(self, source: Tensor) -> Memory:
        """Read the source."""

    def decode(
        self, memory: Memory, target: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Give logits ``(batch, t, size)`` of each next token, and weights."""


@runtime_checkable
class StepwiseDecoder(Protocol):
    """A decoder that goes on from a state, and need not read all anew."""

    def start(self, memory: Memory) -> Tensor:
        """Give the state before the first token."""

    def step(
        self, memory: Memory, state: Tensor, token: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Take tokens ``(batch,)``; give next logits, weights and state."""


def shift_right(target: Int[Tensor, "batch t"]) -> Int[Tensor, "batch t"]:
    """Make what the decoder reads of what it shall write: BOS, then the rest.

    At position i it reads the true token i - 1, whatever it would have
    written itself (*teacher forcing*), and shall write token i.
    """
    return F.pad(target, (1, 0), value=BOS)[:, :-1]


def sequence_loss(
    logits: Float[Tensor, "*batch classes"],
    target: Int[Tensor, "*batch"],
    *,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Average the cross-entropy over all tokens that are not padding.

    ``loss = - sum_c q_c log softmax(logits)_c`` with
    ``q_c = (1 - label_smoothing) [c = target] + label_smoothing / classes``.

    Raises:
        ValueError: if the shapes do not fit, ``label_smoothing`` is not from
            0 to 1, or there is nothing but padding.

    Source: Szegedy et al. (2016), "Rethinking the Inception architecture for
    computer vision", section 7 (label smoothing).
    """
    if logits.shape[:-1] != target.shape:
        raise ValueError(
            f"target: expected shape {tuple(logits.shape[:-1])}, one id per "
            f"row of logits, got {tuple(target.shape)}"
        )
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            "label_smoothing: expected a number from 0 to 1, "
            f"got {label_smoothing}"
        )
    if target.is_floating_point():
        raise ValueError(f"target: expected token ids, got {target.dtype}")
    if not (target != PAD).any():
        raise ValueError(
            "target: expected at least one token that is not padding, got none"
        )
    return F.cross_entropy(
        logits.flatten(0, -2),  # (tokens, classes)
        target.flatten().long(),
        ignore_index=PAD,
        label_smoothing=label_smoothing,
    )


@torch.no_grad()
def greedy_decode(
    model: nn.Module, memory: Memory, max_length: int
) -> Int[Tensor, "batch length"]:
    """Write by taking the most probable token at each step.

    A sequence ends with EOS, after which comes padding. BOS, padding and
    unknown are never chosen. A :class:`StepwiseDecoder` goes on from its
    state; any other model reads what it wrote anew each time.

    Args:
        model: a :class:`Seq2SeqModel`, asked in evaluation mode and left as
            it was.
        memory: what its encoder left. It should have been read in evaluation
            mode too: ``with evaluating(model): memory = model.encode(source)``.
        max_length: how many tokens to write at most.

    Returns:
        Token ids without BOS, of length up to ``max_length``.

    Raises:
        ValueError: if ``max_length`` is below 1.
    """
    check_at_least(1, max_length=max_length)
    batch, device = len(memory.mask), memory.mask.device
    tokens = torch.full((batch, 1), BOS, device=device)
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    with evaluating(model):
        stepwise = isinstance(model, StepwiseDecoder)
        state = model.start(memory) if stepwise else None
        while tokens.shape[1] <= max_length and not done.all():
            if stepwise:
                logits, _, state = model.step(memory, state, tokens[:, -1])
            else:
                logits = model.decode(memory, tokens)[0][:, -1]
            logits[:, [PAD, BOS, UNK]] = -torch.inf
            best = logits.argmax(dim=-1).masked_fill(done, PAD)  # (batch,)
            tokens = torch.cat([tokens, best[:, None]], dim=1)
            done = done | (best == EOS)
    return tokens[:, 1:]


def exact_match(
    predictions: Int[Tensor, "batch predicted_length"],
    targets: Int[Tensor, "batch target_length"],
) -> Bool[Tensor, " batch"]:
    """Say of each sequence whether every token is right, EOS included.

    What comes after the target's EOS must be padding; the two may be padded
    to different lengths.

    Raises:
        ValueError: if there are not as many sequences in both.
    """
    if len(predictions) != len(targets):
        raise ValueError(
            f"predictions: expected {len(targets)} sequences, "
            f"got {len(predictions)}"
        )
    length = max(predictions.shape[1], targets.shape[1])
    predictions, targets = (
        F.pad(x, (0, length - x.shape[1]), value=PAD)
        for x in (predictions, targets)
    )
    return (predictions == targets).all(dim=1)
