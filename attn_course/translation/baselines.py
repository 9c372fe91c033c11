"""The baseline that understands nothing."""

from collections import Counter
from collections.abc import Sequence

from attn_course.common.arguments import check_texts


class TranslationMemory:
    """Answer with the translation of the most similar training sentence.

    That is the one that shares most words with the new one (Jaccard: common
    words, divided by all words of both); its translation is given unchanged.
    Of equals, the first.

    Args of the constructor:
        pairs: sentences and their translations.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Remember everything.

        Raises:
            ValueError: if there is no pair.
        """
        if not pairs:
            raise ValueError("pairs: expected at least one, got none")
        self.pairs = [(source, target) for source, target, *_ in pairs]
        self.bags = [frozenset(s.lower().split()) for s, _ in self.pairs]
        self.known: dict[str, list[int]] = {}
        for i, bag in enumerate(self.bags):
            for word in bag:
                self.known.setdefault(word, []).append(i)

    def nearest(self, text: str) -> tuple[str, str]:
        """Return the most similar pair; the first, if no word is known."""
        bag = set(text.lower().split())
        common = Counter(i for word in bag for i in self.known.get(word, ()))
        best = max(
            common,
            key=lambda i: (common[i] / len(bag | self.bags[i]), -i),
            default=0,
        )
        return self.pairs[best]

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Give the translation of the most similar sentence of each."""
        return [self.nearest(text)[1] for text in check_texts("texts", texts)]
