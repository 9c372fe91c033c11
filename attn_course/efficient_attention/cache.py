"""The keys and values of what was read before, kept."""

import torch
from jaxtyping import Float
from torch import Tensor

from attn_course.common.arguments import check_at_least


class KeyValueCache:
    """The keys and values of all earlier positions of one layer.

    Room for ``max_length`` positions is taken at the start, so that nothing
    moves later. With ``rolling=True`` there is no end: position p stands in
    slot ``p % max_length``, and overwrites what stood there.

    Source: Shazeer (2019), "Fast Transformer decoding", section 2.4; the
    rolling buffer is that of Jiang et al. (2023), "Mistral 7B", section 2.
    """

    def __init__(
        self,
        batch: int,
        kv_heads: int,
        max_length: int,
        head_dim: int,
        *,
        rolling: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """Take the room.

        Raises:
            ValueError: if a size is below 1.
        """
        check_at_least(
            1,
            batch=batch,
            kv_heads=kv_heads,
            max_length=max_length,
            head_dim=head_dim,
        )
        shape = (batch, kv_heads, max_length, head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.max_length, self.rolling = max_length, rolling
        self.seen = 0  # positions so far, those overwritten too

    @property
    def nbytes(self) -> int:
        """Return the bytes of keys and values together."""
        return self.keys.nbytes + self.values.nbytes

    def append(
        self,
        key: Float[Tensor, "batch kv_heads new head_dim"],
        value: Float[Tensor, "batch kv_heads new head_dim"],
    ) -> tuple[Tensor, Tensor]:
        """Keep new positions, and return all that are kept, as views.

        Raises:
            ValueError: if there is no room, or a shape does not fit.
        """
        new = key.shape[2]
        for name, x, kept in (
            ("key", key, self.keys),
            ("value", value, self.values),
        ):
            expected = (*kept.shape[:2], new, kept.shape[3])
            if x.shape != expected:
                raise ValueError(
                    f"{name}: expected shape {expected}, got {tuple(x.shape)}"
                )
        if self.rolling:
            key = key[:, :, -self.max_length :]
            value = value[:, :, -self.max_length :]
        elif self.seen + new > self.max_length:
            raise ValueError(
                f"key: expected at most {self.max_length - self.seen} new "
                f"positions, the cache has room for {self.max_length} in "
                f"all, got {new}"
            )
        self.seen += new
        first = self.seen - key.shape[2]
        slots = torch.arange(first, self.seen, device=self.keys.device)
        slots = slots % self.max_length
        self.keys[:, :, slots] = key.detach()
        self.values[:, :, slots] = value.detach()
        filled = min(self.seen, self.max_length)
        return self.keys[:, :, :filled], self.values[:, :, :filled]


def cache_bytes(
    layers: int,
    kv_heads: int,
    head_dim: int,
    positions: int,
    bytes_each: int = 2,
) -> int:
    """Return the bytes of the keys and values of one sequence.

    ``2 * layers * kv_heads * head_dim * positions * bytes_each``: two, for
    keys and values.

    Raises:
        ValueError: if a number is negative.
    """
    check_at_least(
        0,
        layers=layers,
        kv_heads=kv_heads,
        head_dim=head_dim,
        positions=positions,
        bytes_each=bytes_each,
    )
    return 2 * layers * kv_heads * head_dim * positions * bytes_each
