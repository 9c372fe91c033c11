"""Checks of arguments: each error names what was expected and what came.

None but :func:`check_token_ids` looks at the numbers in a tensor, so all the
others may stand in a forward pass.
"""

import operator
from collections.abc import Sequence

import torch
from torch import Tensor


def whole_number(name: str, number: object, least: int = 0) -> int:
    """Give a whole number as Python's: it may be numpy's, as a seed or a size.

    Raises:
        ValueError: if it is none, or below ``least``; naming the argument.
    """
    try:
        whole = operator.index(number)
    except TypeError:
        whole = None
    if whole is None or isinstance(number, bool) or whole < least:
        raise ValueError(
            f"{name}: expected a whole number from {least} up, got {number!r}"
        )
    return whole


def check_at_least(least: float, **numbers: float) -> None:
    """Refuse a number below ``least``: ``check_at_least(1, heads=heads)``.

    Raises:
        ValueError: naming the argument.
    """
    for name, number in numbers.items():
        if _is_word(number) or not number >= least:
            raise ValueError(
                f"{name}: expected {least} or more, got {number!r}"
            )


def check_positive(**numbers: float) -> None:
    """Refuse a number that is not above 0.

    Raises:
        ValueError: naming the argument.
    """
    for name, number in numbers.items():
        if _is_word(number) or not number > 0:
            raise ValueError(
                f"{name}: expected a number above 0, got {number!r}"
            )


def check_even(**sizes: int) -> None:
    """Refuse a size that is not even, or below 2.

    Raises:
        ValueError: naming the argument.
    """
    for name, size in sizes.items():
        if _is_word(size) or size < 2 or size % 2:
            raise ValueError(
                f"{name}: expected an even number from 2 up, got {size!r}"
            )


def check_dropout(**probs: float) -> None:
    """Refuse a probability outside [0, 1): with 1, nothing would be left.

    Raises:
        ValueError: naming the argument.
    """
    for name, prob in probs.items():
        if _is_word(prob) or not 0 <= prob < 1:
            raise ValueError(
                f"{name}: expected 0 or more, below 1, got {prob!r}"
            )


def _is_word(number: object) -> bool:
    """Say whether it cannot be compared with a number."""
    return number is None or isinstance(number, (str, list, tuple, dict))


def check_choice(name: str, value: object, choices: Sequence) -> None:
    """Refuse what is not one of the choices.

    Raises:
        ValueError: naming the argument and the choices.
    """
    if value not in choices:
        raise ValueError(
            f"{name}: expected one of {tuple(choices)}, got {value!r}"
        )


def check_texts(name: str, texts: object) -> list[str]:
    """Give a list of texts; a single text is the usual slip.

    Raises:
        ValueError: if it is no list of texts, or empty.
    """
    if isinstance(texts, str):
        raise ValueError(
            f"{name}: expected a list of texts, got one text; write [text]"
        )
    try:
        texts = list(texts)
    except TypeError:
        raise ValueError(
            f"{name}: expected a list of texts, got {type(texts).__name__}"
        ) from None
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(
                f"{name}: expected texts, got {type(text).__name__} in it"
            )
    if not texts:
        raise ValueError(f"{name}: expected at least one text, got none")
    return texts


def check_shapes(query: Tensor, key: Tensor, value: Tensor) -> None:
    """Refuse a query, key and value that do not belong together.

    Expected: query ``(*batch, q, d)``, key ``(*batch, k, d)``, value
    ``(*batch, k, v)``, all of one floating-point dtype, on one device. Every
    call of attention begins here, so what fits is let through at once.

    Raises:
        ValueError: naming the argument.
    """
    try:
        *batch, _, size = query.shape
        *key_batch, length, key_size = key.shape
        *value_batch, rows, _ = value.shape
        fits = (
            batch == key_batch == value_batch
            and size == key_size
            and length == rows
            and query.dtype == key.dtype == value.dtype
            and query.dtype.is_floating_point
            and query.device == key.device == value.device
        )
    except (AttributeError, TypeError, ValueError):
        fits = False  # no tensor, or too few dimensions
    if not fits:
        raise ValueError(_misfit(query, key, value))


def _misfit(query: Tensor, key: Tensor, value: Tensor) -> str:
    """Say what does not fit, for :func:`check_shapes`."""
    for name, x in (("query", query), ("key", key), ("value", value)):
        if not isinstance(x, Tensor):
            return f"{name}: expected a torch tensor, got {type(x).__name__}"
        if x.dim() < 2:
            return (
                f"{name}: expected at least 2 dimensions (length, size), "
                f"got shape {tuple(x.shape)}"
            )
        if not x.is_floating_point():
            return f"{name}: expected floating point numbers, got {x.dtype}"
        if x.dtype != query.dtype:
            return (
                f"{name}: expected the query's dtype {query.dtype}, "
                f"got {x.dtype}"
            )
        if x.device != query.device:
            return (
                f"{name}: expected the query's device {query.device}, "
                f"got {x.device}"
            )
    *batch, _, size = query.shape
    expected = (*batch, key.shape[-2], size)
    if key.shape != expected:
        return (
            f"key: expected shape {expected} (the query's batch, any length, "
            f"the query's size), got {tuple(key.shape)}"
        )
    expected = (*batch, key.shape[-2], value.shape[-1])
    return (
        f"value: expected shape {expected} (the query's batch, the key's "
        f"length, any size), got {tuple(value.shape)}"
    )


def check_mask(mask: Tensor, query: Tensor, key: Tensor) -> None:
    """Refuse a mask that is not boolean or does not fit the scores.

    True = may attend. The scores of a query ``(*batch, q, d)`` and a key
    ``(*batch, k, e)`` are ``(*batch, q, k)``; the mask broadcasts to them.

    Raises:
        ValueError: if its dtype, device or shape does not fit.
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"mask: expected a boolean tensor (True = may attend), got {kind}"
        )
    if mask.device != query.device:
        raise ValueError(
            f"mask: expected the query's device {query.device}, "
            f"got {mask.device}"
        )
    check_broadcast("mask", mask, (*query.shape[:-1], key.shape[-2]))


def check_broadcast(name: str, x: Tensor, scores: Sequence[int]) -> None:
    """Refuse a tensor that does not broadcast to the shape of the scores.

    Raises:
        ValueError: naming the argument.
    """
    fits = x.dim() <= len(scores) and all(
        size in (1, wanted)
        for size, wanted in zip(reversed(x.shape), reversed(scores))
    )
    if not fits:
        raise ValueError(
            f"{name}: expected a shape that broadcasts to {tuple(scores)}, "
            f"the scores' shape, got {tuple(x.shape)}"
        )


def check_lengths(lengths: Tensor, max_length: int | None = None) -> int:
    """Refuse what are no lengths of sequences; return the padded length.

    It reads the lengths, as :func:`check_token_ids` reads ids.

    Raises:
        ValueError: if ``lengths`` is no tensor of whole numbers ``(batch,)``,
            or one is negative or above ``max_length`` (by default the
            longest).
    """
    if not isinstance(lengths, Tensor):
        raise ValueError(
            f"lengths: expected a tensor, got {type(lengths).__name__}"
        )
    whole = not lengths.is_floating_point() and lengths.dtype != torch.bool
    if lengths.dim() != 1 or not whole:
        raise ValueError(
            "lengths: expected one whole number per sequence, "
            f"got {lengths.dtype} of shape {tuple(lengths.shape)}"
        )
    longest = int(lengths.max()) if lengths.numel() else 0
    max_length = longest if max_length is None else max_length
    if longest > max_length or (lengths < 0).any():
        raise ValueError(
            f"lengths: expected numbers from 0 to {max_length}, "
            f"got {lengths.tolist()}"
        )
    return max_length


def check_last_dim(size: int, **inputs: Tensor) -> None:
    """Refuse inputs whose last dimension is not ``size``.

    Raises:
        ValueError: naming the argument.
    """
    for name, x in inputs.items():
        if not isinstance(x, Tensor):
            raise ValueError(
                f"{name}: expected a torch tensor, got {type(x).__name__}"
            )
        if x.shape[-1:] != (size,):
            raise ValueError(
                f"{name}: expected last dimension {size}, "
                f"got shape {tuple(x.shape)}"
            )


def check_tokens(
    name: str, tokens: Tensor, max_length: int | None = None
) -> None:
    """Refuse what is no batch of token ids; the ids are not read.

    Raises:
        ValueError: if it is no tensor of integers ``(batch, length)``, or a
            row is longer than ``max_length``.
    """
    if not isinstance(tokens, Tensor):
        raise ValueError(
            f"{name}: expected a tensor of token ids, "
            f"got {type(tokens).__name__}"
        )
    if tokens.dtype not in (torch.int32, torch.int64) or tokens.dim() != 2:
        raise ValueError(
            f"{name}: expected token ids of shape (batch, length), got "
            f"{tokens.dtype} of shape {tuple(tokens.shape)}"
        )
    if max_length is not None and tokens.shape[1] > max_length:
        raise ValueError(
            f"{name}: expected at most {max_length} tokens (max_length), "
            f"got {tokens.shape[1]}"
        )


def check_token_ids(
    name: str, tokens: Tensor, size: int, max_length: int | None = None
) -> None:
    """Refuse what is no batch of token ids from 0 to ``size - 1``.

    It reads the ids, which a GPU must be waited for: call it where data comes
    in. In a forward pass :func:`check_tokens` will do.

    Raises:
        ValueError: as :func:`check_tokens` does, or if an id is out of range.
    """
    check_tokens(name, tokens, max_length)
    if tokens.numel() and not 0 <= tokens.min() <= tokens.max() < size:
        raise ValueError(
            f"{name}: expected ids from 0 to {size - 1}, got "
            f"{int(tokens.min())} to {int(tokens.max())}"
        )
