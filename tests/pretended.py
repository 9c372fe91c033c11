"""A device that is not there: ``python -m tests.pretended [MODE] [NN]``.

``start("cuda")`` or ``start("mps")`` registers it with torch, as torch lets a
device be written in Python. A tensor on it holds the numbers of a CPU tensor,
says that it lies elsewhere, and refuses what the real device refuses:

- both: tensors of two devices in one operation (numbers without dimensions
  and indices may come from the CPU), ``.numpy()``, a CPU generator;
- "mps": float64, and operators without a kernel. These are read from
  ``native_functions.yaml``, which torch ships: all that name a kernel for the
  CPU or CUDA, but neither one for MPS nor one made of other operators.

It cannot show which kernel a real device takes, its rounding or its speed, nor
kernels that its makers add outside that file.

Run as a program (``make test-device``), it takes each mode through every test
that takes a device, and every lesson that asks for one to its last cell:
shortened, training capped at 20 steps, and then its views are moved. A
lesson's ``assert`` may fail after so few; that is counted. Any other error
fails.
"""

import ast
import contextlib
import datetime
import functools
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.backend_registration import (
    _setup_privateuseone_for_python_backend,
)

MODES = ("cuda", "mps")
STEPS = 20  # of each training
ROOT = Path(__file__).resolve().parents[1]
FROM_CPU = {  # what brings numbers over, and what wants some on the CPU
    "aten::copy_",
    "aten::_to_copy",
    "aten::_pack_padded_sequence",
    "aten::_pack_padded_sequence_backward",
    "aten::_pad_packed_sequence",
}
# What torch makes of an empty tensor that then grows, as a Pretended cannot.
MADE_BY_RESIZING = (
    "arange",
    "arange.start",
    "arange.start_step",
    "eye",
    "eye.m",
    "randperm",
)
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_"}
_state = {"name": "", "missing": frozenset(), "library": None}


def start(mode: str) -> torch.device:
    """Register the device, once in a process, and return it."""
    name = f"pretended_{mode}"
    if _state["name"] != name:
        _setup_privateuseone_for_python_backend(name)
        torch.accelerator.synchronize = lambda device=None: None
        # `.half()` of a module must make new parameters of another type.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        _state["name"] = name
        if mode == "mps":
            _state["missing"] = without_mps()
        library = torch.library.Library("_", "IMPL")
        library.fallback(
            lambda op, *args, **kwargs: run(op, args, kwargs), "PrivateUse1"
        )
        aten = torch.library.Library("aten", "IMPL")
        aten.impl("_copy_from", copy_from, "PrivateUse1")
        for made in MADE_BY_RESIZING:
            aten.impl(made, functools.partial(make, made), "PrivateUse1")
        aten.impl("_thnn_fused_gru_cell", gru_cell, "AutogradPrivateUse1")
        _state["library"] = library, aten  # they act as long as they live
    return torch.device(name, 0)


@functools.cache
def without_mps() -> frozenset[str]:
    """Name the operators of the installed torch that MPS has no kernel for."""
    import torchgen
    from torchgen.gen import parse_native_yaml
    from torchgen.model import DispatchKey

    folder = Path(torchgen.__file__).parent / "packaged/ATen/native"
    parsed = parse_native_yaml(
        str(folder / "native_functions.yaml"), str(folder / "tags.yaml")
    )
    kernels = parsed.backend_indices[DispatchKey.MPS].index
    return frozenset(
        f"aten::{f.func.name}"
        for f in parsed.native_functions
        if not f.has_composite_kernel
        and f.func.name not in kernels
        and f.structured_delegate not in kernels
    )


class Pretended(Tensor):
    """A tensor on the pretended device; ``held`` has its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor):
        return Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(_state["name"], 0),
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"Pretended({self.held!r})"

    def __format__(self, how: str) -> str:
        return format(self.held, how)

    def tolist(self) -> list:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        return run(op, args, kwargs or {})


def run(op, args, kwargs):
    """Run an operator on the CPU, if the device would take its arguments."""
    if op is torch.ops.aten._fused_sdp_choice.default:
        return torch.nn.attention.SDPBackend.MATH.value
    inputs = tree_flatten((args, kwargs))[0]
    there = [x for x in inputs if isinstance(x, Pretended)]
    wanted = kwargs.get("device")
    if wanted is not None:
        kwargs = {**kwargs, "device": "cpu"}
        comes_back = torch.device(wanted).type == "cpu"
    else:
        comes_back = False
    refuse(op, args, inputs)
    of_held = {id(x.held): x for x in there}
    own = {id(x) for x in inputs if isinstance(x, Tensor)}
    args, kwargs = tree_map_only(Pretended, lambda x: x.held, (args, kwargs))
    results = op(*args, **kwargs)
    if there and torch.Tag.inplace_view in op.tags:  # its shape has changed
        with no_dispatch():
            op(there[0], *args[1:], **kwargs)
        return there[0]
    if op is torch.ops.aten._pack_padded_sequence.default:
        return Pretended(results[0]), results[1]  # sizes stay on the CPU

    def wrap(x: Tensor) -> Tensor:
        if id(x) in of_held:  # changed in place
            return of_held[id(x)]
        if comes_back or id(x) in own:
            return x
        if x.dtype == torch.float64 and _state["name"].endswith("mps"):
            raise TypeError("MPS has no float64")
        return Pretended(x)

    return tree_map_only(Tensor, wrap, results)


def refuse(op, args, inputs) -> None:
    """Raise what the device raises for arguments that it does not take."""
    name, overload = op._schema.name, op._schema.overload_name
    if (f"{name}.{overload}" if overload else name) in _state["missing"]:
        raise NotImplementedError(f"{name}: MPS has no kernel for it")
    if any(isinstance(x, torch.Generator) for x in inputs):
        raise RuntimeError(f"{name}: expected a generator of the device")
    if name == "aten::_pack_padded_sequence" and isinstance(
        args[1], Pretended
    ):
        raise RuntimeError("lengths: expected a CPU tensor")
    if name in FROM_CPU:
        return
    if name in INDEXING and isinstance(args[0], Pretended):
        inputs = [args[0], *args[2:]]  # the indices may lie on the CPU
    kinds = {
        isinstance(x, Pretended)
        for x in inputs
        if isinstance(x, Tensor) and (x.dim() or isinstance(x, Pretended))
    }
    if len(kinds) > 1:
        raise RuntimeError(
            f"{name}: Expected all tensors to be on the same device, found "
            f"{_state['name']} and cpu"
        )


def make(name, *args, device=None, **kwargs):
    """Make a tensor on the CPU, and pretend that it lies on the device."""
    packet, _, overload = name.partition(".")
    op = getattr(getattr(torch.ops.aten, packet), overload or "default")
    return Pretended(op(*args, device="cpu", **kwargs))


def copy_from(source, target, non_blocking=False):
    """Bring numbers over, where torch makes a tensor of a list."""
    parts = [
        x.held if isinstance(x, Pretended) else x for x in (source, target)
    ]
    parts[1].copy_(parts[0])
    return target


def gru_cell(from_input, from_state, state, input_bias=None, bias=None):
    """Take a step of a GRU, which only a GPU does in one operator."""
    if input_bias is not None:
        from_input, from_state = from_input + input_bias, from_state + bias
    r_x, z_x, n_x = from_input.chunk(3, dim=1)
    r_h, z_h, n_h = from_state.chunk(3, dim=1)
    r, z = (r_x + r_h).sigmoid(), (z_x + z_h).sigmoid()
    new = (n_x + r * n_h).tanh()
    return new + z * (state - new), from_input


class NoteAsserts(ast.NodeTransformer):
    """Let a failing ``assert`` be noted, and the cell go on."""

    def visit_Assert(self, node: ast.Assert) -> ast.Try:
        body = ast.parse("try:\n pass\nexcept AssertionError:\n note_assert()")
        attempt = body.body[0]
        attempt.body = [node]
        for part in ast.walk(attempt):
            ast.copy_location(part, node)
        return attempt


def run_lesson(mode: str, name: str) -> str:
    """Run a lesson to its last cell and move its views; return a summary."""
    import ipywidgets
    from IPython.core.interactiveshell import InteractiveShell

    from attn_course import session, training, widgets
    from tools.notebooks.reading import read_source

    device = start(mode)
    session.device = lambda: device
    usual = training.fit

    def fit(*args, steps, **options):
        if not options.get("stop_when"):  # what stops itself is short
            steps = min(steps, STEPS)
        return usual(*args, steps=steps, **options)

    training.fit = fit
    noted = []
    shell = InteractiveShell.instance(colors="nocolor")
    shell.user_ns["note_assert"] = lambda: noted.append(1)
    shell.ast_transformers.append(NoteAsserts())
    code = [c for c in read_source(name).cells if c.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            result = shell.run_cell(cell.source)
        if not result.success:
            raise SystemExit(f"{name}, cell {number}:\n{said.getvalue()}")
    moves = 0
    for view in list(ipywidgets.widgets.widget._instances.values()):
        if isinstance(view, widgets.Explorer):
            moves += move(view)
    return f"{len(code)} cells, {moves} moves, {len(noted)} asserts noted"


def move(view) -> int:
    """Give each control of a view other values; return how many."""
    moves = 0
    for control in view.controls.values():
        for value in other_values(control):
            control.value = value
            moves += 1
            if "device" in view.caption.value:
                raise RuntimeError(view.caption.value)
    return moves


def other_values(control) -> list:
    """Say what a control could be set to."""
    if hasattr(control, "options"):
        return [value for _, value in control._options_full][:3]
    if hasattr(control, "max"):
        return [control.max, control.min]
    if isinstance(control.value, bool):
        return [not control.value]
    if isinstance(control.value, str):
        return [control.value[: len(control.value) // 2], control.value]
    import soundfile

    now = datetime.datetime.now(datetime.UTC)
    wave = io.BytesIO()
    soundfile.write(wave, torch.rand(16_000).numpy() / 10, 8_000, format="WAV")
    about = {"name": "a.wav", "type": "audio/wav", "size": wave.tell()}
    return [({**about, "content": wave.getvalue(), "last_modified": now},)]


def main(mode: str, wanted: str) -> bool:
    """Run tests and lessons in processes of their own; say if one failed."""
    from tools.notebooks.reading import FOLDER, lessons

    environment = {**os.environ, "ATTN_PRETEND": mode, "ATTN_QUICK": "1"}
    python, failed = [sys.executable, "-m"], []
    if not wanted:
        tests = [*python, "pytest", "-q", "tests", "-k", "pretended"]
        if subprocess.run(tests, cwd=ROOT, env=environment).returncode:
            failed.append("tests")
    for name in lessons():
        text = (FOLDER / "source" / f"{name}.py").read_text("utf-8")
        asks = "session.device()" in text and not name.startswith("00")
        if not (asks and name.startswith(wanted)):
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(
                [*python, "tests.pretended", mode, name, "--here"],
                cwd=empty,
                env={**environment, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
            )
        seconds = time.monotonic() - began
        said = done.stdout.strip() or "failed"
        print(f"{mode:5} {name:28} {seconds:4.0f} s  {said}", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stderr[-3000:], flush=True)
    print(f"{mode}: failed: {', '.join(failed) or 'nothing'}")
    return bool(failed)


if __name__ == "__main__":
    if sys.argv[-1] == "--here":
        from tests import pretended  # not __main__: torch keeps its functions

        print(pretended.run_lesson(*sys.argv[1:3]))
    else:
        modes = [word for word in sys.argv[1:] if word in MODES] or MODES
        numbers = [word for word in sys.argv[1:] if word not in MODES] or [""]
        sys.exit(sum([main(mode, *numbers) for mode in modes]))
