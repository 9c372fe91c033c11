"""Cut words into pieces that are seen often: byte-pair encoding.

``learn_bpe`` and ``apply_bpe`` are the algorithm, ``Tokenizer`` is the same by
a library.
"""

import io
from collections import Counter
from collections.abc import Mapping, Sequence

import sentencepiece
from torch import Tensor

from attn_course.common.arguments import check_texts
from attn_course.common.tokens import BOS, EOS, PAD, UNK

PLACEHOLDERS = ("{1}", "{2}", "{3}")  # never cut: one piece each


def learn_bpe(
    words: Mapping[str, int], num_merges: int
) -> list[tuple[str, str]]:
    """Learn which neighbours to merge, the most frequent pair first.

    Every word starts as its characters. Again and again the pair of
    neighbouring pieces that is seen most often (of equals, the first in
    alphabetical order) becomes one piece.

    Args:
        words: how often each word occurs.
        num_merges: how many pairs to merge, at most.

    Raises:
        ValueError: if ``num_merges`` is negative.

    Source: Sennrich, Haddow and Birch (2016), "Neural machine translation of
    rare words with subword units", section 3.2.
    """
    if num_merges < 0:
        raise ValueError(f"num_merges: expected 0 or more, got {num_merges}")
    pieces = {word: list(word) for word in words}
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for word, row in pieces.items():
            for pair in zip(row, row[1:]):
                counts[pair] += words[word]
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pieces = {word: _merge(row, best) for word, row in pieces.items()}
    return merges


def apply_bpe(word: str, merges: Sequence[tuple[str, str]]) -> list[str]:
    """Cut a word into pieces: its characters, merged in the order learned."""
    pieces = list(word)
    for pair in merges:
        pieces = _merge(pieces, pair)
    return pieces


def _merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """Join the two pieces wherever they stand side by side."""
    merged, i = [], 0
    while i < len(pieces):
        is_pair = tuple(pieces[i : i + 2]) == pair
        merged.append("".join(pair) if is_pair else pieces[i])
        i += 2 if is_pair else 1
    return merged


class Tokenizer:
    """Byte-pair pieces by sentencepiece, trained in memory on given texts.

    A space becomes the sign "\u2581" at the start of the next piece, so that
    pieces joined give the text back. The ids 0 to 3 are PAD, BOS, EOS and
    UNK, as in all lessons; a placeholder such as ``{1}`` is one piece.

    Args of the constructor:
        texts: sentences to learn the pieces from.
        vocab_size: how many ids there are in all.

    Source: Kudo and Richardson (2018), "SentencePiece", section 3.
    """

    def __init__(self, texts: Sequence[str], vocab_size: int) -> None:
        """Learn the pieces; the same texts give the same pieces.

        Raises:
            ValueError: if ``texts`` holds anything but text, or ``vocab_size``
                does not fit the texts.
        """
        texts = check_texts("texts", texts)
        file = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=file,
                model_type="bpe",
                vocab_size=vocab_size,
                character_coverage=1.0,
                # Keep every sign as it is, Chinese wide commas too.
                normalization_rule_name="identity",
                user_defined_symbols=list(PLACEHOLDERS),
                pad_id=PAD,
                bos_id=BOS,
                eos_id=EOS,
                unk_id=UNK,
                num_threads=1,
                minloglevel=2,  # 0 to 2: all, warnings, errors
            )
        except RuntimeError as error:
            raise ValueError(
                f"vocab_size: expected one that fits these {len(texts)} "
                f"texts, got {vocab_size}: {str(error).rsplit('] ')[-1]}"
            ) from None
        self.model = sentencepiece.SentencePieceProcessor(
            model_proto=file.getvalue()
        )

    def __len__(self) -> int:
        return self.model.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """Turn a text into ids, with EOS at its end; any white space is one.

        Raises:
            ValueError: if ``text`` is no text.
        """
        if not isinstance(text, str):
            raise ValueError(
                f"text: expected a text, got {type(text).__name__}"
            )
        return [*self.model.encode(" ".join(text.split())), EOS]

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """Turn ids into a text, up to the first EOS; unknown becomes "?"."""
        ids = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        ids = ids[: ids.index(EOS)] if EOS in ids else ids
        kept = [i for i in ids if i not in (PAD, BOS)]
        return self.model.decode(kept).replace("\u2047", "?").strip()

    def pieces(self, ids: Sequence[int] | Tensor) -> list[str]:
        """Name the pieces of ids, special tokens included."""
        ids = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        return [self.model.id_to_piece(i) for i in ids]
