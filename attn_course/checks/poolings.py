"""Attention poolings, a right one and wrong ones, for lesson 08's check."""

import math

import torch

NEVER = -math.inf


def pool_loop(states, mask, query):
    rows = []
    for text, real in zip(states, mask):
        powers = [
            torch.exp((state * query).sum()) * (1.0 if kept else 0.0)
            for state, kept in zip(text, real)
        ]
        total = sum(powers)
        if not any(real):
            rows.append(0 * text.sum(dim=0) + 0 * query)
            continue
        rows.append(sum(p / total * state for p, state in zip(powers, text)))
    return torch.stack(rows)


def pool_by(after=None, fill=NEVER, scale=1.0, dim=-1):
    """A pooling that goes wrong at one point."""

    def pool(states, mask, query):
        scores = scale * (states @ query)  # (batch, length)
        if fill is not None:
            scores = scores.masked_fill(~mask, fill)
        weights = torch.softmax(scores, dim=dim)
        if after:
            weights = after(weights, mask)
        return (weights[..., None] * states).sum(dim=1)

    return pool


def mean_pool(states, mask, query):
    real = mask.to(states.dtype)
    weights = real / real.sum(dim=1, keepdim=True)
    return (weights[..., None] * states).sum(dim=1)


def hardest(states, mask, query):
    scores = (states @ query).masked_fill(~mask, NEVER)
    return states[torch.arange(len(states)), scores.argmax(dim=1)]


def summed(states, mask, query):
    scores = (states @ query) * mask
    return (scores[..., None] * states).sum(dim=1)


def powers_pool(states, mask, query):
    powers = (states @ query).masked_fill(~mask, NEVER).exp()
    return (powers[..., None] * states).sum(dim=1)


def all_rows(states, mask, query):
    scores = (states @ query).masked_fill(~mask, NEVER)
    return torch.softmax(scores, dim=-1)[..., None] * states
