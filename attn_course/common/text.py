"""From texts to token ids and back: by words, or by characters."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from attn_course.common.arguments import check_at_least, check_texts
from attn_course.common.batching import pad
from attn_course.common.tokens import BOS, EOS, FIRST_ID, PAD, UNK

WORD = r"\w+(?:'\w+)*|[!?]"  # words, with an apostrophe inside, and ! and ?
MAX_LENGTH = 64  # words of a text that are read


def tokenize(text: str) -> list[str]:
    """Cut a text into words in small letters, and the signs ``!`` and ``?``.

    ``"Don't stop!"`` gives ``["don't", "stop", "!"]``.

    Raises:
        ValueError: if ``text`` is not a string.
    """
    if not isinstance(text, str):
        raise ValueError(f"text: expected a string, got {type(text).__name__}")
    return re.findall(WORD, text.lower().replace("\u2019", "'"))


class Vocabulary:
    """The words that a model knows, each with a token id.

    The ids 0 to 3 are the special tokens; the words follow, in their order.
    """

    def __init__(self, words: Iterable[str]) -> None:
        """Give each word an id.

        Raises:
            ValueError: if ``words`` is one text, or a word comes twice.
        """
        if isinstance(words, str):
            raise ValueError(
                "words: expected a list of words, got one text; for texts "
                "there is Vocabulary.from_texts"
            )
        self.words = list(words)
        self.token_to_id = {
            word: i for i, word in enumerate(self.words, FIRST_ID)
        }
        if len(self.token_to_id) != len(self.words):
            twice = Counter(self.words).most_common(1)[0][0]
            raise ValueError(f"words: expected each once, got {twice!r} twice")

    @classmethod
    def from_texts(
        cls, texts: Iterable[str], min_freq: int = 2
    ) -> "Vocabulary":
        """Keep every word that occurs ``min_freq`` times or more in texts.

        The most frequent comes first; of equals, the first in the alphabet.

        Raises:
            ValueError: if ``texts`` holds anything but texts, or ``min_freq``
                is below 1.
        """
        check_at_least(1, min_freq=min_freq)
        counts = Counter(word for text in texts for word in tokenize(text))
        kept = [word for word, n in counts.items() if n >= min_freq]
        return cls(sorted(kept, key=lambda word: (-counts[word], word)))

    def __len__(self) -> int:
        """Count the token ids, the special ones with them."""
        return FIRST_ID + len(self.words)

    def __contains__(self, word: str) -> bool:
        """Say whether the word is known."""
        return word in self.token_to_id

    def table(self, values: Mapping[str, float]) -> Float[Tensor, " size"]:
        """Return one number per token id; 0 for words that have none."""
        known = [values.get(word, 0.0) for word in self.words]
        return torch.tensor([0.0] * FIRST_ID + known)

    def encode(
        self, texts: Sequence[str], max_length: int = MAX_LENGTH
    ) -> Int[Tensor, "batch length"]:
        """Return one row of token ids per text, padded to the longest.

        Words that are not known become UNK. Of a text with more than
        ``max_length`` words the first ``max_length`` are read. An empty text
        is a row of padding; every row has one position at least.

        Raises:
            ValueError: if ``texts`` is one string, or holds something else
                than strings.
        """
        if isinstance(texts, str):
            raise ValueError(
                "texts: expected a list of strings, got one string; write "
                "[text]"
            )
        rows = [
            [self.token_to_id.get(word, UNK) for word in tokenize(text)]
            for text in texts
        ]
        # One more row, of one PAD: it makes every row at least that long.
        return pad([*(row[:max_length] for row in rows), [PAD]])[:-1]

    def decode(self, tokens: Int[Tensor, "batch length"]) -> list[str]:
        """Turn ids into texts, each up to its EOS, without special tokens."""
        texts = []
        for row in tokens.tolist():
            row = row[: row.index(EOS)] if EOS in row else row
            known = [i - FIRST_ID for i in row if i >= FIRST_ID]
            texts.append(" ".join(self.words[i] for i in known))
        return texts


class CharTokenizer:
    """A vocabulary of single characters, after the four special tokens.

    Args of the constructor:
        texts: every character in them gets an id, in the order of its code.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        """Collect the characters."""
        self.characters = sorted(set().union(*texts))
        self.token_to_id = {
            character: i
            for i, character in enumerate(self.characters, FIRST_ID)
        }

    def __len__(self) -> int:
        """Count the token ids, the special ones with them."""
        return FIRST_ID + len(self.characters)

    def __contains__(self, character: str) -> bool:
        """Say whether the character is known."""
        return character in self.token_to_id

    def encode(self, texts: Sequence[str]) -> Int[Tensor, "batch length"]:
        """Return one row of ids per text: its characters, EOS, then padding.

        A character that is not known becomes UNK.

        Raises:
            ValueError: if ``texts`` is one text or empty, or one of them is
                no text.
        """
        return pad(
            [
                [*(self.token_to_id.get(c, UNK) for c in text), EOS]
                for text in check_texts("texts", texts)
            ]
        )

    def decode(self, tokens: Int[Tensor, "batch length"]) -> list[str]:
        """Turn ids into texts, each up to its EOS; unknown becomes "?"."""
        texts = []
        for row in tokens.tolist():
            row = row[: row.index(EOS)] if EOS in row else row
            kept = [i for i in row if i not in (PAD, BOS)]
            texts.append("".join(self._character(i) for i in kept))
        return texts

    def _character(self, token: int) -> str:
        if not FIRST_ID <= token < len(self):
            return "?"
        return self.characters[token - FIRST_ID]
