"""A shop of films in which it is known what comes next, and how surely."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attn_course.common.arguments import check_at_least, whole_number
from attn_course.common.tokens import PAD
from attn_course.recommendation.histories import (
    Histories,
    item_back,
    pad_histories,
)

GENRES = (
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
TITLES = 3  # films of each genre and mood


class Catalogue:
    """A shop of films in which we know what comes next, and how surely.

    Three people share an account and take turns. With probability
    ``1 - surprise`` the next film has

    - the genre of the film **three** back, which the same person chose, and
    - the mood of the **last** film, with probability ``keep_mood``; else any
      mood.

    Otherwise it is any film. Among films that fit equally, title 1 is taken
    three times as often as title 3. Nobody sees a film twice: late in a
    history, when films that fit are seen, surprises come more often.

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
            ValueError: if ``turns`` is below 1, or a probability not in
                [0, 1].
        """
        check_at_least(1, turns=turns)
        for name, prob in (("surprise", surprise), ("keep_mood", keep_mood)):
            if not 0 <= prob <= 1:
                raise ValueError(f"{name}: expected 0 to 1, got {prob}")
        self.turns, self.surprise, self.keep_mood = turns, surprise, keep_mood
        self.items = len(GENRES) * len(MOODS) * TITLES
        number = torch.arange(self.items + 1) - 1  # -1 stands for padding
        self.genre = number.div(len(MOODS) * TITLES, rounding_mode="floor")
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
        genre, mood = GENRES[self.genre[item]], MOODS[self.mood[item]]
        return f"{mood} {genre} {(item - 1) % TITLES + 1}"

    def probs(
        self, tokens: Int[Tensor, "users length"]
    ) -> Float[Tensor, "users size"]:
        """Return the probability of every item to be next: rows sum to 1.

        If all films that the rule allows were seen, any other may come; a row
        of somebody who has seen all films is 0.

        Nothing that was drawn by this class can be predicted better than by
        these numbers: they are the oracle that models are compared with.

        Args:
            tokens: histories, padded behind with 0; perhaps empty.
        """
        lengths = (tokens != PAD).sum(dim=1)
        last = item_back(tokens, lengths, 1)  # (users,), 0 where there is none
        own = item_back(tokens, lengths, self.turns)
        same = (self.mood == self.mood[last, None]).double()
        fits_mood = self.keep_mood * same + (1 - self.keep_mood) / len(MOODS)
        fits_mood[last == PAD] = 1 / len(MOODS)
        follows = self.genre[own, None]
        fits_genre = (self.genre == follows).double()  # (users, items + 1)
        fits_genre[own == PAD] = 1 / len(GENRES)
        any_film = 1 / (len(GENRES) * len(MOODS))
        expected = (1 - self.surprise) * fits_genre * fits_mood
        probs = self.share * (expected + self.surprise * any_film)
        probs = probs.scatter(1, tokens, 0)  # nobody sees a film twice
        left = self.share.expand_as(probs).scatter(1, tokens, 0)
        fits = probs.sum(dim=1, keepdim=True) > 0
        probs = torch.where(fits, probs, left)
        total = probs.sum(dim=1, keepdim=True)
        return probs / total.where(total > 0, 1)

    def draw(
        self,
        users: int,
        *,
        min_length: int = 12,
        max_length: int = 30,
        seed: int = 0,
    ) -> list[list[int]]:
        """Draw the histories of ``users`` accounts, oldest item first.

        Their lengths are even between ``min_length`` and ``max_length``.
        """
        generator = torch.Generator().manual_seed(whole_number("seed", seed))
        lengths = torch.randint(
            min_length, max_length + 1, (users,), generator=generator
        )
        tokens = torch.zeros(users, max_length, dtype=torch.int64)
        for position in range(max_length):
            probs = self.probs(tokens[:, :position])
            tokens[:, position] = _draw_item(probs, generator)
        return [row[:n].tolist() for row, n in zip(tokens, lengths.tolist())]


def _draw_item(probs: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one column of each row, with these probabilities.

    ``torch.multinomial`` draws other numbers where torch is built without
    Intel's library, on a Mac for example; ``torch.rand`` does not.
    """
    sums = probs.cumsum(dim=1)
    number = torch.rand(len(sums), 1, generator=generator, dtype=sums.dtype)
    drawn = torch.searchsorted(sums, number * sums[:, -1:], right=True)
    return drawn[:, 0]


class Oracle:
    """The scorer that knows how a catalogue draws: none can beat it."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Keep the catalogue."""
        self.catalogue, self.items = catalogue, catalogue.items

    def scores(self, histories: Histories) -> Float[Tensor, "users size"]:
        """Return the true probabilities."""
        tokens = pad_histories(histories, items=self.items)
        scores = self.catalogue.probs(tokens)
        scores[:, PAD] = -math.inf
        return scores
