"""Seed, device, and an import that costs nothing."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from attn_course import session

SOURCES = Path(__file__).parents[1] / "notebooks" / "source"


def test_start_makes_everything_repeatable():
    def draw():
        session.start(3)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert draw() == draw()


def test_start_says_that_it_has_run(capsys):
    session.start(7)
    assert capsys.readouterr().out == "Ready: seed 7\n"


@pytest.mark.parametrize("seed", [0, 3, 2**64 - 1])
@pytest.mark.parametrize("kind", [int, np.uint64, np.int64, np.int32])
def test_seed_may_be_numpys_integer(seed, kind, own_errors):
    if seed > np.iinfo(np.int32).max and kind not in (int, np.uint64):
        pytest.skip("does not fit")

    def draw(seed):
        session.set_seed(seed)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert draw(kind(seed)) == draw(seed)


@pytest.mark.parametrize(
    "seed", [-1, True, 2**64, 1.0, "3", None, np.float32(1), np.int64(-1)]
)
def test_seed_has_to_be_a_whole_number_from_zero(seed, own_errors):
    with pytest.raises(ValueError, match="seed: expected"):
        session.start(seed)


def test_device_is_the_best_present(monkeypatch):
    assert session.devices()[0] == torch.device("cpu")
    kinds = [torch.device(kind) for kind in ("cpu", "mps", "cuda")]
    monkeypatch.setattr(session, "devices", lambda: kinds)
    monkeypatch.delenv("ATTN_DEVICE", raising=False)
    assert session.device() == torch.device("cuda")


def test_mps_is_taken_only_if_asked_for(monkeypatch):
    kinds = [torch.device("cpu"), torch.device("mps")]
    monkeypatch.setattr(session, "devices", lambda: kinds)
    monkeypatch.delenv("ATTN_DEVICE", raising=False)
    assert session.device() == torch.device("cpu")
    monkeypatch.setenv("ATTN_DEVICE", "mps")
    assert session.device() == torch.device("mps")


def test_start_keeps_all_digits_on_a_gpu():
    torch.backends.cudnn.allow_tf32 = True
    session.start(0)
    assert not torch.backends.cudnn.allow_tf32


def test_device_can_be_chosen(monkeypatch):
    monkeypatch.setenv("ATTN_DEVICE", "cpu")
    assert session.device() == torch.device("cpu")
    monkeypatch.setenv("ATTN_DEVICE", "abacus")
    with pytest.raises(ValueError, match="ATTN_DEVICE: .*cpu.*abacus"):
        session.device()


@pytest.mark.parametrize(
    "wanted", ["cpu:7", "cpu:x", "cpu:-1", "cpu:", "CPU", " cpu", ":", "meta"]
)
def test_a_device_that_is_not_there_is_refused_in_words(wanted, monkeypatch):
    monkeypatch.setenv("ATTN_DEVICE", wanted)
    with pytest.raises(ValueError, match="ATTN_DEVICE: .*'cpu:0'.*got") as e:
        session.device()
    assert repr(wanted) in str(e.value)


@pytest.mark.parametrize(
    "wanted, fits",
    [
        ("cuda", True),
        ("cuda:1", True),
        ("cuda:2", False),
        ("cuda:9", False),
        ("cpu:0", True),
        ("cuda:01", False),
        ("mps", False),
    ],
)
def test_a_machine_has_as_many_devices_as_it_has(wanted, fits, monkeypatch):
    """As on a machine with two GPUs."""
    monkeypatch.setenv("ATTN_DEVICE", wanted)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    if fits:
        assert session.device() == torch.device(wanted)
    else:
        with pytest.raises(ValueError, match=f"ATTN_DEVICE: .*{wanted}"):
            session.device()


def test_no_lesson_warns_where_home_cannot_be_written(tmp_path):
    """The first cell of each: what a lesson imports, and the start."""
    cells = []
    for path in sorted(SOURCES.glob("[0-9]*.py")):
        head = re.search(
            r"(?ms)^(?:import|from) .*?^session\.start\(\w+\)$",
            path.read_text("utf-8"),
        )
        cells.append(head.group())
        assert "matplotlib" not in cells[-1]  # the course comes before it
    assert len(cells) == 17
    drawn = (
        "figure, _ = plotting.figure()\n"
        "plotting.picture(figure, 'nothing in it')\n"
    )
    program = tmp_path / "all.py"
    program.write_text("\n".join([*cells, drawn]), "utf-8")
    (tmp_path / "home").write_text("a file, no folder")
    hidden = ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    env = {k: v for k, v in os.environ.items() if k not in hidden}
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        env={
            **env,
            "HOME": str(tmp_path / "home"),
            "USERPROFILE": str(tmp_path / "home"),
            "PYTHONPATH": str(SOURCES.parents[1]),
        },
    )
    said = "Ready: seed 0\n" * len(cells)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


@pytest.mark.parametrize(
    "value, quick", [("", False), ("0", False), ("1", True)]
)
def test_quick(monkeypatch, value, quick):
    monkeypatch.setenv("ATTN_QUICK", value)
    assert session.quick() is quick


def test_importing_the_package_costs_under_50_ms():
    code = (
        "import sys, time; start = time.process_time(); import attn_course;"
        "print(time.process_time() - start);"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    times = [
        float(subprocess.check_output([sys.executable, "-c", code]))
        for _ in range(3)
    ]
    assert min(times) < 0.05
