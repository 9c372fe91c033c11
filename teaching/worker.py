"""Where a learner's code runs while it is graded: a process of its own.

It gets source text and numbers, and gives numbers back. No oracle, no right
answer and no other submission is in it, so there is nothing in it to overwrite
that would help: the comparison is made in the grader's process.

Around it stands a fence (``fence``): no file outside the temporary folder is
written, none but Python's and the course's modules is read, no process is
started, no socket is opened. It stops whoever reaches for a solution or
leaves an ``os.system`` behind. It is not a prison: Python cannot be one. For
people that you do not know, grade in a container or a virtual machine.
"""

import base64
import importlib
import io
import json
import os
import sys
import threading
import traceback
import types

MOST_TEXT = 20_000  # characters of output that are kept of a cell
MOST_NUMBERS = 2_000_000  # in one message


class Fenced(PermissionError):
    """The learner's code reached for something it may not have."""


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


# The fence -----------------------------------------------------------------

FORBIDDEN = (
    "ctypes.",
    "os.chdir",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.symlink",
    "os.link",
    "os.system",
    "os.chmod",
    "os.chown",
    "os.putenv",
    "pty.",
    "shutil.",
    "signal.",
    "socket.",
    "sqlite3.",
    "subprocess.",
    "gc.",
    "code.__new__",
    "cpython.",
    "sys.setprofile",
    "sys.settrace",
    "sys._current_frames",
    "syslog.",
    "webbrowser.",
    "winreg.",
    "_winapi.",
    "glob.",
    "ftplib.",
    "http.",
    "urllib.",
    "smtplib.",
    "imaplib.",
    "telnetlib.",
    "nntplib.",
    "poplib.",
    "fcntl.",
    "resource.",
    "msvcrt.",
    "ensurepip.",
    "pdb.",
)
WRITES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate")


def fence(
    readable: tuple[str, ...], hidden: tuple[str, ...], own: str
) -> None:
    """Refuse, from now on, what no answer to an exercise needs.

    All that the hook uses is bound here, to functions written in C, since a
    learner could replace any function written in Python.

    Args:
        readable: folders whose files may be read.
        hidden: folders and files inside them that may not.
        own: the one folder that may be written to.
    """
    refused, text, raw = Fenced, str, bytes
    starts, ends, split = str.startswith, str.endswith, str.split
    forbidden, writes = FORBIDDEN, WRITES
    cwd, kind, integer = own, type, int
    decode, join, replace = bytes.decode, str.join, str.replace
    separator = os.sep
    flags_that_write = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

    def place(path) -> str:
        """Return the absolute path, with no step up left in it."""
        if kind(path) is raw:
            path = decode(path, "utf-8", "replace")
        elif kind(path) is not text:
            raise refused("a path of an unusual type")
        path = replace(path, "\\", "/") if separator == "\\" else path
        if not starts(path, "/") and path[1:2] != ":":
            path = cwd + "/" + path
        kept: list[str] = []
        for step in split(path, "/"):
            if step == "..":
                kept = kept[:-1] or [""]
            elif step not in ("", ".") or not kept:
                kept = kept + [step]
        return join("/", kept)

    def inside(path: str, folders: tuple[str, ...]) -> bool:
        for folder in folders:
            if path == folder or starts(path, folder + "/"):
                return True
        return False

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, mode, flags = arguments
            if kind(path) is integer:
                return
            where = place(path)
            if inside(where, (own,)) or where in ("/dev/null", "/dev/urandom"):
                return
            writing = kind(flags) is not integer or flags & flags_that_write
            if writing or inside(where, hidden) or not inside(where, readable):
                raise refused(f"grading: {where} may not be opened")
            return
        if event == "import":
            name = arguments[0]
            if kind(name) is text and starts(name, "attn_course.checks"):
                raise refused("grading: the checks are not here")
            return
        for start in forbidden:
            if starts(event, start):
                raise refused(f"grading: {event} is not allowed")
        for start in writes:
            if starts(event, start):
                for path in arguments:
                    if kind(path) in (text, raw):
                        if not inside(place(path), (own,)):
                            raise refused(f"grading: {event} outside")

    del ends
    sys.addaudithook(hook)


class _NotHere:
    """Stands for the checks: whatever is asked of it, it says the same."""

    def __init__(self, name: str = "checks") -> None:
        self._name = name

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return _NotHere(name)

    def __call__(self, *_: object, **__: object):
        return self

    def __getitem__(self, _: object):
        return self

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return "(the checks are run by the grader)"


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


def main(channel, slug: str, root: str, own: str) -> None:
    """Run what the channel asks for, until it closes.

    Args:
        channel: a connection; each message is JSON in bytes.
        slug: the lesson whose module is loaded before the fence is up.
        root: the project's folder.
        own: an empty folder that the learner's code may write to.
    """
    import torch

    os.chdir(own)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    torch.set_num_threads(1)
    limits()
    sys.dont_write_bytecode = True
    stub = types.ModuleType("attn_course.checks")
    stub.__getattr__ = lambda name: _NotHere(name)
    package = importlib.import_module("attn_course")
    sys.modules["attn_course.checks"] = stub
    package.checks = stub
    importlib.import_module(f"attn_course.{slug}")
    torch.ones(1, requires_grad=True).exp().sum().backward()  # threads are up
    sys.path[:] = [p for p in sys.path if p not in ("", root)]
    course = os.path.dirname(os.path.abspath(package.__file__))
    real = os.path.realpath
    readable = {sys.prefix, sys.base_prefix, course, real(course)}
    readable |= {real(sys.prefix), real(sys.base_prefix)}
    readable |= {p for p in sys.path if "site-packages" in p}
    fence(
        tuple(p.replace("\\", "/") for p in readable),
        tuple(
            f"{c}/{part}".replace("\\", "/")
            for c in (course, real(course))
            for part in ("checks", "classroom.py")
        ),
        real(own).replace("\\", "/"),
    )
    Loop(channel).run()


def limits() -> None:
    """Bound memory, file size and core dumps, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, most in (
        ("RLIMIT_FSIZE", 16 * 2**20),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_DATA", 6 * 2**30),
    ):
        kind = getattr(resource, name, None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            if hard == resource.RLIM_INFINITY or most < hard:
                resource.setrlimit(kind, (most, most))


class Loop:
    """Runs cells and calls functions, as the grader asks."""

    def __init__(self, channel) -> None:
        self.channel = channel
        self.space: dict[str, object] = {"__name__": "__main__"}
        self.functions: dict[int, object] = {}

    def send(self, message: dict) -> None:
        self.channel.send_bytes(json.dumps(message).encode())

    def receive(self) -> dict:
        return json.loads(self.channel.recv_bytes())

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
