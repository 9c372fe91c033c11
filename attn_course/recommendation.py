"""Lesson 15: what a person will want next, from what they had before.

Reading order: ``Catalogue`` draws people whose next film is known to depend on
two films that they saw, and says with what chance each film comes next.
``leave_last_out`` hides everybody's last item, ``pad`` makes a tensor of the
rest. ``Popularity``, ``Markov`` and ``Factors`` are the rivals,
``SelfAttentive`` is the model. ``places`` ranks the whole catalogue, and
``hits`` and ``gains`` make HR@10 and NDCG@10 of it. ``lag_profile`` says how
far back attention looks, ``look_back`` what it sees for one person.

Items are numbered from 1; 0 is padding. Scores have a column for each item
number, and -inf in column 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attn_course.additive_attention import PAD
from attn_course.data.ratings import Rating
from attn_course.scaled_dot_product import causal_mask
from attn_course.self_attention import LearnedPositions
from attn_course.text_classification import mean_interval, wilson_interval
from attn_course.transformer import Encoder

KINDS = (
    "western",
    "crime",
    "comedy",
    "horror",
    "romance",
    "space",
    "music",
    "nature",
)
MOODS = ("calm", "sad", "bright", "tense", "odd")
TITLES = 3  # films of each kind and mood
MOST = 32  # items that a model looks back at

Histories = Sequence[Sequence[int]]


# People whose next choice is known -----------------------------------------


class Catalogue:
    """A shop of films in which we know what comes next, and how surely.

    Three people share an account and take turns. With chance ``1 - surprise``
    the next film has

    - the kind of the film **three** back, which the same person chose, and
    - the mood of the **last** film, with chance ``keep_mood``; else any mood.

    Otherwise it is any film. Among films that fit equally, title 1 is taken
    three times as often as title 3. Nobody sees a film twice.

    The film three back alone, or the last film alone, leave many candidates:
    only both together say what comes.
    """

    def __init__(
        self, *, turns: int = 3, surprise: float = 0.1, keep_mood: float = 0.8
    ) -> None:
        """Create all films.

        Args:
            turns: how many people share an account.
            surprise: how often any film may come.
            keep_mood: how often the mood of the last film stays.

        Raises:
            ValueError: if ``turns`` is below 1, or a chance not in [0, 1].
        """
        if turns < 1:
            raise ValueError(f"turns: expected 1 or more, got {turns}")
        for name, chance in (("surprise", surprise), ("keep_mood", keep_mood)):
            if not 0 <= chance <= 1:
                raise ValueError(f"{name}: expected 0 to 1, got {chance}")
        self.turns, self.surprise, self.keep_mood = turns, surprise, keep_mood
        self.items = len(KINDS) * len(MOODS) * TITLES
        number = torch.arange(self.items + 1) - 1  # -1 stands for padding
        self.kind = number.div(len(MOODS) * TITLES, rounding_mode="floor")
        self.mood = number.div(TITLES, rounding_mode="floor") % len(MOODS)
        share = torch.arange(TITLES, 0, -1).double()  # 3, 2, 1
        self.share = share[number % TITLES] / share.sum()
        self.share[PAD] = 0

    def name(self, item: int) -> str:
        """Say an item in words: ``"calm western 2"``.

        Raises:
            ValueError: if there is no such item.
        """
        if not 1 <= item <= self.items:
            raise ValueError(f"item: expected 1 to {self.items}, got {item}")
        kind, mood = KINDS[self.kind[item]], MOODS[self.mood[item]]
        return f"{mood} {kind} {(item - 1) % TITLES + 1}"

    def chances(
        self, tokens: Int[Tensor, "users length"]
    ) -> Float[Tensor, "users size"]:
        """Return the chance of every item to be next: rows sum to 1.

        If all films that the rule allows were seen, any other may come; a row
        of somebody who has seen all films is 0.

        Nothing that was drawn by this class can be foretold better than by
        these numbers: they are the oracle that models are compared with.

        Args:
            tokens: histories, padded behind with 0; perhaps empty.
        """
        lengths = (tokens != PAD).sum(dim=1)
        last = _back(tokens, lengths, 1)  # (users,), 0 where there is none
        own = _back(tokens, lengths, self.turns)
        same = (self.mood == self.mood[last, None]).double()
        fits_mood = self.keep_mood * same + (1 - self.keep_mood) / len(MOODS)
        fits_mood[last == PAD] = 1 / len(MOODS)
        follows = self.kind[own, None]
        fits_kind = (self.kind == follows).double()  # (users, items + 1)
        fits_kind[own == PAD] = 1 / len(KINDS)
        any_film = 1 / (len(KINDS) * len(MOODS))
        expected = (1 - self.surprise) * fits_kind * fits_mood
        chances = self.share * (expected + self.surprise * any_film)
        chances = chances.scatter(1, tokens, 0)  # nobody sees a film twice
        left = self.share.expand_as(chances).scatter(1, tokens, 0)
        fits = chances.sum(dim=1, keepdim=True) > 0
        chances = torch.where(fits, chances, left)
        total = chances.sum(dim=1, keepdim=True)
        return chances / total.where(total > 0, 1)

    def draw(
        self, users: int, *, least: int = 12, most: int = 30, seed: int = 0
    ) -> list[list[int]]:
        """Draw the histories of ``users`` accounts, oldest item first.

        Their lengths are even between ``least`` and ``most``.
        """
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.randint(least, most + 1, (users,), generator=generator)
        tokens = torch.zeros(users, most, dtype=torch.int64)
        for place in range(most):
            chances = self.chances(tokens[:, :place])
            tokens[:, place] = _pick(chances, generator)
        return [row[:n].tolist() for row, n in zip(tokens, lengths.tolist())]


def _pick(chances: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one column of each row, with these chances.

    ``torch.multinomial`` draws other numbers where torch is built without
    Intel's library, on a Mac for example; ``torch.rand`` does not.
    """
    sums = chances.cumsum(dim=1)
    number = torch.rand(len(sums), 1, generator=generator, dtype=sums.dtype)
    drawn = torch.searchsorted(sums, number * sums[:, -1:], right=True)
    return drawn[:, 0]


def _back(tokens: Tensor, lengths: Tensor, steps: int) -> Tensor:
    """Return the item ``steps`` from the end of each row; 0 if none is."""
    if not tokens.shape[1]:
        return torch.zeros_like(lengths)
    place = (lengths - steps).clamp(min=0)
    found = tokens.gather(1, place[:, None])[:, 0]
    return found.where(lengths >= steps, PAD)


class Oracle:
    """The scorer that knows how a catalogue draws: none can beat it."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Keep the catalogue."""
        self.catalogue, self.items = catalogue, catalogue.items

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return the true chances."""
        scores = self.catalogue.chances(pad(histories, items=self.items))
        scores[:, PAD] = -math.inf
        return scores


# What is hidden ------------------------------------------------------------


class Split(NamedTuple):
    """Histories cut for learning, for choosing settings, and for judging."""

    train: list[list[int]]  # without each person's last two items
    valid: list[int]  # the item after it, 0 where nothing was hidden
    test: list[int]  # the last item, 0 where nothing was hidden

    def asked(self, part: str) -> tuple[list[list[int]], list[int]]:
        """Return the histories to look at and the items to foretell.

        People of whom nothing was hidden are left out.

        Raises:
            ValueError: if ``part`` is neither "valid" nor "test".
        """
        if part not in ("valid", "test"):
            raise ValueError(f"part: expected 'valid' or 'test', got {part!r}")
        both = zip(self.train, self.valid, self.test)
        if part == "valid":
            rows = [(items, valid) for items, valid, _ in both if valid]
        else:
            rows = [(row + [valid], test) for row, valid, test in both if test]
        return [row[0] for row in rows], [row[1] for row in rows]


def leave_last_out(histories: Histories) -> Split:
    """Hide the last item of every history for the test, the one before too.

    Models learn from ``train`` only. Settings are chosen by how well
    ``valid`` follows ``train``; at the end ``test`` is foretold from ``train``
    and ``valid`` together. A history of fewer than three items stays whole in
    ``train``: nothing would be left to look back at.

    Raises:
        ValueError: if an item is not a number from 1 up.

    Source: Kang and McAuley (2018), section IV.A.
    """
    split = Split([], [], [])
    for items in histories:
        items = list(items)
        if any(type(item) is not int or item < 1 for item in items):
            raise ValueError(
                f"histories: expected item numbers from 1 up, got {items}"
            )
        long = len(items) >= 3
        split.train.append(items[:-2] if long else items)
        split.valid.append(items[-2] if long else PAD)
        split.test.append(items[-1] if long else PAD)
    return split


def pad(
    histories: Histories, most: int | None = None, items: int | None = None
) -> Int[Tensor, "users length"]:
    """Make one tensor of histories: 0 behind each, to the longest.

    Of a history with more than ``most`` items the **last** ``most`` are kept.
    Every row has one place at least.

    Raises:
        ValueError: if ``most`` is below 1, or an item is not one of 1 to
            ``items``.
    """
    if most is not None and most < 1:
        raise ValueError(f"most: expected 1 or more, got {most}")
    top = math.inf if items is None else items
    for item in {item for row in histories for item in row}:
        if not 1 <= item <= top:
            raise ValueError(
                f"histories: expected item numbers from 1 to {top}, got "
                f"{item}: an unknown item"
            )
    rows = [list(row) for row in histories]
    rows = rows if most is None else [row[-most:] for row in rows]
    longest = max([1, *map(len, rows)])
    rows = [row + [PAD] * (longest - len(row)) for row in rows]
    return torch.tensor(rows, dtype=torch.int64).view(-1, longest)


# The rivals ----------------------------------------------------------------


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores the whole catalogue for some histories."""

    items: int

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return a score per item, high for wanted; -inf in column 0."""


class Popularity:
    """Everybody wants what most people had: ``score_j = count_j``."""

    def __init__(self, train: Histories, items: int) -> None:
        """Count the items of all histories."""
        self.items = items
        flat = pad([[i for row in train for i in row]], items=items)[0]
        self.counts = torch.bincount(flat, minlength=items + 1).double()
        self.counts[PAD] = -math.inf

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return the same counts for everybody."""
        return self.counts.expand(len(histories), -1)


class Markov:
    """What came after this item before? ``score_j = count(i, j) + a p_j``.

    i is the last item (or the one ``lag`` places from the end), ``count(i,
    j)`` says how often j came ``lag`` places after i, ``p_j`` is the share of
    j among all items: it decides where there are no counts.

    Source: Rendle, Freudenthaler and Schmidt-Thieme (2010), "Factorizing
    personalized Markov chains for next-basket recommendation", without
    persons and without factorization.
    """

    def __init__(
        self, train: Histories, items: int, *, lag: int = 1, a: float = 1.0
    ) -> None:
        """Count the pairs.

        Raises:
            ValueError: if ``lag`` is below 1.
        """
        if lag < 1:
            raise ValueError(f"lag: expected 1 or more, got {lag}")
        self.items, self.lag = items, lag
        popular = Popularity(train, items).counts
        popular[PAD] = 0
        self.popular = a * popular / popular.sum().clamp(min=1)
        pairs = [p for row in train for p in zip(row, list(row)[lag:])]
        first, then = torch.tensor(pairs).view(-1, 2).long().unbind(dim=1)
        places = first * (items + 1) + then
        self.counts = torch.bincount(places, minlength=(items + 1) ** 2)
        self.counts = self.counts.view(items + 1, items + 1).double()

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return the counts after the item, plus the small share."""
        tokens = pad(histories, items=self.items)
        item = _back(tokens, (tokens != PAD).sum(dim=1), self.lag)
        scores = self.counts[item] + self.popular
        scores[:, PAD] = -math.inf
        return scores


class Factors:
    """Matrix factorization: people and items as short vectors.

    ``R = U S V^T``, cut to ``rank`` columns, for the matrix R of people and
    items with 1 for "had it". A person with row r gets ``scores = r V V^T``:
    near to what they had. Order plays no part.

    Source: Cremonesi, Koren and Turrin (2010), "Performance of recommender
    algorithms on top-N recommendation tasks" (PureSVD).
    """

    def __init__(
        self, train: Histories, items: int, *, rank: int = 16
    ) -> None:
        """Factorize with scipy's sparse SVD.

        Raises:
            ValueError: if ``rank`` is not from 1 to below both sides of R.
        """
        from scipy.sparse import csr_matrix
        from scipy.sparse.linalg import svds

        self.items = items
        smaller = min(len(train), items)
        if not 1 <= rank < smaller:
            raise ValueError(
                f"rank: expected 1 to {smaller - 1}, below both sides of "
                f"{len(train)} people by {items} items, got {rank}"
            )
        rows = csr_matrix(self._rows(train).numpy())
        # svds starts from a random vector: give it one, to repeat it.
        start = np.ones(min(rows.shape))
        self.v = torch.from_numpy(svds(rows, k=rank, v0=start)[2].T.copy())

    def _rows(self, histories: Histories) -> Float[Tensor, "users size"]:
        tokens = pad(histories, items=self.items)
        rows = torch.zeros(len(tokens), self.items + 1, dtype=torch.float64)
        rows.scatter_(1, tokens, 1.0)
        rows[:, PAD] = 0
        return rows

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return each person's row, passed through the factors."""
        scores = self._rows(histories) @ self.v @ self.v.T
        scores[:, PAD] = -math.inf
        return scores


# The model -----------------------------------------------------------------


class SelfAttentive(nn.Module):
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
        most: int = MOST,
    ) -> None:
        """Create the table of items, positions and encoder.

        Raises:
            ValueError: as lesson 06's encoder does, or if ``items`` is below
                1.
        """
        super().__init__()
        if items < 1:
            raise ValueError(f"items: expected 1 or more, got {items}")
        self.items, self.most = items, most
        self.embedding = nn.Embedding(items + 1, dim, padding_idx=PAD)
        # Items and places start equally loud, and both quiet.
        nn.init.normal_(self.embedding.weight, std=0.3 / math.sqrt(dim))
        with torch.no_grad():
            self.embedding.weight[PAD] = 0
        self.positions = LearnedPositions(most, dim)
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
        """Return a state per place, which has seen no later item.

        Raises:
            ValueError: if there are more than ``most`` places or an item is
                unknown.
        """
        self._check(tokens)
        scale = math.sqrt(self.embedding.embedding_dim)
        x = self.positions(scale * self.embedding(tokens))
        mask = causal_mask(tokens.shape[1], device=tokens.device)
        return self.encoder(self.dropout(x), mask, need_weights=need_weights)

    def forward(
        self, tokens: Int[Tensor, "users length"]
    ) -> Float[Tensor, "users length size"]:
        """Return, at every place, a score for each item to come next."""
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
        training = self.training
        self.eval()
        found = []
        for start in range(0, len(histories), 512):
            tokens = self._tokens(histories[start : start + 512])
            lengths = (tokens != PAD).sum(dim=1)
            states, _ = self.states(tokens)
            last = (lengths - 1).clamp(min=0)
            state = states[torch.arange(len(last), device=last.device), last]
            state = state * (lengths > 0)[:, None]
            found.append(self.answer(state).double().cpu())
        self.train(training)
        if not found:
            return torch.zeros(0, self.items + 1, dtype=torch.float64)
        return torch.cat(found)

    @torch.no_grad()
    def weights(
        self, history: Sequence[int]
    ) -> Float[Tensor, "layers heads length"]:
        """Return how the last item's query weighs each item that is read.

        Empty for an empty history; only the last ``most`` items are read.
        """
        training = self.training
        self.eval()
        tokens = self._tokens([history])
        _, weights = self.states(tokens, need_weights=True)
        self.train(training)
        length = int((tokens != PAD).sum())
        return weights[:, 0, :, max(0, length - 1), :length].double().cpu()

    def _tokens(self, histories: Histories) -> Tensor:
        tokens = pad(histories, self.most, self.items)
        return tokens.to(self.embedding.weight.device)

    def _check(self, tokens: Tensor) -> None:
        if tokens.shape[-1] > self.most:
            raise ValueError(
                f"tokens: expected at most {self.most} places, got "
                f"{tokens.shape[-1]}: keep the last, with pad(histories, "
                f"{self.most})"
            )
        if not tokens.numel():
            return
        if not 0 <= tokens.min() <= tokens.max() <= self.items:
            raise ValueError(
                f"tokens: expected items from 1 to {self.items}, or 0 for "
                f"padding, got {int(tokens.min())} to {int(tokens.max())}"
            )


def next_item_loss(
    model: SelfAttentive, tokens: Int[Tensor, "users length"]
) -> Float[Tensor, ""]:
    """Foretell each item of each history from those before it.

    The mean of ``-log p(item_t+1 | item_1 ... item_t)`` over all places, with
    a softmax over the whole catalogue. The paper compares the right item with
    one random other instead; the full softmax learns more from a place
    (Klenitskiy and Vasilev, 2023), and a small catalogue can afford it.
    """
    states, _ = model.states(tokens[:, :-1])
    after = tokens[:, 1:]
    real = after != PAD
    scores = states[real] @ model.embedding.weight[1:].T  # (places, items)
    return F.cross_entropy(scores, after[real] - 1)


def history_batches(
    histories: Histories,
    *,
    most: int = MOST,
    size: int = 128,
    seed: int = 0,
    shuffle: bool = False,
    device: torch.device | str | None = None,
) -> Callable[[int], Int[Tensor, "size length"]]:
    """Make ``batches(step)``: histories in random order, cut to ``most + 1``.

    A longer history gives another stretch of itself each time. Histories with
    fewer than two items have nothing to foretell, and are left out.

    Args:
        histories: items, oldest first.
        most: the model's longest input; one more item is its last answer.
        size: histories in a batch.
        seed: of the order.
        shuffle: put the items of each history in a new order every time.
        device: where the batch shall be.

    Raises:
        ValueError: if no history has two items.
    """
    rows = [list(row) for row in histories if len(row) >= 2]
    if not rows:
        raise ValueError(
            "histories: expected at least one of two or more items, got none"
        )

    def batch(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        epoch, place = divmod(step * size, len(rows))
        order = np.random.default_rng([seed, 7, epoch]).permutation(len(rows))
        after = np.random.default_rng([seed, 7, epoch + 1])
        order = [*order, *after.permutation(len(rows))]
        cut = []
        for number in order[place : place + size]:
            row = rows[number]
            if shuffle:
                row = rng.permutation(row).tolist()
            start = rng.integers(0, max(1, len(row) - most))
            cut.append(row[start : start + most + 1])
        return pad(cut).to(device)

    return batch


# Ranking -------------------------------------------------------------------


class Places(NamedTuple):
    """Where the hidden items stand in the ranking of the whole catalogue."""

    above: Float[Tensor, " users"]  # items with a higher score
    tied: Float[Tensor, " users"]  # items with the same score, itself included


def places(
    scores: Float[Tensor, "users size"],
    targets: Sequence[int],
    seen: Histories | None = None,
    among: Int[Tensor, "users some"] | None = None,
) -> Places:
    """Rank the hidden items among all items that were not seen.

    Args:
        scores: a score for each item, column 0 for padding.
        targets: the hidden item of each person.
        seen: items to leave out of the ranking, for each person; the target
            itself is never left out.
        among: if given, rank the target among these items only.

    Raises:
        ValueError: if there are not as many targets as rows, a target is not
            an item, or a score is NaN.
    """
    if len(targets) != len(scores):
        raise ValueError(
            f"targets: expected one per row, {len(scores)}, got {len(targets)}"
        )
    size = scores.shape[1]
    if any(not 1 <= target < size for target in targets):
        raise ValueError(
            f"targets: expected items from 1 to {size - 1}, got "
            f"{[t for t in targets if not 1 <= t < size][:3]}"
        )
    if scores.isnan().any():
        raise ValueError("scores: expected numbers, got NaN")
    target = torch.tensor(list(targets), dtype=torch.int64).view(-1, 1)
    ranked = torch.ones(scores.shape, dtype=torch.bool)
    if seen is not None:
        ranked.scatter_(1, pad(seen, items=size - 1), False)
    if among is not None:
        chosen = torch.zeros_like(ranked).scatter_(1, among, True)
        ranked &= chosen
    ranked.scatter_(1, target, True)
    ranked[:, PAD] = False
    own = scores.gather(1, target)
    above = ((scores > own) & ranked).sum(dim=1).double()
    tied = ((scores == own) & ranked).sum(dim=1).double()
    return Places(above, tied)


def hits(found: Places, k: int = 10) -> Float[Tensor, " users"]:
    """Say who finds the hidden item among the first k: HR@k is their mean.

    Items with one score stand in no order. Of ``tied`` items on the places
    ``above + 1`` to ``above + tied`` the hidden one is any, so it counts
    ``(k - above) / tied``, within 0 and 1: the mean over all orders.

    Raises:
        ValueError: if ``k`` is below 1.
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    return ((k - found.above) / found.tied).clamp(0, 1)


def gains(found: Places, k: int = 10) -> Float[Tensor, " users"]:
    """Say how high the hidden item stands: NDCG@k is their mean.

    ``1 / log2(1 + place)`` for a place among the first k, else 0. With one
    hidden item the best possible sum is 1, so nothing is left to divide by.
    Among tied items the mean over their places counts.

    Raises:
        ValueError: if ``k`` is below 1.

    Source: Jarvelin and Kekalainen (2002), "Cumulated gain-based evaluation
    of IR techniques".
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    worth = 1 / torch.log2(torch.arange(1, k + 1).double() + 1)
    total = torch.cat([torch.zeros(1).double(), worth.cumsum(dim=0)])
    first = found.above.clamp(max=k).long()
    last = (found.above + found.tied).clamp(max=k).long()
    return (total[last] - total[first]) / found.tied


class Result(NamedTuple):
    """How well a model foretold: person by person, and with intervals."""

    hits: Float[Tensor, " users"]
    gains: Float[Tensor, " users"]

    def hit_rate(self) -> tuple[float, float, float]:
        """Return HR@k and the bounds of Wilson's interval."""
        rate = self.hits.mean().item()
        # A tie makes part of a hit; the interval takes the nearest count.
        count = round(self.hits.sum().item())
        return rate, *wilson_interval(count, len(self.hits))

    def ndcg(self) -> tuple[float, float, float]:
        """Return NDCG@k and the bounds of a mean's interval."""
        return mean_interval(self.gains)


def judge(
    model: Scorer, histories: Histories, targets: Sequence[int], k: int = 10
) -> Result:
    """Rank the whole catalogue, without what each person had, for all."""
    found = places(model.scores(histories), targets, seen=histories)
    return Result(hits(found, k), gains(found, k))


# What is compared on the way ------------------------------------------------


def sample_others(
    histories: Histories,
    targets: Sequence[int],
    items: int,
    *,
    count: int = 100,
    seed: int = 0,
) -> Int[Tensor, "users count"]:
    """Draw ``count`` items for each person that they never had.

    Rankings among such a sample are what the course does **not** judge by:
    they are here to see how they mislead.

    Raises:
        ValueError: if somebody has fewer than ``count`` items left.
    """
    generator = torch.Generator().manual_seed(seed)
    # Numbers in [0, 1) at random; the largest win, and -1 never does.
    numbers = torch.rand(
        len(histories), items + 1, generator=generator, dtype=torch.float64
    )
    numbers.scatter_(1, pad(histories, items=items), -1.0)
    numbers.scatter_(1, torch.tensor(list(targets)).view(-1, 1), -1.0)
    numbers[:, PAD] = -1
    left = int((numbers >= 0).sum(dim=1).min())
    if left < count:
        raise ValueError(
            f"count: expected at most {left}, what the fullest history "
            f"leaves, got {count}"
        )
    return numbers.topk(count, dim=1).indices


def sampled_hit_rate(
    places: Sequence[int], items: int, *, count: int = 100, k: int = 10
) -> float:
    """Return the expected HR@k among the target and ``count`` random others.

    ``places`` are the true places of the targets, from 1, among ``items``.
    A target on place r has ``r - 1`` better items; it is hit if fewer than k
    of them are drawn: a hypergeometric chance.

    Source: Krichene and Rendle (2020), "On sampled metrics for item
    recommendation".
    """
    from scipy.stats import hypergeom

    chances = hypergeom.cdf(k - 1, items - 1, np.array(places) - 1, count)
    return float(np.mean(chances))


# What attention looks back at ----------------------------------------------


def lag_profile(
    model: SelfAttentive, histories: Histories, lags: int = 8
) -> Float[Tensor, "heads lags"]:
    """Return the mean weight of the item 1, 2, ... places from the end.

    Of the first layer, over the histories of at least ``lags`` items.

    Raises:
        ValueError: if no history is as long, or ``lags`` is above what the
            model reads.
    """
    if not 1 <= lags <= model.most:
        raise ValueError(f"lags: expected 1 to {model.most}, got {lags}")
    long = [row for row in histories if len(row) >= lags]
    if not long:
        raise ValueError(
            f"histories: expected one of at least {lags} items, got none"
        )
    seen = [model.weights(row)[0, :, -lags:].flip(dims=[1]) for row in long]
    return torch.stack(seen).mean(dim=0)


class Advice(NamedTuple):
    """What a model makes of one history."""

    read: list[int]  # the items that it looked back at
    weights: Float[Tensor, "layers heads length"]  # of the last query
    items: list[int]  # the best items, best first
    chances: list[float]  # their chances, among the items not seen
    skipped: int  # older items, beyond what the model reads


def recommend(
    model: SelfAttentive,
    history: Sequence[int],
    k: int = 5,
    *,
    fallback: Popularity | None = None,
) -> Advice:
    """Recommend the ``k`` best items that are not in the history.

    Without history the model has nothing to ask with. ``fallback`` then
    answers, if it is given; else nothing is recommended.

    Raises:
        ValueError: if ``k`` is below 1 or an item is unknown.
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    history = list(history)
    scores = model.scores([history])[0]
    seen = pad([history], items=model.items)[0]
    chances = scores.scatter(0, seen, -math.inf)
    chances = chances.softmax(dim=0).nan_to_num(0.0)
    if not history and fallback is not None:
        counts = fallback.scores([[]])[0].clamp(min=0)
        chances = counts / counts.sum()
    elif not history:
        chances = torch.zeros_like(chances)
    best = chances.argsort(descending=True, stable=True)[:k].tolist()
    best = [item for item in best if chances[item] > 0]
    read = history[-model.most :]
    return Advice(
        read,
        model.weights(history),
        best,
        [chances[item].item() for item in best],
        len(history) - len(read),
    )


def change(history: Sequence[int], place: int, item: int | None) -> list[int]:
    """Put another item at a place of a history, or take it out with None.

    Raises:
        ValueError: if there is no such place, or the history has the item
            already.
    """
    if not 0 <= place < len(history):
        raise ValueError(
            f"place: expected 0 to {len(history) - 1}, got {place}"
        )
    left, right = list(history[:place]), list(history[place + 1 :])
    if item is not None and item in left + right:
        raise ValueError(f"item: the history has item {item} already")
    return left + ([] if item is None else [item]) + right


# Real ratings --------------------------------------------------------------

ORDERS = ("table", "shuffled", "semester")


def ratings_to_histories(
    ratings: Sequence[Rating], order: str = "semester", seed: int = 0
) -> tuple[list[list[int]], list[int]]:
    """Make one history per student, of the lecturers that they rated.

    That a lecturer was rated counts, not how well. The table knows no time
    but in how many semesters before the survey a lecture took place.

    Args:
        ratings: from ``attn_course.data.ratings.load``.
        order: "table", as the rows stand: by the lecturer's code;
            "shuffled"; or "semester": oldest semester first, within one in
            random order.
        seed: of the random orders.

    Returns:
        The histories, and the lecturers' codes: item i has the code
        ``codes[i - 1]``.

    Raises:
        ValueError: if ``order`` is unknown.
    """
    if order not in ORDERS:
        raise ValueError(f"order: expected one of {ORDERS}, got {order!r}")
    codes = sorted({rating.lecturer for rating in ratings})
    number = {code: i for i, code in enumerate(codes, 1)}
    rows: dict[int, list[Rating]] = {}
    for rating in ratings:
        rows.setdefault(rating.student, []).append(rating)
    rng = np.random.default_rng(seed)
    histories = []
    for row in rows.values():
        noise = rng.random(len(row))
        places = list(range(len(row)))
        if order == "semester":
            places.sort(key=lambda i: (-row[i].back, noise[i]))
        elif order == "shuffled":
            places.sort(key=lambda i: noise[i])
        histories.append([number[row[i].lecturer] for i in places])
    return histories, codes


def shuffle_histories(histories: Histories, seed: int = 0) -> list[list[int]]:
    """Put the items of every history in a random order."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(list(row)).tolist() for row in histories]
