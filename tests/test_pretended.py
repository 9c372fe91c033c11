"""What a real device refuses is refused by the pretended one."""

import pytest
import torch

from tests import pretended


@pytest.fixture
def away(device):
    """A device that is not the CPU: real or pretended."""
    if device == "cpu":
        pytest.skip("run by make test-device and make test-gpu")
    return device


def test_two_devices_do_not_mix(away):
    x = torch.ones(2, 3, device=away)
    for other in (torch.ones(3), torch.ones(1)):
        with pytest.raises(RuntimeError, match="same device"):
            x + other
    with pytest.raises(RuntimeError):
        torch.ones(2)[torch.tensor([1], device=away)]
    assert (x + torch.tensor(2.0)).device.type == away
    assert x[torch.tensor([1])].cpu().tolist() == [[1, 1, 1]]


def test_numbers_come_back_only_if_asked_for(away):
    x = torch.ones(2, device=away)
    with pytest.raises((TypeError, RuntimeError)):
        x.numpy()
    assert x.cpu().numpy().tolist() == [1, 1]


def test_a_generator_of_the_cpu_draws_on_the_cpu(away):
    with pytest.raises(RuntimeError):
        torch.rand(2, device=away, generator=torch.Generator())


def test_a_mac_has_no_float64_and_no_ctc(away):
    x, targets = torch.zeros(4, 1, 3, device=away), torch.ones(1, 2)
    if "mps" not in away:
        assert x.double().dtype == torch.float64
        return
    with pytest.raises(TypeError, match="float64"):
        x.double()
    with pytest.raises(NotImplementedError):
        torch.nn.functional.ctc_loss(x, targets.long().to(away), (4,), (2,))


def test_operators_without_mps_are_read_from_torch():
    missing = pretended.without_mps()
    assert {"aten::_ctc_loss", "aten::_thnn_fused_gru_cell"} <= missing
    for name in ("add.Tensor", "mm", "softmax.int", "_fused_adamw_"):
        assert f"aten::{name}" not in missing


def test_what_is_made_on_the_device_has_its_size_and_type(away):
    assert torch.arange(1, 7, 2, device=away).tolist() == [1, 3, 5]
    assert torch.eye(2, device=away).shape == (2, 2)
    assert torch.randperm(3, device=away).shape == (3,)
    layer = torch.nn.Linear(2, 2).to(away).half()
    assert layer(torch.ones(1, 2, device=away).half()).dtype == torch.float16
