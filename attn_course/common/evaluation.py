"""Evaluation mode for a while."""

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Put models in evaluation mode: ``with evaluating(model): ...``.

    Dropout then drops nothing. Afterwards, also after an error or an
    interrupt, every part of them is in the mode in which it was, a part that
    had been frozen with ``eval()`` too.
    """
    modes = [(m, m.training) for model in models for m in model.modules()]
    try:
        for model in models:
            model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training
