"""What a call costs: seconds, bytes, FLOPs; and how large a model is."""

import random
import statistics
import sys
import time
import weakref
from collections.abc import Callable, Hashable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from attn_course.common.arguments import check_at_least, check_choice
from attn_course.common.threads import cpu_threads

STATISTICS = {"fastest": min, "median": statistics.median}


def count_parameters(model: nn.Module) -> int:
    """Count the numbers that training may change; a shared one counts once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def measure_seconds(
    functions: Mapping[Hashable, Callable[[], object]],
    repeats: int = 3,
    *,
    statistic: str = "fastest",
    threads: int | None = 1,
    device: torch.device | str = "cpu",
) -> dict[Hashable, float]:
    """Time several functions by turns; return the seconds of one call of each.

    By turns, so that a busy moment meets all alike, and each turn in another
    order, since who comes after a large one finds a cold cache. The first
    turn warms up, and is not counted. Noise only ever adds, so the fastest
    call is the best guess; while any fastest call still falls by 5 %, turns
    are added, three times ``repeats`` at most.

    Args:
        functions: what to call, under any names.
        repeats: how many calls of each are counted.
        statistic: "fastest", or "median", which adds no turns.
        threads: of the CPU. With 1, its processor time counts, which other
            programs do not lengthen; else, and on a GPU, the time on the wall.
        device: where the functions compute; its work is waited for.

    Raises:
        ValueError: if ``repeats`` is below 1 or ``statistic`` is unknown.
    """
    check_at_least(1, repeats=repeats)
    check_choice("statistic", statistic, tuple(STATISTICS))
    order, shuffle = list(functions), random.Random(0).shuffle
    times: dict[Hashable, list[float]] = {name: [] for name in order}
    with cpu_threads(threads):
        for turn in range(1 + 4 * repeats):
            shuffle(order)
            seconds = {
                name: time_call(
                    functions[name], threads=threads, device=device
                )
                for name in order
            }
            if turn == 0:
                continue
            settled = statistic == "median" or all(
                times[name] and seconds[name] > 0.95 * min(times[name])
                for name in order
            )
            for name in order:
                times[name].append(seconds[name])
            if turn >= repeats and settled:
                break
    return {name: STATISTICS[statistic](t) for name, t in times.items()}


def time_call(
    function: Callable[[], object],
    calls: int = 1,
    *,
    threads: int | None = 1,
    device: torch.device | str = "cpu",
) -> float:
    """Time some calls, on a GPU until their work is done; seconds of one.

    Args:
        function: what to call.
        calls: how many in a row; many where one is too short to time.
        threads: those on which it computes, which choose the clock as in
            :func:`measure_seconds`; ``threads.cpu_threads`` sets them.
        device: where the function computes.
    """
    clock = _clock(threads, device)
    wait_for(device)
    start = clock()
    for _ in range(calls):
        function()
    wait_for(device)
    return (clock() - start) / calls


def _clock(
    threads: int | None, device: torch.device | str
) -> Callable[[], float]:
    # Windows counts a thread's time in steps of 16 ms: too coarse.
    on_cpu = torch.device(device).type == "cpu"
    if threads == 1 and on_cpu and sys.platform != "win32":
        return time.thread_time
    return time.perf_counter


def wait_for(device: torch.device | str) -> None:
    """Wait until a device has done all it was given; a CPU always has."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)


def count_flops(function: Callable[[], object]) -> int:
    """Return the additions and multiplications of a call's matrix products.

    Counted by torch's ``FlopCounterMode``; ``(m, k) @ (k, n)`` is ``2 m k n``.
    It does not know the fused kernel of the CPU, which is therefore kept out.
    """
    plain = sdpa_kernel(SDPBackend.MATH)
    with plain, FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def peak_bytes(function: Callable[[], object]) -> int:
    """Return the most bytes of tensors that a call holds at one time.

    Counted, not sampled: the same at every run. Inputs that exist before are
    not counted, and neither is what a kernel takes and returns within itself.
    """
    with _AliveBytes() as alive:
        result = function()
    del result
    return alive.peak


class _AliveBytes(TorchDispatchMode):
    """Count the bytes of all tensors that are made and still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        old = {
            x.untyped_storage()._cdata
            for x in tree_leaves((args, kwargs))
            if isinstance(x, Tensor)
        }
        result = func(*args, **kwargs)
        for x in tree_leaves(result):
            if isinstance(x, Tensor):
                self._note(x.untyped_storage(), old)
        return result

    def _note(self, storage: torch.UntypedStorage, old: set[int]) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in old or key in self._alive:
            return  # a view, or changed in place: nothing new

        def gone(_: object) -> None:
            self._alive.pop(key, None)
            self.now -= size

        self._alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)
