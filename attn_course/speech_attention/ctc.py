"""Connectionist temporal classification (CTC), in small and as torch has it.

``ctc_collapse`` reads a path, ``ctc_brute_force`` sums over all paths,
``ctc_forward`` is the forward algorithm; ``ctc_loss`` and
``ctc_greedy_decode`` are what the models use.
"""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import rnn

from attn_course.common.tokens import EOS, PAD


def ctc_collapse(path: Sequence[int], blank: int = PAD) -> list[int]:
    """Read a path of one symbol per frame: join repeats, then drop blanks.

    ``[0, 5, 5, 0, 5, 7]`` is ``[5, 5, 7]``: a blank between keeps two apart.

    Source: Graves et al. (2006), "Connectionist temporal classification",
    section 3.1.
    """
    joined = [symbol for symbol, _ in itertools.groupby(path)]
    return [symbol for symbol in joined if symbol != blank]


def ctc_brute_force(
    probs: Float[Tensor, "frames symbols"],
    target: Sequence[int],
    blank: int = PAD,
) -> Float[Tensor, ""]:
    """Add up the probabilities of all paths that collapse to the target.

    ``p(target) = sum over paths, product over frames t of p_t(path_t)``. It
    visits ``symbols ** frames`` paths: for tiny examples only.

    Source: Graves et al. (2006), section 3.1, equations 2 and 3.
    """
    frames, symbols = probs.shape
    total = probs.new_zeros(())
    for path in itertools.product(range(symbols), repeat=frames):
        if ctc_collapse(path, blank) == list(target):
            total = total + probs[range(frames), list(path)].prod()
    return total


def ctc_forward(
    probs: Float[Tensor, "frames symbols"],
    target: Sequence[int],
    blank: int = PAD,
) -> Float[Tensor, ""]:
    """Find the same sum frame by frame, in ``frames * target`` steps.

    The forward algorithm. Blanks are put around every symbol of the target.
    ``alpha[s]`` is the probability of having just read position s: it came
    from s, from s - 1, or from s - 2 if that skips a blank between two
    *different* symbols.

    Source: Graves et al. (2006), section 4.1, equations 5 to 8.
    """
    row = [blank]
    for symbol in target:
        row += [symbol, blank]
    alpha = [probs.new_zeros(()) for _ in row]
    for t, now in enumerate(probs):
        before = alpha
        alpha = []
        for s, symbol in enumerate(row):
            if t == 0:
                arrived = now.new_tensor(float(s < 2))
            else:
                arrived = before[s] + (before[s - 1] if s >= 1 else 0)
                if s >= 2 and symbol not in (blank, row[s - 2]):
                    arrived = arrived + before[s - 2]
            alpha.append(arrived * now[symbol])
    return alpha[-1] + (alpha[-2] if len(alpha) > 1 else 0)


def ctc_loss(
    logits: Float[Tensor, "batch frames symbols"],
    mask: Bool[Tensor, "batch frames"],
    targets: Int[Tensor, "batch t"],
) -> Float[Tensor, ""]:
    """Average minus the log of CTC's probability over all words.

    torch's own function, with ``PAD`` as the blank; ``EOS`` is no word here. A
    recording with too few frames for its words counts 0. Apple's GPU has no
    such function: what lies there is brought to the CPU for it.
    """
    device = logits.device
    if device.type not in ("cpu", "cuda"):
        logits, mask, targets = logits.cpu(), mask.cpu(), targets.cpu()
    words = targets.masked_fill(targets == EOS, PAD)
    counts = (words != PAD).sum(dim=1)
    total = F.ctc_loss(
        logits.log_softmax(dim=-1).transpose(0, 1),  # (frames, batch, symbols)
        words,
        mask.sum(dim=1),
        counts,
        blank=PAD,
        reduction="sum",
        zero_infinity=True,
    )
    return (total / counts.sum().clamp(min=1)).to(device)


def ctc_greedy_decode(
    logits: Float[Tensor, "batch frames symbols"],
    mask: Bool[Tensor, "batch frames"],
) -> Int[Tensor, "batch t"]:
    """Take the likeliest symbol of each frame, then collapse."""
    best = logits.argmax(dim=-1)  # (batch, frames)
    rows = [
        torch.tensor([*ctc_collapse(row[real].tolist()), EOS])
        for row, real in zip(best, mask)
    ]
    return rnn.pad_sequence(rows, True, PAD).to(logits.device)
