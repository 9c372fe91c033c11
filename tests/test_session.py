"""Seed, device, and an import that costs nothing."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from attn_course import session


def test_start_makes_everything_repeatable():
    def draw():
        session.start(3)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert draw() == draw()


@pytest.mark.parametrize("seed", [-1, True])
def test_seed_has_to_be_a_whole_number_from_zero(seed):
    with pytest.raises(ValueError, match="seed: expected an integer"):
        session.start(seed)


def test_device_is_the_best_present(monkeypatch):
    monkeypatch.delenv("ATTN_DEVICE", raising=False)
    assert session.device() == session.devices()[-1]
    assert session.devices()[0] == torch.device("cpu")


def test_device_can_be_chosen(monkeypatch):
    monkeypatch.setenv("ATTN_DEVICE", "cpu")
    assert session.device() == torch.device("cpu")
    monkeypatch.setenv("ATTN_DEVICE", "abacus")
    with pytest.raises(ValueError, match="ATTN_DEVICE: .*cpu.*abacus"):
        session.device()


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
