"""Where does a decoder listen? Its weights over the time of a recording."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_course.common.evaluation import evaluating
from attn_course.common.seq2seq import shift_right
from attn_course.common.text import Vocabulary
from attn_course.speech_attention.batches import make_targets
from attn_course.speech_attention.encoders import ENCODER_FRAME_SECONDS


@torch.no_grad()
def align(
    model: nn.Module,
    vocabulary: Vocabulary,
    features: Float[Tensor, "frames n_mels"],
    text: str | None = None,
) -> tuple[list[str], Float[Tensor, "words s"]]:
    """Return words, and each one's weights over the encoder frames.

    The features go where the model is, the weights come back to the CPU. The
    model is asked in evaluation mode and left in the mode it was in.

    Args:
        model: one with attention in its decoder.
        vocabulary: its words.
        features: of one recording.
        text: read these words (teacher forcing); by default its own.

    Raises:
        ValueError: if the model has no decoder.
    """
    if not hasattr(model, "decode"):
        raise ValueError(
            "model: expected one whose decoder attends, "
            f"got {type(model).__name__}"
        )
    features = features.to(next(model.parameters()).device)
    lengths = torch.tensor([len(features)], device=features.device)
    with evaluating(model):
        memory = model.encode(features[None], lengths)
        if text is None:
            text = vocabulary.decode(model.greedy_decode(memory))[0]
        target = make_targets(vocabulary, [text]).to(features.device)
        weights = model.decode(memory, shift_right(target))[1][0]
    words = text.split()
    return words, weights[: len(words)].cpu()


def centres(weights: Float[Tensor, "words s"]) -> Float[Tensor, " words"]:
    """Return when each word listens: the mean time under its weights, in s."""
    middle = torch.arange(weights.shape[1]).to(weights) + 0.5
    return weights @ middle * ENCODER_FRAME_SECONDS


def monotonicity(weights: Float[Tensor, "words s"]) -> float:
    """Return the share of steps whose centre lies later than the last one's.

    1 is monotonic; an order by chance has 0.5. With one word there is no step,
    and the share is nan.
    """
    steps = centres(weights).diff()
    return (steps > 0).double().mean().item()


def weight_inside(
    weights: Float[Tensor, "words s"], starts: Sequence[float], seconds: float
) -> float:
    """Return the mean share of weight inside each word's own time.

    A word lasts from its start to the next one's, the last to the end.

    Raises:
        ValueError: if there is not one start per word.
    """
    if len(starts) != len(weights):
        raise ValueError(
            f"starts: expected {len(weights)}, one per word, got {len(starts)}"
        )
    middle = (torch.arange(weights.shape[1]) + 0.5) * ENCODER_FRAME_SECONDS
    ends = [*starts[1:], seconds]
    shares = [
        row[((middle >= start) & (middle < end)).to(row.device)].sum()
        for row, start, end in zip(weights, starts, ends)
    ]
    return torch.stack(shares).mean().item()
