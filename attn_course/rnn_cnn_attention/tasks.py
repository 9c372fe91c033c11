"""Three tasks: look something up, keep a state, look nearby."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.common.arguments import check_at_least
from attn_course.common.evaluation import evaluating

SYMBOLS, KEYS = 8, 4
CARD = SYMBOLS  # the first token id of a card: CARD + key * SYMBOLS + symbol
ASK = CARD + KEYS * SYMBOLS  # the first of a question: ASK + key
RECALL_TOKENS = ASK + KEYS


def recall_batch(
    distance: int, size: int, generator: torch.Generator, cards: int = KEYS
) -> tuple[Int[Tensor, "size length"], Int[Tensor, "size length"]]:
    """Draw sequences that begin with cards, and ask for them later.

    A card is one token for a key and a symbol, each key once, in any order.
    Then come distractors, symbols that mean nothing, and, ``distance``
    positions after the first card, one question for each card, again in any
    order. The target is the symbol at each question, and -1, which the loss
    ignores, elsewhere.

    Raises:
        ValueError: if ``size`` is below 1, ``cards`` is not from 1 to 4, or
            ``distance`` is below ``cards``.

    Source: our small and easier form of associative recall (Graves, Wayne and
    Danihelka, 2014, "Neural Turing machines", section 4.3): key and symbol
    are one token. The gap is as in the long time lag tasks of Hochreiter and
    Schmidhuber (1997), section 5; later papers call such tasks copy memory.
    """
    check_at_least(1, size=size)
    if not 1 <= cards <= KEYS:
        raise ValueError(f"cards: expected 1 to {KEYS}, got {cards}")
    if distance < cards:
        raise ValueError(f"distance: expected {cards} or more, got {distance}")
    random = {"generator": generator}
    tokens = torch.randint(0, SYMBOLS, (size, distance + cards), **random)
    targets = torch.full_like(tokens, -1)
    keys = torch.rand(size, KEYS, **random).argsort(dim=1)[:, :cards]
    symbols = torch.randint(0, SYMBOLS, (size, cards), **random)
    asked = torch.rand(size, cards, **random).argsort(dim=1)
    tokens[:, :cards] = CARD + keys * SYMBOLS + symbols
    tokens[:, distance:] = ASK + keys.gather(1, asked)
    targets[:, distance:] = symbols.gather(1, asked)
    return tokens, targets


def parity_batch(
    length: int, size: int, generator: torch.Generator
) -> tuple[Int[Tensor, "size length"], Int[Tensor, "size length"]]:
    """Draw bits; the target is whether the ones so far are odd in number.

    A light switch: 1 presses it, 0 does not. Is the light on?

    Source: Hahn (2020), "Theoretical limitations of self-attention in neural
    sequence models", section 4 (PARITY).
    """
    check_at_least(1, length=length, size=size)
    bits = torch.randint(0, 2, (size, length), generator=generator)
    return bits, bits.cumsum(dim=1) % 2


def rise_batch(
    length: int, size: int, generator: torch.Generator
) -> tuple[Int[Tensor, "size length"], Int[Tensor, "size length"]]:
    """Draw digits; the target is whether each is larger than two before.

    The first two positions have no such digit: their target is -1.
    """
    check_at_least(1, length=length, size=size)
    digits = torch.randint(0, 10, (size, length), generator=generator)
    targets = torch.full_like(digits, -1)
    targets[:, 2:] = (digits[:, 2:] > digits[:, :-2]).long()
    return digits, targets


def answer_loss(
    model: nn.Module, batch: tuple[Tensor, Tensor]
) -> Float[Tensor, ""]:
    """Take the cross-entropy over the positions that have a target."""
    tokens, targets = batch
    return F.cross_entropy(
        model(tokens).flatten(0, 1), targets.flatten(), ignore_index=-1
    )


@torch.no_grad()
def correct(
    model: nn.Module, batch: tuple[Tensor, Tensor]
) -> Bool[Tensor, " n"]:
    """Say for each position that has a target whether the model is right."""
    tokens, targets = batch
    with evaluating(model):
        predictions = model(tokens).argmax(dim=-1)
    return (predictions == targets)[targets >= 0]
