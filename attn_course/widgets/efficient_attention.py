"""Lesson 13's views: tiles that fill a square, and a calculator of costs."""

import ipywidgets
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attn_course import plotting
from attn_course.efficient_attention import (
    ACCELERATORS,
    BYTES,
    DECODE,
    MODELS,
    PHASES,
    Estimate,
    SlidingWindow,
    create_mask,
    estimate,
    finalize,
    update,
)

LENGTH = 16
MASK_MODS = {
    "everything": SlidingWindow(LENGTH, LENGTH),
    "causal": SlidingWindow(LENGTH),
    "window of 4": SlidingWindow(3),
    "window of 4, first 2 global": SlidingWindow(3, global_tokens=2),
}


# Tiles ---------------------------------------------------------------------


def tile_order(mask_mod: SlidingWindow, block_size: int) -> tuple[list, list]:
    """List the tiles that are visited, in order, and those left out.

    Each is ``(rows, columns)``, two slices.
    """
    starts = range(0, LENGTH, block_size)
    slices = [slice(x, min(x + block_size, LENGTH)) for x in starts]
    mask = create_mask(mask_mod, LENGTH)
    visited, left_out = [], []
    for rows in slices:
        for columns in slices:
            any_allowed = bool(mask[rows, columns].any())
            kept = visited if any_allowed else left_out
            kept.append((rows, columns))
    return visited, left_out


def tile_state(
    mask_mod: SlidingWindow, block_size: int, step: int
) -> dict[str, object]:
    """Compute what is held after ``step`` tiles, for a fixed small example.

    Returns:
        The last tile's number, the maximum m, the sum l and the output so far
        of its last query, and that query's output in the end.
    """
    scores, value = _example()
    mask = create_mask(mask_mod, LENGTH)
    scores = scores.masked_fill(~mask, -torch.inf)
    visited, left_out = tile_order(mask_mod, block_size)
    step = max(1, min(step, len(visited)))
    rows, _ = visited[step - 1]
    state = None
    for other, columns in visited[:step]:
        if other == rows:
            state = update(state, scores[rows, columns], value[columns])
    expected = torch.softmax(scores[rows], dim=-1) @ value
    return {
        "visited": visited,
        "left out": left_out,
        "step": step,
        "m": state.m[-1].item(),
        "l": state.l[-1].item(),
        "output": finalize(state)[-1].item(),
        "expected": expected[-1].item(),
    }


def draw_tiles(mask_mod: str, block_size: int, step: int) -> Figure:
    """Draw the square of scores, the tiles done, and the running numbers."""
    state = tile_state(MASK_MODS[mask_mod], block_size, step)
    figure, (ax, side) = plotting.figure(7.2, 3.5, cols=2)
    mask = create_mask(MASK_MODS[mask_mod], LENGTH)
    ax.imshow(mask.numpy(), cmap="Greys", vmin=0, vmax=6, alpha=0.8)
    for number, (rows, columns) in enumerate(state["visited"], 1):
        now = number == state["step"]
        done = number < state["step"]
        ax.add_patch(
            _box(
                rows,
                columns,
                facecolor="#D55E00" if now else "#0072B2" if done else "none",
                alpha=0.75 if now else 0.35 if done else 0.8,
                edgecolor="black",
                hatch="//" if now else None,
                lw=0.8,
            )
        )
    for rows, columns in state["left out"]:
        x = (columns.start + columns.stop - 1) / 2
        y = (rows.start + rows.stop - 1) / 2
        ax.text(x, y, "\u00d7", ha="center", va="center", color="#777777")
    ax.set(
        xlabel="key",
        ylabel="query",
        xticks=[0, LENGTH - 1],
        yticks=[0, LENGTH - 1],
        title=f"tile {state['step']} of {len(state['visited'])}",
    )
    last = state["visited"][state["step"] - 1][0].stop - 1
    lines = [
        f"hatched: the tile in memory, {block_size} x {block_size}",
        "blue: done and forgotten",
        f"\u00d7: left out, {len(state['left out'])} tiles",
        "",
        f"kept of query {last}:",
        f"  {state['m']:7.4f}  m, highest score",
        f"  {state['l']:7.4f}  l, sum of exp(s - m)",
        f"  {state['output']:7.4f}  output so far",
        f"  {state['expected']:7.4f}  output in the end",
        "",
        f"scores held: {min(block_size, LENGTH) ** 2} of {LENGTH**2}",
    ]
    side.text(
        0, 0.95, "\n".join(lines), va="top", fontsize=10, linespacing=1.35
    )
    side.set_axis_off()
    return figure


def say_tiles(mask_mod: str, block_size: int, step: int) -> str:
    """Say what :func:`draw_tiles` shows."""
    state = tile_state(MASK_MODS[mask_mod], block_size, step)
    same = abs(state["output"] - state["expected"]) < 1e-9
    return (
        f"Allowed: {mask_mod}, tiles of {block_size} by {block_size}: tile "
        f"{state['step']} of "
        f"{len(state['visited'])}, {len(state['left out'])} left out. For "
        "the tile's last query the highest score so far is "
        f"{state['m']:.4f}, the total {state['l']:.4f}, the output "
        f"{state['output']:.4f}, {'as' if same else 'not yet as'} in the end."
    )


def tile_controls() -> dict[str, ipywidgets.Widget]:
    """Make the controls of the tiles: there are as many steps as tiles."""
    controls = {
        "mask_mod": ipywidgets.Dropdown(
            options=list(MASK_MODS), value="causal", description="allowed"
        ),
        "block_size": ipywidgets.SelectionSlider(
            options=[1, 2, 4, 8, 16], value=4, description="tile"
        ),
        "step": ipywidgets.IntSlider(5, 1, 256, description="step"),
    }

    def count(_: object = None) -> None:
        mask_mod = controls["mask_mod"].value
        block_size = controls["block_size"].value
        visited = tile_state(MASK_MODS[mask_mod], block_size, 1)["visited"]
        controls["step"].max = len(visited)

    count()
    for name in ("mask_mod", "block_size"):
        controls[name].observe(count, names="value")
    return controls


def _example() -> tuple[torch.Tensor, torch.Tensor]:
    """Make scores that are the same everywhere, without random numbers."""
    i = torch.arange(LENGTH, dtype=torch.float64)
    scores = 2 * torch.sin(1.7 * i[:, None] + 0.9 * i * i)
    return scores, torch.cos(1.3 * i)[:, None]


def _box(rows: slice, columns: slice, **style) -> Rectangle:
    return Rectangle(
        (columns.start - 0.5, rows.start - 0.5),
        columns.stop - columns.start,
        rows.stop - rows.start,
        **style,
    )


# The calculator ------------------------------------------------------------


def bytes_in_words(number: float) -> str:
    """Write bytes so that one can read them: 16.1 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.3g} {unit}"
        number /= 1000
    raise AssertionError  # not reached


def ask(
    model: str,
    device: str,
    context: int,
    batch: int,
    precision: str,
    phase: str,
    tiled: bool,
) -> Estimate:
    """Call :func:`estimate` with what the controls say."""
    return estimate(
        MODELS[model],
        ACCELERATORS[device],
        context,
        batch,
        precision=precision,
        phase=phase,
        tiled=tiled,
    )


def draw_costs(**chosen) -> Figure:
    """Draw the roofline with the chosen work on it, and what must fit."""
    cost = ask(**chosen)
    device = ACCELERATORS[chosen["device"]]
    figure, (roof, bars) = plotting.figure(8.2, 3.5, cols=2)
    # Positions of its own and few ticks: drawn in a third of the time.
    figure.set_layout_engine("none")
    roof.set_position([0.09, 0.15, 0.4, 0.75])
    bars.set_position([0.56, 0.15, 0.42, 0.75])
    top = device.speed[chosen["precision"]]
    left = min(0.3, cost.intensity / 2)
    right = max(1e5, cost.intensity * 2)
    ridge = top / device.bandwidth
    roof.plot(
        [left, ridge, right],
        [left * device.bandwidth, top, top],
        color="black",
    )
    reached = min(top, cost.intensity * device.bandwidth)
    roof.plot(cost.intensity, reached, "o", color="#D55E00", markersize=9)
    roof.axvline(ridge, color="#bbbbbb", linestyle=":")
    roof.set(
        xscale="log",
        yscale="log",
        xlabel="FLOPs per byte moved",
        ylabel="FLOP/s, at best",
        title=f"Bottleneck: {cost.bottleneck}",
    )
    roof.minorticks_off()
    for axis in (roof.xaxis, roof.yaxis):
        axis.get_major_locator().set_params(numticks=5)
    roof.text(ridge, left * device.bandwidth, f" {ridge:.0f}", fontsize=8)
    parts = {
        "weights": cost.weights,
        "cache": cost.cache,
        "scores": cost.scores,
    }
    start = 0.0
    for (name, size), color, hatch in zip(
        parts.items(), plotting.COLORS, (None, "//", "..")
    ):
        bars.barh(
            [0],
            [size / 1e9],
            left=start,
            color=color,
            hatch=hatch,
            label=f"{name} {bytes_in_words(size)}",
            edgecolor="white",
        )
        start += size / 1e9
    bars.axvline(
        device.memory / 1e9,
        color="black",
        linestyle="--",
        label=f"room {bytes_in_words(device.memory)}",
    )
    bars.text(
        0.02,
        0.5,
        f"{cost.flops:.3g} FLOPs, {bytes_in_words(cost.moved)} moved:\n"
        f"{cost.intensity:.3g} FLOPs per byte, ridge {ridge:.0f}",
        transform=bars.transAxes,
        fontsize=9,
    )
    bars.set(
        ylim=(-0.6, 2.4),
        yticks=[],
        xlabel="GB",
        title=f"{1000 * cost.seconds:.4g} ms at the least",
    )
    bars.legend(fontsize=8, loc="upper left", ncols=2)
    return figure


def say_costs(**chosen) -> str:
    """Say what :func:`draw_costs` shows."""
    cost = ask(**chosen)
    device = ACCELERATORS[chosen["device"]]
    ridge = device.speed[chosen["precision"]] / device.bandwidth
    verdict = {
        "capacity": "it does not fit into the memory",
        "bandwidth": "moving bytes takes longer than computing: memory-bound",
        "compute": "computing takes longer than moving bytes: compute-bound",
    }[cost.bottleneck]
    return (
        f"{chosen['model']} on {chosen['device']}, {chosen['phase']}, "
        f"context {chosen['context']}, batch {chosen['batch']}, "
        f"{chosen['precision']}, {'tiled' if chosen['tiled'] else 'untiled'}: "
        f"{cost.flops:.3g} FLOPs, {bytes_in_words(cost.moved)} moved, "
        f"{cost.intensity:.3g} FLOPs per byte (ridge {ridge:.0f}). Weights "
        f"{bytes_in_words(cost.weights)}, cache "
        f"{bytes_in_words(cost.cache)}, scores "
        f"{bytes_in_words(cost.scores)}; room "
        f"{bytes_in_words(cost.capacity)}. Bottleneck: {cost.bottleneck}, "
        f"{verdict}."
    )


def cost_controls() -> dict[str, ipywidgets.Widget]:
    """Make the controls of the calculator."""
    powers = [2**power for power in range(21)]
    wide = {"layout": {"width": "300px"}}
    return {
        "model": ipywidgets.Dropdown(
            options=list(MODELS), value="Llama 3 8B", description="model"
        ),
        "device": ipywidgets.Dropdown(
            options=list(ACCELERATORS),
            value="NVIDIA A100 80GB SXM",
            description="device",
        ),
        "context": ipywidgets.SelectionSlider(
            options=powers, value=8192, description="context", **wide
        ),
        "batch": ipywidgets.SelectionSlider(
            options=powers[:11], value=1, description="batch", **wide
        ),
        "precision": ipywidgets.Dropdown(
            options=list(BYTES), value="16 bits", description="precision"
        ),
        "phase": ipywidgets.Dropdown(
            options=list(PHASES), value=DECODE, description="phase"
        ),
        "tiled": ipywidgets.Checkbox(
            value=True, description="tiled attention"
        ),
    }


def growth(series, **options) -> Figure:
    """Draw curves over lengths: a logarithmic x, with the lengths as ticks."""
    figure = plotting.curves(series, logx=True, **options)
    ax = options.get("ax") or figure.axes[0]
    ticks = list(next(iter(series.values()))[0])
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    return figure


def table(
    head: list[str], rows: list[list[str]], *, title: str, width: float = 7.2
) -> Figure:
    """Draw a table of words and numbers as a figure."""
    figure, ax = plotting.figure(width, 0.55 + 0.3 * (len(rows) + 1))
    ax.set_axis_off()
    ax.set_title(title)
    made = ax.table(
        rows,
        colLabels=head,
        bbox=(0, 0, 1, 1),  # fills the axes
        cellLoc="right",
        colLoc="right",
    )
    made.auto_set_font_size(False)
    made.set_fontsize(9)
    for (row, column), cell in made.get_celld().items():
        cell.set_edgecolor("#cccccc")
        if row == 0:
            cell.set_text_props(weight="bold")
        if column == 0:
            cell.set_text_props(ha="left")
    return figure
