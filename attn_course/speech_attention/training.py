"""Train any of the three models, and let it transcribe."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import rnn

from attn_course.common.evaluation import evaluating
from attn_course.common.text import Vocabulary
from attn_course.training import History, fit


def train_speech(
    model: nn.Module,
    batches: Callable[[int], tuple[Tensor, Tensor, Tensor]],
    *,
    steps: int,
    lr: float = 2e-3,
    label: str = "speech",
    **options,
) -> History:
    """Train a model by the lesson's recipe; other options are ``fit``'s."""
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    return fit(
        model,
        lambda model, batch: model.loss(*batch),
        batches,
        steps=steps,
        optimizer=optimizer,
        warmup=max(1, steps // 10),
        label=label,
        **options,
    )


@torch.no_grad()
def transcribe(
    model: nn.Module,
    vocabulary: Vocabulary,
    features: Sequence[Float[Tensor, "_ n_mels"]],
    *,
    method: str = "greedy_decode",
    chunk: int = 64,
) -> list[str]:
    """Write down what is said in each recording, in their order.

    The model is asked in evaluation mode and left in the mode it was in.

    Args:
        model: one of this lesson's.
        vocabulary: its words.
        features: of each recording, unpadded.
        method: the model's: "greedy_decode", or "ctc_greedy_decode" where it
            has one.
        chunk: how many recordings at a time.
    """
    order = sorted(range(len(features)), key=lambda i: len(features[i]))
    texts = [""] * len(features)
    with evaluating(model):
        for first in range(0, len(order), chunk):
            rows = order[first : first + chunk]
            x = rnn.pad_sequence([features[row] for row in rows], True)
            lengths = torch.tensor([len(features[row]) for row in rows])
            memory = model.encode(x, lengths.to(x.device))
            tokens = getattr(model, method)(memory)
            for row, text in zip(rows, vocabulary.decode(tokens)):
                texts[row] = text
    return texts
