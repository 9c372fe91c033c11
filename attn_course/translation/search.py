"""Look for a translation that the model holds for likely: beam search."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_course.common.arguments import check_at_least
from attn_course.common.evaluation import evaluating
from attn_course.common.seq2seq import Memory, StepwiseDecoder
from attn_course.common.tokens import BOS, EOS, PAD, UNK


def beam_search(
    model: nn.Module,
    source: Int[Tensor, "batch s"],
    max_length: int,
    *,
    beam_size: int = 4,
    length_penalty: float = 1.0,
) -> tuple[Int[Tensor, "batch length"], Float[Tensor, " batch"]]:
    """Keep the ``beam_size`` best beginnings at each step, not one alone.

    ``score = log p(tokens | source) / length^length_penalty``: the sum of the
    log probabilities of all tokens, EOS included, so that 0 prefers what is
    short and 1 compares the mean per token. Finished translations stay in the
    beam as they are, and the unfinished have to beat them. A beam of 1 is
    ``greedy_decode``.

    Args:
        model: with ``encode`` and ``decode``, as in lessons 05 and 06; used in
            evaluation mode, and left as it was.
        source: sentences, padded with PAD.
        max_length: how many tokens a translation has at most.
        beam_size: how many beginnings are kept.
        length_penalty: the power of the length, from 0 up.

    Returns:
        The best translations, as ``greedy_decode`` gives them, and their
        scores.

    Raises:
        ValueError: if ``max_length`` or ``beam_size`` is below 1, or
            ``length_penalty`` below 0.

    Source: Wu et al. (2016), "Google's neural machine translation system",
    section 7 (their length normalisation is of another form).
    """
    check_at_least(1, max_length=max_length, beam_size=beam_size)
    check_at_least(0, length_penalty=length_penalty)
    with evaluating(model), torch.no_grad():
        return _search(model, source, max_length, beam_size, length_penalty)


def _search(
    model: nn.Module,
    source: Tensor,
    max_length: int,
    beam_size: int,
    length_penalty: float,
) -> tuple[Tensor, Tensor]:
    """Do what ``beam_search`` says, with a model in evaluation mode."""
    batch, device = len(source), source.device
    memory = _select(  # (batch * beam, ...)
        model.encode(source),
        torch.arange(batch, device=device).repeat_interleave(beam_size),
    )
    stepwise = isinstance(model, StepwiseDecoder)
    state = model.start(memory) if stepwise else None
    predictions = source.new_full((batch, max_length), PAD)
    scores = torch.zeros(batch, device=device)
    active = torch.arange(batch, device=device)  # which are still searched
    tokens = source.new_full((batch, beam_size, 1), BOS)
    # All beginnings are the same at first: only one of them may go on.
    log_probs = torch.full((batch, beam_size), -torch.inf, device=device)
    log_probs[:, 0] = 0.0  # of each beginning, all its tokens
    lengths = torch.zeros(batch, beam_size, device=device)
    done = torch.zeros(batch, beam_size, dtype=torch.bool, device=device)
    for length in range(1, max_length + 1):
        flat = tokens.flatten(0, 1)  # (active * beam, length)
        if stepwise:
            logits, _, state = model.step(memory, state, flat[:, -1])
        else:
            logits = model.decode(memory, flat)[0][:, -1]
        logits[:, [PAD, BOS, UNK]] = -torch.inf
        steps = logits.float().log_softmax(dim=-1)
        steps = steps.unflatten(0, (-1, beam_size))  # (active, beam, vocab)
        # What is finished goes on in one way only, at no cost: with padding.
        steps = steps.masked_fill(done[..., None], -torch.inf)
        steps[..., PAD] = steps[..., PAD].masked_fill(done, 0.0)
        sums = log_probs[..., None] + steps  # (active, beam, vocab)
        lengths = lengths + (~done).float()  # (active, beam)
        normalised = sums / lengths[..., None] ** length_penalty
        # topk gives the best first: (active, beam)
        best, index = normalised.flatten(1).topk(beam_size, dim=1)
        parent, token = index // steps.shape[2], index % steps.shape[2]
        log_probs = sums.flatten(1).gather(1, index)
        lengths = lengths.gather(1, parent)
        done = done.gather(1, parent) | (token == EOS)
        tokens = tokens.gather(1, parent[..., None].expand_as(tokens))
        tokens = torch.cat([tokens, token[..., None]], dim=2)
        predictions[active, :length] = tokens[:, 0, 1:]
        scores[active] = best[:, 0]
        # Sentences whose whole beam is finished are left out from here on.
        rest = (~done.all(dim=1)).nonzero()[:, 0]  # (still active)
        if len(rest) == 0:
            break
        rows = rest[:, None] * beam_size  # (still active, 1)
        if stepwise:
            state = state[(rows + parent[rest]).flatten()]
        memory = _select(
            memory, (rows + torch.arange(beam_size, device=device)).flatten()
        )
        active, tokens, log_probs = active[rest], tokens[rest], log_probs[rest]
        lengths, done = lengths[rest], done[rest]
    return predictions[:, :length], scores


def _select(memory: Memory, rows: Tensor) -> Memory:
    """Return a memory of these rows."""
    return type(memory)(*(x if x is None else x[rows] for x in memory))
