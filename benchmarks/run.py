"""Measure the course's attention against torch's: ``python -m benchmarks.run``.

Every row is a ratio of two medians' worth of *pairs*: the course's function
and torch's run one right after the other, in changing order, and the median of
torch's time divided by ours is reported. A load on the machine slows both
alike, so the ratio holds where a time would not. Above 1 the course is faster.
Each row is measured on one thread, by its processor time, which other programs
do not lengthen; and again on all cores, as torch computes unless told otherwise,
by the time on the clock.

Memory is counted, not sampled: torch's profiler reports every allocation and
release of the CPU allocator, and the highest sum is the peak. It is the same
at every run.

Writes ``benchmarks/results.md`` and ``figures/benchmarks.svg``. ``--quick``
runs every row once with small sizes, to see that the runner works.
"""

import argparse
import copy
import gc
import math
import os
import platform
import statistics
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# The profiler's own messages; it looks when torch is imported.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")

import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from attn_course import plotting
from attn_course.common import measuring
from attn_course.common.seq2seq import sequence_loss
from attn_course.common.threads import cpu_threads
from attn_course.common.tokens import PAD
from attn_course.efficient_attention import (
    DecoderLM,
    generate,
    tiled_attention,
)
from attn_course.multi_head_attention import MultiHeadAttention
from attn_course.scaled_dot_product import (
    causal_mask,
    scaled_dot_product_attention,
)
from attn_course.transformer import Transformer

ROOT = Path(__file__).resolve().parent.parent
FUSED, WEIGHTS, CAUSAL = "fused", "weights", "causal"
LAYER, CAUSAL_LAYER, PLAIN_LAYER = "layer", "causal-layer", "plain-layer"
TRANSFORMER, TILED, DECODING = "transformer", "tiled", "decoding"
TITLES = {
    FUSED: "scaled_dot_product_attention(need_weights=False) "
    "against torch's own",
    CAUSAL: "scaled_dot_product_attention(is_causal=True, "
    "need_weights=False) against torch's own",
    WEIGHTS: "scaled_dot_product_attention with weights "
    "against the plain three lines",
    LAYER: "MultiHeadAttention against torch.nn.MultiheadAttention, training",
    CAUSAL_LAYER: "MultiHeadAttention(is_causal=True) against "
    "torch.nn.MultiheadAttention(is_causal=True)",
    PLAIN_LAYER: "MultiHeadAttention(is_causal=True) against a plain layer "
    "on torch's attention",
    TRANSFORMER: "Transformer against torch.nn.Transformer, training, "
    "with padding and causal masks",
    TILED: "tiled_attention, in Python, against torch's fused kernel",
    DECODING: "decoding with a cache of keys and values "
    "against computing everything anew for each token",
}
# How fast the course has to be, as a multiple of the other's speed. The same
# work reaches 1 but for the time of the checks, hence 0.99 and 0.98; at the
# lessons' own sizes, checks are a larger part of little work.
BARS = {FUSED: 0.99, WEIGHTS: 0.98, CAUSAL: 0.99}
BARS |= {LAYER: 1.1, CAUSAL_LAYER: 1.1, PLAIN_LAYER: 0.98, TRANSFORMER: 1.0}
# Tiles in Python are for learning: half of a fused kernel is the bar.
BARS |= {TILED: 0.5, DECODING: 1.0}
SHORT_BARS = {8: 0.8, 32: 0.9, 64: 0.95}  # of attention alone, by length
# (batch, heads, length, head_dim): shorter batches for longer sequences. The
# first three are the lessons' own.
ATTENTION = [
    (1, 1, 8, 8),
    (8, 4, 32, 16),
    (16, 4, 64, 32),
    (32, 8, 128, 64),
    (8, 8, 256, 64),
    (4, 4, 512, 64),
    (2, 4, 1024, 64),
    (1, 4, 2048, 64),
    (1, 2, 4096, 64),
]
CAUSAL_LAYERS = [
    (8, 128, 256, 8),
    (8, 256, 512, 8),
    (4, 512, 256, 8),
    (2, 1024, 512, 8),
    (1, 2048, 256, 8),
    (1, 4096, 256, 8),
]
# (batch, length, dim, heads): the first four are trained in lessons 06 to 09.
LAYERS = [
    (64, 10, 32, 2),
    (32, 16, 64, 4),
    (128, 24, 64, 4),
    (64, 50, 64, 2),
    (32, 64, 64, 4),
    (32, 64, 256, 8),
    (16, 128, 128, 4),
    (8, 128, 256, 8),
    (8, 256, 512, 8),
    (8, 512, 256, 8),
    (8, 512, 64, 4),
]
# (batch, length, dim, heads, layers, vocabulary): lesson 06 trains the first,
# lesson 07 the second.
TRANSFORMERS = [
    (64, 10, 32, 2, 2, 30),
    (32, 16, 64, 4, 2, 1000),
    (16, 64, 256, 8, 3, 4000),
]
DROPOUTS = (0.0, 0.1)
# Tokens: one sequence, one head of 64 numbers.
TILED_LENGTHS = (1024, 4096, 16_384)
# Tokens written after a prompt of one, by lesson 13's decoder.
DECODING_LENGTHS = (64, 256, 1024)
PASSES = ("forward", "forward + backward")


@dataclass(frozen=True)
class Job:
    """Two functions that compute the same, and where they stand in the table."""

    group: str
    size: str
    part: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    bar: float


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    group: str
    size: str
    part: str
    ours_ms: float
    theirs_ms: float
    ratio: float  # torch's time / ours
    low: float  # the middle half of the ratios
    high: float
    pairs: int
    ours_mib: float
    theirs_mib: float
    bar: float
    threads: int = 1

    @property
    def memory_ratio(self) -> float:
        """Return our peak memory as a multiple of the other's."""
        return self.ours_mib / max(self.theirs_mib, 1e-9)

    @property
    def reached(self) -> bool:
        """Say whether the bar is reached."""
        return self.ratio >= self.bar


def plain(query, key, value):
    """Attend in three lines, as a tutorial writes it."""
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights


class PlainLayer(nn.Module):
    """Causal multi-head self-attention as one writes it for one model."""

    def __init__(self, ours: MultiHeadAttention) -> None:
        super().__init__()
        self.heads = ours.heads
        self.project_in = copy.deepcopy(ours.project_in)
        self.project_out = copy.deepcopy(ours.project_out)

    def forward(self, x):
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.project_in(x).chunk(3, dim=-1)
        )  # (batch, heads, length, head_dim) each
        parts = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.project_out(parts.transpose(1, 2).flatten(2)), None


def jobs(quick: bool = False) -> list[Job]:
    """List all that is measured; with ``quick``, sizes are a few percent."""
    listed = []
    for group in (FUSED, CAUSAL, WEIGHTS):
        for shape in ATTENTION:
            for part in PASSES:
                listed.append(_attention_job(group, shape, part, quick))
    for sizes in LAYERS:
        listed.append(_layer_job(LAYER, *sizes, PASSES[1], quick=quick))
    for group in (CAUSAL_LAYER, PLAIN_LAYER):
        for sizes in CAUSAL_LAYERS:
            for part in PASSES:
                listed.append(_layer_job(group, *sizes, part, quick=quick))
    for sizes in TRANSFORMERS:
        for dropout in DROPOUTS:
            listed.append(_transformer_job(*sizes, dropout, quick=quick))
    for length in TILED_LENGTHS:
        for part in PASSES:
            listed.append(_tiled_job(length, part, quick))
    for length in DECODING_LENGTHS:
        listed.append(_decoding_job(length, quick))
    return listed


def _attention_job(group: str, shape: tuple, part: str, quick: bool) -> Job:
    batch, heads, length, head_dim = shape
    size = f"length {length}, batch {batch}, heads {heads} of {head_dim}"
    bar = SHORT_BARS.get(length, BARS[group])
    if quick:
        shape = (1, 2, max(4, length // 32), 8)
    training = part != "forward"
    inputs = [torch.randn(shape, requires_grad=training) for _ in range(3)]
    options = {"is_causal": True} if group == CAUSAL else {}
    direction = torch.randn(shape)

    def ours():
        return scaled_dot_product_attention(
            *inputs, **options, need_weights=group == WEIGHTS
        )

    def theirs():
        if group == WEIGHTS:
            return plain(*inputs)
        return F.scaled_dot_product_attention(*inputs, **options), None

    torch.testing.assert_close(ours()[0], theirs()[0], rtol=1e-3, atol=1e-4)
    if training:
        ours, theirs = (
            _with_backward(f, direction, inputs) for f in (ours, theirs)
        )
    return Job(group, size, part, ours, theirs, bar)


def _tiled_job(length: int, part: str, quick: bool) -> Job:
    size = f"tokens {length}, batch 1, heads 1"
    shape = (1, 1, length // 128 if quick else length, 64)
    training = part != "forward"
    inputs = [torch.randn(shape, requires_grad=training) for _ in range(3)]
    direction = torch.randn(shape)

    def ours():
        return tiled_attention(*inputs), None

    def theirs():
        return F.scaled_dot_product_attention(*inputs), None

    if length < 16_384:  # the longest would be checked for many seconds
        torch.testing.assert_close(
            ours()[0], theirs()[0], rtol=1e-3, atol=1e-4
        )
    if training:
        ours, theirs = (
            _with_backward(f, direction, inputs) for f in (ours, theirs)
        )
    return Job(TILED, size, part, ours, theirs, BARS[TILED])


def _decoding_job(length: int, quick: bool) -> Job:
    size = (
        f"{length} tokens, batch 1, width 64, heads 4, key heads 2, layers 2"
    )
    steps = 4 if quick else length
    model = DecoderLM(256, 64, 4, 2, 2).eval()
    prompt = torch.zeros(1, 1, dtype=torch.long)
    if length < 1024:
        cached, anew = (
            generate(model, prompt, steps, mode=mode)
            for mode in ("cached", "recomputed")
        )
        torch.testing.assert_close(
            cached.logits, anew.logits, rtol=1e-3, atol=1e-4
        )
    return Job(
        DECODING,
        size,
        "forward",
        lambda: generate(model, prompt, steps),
        lambda: generate(model, prompt, steps, mode="recomputed"),
        BARS[DECODING],
    )


def _layer_job(
    group: str, batch, length, dim, heads, part: str, *, quick: bool
) -> Job:
    size = f"batch {batch}, length {length}, dim {dim}, heads {heads}"
    if quick:
        batch, length, dim = 2, max(2, length // 32), max(16, dim // 8)
    causal, training = group != LAYER, part != "forward"
    layer = nn.MultiheadAttention(dim, heads, batch_first=True)
    mine = MultiHeadAttention.from_torch(layer)
    other = PlainLayer(mine) if group == PLAIN_LAYER else layer
    x = torch.randn(batch, length, dim, requires_grad=training)
    direction = torch.randn(batch, length, dim)
    # torch's layer wants the mask too, and then does not read it.
    options = {"need_weights": False}
    if causal:
        options |= {"attn_mask": ~causal_mask(length), "is_causal": True}

    def ours():
        return mine(x, is_causal=causal)

    def theirs():
        if other is layer:
            return layer(x, x, x, **options)
        return other(x)

    torch.testing.assert_close(ours()[0], theirs()[0], rtol=1e-3, atol=1e-4)
    if training:
        ours = _with_backward(ours, direction, [x, *mine.parameters()])
        theirs = _with_backward(theirs, direction, [x, *other.parameters()])
    else:
        ours, theirs = torch.no_grad()(ours), torch.no_grad()(theirs)
    return Job(group, size, part, ours, theirs, BARS[group])


class TorchTransformer(nn.Module):
    """torch.nn.Transformer with our embeddings, output layer and weights."""

    def __init__(self, ours: Transformer, dropout: float) -> None:
        super().__init__()
        with warnings.catch_warnings():  # its fast path is not for training
            warnings.simplefilter("ignore")
            self.body = nn.Transformer(
                ours.dim,
                ours.encoder.layers[0].attention.heads,
                num_encoder_layers=1,
                num_decoder_layers=1,
                batch_first=True,
                norm_first=True,
            )
        for mine, torchs in (
            (ours.encoder, self.body.encoder),
            (ours.decoder, self.body.decoder),
        ):
            torchs.layers = nn.ModuleList(x.to_torch() for x in mine.layers)
            torchs.num_layers = len(mine.layers)
            torchs.norm.load_state_dict(mine.norm.state_dict())
        copies = copy.deepcopy(ours)
        self.source_embedding = copies.source_embedding
        self.target_embedding = copies.target_embedding
        self.output = copies.output
        self.register_buffer("positions", ours.positions)
        self.dropout = nn.Dropout(dropout)

    def forward(self, source, target):
        blocked = source == PAD  # torch: True = blocked
        found = self.body(
            self._embed(self.source_embedding, source),
            self._embed(self.target_embedding, target),
            tgt_mask=~causal_mask(target.shape[1]),
            src_key_padding_mask=blocked,
            tgt_key_padding_mask=target == PAD,
            memory_key_padding_mask=blocked,
            tgt_is_causal=True,
        )
        return self.output(found)

    def _embed(self, table, tokens):
        x = table(tokens) * math.sqrt(table.embedding_dim)
        return self.dropout(x + self.positions[: tokens.shape[1]])


def _transformer_job(
    batch, length, dim, heads, layers, words, dropout, *, quick: bool
) -> Job:
    size = (
        f"batch {batch}, length {length}, dim {dim}, heads {heads}, "
        f"layers {layers}, dropout {dropout}"
    )
    if quick:
        batch, length, dim, layers, words = 2, 6, 16, 1, 12
    mine = Transformer(words, words, dim, heads, layers, dropout=dropout)
    other = TorchTransformer(mine, dropout)
    lengths = torch.linspace(length // 2, length, batch).long()[:, None]
    source, target, expected = (
        torch.randint(PAD + 1, words, (batch, length)).masked_fill(
            torch.arange(length) >= lengths, PAD
        )
        for _ in range(3)
    )

    def step(model):
        loss = sequence_loss(model(source, target), expected)
        return torch.autograd.grad(loss, list(model.parameters()))

    found, wanted = (
        sequence_loss(model.eval()(source, target), expected)
        for model in (mine, other)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    mine.train(), other.train()
    return Job(
        TRANSFORMER,
        size,
        "forward + backward",
        lambda: step(mine),
        lambda: step(other),
        BARS[TRANSFORMER],
    )


def _with_backward(forward, direction, leaves: Sequence[torch.Tensor]):
    def step() -> None:
        output, _ = forward()
        torch.autograd.grad(output, leaves, direction)

    return step


def measure(job: Job, seconds: float, least: int, threads: int = 1) -> Row:
    """Time pairs for about ``seconds``, but at least ``least`` pairs."""
    ours, theirs = [], []
    with cpu_threads(threads):
        calls = 1
        if least > 1:  # warm up, and make each timing long enough to be exact
            job.ours(), job.theirs()
            once = measuring.time_call(job.theirs, threads=threads)
            calls = max(1, round(0.005 / max(1e-6, once)))
        began = time.perf_counter()
        while len(ours) < least or time.perf_counter() - began < seconds:
            pair = [(job.ours, ours), (job.theirs, theirs)]
            for function, times in pair if len(ours) % 2 else pair[::-1]:
                times.append(
                    measuring.time_call(function, calls, threads=threads)
                )
        memory = [peak_memory(job.ours), peak_memory(job.theirs)]
    ratios = sorted(b / a for a, b in zip(ours, theirs))
    return Row(
        job.group,
        job.size,
        job.part,
        ours_ms=1e3 * statistics.median(ours),
        theirs_ms=1e3 * statistics.median(theirs),
        ratio=statistics.median(ratios),
        low=ratios[len(ratios) // 4],
        high=ratios[(3 * len(ratios)) // 4],
        pairs=len(ratios),
        ours_mib=memory[0] / 2**20,
        theirs_mib=memory[1] / 2**20,
        bar=job.bar,
        threads=threads,
    )


def peak_memory(function: Callable[[], object]) -> int:
    """Return the most bytes that a call holds on the CPU at one time.

    Memory from before the call (inputs, weights) is not counted. The profiler
    sees what a kernel takes within itself, and does not disturb the backward
    pass, as ``measuring.peak_bytes`` does: while that looks, torch adds no
    gradients in place, and a plain layer seems to need a tenth more.
    """
    gc.disable()  # what others left behind is not released within the call
    try:
        with torch.autograd.profiler.profile(profile_memory=True) as seen:
            result = function()
        del result
    finally:
        gc.enable()
    events = seen.kineto_results.events()
    steps = [event for event in events if event.name() == "[memory]"]
    steps.sort(key=lambda event: event.start_ns())
    held = peak = 0
    for step in steps:
        held += step.nbytes()
        peak = max(peak, held)
    return peak


def table(rows: Sequence[Row], settings: str) -> str:
    """Write the results as a page of Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Each ratio is the median over pairs of "
        "runs, torch's time divided by ours: **above 1 the course is "
        "faster**. Times are medians. Peak memory is what one call "
        "allocates, counted by torch's profiler, inputs and weights not "
        "included; its ratio is ours divided by the other's: **below 1 the "
        "course needs less**.",
        "",
        settings,
    ]
    for group, title in TITLES.items():
        mine = [row for row in rows if row.group == group]
        if not mine:
            continue
        lines += ["", f"## {title}"]
        for threads in sorted({row.threads for row in mine}):
            lines += _part([row for row in mine if row.threads == threads])
    return "\n".join(lines) + "\n"


def _part(rows: Sequence[Row]) -> list[str]:
    """Write one group's rows on one number of threads."""
    threads = rows[0].threads
    middle = statistics.geometric_mean(row.ratio for row in rows)
    lines = [
        "",
        f"### {_setting(threads)}",
        "",
        f"Geometric mean of the ratios: **{middle:.2f}**. Rows that reach the "
        f"bar: **{sum(row.reached for row in rows)} of {len(rows)}**.",
        "",
        "| size | pass | ours, ms | other, ms | ratio | middle half | "
        "pairs | bar | reached | ours, MiB | other, MiB | memory ratio |",
        "|---|---|---:|---:|---:|---|---:|---:|---|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row.size} | {row.part} | {_ms(row.ours_ms)} "
            f"| {_ms(row.theirs_ms)} | {row.ratio:.3f} "
            f"| {row.low:.2f} to {row.high:.2f} | {row.pairs} "
            f"| {row.bar:.2f} | {'yes' if row.reached else 'no'} "
            f"| {row.ours_mib:.1f} | {row.theirs_mib:.1f} "
            f"| {row.memory_ratio:.2f} |"
        )
    return lines


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.{2 if milliseconds >= 0.1 else 4}f}"


def _setting(threads: int) -> str:
    if threads == 1:
        return "1 thread, processor time"
    return f"{threads} threads, time on the clock"


def draw(rows: Sequence[Row]) -> plt.Figure:
    """Draw the ratios, a mark per row and setting, with each group's bar."""
    plotting.set_style()
    settings = sorted({row.threads for row in rows})
    shares = [
        len({(r.size, r.part) for r in rows if r.group == group})
        for group in TITLES
    ]
    fig, axes = plotting.figure(
        8.0, 1.4 + 0.25 * sum(shares), rows=len(TITLES)
    )
    axes[0].get_gridspec().set_height_ratios([n + 2 for n in shares])
    for ax, (group, title), color in zip(
        axes, TITLES.items(), plotting.COLORS
    ):
        mine = [row for row in rows if row.group == group]
        for place, threads in enumerate(settings):
            now = [row for row in mine if row.threads == threads]
            names = [f"{row.size}, {row.part}" for row in now]
            if len({row.part for row in now}) == 1:
                names = [row.size for row in now]
            shift = 0.3 * (place - (len(settings) - 1) / 2)
            places = [i + shift for i in range(len(now))]
            ax.hlines(
                places,
                [r.low for r in now],
                [r.high for r in now],
                color=color,
            )
            ax.plot(
                [r.ratio for r in now],
                places,
                "os"[place % 2],
                color=color,
                markerfacecolor="white" if place else color,
                label=_setting(threads),
            )
        ax.set_yticks(range(len(names)), names, fontsize=7)
        ax.vlines(
            [row.bar for row in now],
            [i - 0.45 for i in range(len(now))],
            [i + 0.45 for i in range(len(now))],
            color="black",
            linestyle="--",
            linewidth=1,
        )
        ax.axvline(1, color="#bbbbbb", linewidth=1, zorder=0)
        ax.invert_yaxis()
        title += " (dashed: the bar)"
        ax.set_title(textwrap.fill(title, 62), fontsize=8)
        ends = [0.8, 1.3, *(r.low for r in mine), *(r.high for r in mine)]
        ax.set_xlim(min(ends) - 0.05, max(ends) + 0.05)
    axes[0].legend(fontsize=7)
    axes[-1].set_xlabel("speed of the course / speed of torch")
    return fig


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; the exit code is 0 whatever the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run")
    parser.add_argument("--quick", action="store_true", help="small, once")
    parser.add_argument("--seconds", type=float, default=6.0, help="per row")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=sorted({1, torch.get_num_threads()}),
        help="settings to measure in; by default 1 and torch's own",
    )
    parser.add_argument(
        "--only", choices=list(TITLES), help="one group (writes nothing)"
    )
    parser.add_argument(
        "--folder", type=Path, default=ROOT, help="where results are written"
    )
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    rows = _run(options)
    settings = f"torch {torch.__version__}, float32, {_processor()}."
    if options.only:
        return 0
    page = options.folder / "benchmarks" / "results.md"
    figure = options.folder / "figures" / "benchmarks.svg"
    for path in (page, figure):
        path.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(table(rows, settings), encoding="utf-8")
    with plt.rc_context({"svg.hashsalt": "benchmarks"}):
        fig = draw(rows)
        fig.savefig(figure, metadata={"Date": None, "Creator": None})
        plt.close(fig)
    print(f"\nwritten: {page}, {figure}")
    return 0


def _run(options) -> list[Row]:
    rows, group = [], ""
    for job in jobs(options.quick):
        if options.only not in (None, job.group):
            continue
        if job.group != group:
            group = job.group
            print(f"\n{TITLES[group]}")
        seconds, least = (0.0, 1) if options.quick else (options.seconds, 7)
        if (
            "layer" in job.group or job.group == TRANSFORMER
        ):  # near their bars: longer
            seconds *= 2
        if job.group in (TILED, DECODING):  # the longest take seconds a call
            least = min(least, 3)
        for threads in options.threads:
            row = measure(job, seconds, least, threads)
            rows.append(row)
            print(
                f"  {row.size:42} {row.part:18} {threads} thread(s) "
                f"ratio {row.ratio:.3f} {'ok' if row.reached else 'LOW'} "
                f"({row.low:.2f} to {row.high:.2f}, {row.pairs} pairs)  "
                f"{row.ours_mib:7.1f} / {row.theirs_mib:.1f} MiB",
                flush=True,
            )
    return rows


def _processor() -> str:
    """Name the processor, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
