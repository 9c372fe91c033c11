"""Causal softmax, for the wrong ways of lesson 03."""

import math

import torch


def soft(scores):
    """Softmax over the keys."""
    return torch.softmax(scores, dim=-1)


def allowed(n):
    """Return the causal mask, True where word i may see word j."""
    return torch.ones(n, n, dtype=torch.bool).tril()


def hide(scores, where, fill=-math.inf):
    """Softmax of scores with some of them filled."""
    return soft(scores.masked_fill(where, fill))


def causal(scores, dim=-1):
    """Softmax of the scores up to the word itself."""
    scores = scores.masked_fill(~allowed(scores.shape[-1]), -math.inf)
    return torch.softmax(scores, dim)
