"""Training leaves the graph's engine alone."""

import subprocess
import sys

import pytest

from groundglass.locations import ROOT


@pytest.mark.slow
def test_training_loads_no_engine_and_warns_of_nothing_of_its_own() -> None:
    program = "import sys, training.evaluate, training.train, training.networks.nts_net\n"
    program += "print([name for name in ('holoscan', 'monai.deploy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.slow
def test_the_engine_can_be_loaded_afterwards() -> None:
    program = "import app.accelerator, training.networks.monai_parts\n"
    program += "app.accelerator.load_cuda_runtime()\nimport monai.deploy.core\nprint('loaded')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "loaded"
