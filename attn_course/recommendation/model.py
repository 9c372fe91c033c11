"""SASRec: a causal encoder that looks back at a whole history."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.common.arguments import check_at_least
from attn_course.common.evaluation import evaluating
from attn_course.common.tokens import PAD
from attn_course.recommendation.histories import (
    MAX_LENGTH,
    Histories,
    History,
    pad_histories,
)
from attn_course.self_attention import LearnedPositions
from attn_course.transformer import Encoder


class SASRec(nn.Module):
    """Look back at the whole history with causal self-attention.

    ``x_t = sqrt(dim) M[item_t] + P[t]``, then lesson 06's encoder under a
    causal mask; the state at the last item is compared with every item:
    ``score_j = state . M[j]``. Asking and answering share one table M.

    Padding stands behind the items, where the causal mask hides it from all
    of them. Somebody without history gets the score 0 for every item.

    Source: Kang and McAuley (2018), "Self-attentive sequential
    recommendation", section III, which normalizes before each part too; the
    encoder is lesson 06's.
    """

    def __init__(
        self,
        items: int,
        *,
        dim: int = 32,
        layers: int = 1,
        heads: int = 2,
        mlp_dim: int | None = None,
        dropout: float = 0.0,
        max_length: int = MAX_LENGTH,
    ) -> None:
        """Create the table of items, positions and encoder.

        Raises:
            ValueError: as lesson 06's encoder does, or if ``items`` is below
                1.
        """
        super().__init__()
        check_at_least(1, items=items)
        self.items, self.max_length = items, max_length
        self.embedding = nn.Embedding(items + 1, dim, padding_idx=PAD)
        # Items and positions start equally loud, and both quiet.
        nn.init.normal_(self.embedding.weight, std=0.3 / math.sqrt(dim))
        with torch.no_grad():
            self.embedding.weight[PAD] = 0
        self.positions = LearnedPositions(max_length, dim)
        nn.init.normal_(self.positions.table, std=0.3)
        self.dropout = nn.Dropout(dropout)
        self.encoder = Encoder(layers, dim, heads, mlp_dim, dropout=dropout)

    def states(
        self,
        tokens: Int[Tensor, "users length"],
        *,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "users length dim"],
        Float[Tensor, "layers users heads length length"] | None,
    ]:
        """Return a state per position, which has seen no later item.

        Raises:
            ValueError: if there are more than ``max_length`` positions.
        """
        if tokens.shape[-1] > self.max_length:
            raise ValueError(
                f"tokens: expected at most {self.max_length} positions, got "
                f"{tokens.shape[-1]}: keep the last, with "
                f"pad_histories(histories, {self.max_length})"
            )
        scale = math.sqrt(self.embedding.embedding_dim)
        x = self.positions(scale * self.embedding(tokens))
        return self.encoder(
            self.dropout(x), is_causal=True, need_weights=need_weights
        )

    def forward(
        self, tokens: Int[Tensor, "users length"]
    ) -> Float[Tensor, "users length size"]:
        """Return, at every position, a score for each item to come next."""
        return self.answer(self.states(tokens)[0])

    def answer(
        self, states: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch size"]:
        """Compare states with all items; -inf for padding."""
        scores = states @ self.embedding.weight.T
        never = torch.zeros_like(scores[..., :1]) - math.inf
        return torch.cat([never, scores[..., 1:]], dim=-1)

    @torch.no_grad()
    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return the scores after the last item, in evaluation mode."""
        rows = []
        with evaluating(self):
            for start in range(0, len(histories), 512):
                tokens = self._tokens(histories[start : start + 512])
                lengths = (tokens != PAD).sum(dim=1)
                states, _ = self.states(tokens)
                last = (lengths - 1).clamp(min=0)
                users = torch.arange(len(last), device=last.device)
                state = states[users, last] * (lengths > 0)[:, None]
                rows.append(self.answer(state).cpu().double())
        if not rows:
            return torch.zeros(0, self.items + 1, dtype=torch.float64)
        return torch.cat(rows)

    @torch.no_grad()
    def weights(
        self, history: History
    ) -> Float[Tensor, "layers heads length"]:
        """Return how the last item's query weighs each item that is read.

        Empty for an empty history; of a long one only the last ``max_length``
        items are read.
        """
        tokens = self._tokens([history])
        with evaluating(self):
            _, weights = self.states(tokens, need_weights=True)
        length = int((tokens != PAD).sum())
        return weights[:, 0, :, max(0, length - 1), :length].cpu().double()

    def _tokens(self, histories: Histories) -> Tensor:
        tokens = pad_histories(histories, self.max_length, self.items)
        return tokens.to(self.embedding.weight.device)


def next_item_loss(
    model: SASRec, tokens: Int[Tensor, "users length"]
) -> Float[Tensor, ""]:
    """Predict each item of each history from those before it.

    The mean of ``-log p(item_t+1 | item_1 ... item_t)`` over all positions,
    with a softmax over the whole catalogue. The paper compares the right item
    with one random negative instead; the full softmax learns more from a
    position (Klenitskiy and Vasilev, 2023), and a small catalogue can afford
    it.
    """
    states, _ = model.states(tokens[:, :-1])
    targets = tokens[:, 1:]
    real = targets != PAD
    scores = states[real] @ model.embedding.weight[1:].T  # (positions, items)
    return F.cross_entropy(scores, targets[real] - 1)
