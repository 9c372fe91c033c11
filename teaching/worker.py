"""Where a learner's code runs while it is graded: a process of its own.

It gets source text and numbers, and gives numbers back. No oracle, no right
answer and no other submission is in it, so there is nothing in it to overwrite
that would help: the comparison is made in the grader's process. Around it
stands the system's fence (``teaching.fence``), where there is one.
"""

import base64
import importlib
import io
import json
import os
import sys
import threading
import traceback
from unittest import mock

MOST_TEXT = 20_000  # characters of output that are kept of a cell
MOST_NUMBERS = 2_000_000  # in one message
MOST_MEMORY = 4 * 2**30  # bytes, beyond what torch takes when it is loaded
MOST_IN_A_FILE = 16 * 2**20  # bytes
NOBODY = 65534


# Values on the wire --------------------------------------------------------


class Unknown:
    """Stands for a value that cannot be sent: only its type is known."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}>"


class Broken(ValueError):
    """A message does not have the form that it must have."""


def pack(value, callables: dict | None = None, depth: int = 0):
    """Turn a value into what JSON can hold; functions get a number.

    Only the exact types count: an object that pretends to be a number is sent
    as ``Unknown``.
    """
    import numpy as np
    import torch

    kind = type(value)
    if depth > 20:
        return {"unknown": "deeply nested"}
    if value is None or kind in (bool, str):
        return value
    if value is Ellipsis:
        return {"dots": True}
    if kind is int:
        return value if abs(value) < 2**63 else {"int": hex(value)[:4096]}
    if kind is float:
        return {"float": value.hex()}
    if kind in (list, tuple) or kind is torch.Size or kind is set:
        name = {list: "list", set: "set"}.get(kind, "tuple")
        if len(value) > MOST_NUMBERS:
            return {"unknown": f"{name} of {len(value)} items"}
        return {name: [pack(item, callables, depth + 1) for item in value]}
    if kind is dict:
        return {
            "dict": [
                [
                    pack(key, callables, depth + 1),
                    pack(item, callables, depth + 1),
                ]
                for key, item in value.items()
            ]
        }
    if kind in (torch.Tensor, torch.nn.Parameter):
        return _pack_tensor(value)
    if isinstance(value, np.generic) or kind is np.ndarray:
        if value.dtype.kind not in "biuf":
            return {"unknown": f"numpy {value.dtype}"}
        packed = _pack_tensor(torch.as_tensor(np.array(value)))
        return {"numpy": packed, "scalar": isinstance(value, np.generic)}
    if callable(value) and callables is not None:
        number = len(callables)
        callables[number] = value
        return {
            "call": number,
            "name": str(getattr(value, "__name__", "it"))[:80],
        }
    if callable(value):
        return {"unknown": "function"}
    return {"unknown": kind.__name__[:80]}


def _pack_tensor(tensor) -> dict:
    import torch

    plain = tensor.detach()
    if plain.layout != torch.strided or plain.is_quantized or plain.is_meta:
        return {"unknown": f"{plain.layout} tensor"}
    if plain.numel() > MOST_NUMBERS:
        return {"unknown": f"tensor of {plain.numel()} numbers"}
    plain = plain.cpu().resolve_conj().resolve_neg().contiguous()
    raw = plain.reshape(-1).view(torch.uint8) if plain.numel() else plain
    return {
        "tensor": base64.b64encode(bytes(raw.numpy().tobytes())).decode()
        if plain.numel()
        else "",
        "dtype": str(plain.dtype).removeprefix("torch."),
        "shape": list(plain.shape),
        "grad": bool(tensor.requires_grad),
    }


def _gradients(result, args) -> list:
    """Pack the gradient at each argument of a weighted sum of a result."""
    import torch

    asked = [a for a in args if getattr(a, "requires_grad", False)]
    if not (asked and getattr(result, "requires_grad", False)):
        return []
    total = (result * weights_like(result)).sum()
    return [
        pack(g) for g in torch.autograd.grad(total, asked, allow_unused=True)
    ]


def weights_like(result):
    """Return one weight for each number, 1 to 2: no symmetry hides an error."""
    import torch

    return torch.linspace(1, 2, result.numel()).view(result.shape)


def unpack(packed, call=None):
    """Turn a packed value back; ``call(number, name)`` makes a function.

    Raises:
        Broken: if it has no known form.
    """
    if packed is None or type(packed) in (bool, int, str):
        return packed
    if type(packed) is not dict or not packed:
        raise Broken("a value of no known form")
    form = next(iter(packed))
    inner = packed[form]
    try:
        if form == "dots":
            return ...
        if form == "int":
            return int(inner, 16)
        if form == "float":
            return float.fromhex(inner)
        if form in ("list", "tuple", "set"):
            return {"list": list, "tuple": tuple, "set": set}[form](
                unpack(item, call) for item in inner
            )
        if form == "dict":
            return {unpack(k, call): unpack(v, call) for k, v in inner}
        if form == "tensor":
            return _unpack_tensor(packed)
        if form == "numpy":
            array = _unpack_tensor(inner).numpy()
            return array[()] if packed["scalar"] else array
        if form == "call" and call is not None:
            return call(int(inner), str(packed["name"]))
        if form == "unknown":
            return Unknown(str(inner))
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise Broken(f"{form}: {error}") from None
    raise Broken(f"no form {form!r}")


def _unpack_tensor(packed: dict):
    import torch

    dtype = getattr(torch, packed["dtype"])
    if not isinstance(dtype, torch.dtype):
        raise Broken("dtype")
    shape = [int(n) for n in packed["shape"]]
    raw = bytearray(base64.b64decode(packed["tensor"], validate=True))
    if raw:
        tensor = torch.frombuffer(raw, dtype=torch.uint8).clone()
        tensor = tensor.view(dtype).reshape(shape)
    else:
        tensor = torch.empty(shape, dtype=dtype)
        if tensor.numel():
            raise Broken("shape")
    wants = bool(packed["grad"]) and (
        dtype.is_floating_point or dtype.is_complex
    )
    return tensor.requires_grad_(wants)


# What is tried -------------------------------------------------------------

TRIED = {
    "open": "opens",
    "os.scandir": "opens",
    "sqlite3.connect": "opens",
    **dict.fromkeys(
        ("os.remove", "os.rename", "os.rmdir", "os.truncate", "os.mkdir"),
        "changes",
    ),
    "import": "imports",
    "socket.connect": "uses the network",
    "socket.getaddrinfo": "uses the network",
    **dict.fromkeys(
        (
            *("os.exec", "os.fork", "os.posix_spawn", "os.system"),
            "subprocess.Popen",
        ),
        "starts a program",
    ),
    "os.kill": "ends a process",
    "_thread.start_new_thread": "starts a thread",
    "ctypes.dlopen": "calls C",
}
GRADERS_OWN = ("attn_course.checks.", "attn_course.classroom", "teaching")


class Watch:
    """Notes what a learner's code tries that it may not, with the line.

    It sees what the code tries even where that swallows the error. Who knows of
    it can blind it: it is there to tell a teacher, the fence is there to stop.
    """

    def __init__(self, package: str) -> None:
        """Begin; ``package`` is the folder of the course's package."""
        self.found: list[str] = []
        self.own = [os.getcwd(), os.environ.get("HOME", os.getcwd())]
        self.course = os.path.dirname(package)  # it may lie in scratch
        self.hidden = os.path.join(package, "checks")
        self.readable = [
            *(package, sys.prefix, sys.base_prefix),
            *(path for path in sys.path if "site-packages" in path),
            *("/bin", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr"),
        ]
        sys.addaudithook(self.hear)

    def hear(self, event: str, args: tuple) -> None:
        """Note an event of Python's if a learner's code is behind it."""
        if event not in TRIED:
            return
        try:
            words, line = TRIED[event], _line()
            if words in ("opens", "changes", "imports"):
                thing = self.refused(event, args)
                words = f"{words} {thing}" if thing else ""
            if line and words:
                self.found.append(f"{words}, line {line}"[:200])
                self.found = list(dict.fromkeys(self.found))[:20]
        except Exception:  # else what is done would fail with it
            pass

    def refused(self, event: str, args: tuple) -> str:
        """Return the path or module, if it is one that is kept away."""
        if event == "import":
            return args[0] if args[0].startswith(GRADERS_OWN) else ""
        if isinstance(args[0], int):
            return ""
        given = os.fsdecode(args[0])
        given = str.__getitem__(given, slice(None))  # it may be no plain str
        path = os.path.abspath(given)
        if _within(path, self.own) and not _within(path, [self.course]):
            # Behind the fence the scratch folder may hide another of its name.
            astray = os.path.isabs(given) and not os.path.isdir(
                os.path.dirname(path)
            )
            return path if astray else ""
        flags = args[2] if event == "open" else 0
        if TRIED[event] == "changes" or flags & (os.O_WRONLY | os.O_RDWR):
            return "" if path == os.devnull else path
        if _within(path, [self.hidden]) or not _within(path, self.readable):
            return path
        return ""


def _within(path: str, folders: list[str]) -> bool:
    return any(path == f or path.startswith(f + os.sep) for f in folders)


def _line() -> int:
    """Return the line of the learner's code that is running, 0 if none is."""
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_filename != "<answer>":
        frame = frame.f_back
    return frame.f_lineno if frame is not None else 0


# The loop ------------------------------------------------------------------


class _Text(io.TextIOBase):
    """Keeps the first characters that are written to it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.room = MOST_TEXT

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.room > 0:
            self.parts.append(text[: self.room])
            self.room -= len(text)
        return len(text)

    def value(self) -> str:
        more = "\n... (the rest is left out)" if self.room < 0 else ""
        return "".join(self.parts) + more


def main(slug: str, fenced: bool) -> None:
    """Answer messages on standard input, one line of JSON each, until it ends.

    Args:
        slug: the lesson whose module is loaded first.
        fenced: whether the system's fence stands around this process.
    """
    channel = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    # What is slow to load, or starts a thread: none can be started later.
    import matplotlib.pyplot  # noqa: F401
    import torch

    torch.set_num_threads(1)
    torch.ones(1, requires_grad=True).exp().sum().backward()
    package = importlib.import_module("attn_course")
    # The checks are run by the grader: here, whatever they are asked is well.
    package.checks = mock.MagicMock(name="checks")
    sys.modules["attn_course.checks"] = package.checks
    importlib.import_module(f"attn_course.{slug}")
    os.dup2(null, 2)
    limit()
    if fenced and os.getuid() == 0:  # whom no limit of processes binds
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    Loop(*channel, Watch(os.path.dirname(package.__file__))).run()


def limit() -> None:
    """Bound memory, file size and processes, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    bounds = {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": MOST_IN_A_FILE,
        "RLIMIT_NPROC": 0,  # no further process or thread
    }
    if sys.platform == "linux":
        with open("/proc/self/statm") as stream:
            pages = int(stream.read().split()[0])
        used = pages * resource.getpagesize()
        bounds["RLIMIT_AS"] = used + MOST_MEMORY
    for name, most in bounds.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


class Loop:
    """Runs cells and calls functions, as the grader asks."""

    def __init__(self, reader, writer, watch: Watch) -> None:
        self.reader, self.writer, self.watch = reader, writer, watch
        self.space: dict[str, object] = {"__name__": "__main__"}
        self.functions: dict[int, object] = {}

    def send(self, message: dict) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")
        self.writer.flush()

    def receive(self) -> dict:
        line = self.reader.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def run(self) -> None:
        """Answer one message after the other."""
        while True:
            try:
                message = self.receive()
            except EOFError:
                return
            ask = {
                "hello": lambda message: {},
                "cell": self.cell,
                "get": self.get,
                "call": self.call,
            }
            try:
                answer = ask[message["do"]](message)
            except BaseException as error:
                answer = self.error(error)
            if self.watch.found:
                answer["stopped"], self.watch.found = self.watch.found, []
            self.send(answer)

    def cell(self, message: dict) -> dict:
        """Run a cell's text; give back what it printed, and its error."""
        out, before = _Text(), (sys.stdout, sys.stderr)
        answer: dict = {}
        sys.stdout = sys.stderr = out
        try:
            code = compile(message["source"], "<answer>", "exec")
            exec(code, self.space)
        except BaseException as error:
            answer = self.error(error)
        finally:
            sys.stdout, sys.stderr = before
        return {**answer, "text": out.value()}

    def error(self, error: BaseException) -> dict:
        """Put an error into words; the error's own words may fail too."""
        try:
            said = str(error)[:2000]
        except BaseException:
            said = ""
        line = ""
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == "<answer>":
                line = str(frame.lineno)
        return {"error": type(error).__name__, "said": said, "line": line}

    def get(self, message: dict) -> dict:
        """Give the value of a name."""
        if message["name"] not in self.space:
            raise NameError(f"name {message['name']!r} is not defined")
        self.functions.clear()
        value = self.space[message["name"]]
        return {"value": pack(value, self.functions)}

    def call(self, message: dict) -> dict:
        """Call a function of the learner's; give its result and arguments."""
        import torch

        torch.manual_seed(0)
        function = self.functions[message["number"]]
        args = [unpack(a, self.remote) for a in message["args"]]
        kwargs = {
            k: unpack(v, self.remote) for k, v in message["kwargs"].items()
        }
        out, before = _Text(), (sys.stdout, sys.stderr)
        sys.stdout = sys.stderr = out
        try:
            with torch.enable_grad():
                result = function(*args, **kwargs)
        finally:
            sys.stdout, sys.stderr = before
        return {
            "value": pack(result),
            "gradients": _gradients(result, args),
            "args": [pack(a) for a in args],
            "kwargs": {k: pack(v) for k, v in kwargs.items()},
        }

    def remote(self, number: int, name: str):
        """Return a function that asks the grader to call one of its own."""

        def function(*args: object):
            if threading.current_thread() is not threading.main_thread():
                raise RuntimeError("not from a thread")
            self.send({"back": number, "args": [pack(a) for a in args]})
            answer = self.receive()
            if "error" in answer:
                raise RuntimeError(answer["said"])
            return unpack(answer["value"])

        function.__name__ = name
        return function


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "fenced")
