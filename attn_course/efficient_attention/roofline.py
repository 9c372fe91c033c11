"""What a large model would cost: the roofline of a device."""

from dataclasses import dataclass

from attn_course.common.arguments import check_at_least, check_choice
from attn_course.efficient_attention.cache import cache_bytes

BYTES = {"32 bits": 4, "16 bits": 2, "8 bits": 1}
# Read a prompt, all tokens at once; write one token more.
PHASES = PREFILL, DECODE = "prefill", "decode"


@dataclass(frozen=True)
class ModelSize:
    """The sizes of a decoder, and where they are published."""

    name: str
    layers: int
    dim: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_dim: int  # width inside the MLP
    vocabulary: int
    source: str
    gated: bool = True  # an MLP of three matrices, not two
    tied: bool = False  # input and output share one table
    positions: int = 0  # learned ones
    window: int | None = None

    @property
    def per_layer(self) -> int:
        """Return the parameters in the matrices of one layer."""
        wide, narrow = (
            self.heads * self.head_dim,
            self.kv_heads * self.head_dim,
        )
        attention = 2 * self.dim * wide + 2 * self.dim * narrow
        return attention + (3 if self.gated else 2) * self.dim * self.mlp_dim

    @property
    def parameters(self) -> int:
        """Return all parameters, without biases and norms (far below 1 %)."""
        tables = (1 if self.tied else 2) * self.vocabulary + self.positions
        return self.layers * self.per_layer + tables * self.dim

    def cache_bytes(self, context: int, bytes_each: int = 2) -> int:
        """Return the bytes of the cache of one sequence."""
        seen = min(context, self.window or context)
        return cache_bytes(
            self.layers, self.kv_heads, self.head_dim, seen, bytes_each
        )


MODELS = {
    model.name: model
    for model in (
        ModelSize(
            "GPT-2 124M",
            12,
            768,
            12,
            12,
            64,
            3072,
            50257,
            "Radford et al. (2019), and the released configuration",
            gated=False,
            tied=True,
            positions=1024,
        ),
        ModelSize(
            "Falcon 7B",
            32,
            4544,
            71,
            1,
            64,
            4 * 4544,
            65024,
            "Almazrouei et al. (2023), and the released configuration; tied "
            "as transformers builds it (its file holds the table twice)",
            gated=False,
            tied=True,
        ),
        ModelSize(
            "Llama 2 7B",
            32,
            4096,
            32,
            32,
            128,
            11008,
            32000,
            "Touvron et al. (2023), and the released configuration",
        ),
        ModelSize(
            "Mistral 7B",
            32,
            4096,
            32,
            8,
            128,
            14336,
            32000,
            "Jiang et al. (2023), table 1",
            window=4096,
        ),
        ModelSize(
            "Llama 3 8B",
            32,
            4096,
            32,
            8,
            128,
            14336,
            128256,
            "Grattafiori et al. (2024), table 3, and the released "
            "configuration",
        ),
        ModelSize(
            "Llama 2 70B",
            80,
            8192,
            64,
            8,
            128,
            28672,
            32000,
            "Touvron et al. (2023), and the released configuration",
        ),
        ModelSize(
            "GPT-3 175B",
            96,
            12288,
            96,
            96,
            128,
            4 * 12288,
            50257,
            "Brown et al. (2020), table 2.1",
            gated=False,
            tied=True,
            positions=2048,
        ),
    )
}


@dataclass(frozen=True)
class Accelerator:
    """What a device can do at best, as its maker says, without sparsity.

    32 bits are float32 (not TF32), 16 are float16 or bfloat16 on tensor
    cores, 8 are integers.
    """

    name: str
    speed: dict[str, float]  # products, FLOP/s, by precision
    bandwidth: float  # of its memory, bytes/s
    memory: float  # bytes
    source: str


def _accelerator(name, speeds, bandwidth, memory, source):
    speed = {bits: x * 1e12 for bits, x in zip(BYTES, speeds)}
    return Accelerator(name, speed, bandwidth * 1e9, memory * 1e9, source)


ACCELERATORS = {
    device.name: device
    for device in (
        _accelerator(
            "NVIDIA T4",
            (8.1, 65, 130),
            320,
            16,
            "NVIDIA T4 datasheet, and its product brief for the bandwidth "
            "(the datasheet says 300)",
        ),
        _accelerator(
            "GeForce RTX 4090",
            (82.6, 165.2, 660.6),
            1008,
            24,
            "NVIDIA Ada GPU architecture whitepaper, appendix A; 16 bits "
            "summed in float32",
        ),
        _accelerator(
            "NVIDIA A100 80GB SXM",
            (19.5, 312, 624),
            2039,
            80,
            "NVIDIA A100 datasheet, 80GB SXM, without sparsity",
        ),
        _accelerator(
            "NVIDIA H100 80GB SXM",
            (67, 989, 1979),
            3350,
            80,
            "NVIDIA H100 datasheet, SXM; for 16 and 8 bits half of the "
            "numbers, which are with sparsity",
        ),
    )
}


@dataclass(frozen=True)
class Estimate:
    """What a step of a model costs on a device, at the least."""

    flops: float
    moved: float  # bytes between memory and processor
    weights: float  # bytes
    cache: float  # bytes, all sequences
    scores: float  # bytes of one layer's scores and weights, if untiled
    capacity: float  # bytes of the device
    compute_seconds: float
    memory_seconds: float

    @property
    def held(self) -> float:
        """Return the bytes that have to fit."""
        return self.weights + self.cache + self.scores

    @property
    def intensity(self) -> float:
        """Return the arithmetic intensity: FLOPs per byte moved."""
        return self.flops / self.moved

    @property
    def seconds(self) -> float:
        """Return the time, if computing and moving overlap perfectly."""
        return max(self.compute_seconds, self.memory_seconds)

    @property
    def bottleneck(self) -> str:
        """Name what stops it from being faster."""
        if self.held > self.capacity:
            return "capacity"
        slow = self.memory_seconds > self.compute_seconds
        return "bandwidth" if slow else "compute"


def estimate(
    model: ModelSize,
    device: Accelerator,
    context: int,
    batch: int = 1,
    *,
    precision: str = "16 bits",
    phase: str = DECODE,
    tiled: bool = True,
) -> Estimate:
    """Predict what a model costs for a context: the roofline model.

    A token costs 2 FLOPs per parameter in a matrix, and 4 per key, head and
    head dimension. Moved are the weights once (of an input table of its own
    only the tokens' rows), the cache, and, if attention is not tiled, scores
    and weights: each written and read. Activations are left out, so this is
    the best case. Time is the longer of computing and moving.

    Args:
        model: its sizes.
        device: what it runs on.
        context: tokens of each sequence, those of the prompt counted.
        batch: sequences at a time.
        precision: of weights and cache: "32 bits", "16 bits" or "8 bits".
        phase: "prefill" (read all of ``context`` at once) or "decode" (write
            one token of each sequence, with ``context`` tokens cached).
        tiled: attention in tiles, so that no score is written to memory.

    Raises:
        ValueError: if ``context`` or ``batch`` is below 1, or ``precision``
            or ``phase`` is unknown.

    Source: Williams, Waterman and Patterson (2009), "Roofline: an insightful
    visual performance model"; the count of FLOPs is that of Kaplan et al.
    (2020), "Scaling laws for neural language models", section 2.1.
    """
    check_at_least(1, context=context, batch=batch)
    check_choice("precision", precision, tuple(BYTES))
    check_choice("phase", phase, PHASES)
    size, window = BYTES[precision], min(context, model.window or context)
    prefill = phase == PREFILL
    # Pairs of query and key, in one layer and one sequence.
    pairs = window
    if prefill:
        pairs = window * (window + 1) // 2 + (context - window) * window
    rows = context if prefill else 1
    wide = model.heads * model.head_dim
    flops = batch * (
        2 * model.layers * model.per_layer * rows
        + 2 * model.dim * model.vocabulary  # only the last token's scores
        + 4 * model.layers * wide * pairs
    )
    weights = size * model.parameters
    unread = 0 if model.tied else max(0, model.vocabulary - batch * rows)
    cache = batch * model.cache_bytes(context, size)
    scores = 0
    if not tiled:  # scores and weights, of all pairs, masked ones too
        scores = 2 * size * batch * model.heads * rows * context
    moved = weights - size * unread * model.dim + cache
    moved += 2 * model.layers * scores
    return Estimate(
        flops=flops,
        moved=moved,
        weights=weights,
        cache=cache,
        scores=scores,
        capacity=device.memory,
        compute_seconds=flops / device.speed[precision],
        memory_seconds=moved / device.bandwidth,
    )
