"""A model small enough to understand, and the scores of its heads."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_course.common.arguments import check_choice
from attn_course.multi_head_attention import MultiHeadAttention
from attn_course.scaled_dot_product import causal_mask

# Of what the second layer makes from the stream.
PATHS = ("query", "key", "value")


def repeated_blocks(
    count: int,
    generator: torch.Generator,
    *,
    length: int = 32,
    low: int = 5,
    high: int = 12,
    vocab_size: int = 32,
) -> tuple[Int[Tensor, "count length"], Int[Tensor, " count"]]:
    """Draw sequences that repeat a random block over and over.

    The block has ``low`` to ``high`` different letters, a number that is
    drawn for each sequence: so no fixed distance leads to the last copy.

    Returns:
        The sequences, and the size of each one's block. The first copy cannot
        be guessed, everything after it can.

    Raises:
        ValueError: if the sizes do not fit each other.
    """
    if count < 1 or not 2 <= low <= high <= min(vocab_size, length):
        raise ValueError(
            "low, high: expected 2 <= low <= high <= vocab_size and length, "
            f"got {low}, {high}, {vocab_size} and {length} (count {count})"
        )
    sizes = torch.randint(low, high + 1, (count, 1), generator=generator)
    block = torch.rand(count, vocab_size, generator=generator).argsort(dim=1)
    positions = torch.arange(length).expand(count, length) % sizes
    return block.gather(1, positions), sizes[:, 0]


class AttentionOnly(nn.Module):
    """A language model of nothing but attention: no MLP anywhere.

    ``x = word + position``; each layer adds ``attention(norm(x))``, causal;
    then a norm and one linear layer score the next token.

    Source: Elhage et al. (2021), "A mathematical framework for transformer
    circuits", who study models of this kind with 0, 1 and 2 layers (they
    set norms aside, and add positions only where queries and keys are made).
    """

    def __init__(
        self,
        vocab_size: int = 32,
        max_length: int = 32,
        dim: int = 32,
        heads: Sequence[int] = (2, 2),
    ) -> None:
        """Create the parts; ``heads`` has one number for each layer."""
        super().__init__()
        self.word = nn.Embedding(vocab_size, dim)
        self.position = nn.Embedding(max_length, dim)
        self.attentions = nn.ModuleList(
            MultiHeadAttention(dim, n, bias=False) for n in heads
        )
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in heads)
        self.last_norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, vocab_size)
        for table in (self.word, self.position):
            nn.init.normal_(table.weight, std=0.3)

    def forward(
        self, tokens: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length vocab_size"]:
        """Score the token that follows each token."""
        return self.read(tokens, need_weights=False)[0]

    def read(
        self, tokens: Int[Tensor, "batch length"], *, need_weights: bool = True
    ) -> tuple[
        Float[Tensor, "batch length vocab_size"],
        list[Float[Tensor, "batch heads length length"] | None],
    ]:
        """Return the scores, and the weights of each layer.

        Raises:
            ValueError: if there are more tokens than positions.
        """
        length = tokens.shape[1]
        if length > self.position.num_embeddings:
            raise ValueError(
                f"tokens: expected at most {self.position.num_embeddings} in "
                f"a row, got {length}"
            )
        x = self.word(tokens) + self.position.weight[:length]
        all_weights = []
        for norm, attention in zip(self.norms, self.attentions):
            part, weights = attention(
                norm(x), is_causal=True, need_weights=need_weights
            )
            x = x + part
            all_weights.append(weights)
        return self.output(self.last_norm(x)), all_weights


def induction_targets(
    tokens: Int[Tensor, "batch length"],
) -> Bool[Tensor, "batch length length"]:
    """Mark where an induction head should look.

    Entry (i, j) is True if token j - 1 is the same as token i, and j is not
    after i: "the last time I saw this token, j came next".

    Source: Olsson et al. (2022), "In-context learning and induction heads",
    "Key concepts" (prefix matching).
    """
    same = tokens[:, :, None] == tokens[:, None, :-1]  # (batch, i, j - 1)
    after = nn.functional.pad(same, (1, 0))  # (batch, i, j)
    return after & causal_mask(tokens.shape[1], device=tokens.device)


def induction_scores(
    weights: Float[Tensor, "batch heads length length"],
    tokens: Int[Tensor, "batch length"],
) -> Float[Tensor, " heads"]:
    """Return the mean weight on what followed the same token before.

    Averaged over the positions whose token has been seen before. 1: a perfect
    induction head.

    Raises:
        ValueError: if no token comes twice.

    Source: Olsson et al. (2022), as above.
    """
    targets = induction_targets(tokens)
    seen = targets.any(dim=-1)  # (batch, length)
    if not seen.any():
        raise ValueError("tokens: expected one that comes twice, got none")
    hits = (weights * targets[:, None]).sum(dim=-1)  # (batch, heads, length)
    return (hits * seen[:, None]).sum(dim=(0, 2)) / seen.sum()


def previous_token_scores(
    weights: Float[Tensor, "batch heads length length"],
) -> Float[Tensor, " heads"]:
    """Return the mean weight of each head on the token before."""
    return weights.diagonal(-1, -2, -1).mean(dim=(0, 2))


def repeat_losses(
    model: AttentionOnly,
    tokens: Int[Tensor, "batch length"],
    sizes: Int[Tensor, " batch"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the loss where the next token cannot be known, and where it can.

    The next token can be known once a token has been seen before: from the
    second copy on.
    """
    losses = nn.functional.cross_entropy(
        model(tokens)[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none"
    )  # (batch, length - 1)
    position = torch.arange(tokens.shape[1] - 1, device=tokens.device)
    known = position >= sizes[:, None]
    return losses[~known].mean(), losses[known].mean()


@torch.no_grad()
def ablate_path(
    model: AttentionOnly,
    tokens: Int[Tensor, "batch length"],
    heads: Sequence[int],
    paths: Sequence[str] = PATHS,
) -> tuple[
    Float[Tensor, "batch length vocab_size"],
    Float[Tensor, "batch heads length length"],
]:
    """Hide heads of the first layer from parts of the second one only.

    The second layer makes its queries, keys and values from the stream; here
    those named in ``paths`` are made as if ``heads`` had written nothing.
    Everything else gets the whole stream, the output too. If the keys alone
    need these heads, the second layer composes with them through its keys:
    K-composition.

    Args:
        model: of two layers.
        tokens: what it reads.
        heads: of the first layer.
        paths: some of "query", "key" and "value".

    Returns:
        The scores of the next tokens, and the weights of the second layer.

    Raises:
        ValueError: if the model has not two layers, or a path is unknown.

    Source: Elhage et al. (2021), "A mathematical framework for transformer
    circuits", "Three kinds of composition"; changing one path only is path
    patching, as of Wang et al. (2023), "Interpretability in the wild",
    section 3.1.
    """
    if len(model.attentions) != 2:
        raise ValueError(
            f"model: expected two layers, got {len(model.attentions)}"
        )
    for path in paths:
        check_choice("paths", path, PATHS)
    first, second = model.attentions
    x = model.word(tokens) + model.position.weight[: tokens.shape[1]]
    written, _ = first(model.norms[0](x), is_causal=True)
    before = first.head_mask
    try:
        first.prune_heads(heads)
        less, _ = first(model.norms[0](x), is_causal=True)
    finally:
        first.head_mask = before
    inputs = [
        model.norms[1](x + (less if path in paths else written))
        for path in PATHS
    ]
    part, weights = second(*inputs, is_causal=True, need_weights=True)
    return model.output(model.last_norm(x + written + part)), weights
