"""The task of lesson 06: random letters, to be written backwards."""

import torch
from jaxtyping import Int
from torch import Tensor

from attn_course.common.tokens import BOS, EOS, FIRST_ID, PAD


def reversals(
    count: int,
    generator: torch.Generator,
    *,
    held_out: bool = False,
    low: int = 4,
    high: int = 9,
    letters: int = 26,
) -> tuple[
    Int[Tensor, "count width"],
    Int[Tensor, "count width"],
    Int[Tensor, "count width"],
]:
    """Draw sequences of random letters, and the same backwards.

    A sequence is held out from training if the sum of its ids is a multiple
    of 5. So no held-out sequence is ever trained on, whatever the seed.

    Args:
        count: how many sequences.
        generator: where the random numbers come from.
        held_out: draw from the fifth that is held out, or from the rest.
        low: fewest letters.
        high: most letters.
        letters: how many there are; their ids start at ``FIRST_ID``.

    Returns:
        The source ``a b c EOS``, the decoder's input ``BOS c b a``, and what
        it should write, ``c b a EOS``; each padded to ``high + 1``.

    Raises:
        ValueError: if there is nothing to draw, or too few letters and
            lengths to find ``count`` sequences on this side of the rule.
    """
    if count < 1 or letters < 1 or not 1 <= low <= high:
        raise ValueError(
            "count, letters, low: expected 1 or more, and low <= high, got "
            f"{count}, {letters}, {low} and {high}"
        )
    drawn = 100 + (8 if held_out else 2) * count  # more than enough
    ids = torch.randint(
        FIRST_ID, FIRST_ID + letters, (drawn, high + 1), generator=generator
    )
    lengths = torch.randint(low, high + 1, (drawn, 1), generator=generator)
    positions = torch.arange(high + 1)
    ids = ids.masked_fill(positions >= lengths, PAD)
    kept = (ids.sum(dim=1) % 5 == 0) == held_out
    ids, lengths = ids[kept][:count], lengths[kept][:count]
    if len(ids) < count:
        raise ValueError(
            f"count: expected at most {len(ids)} for held_out={held_out} with "
            f"{letters} letters and lengths {low} to {high}, got {count}"
        )
    mirrored = (lengths - 1 - positions).clamp(min=0)  # (count, width)
    back = ids.gather(1, mirrored).masked_fill(positions >= lengths, PAD)
    bos = torch.full((count, 1), BOS)
    return (
        ids.masked_fill(positions == lengths, EOS),
        torch.cat([bos, back[:, :-1]], dim=1),
        back.masked_fill(positions == lengths, EOS),
    )
