"""The device follows the setting, or the reason why it can not is told."""

import subprocess
import sys

import pytest
import torch

from groundglass.device import DeviceError, choose_device
from groundglass.locations import ROOT


def test_cpu_is_taken_when_asked_for_without_importing_torch() -> None:
    program = "import sys, groundglass.device as d; print(d.choose_device('cpu'), 'torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=600, check=True
    )
    assert result.stdout.split() == ["cpu", "False"]


def test_auto_takes_the_gpu_where_there_is_one() -> None:
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_cuda_is_taken_or_refused_with_the_reason() -> None:
    if torch.cuda.is_available():
        assert choose_device("cuda") == "cuda"
        return
    with pytest.raises(DeviceError, match="finds no usable GPU"):
        choose_device("cuda")


@pytest.mark.parametrize("setting", ["", "gpu", "CPU", "cuda:0"])
def test_another_setting_is_refused(setting: str) -> None:
    with pytest.raises(DeviceError, match="must be 'auto', 'cpu' or 'cuda'"):
        choose_device(setting)
