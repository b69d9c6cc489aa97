"""The training loop: a killed run goes on to the same weights, validation chooses and stops, the log can be read."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from training.engine.loop import Plan, fit

STEPS = Plan(iterations=6, batch=2, learning_rate=1e-2, save_every=2, validate_every=2, patience=100)


class Killed(Exception):
    pass


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
    rng = np.random.default_rng((iteration, n))
    label = n % 2
    return (rng.standard_normal((1, 8, 8)) + label).astype(np.float32), label


def cross_entropy(scores: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(scores.float(), target)


@pytest.mark.parametrize("killed_at", [1, 2, 3, 5])
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, killed_at: int) -> None:
    validations = iter([(0.5, 0.6), (0.4, 0.8), (0.6, 0.7)] * 2)
    by_iteration = {2: (0.5, 0.6), 4: (0.4, 0.8), 6: (0.6, 0.7)}
    whole = fit(tmp_path / "whole", tiny(), draw, cross_entropy, STEPS, lambda _: next(validations))

    def killing(iteration: int, n: int) -> tuple[np.ndarray, int]:
        if iteration == killed_at:
            raise Killed
        return draw(iteration, n)

    done = killed_at - killed_at % 2  # the last checkpoint
    before = iter([by_iteration[step] for step in (2, 4, 6) if step <= killed_at])
    with pytest.raises(Killed):
        fit(tmp_path / "broken", tiny(), killing, cross_entropy, STEPS, lambda _: next(before))
    after = iter([by_iteration[step] for step in (2, 4, 6) if step > done])
    resumed = fit(tmp_path / "broken", tiny(), draw, cross_entropy, STEPS, lambda _: next(after))
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    assert (tmp_path / "whole/log.csv").read_text() == (tmp_path / "broken/log.csv").read_text()


def test_the_best_validation_accuracy_is_kept(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []
    accuracies = iter([0.5, 0.9, 0.7])

    def validate(network: nn.Module) -> tuple[float, float]:
        seen.append({key: value.clone() for key, value in network.state_dict().items()})
        return 0.5, next(accuracies)

    best = fit(tmp_path, tiny(), draw, cross_entropy, STEPS, validate)
    assert all(torch.equal(value, seen[1][key]) for key, value in best.state_dict().items())
    assert not torch.equal(seen[1]["3.weight"], seen[2]["3.weight"])


def test_training_stops_when_the_validation_loss_no_longer_falls(tmp_path: Path) -> None:
    calls = 0

    def validate(_: nn.Module) -> tuple[float, float]:
        nonlocal calls
        calls += 1
        return 0.3 if calls == 1 else 0.4, 0.5

    plan = Plan(iterations=40, batch=2, validate_every=2, patience=4, save_every=50)
    fit(tmp_path, tiny(), draw, cross_entropy, plan, validate)
    assert calls == 3  # at 2, the lowest; at 4; at 6, four iterations later
    fit(tmp_path, tiny(), draw, cross_entropy, plan, validate)
    assert calls == 3  # a run that has stopped stays stopped


def test_the_log_holds_every_iteration_and_a_picture(tmp_path: Path) -> None:
    fit(tmp_path, tiny(), draw, cross_entropy, STEPS, lambda _: (0.25, 0.75))
    with (tmp_path / "log.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["iteration"]) for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["validation_loss"] for line in lines] == ["", "0.25"] * 3
    assert (tmp_path / "log.png").read_bytes().startswith(b"\x89PNG")


def test_the_paper_is_the_default() -> None:
    plan = Plan()
    assert (plan.iterations, plan.learning_rate, plan.betas) == (20_000, 1e-4, (0.5, 0.9))
    assert (plan.validate_every, plan.patience) == (500, 1000)
    assert plan.learning_rate_at(0) == plan.learning_rate_at(19_999) == 1e-4


def test_a_cosine_rises_and_falls_to_nothing() -> None:
    plan = Plan(iterations=1000, learning_rate=1.0, cosine=True)
    rates = [plan.learning_rate_at(iteration) for iteration in range(1000)]
    assert rates[0] < 0.05
    assert max(rates) == pytest.approx(1.0, abs=0.02)
    assert rates[-1] < 1e-4


_TWO_PROCESSES = """
import sys
from pathlib import Path
from tests.training.engine.test_loop import cross_entropy, draw, linear
from training.engine.checkpoint import export_weights
from training.engine.loop import Plan, fit, once
out = Path(sys.argv[1])
network = fit(out, linear(), draw, cross_entropy, Plan(iterations=3, batch=4, learning_rate=1e-2))
once(lambda: export_weights(network, out / "weights.safetensors"))
"""


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    one = fit(tmp_path / "one", linear(), draw, cross_entropy, Plan(iterations=3, batch=4, learning_rate=1e-2))
    script = tmp_path / "train.py"
    script.write_text(_TWO_PROCESSES)
    # Both are here: no name of this machine has to be found by a name server.
    here = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", "torch.distributed.run", *here, str(script), str(tmp_path / "two")]
    repository = Path(__file__).resolve().parents[3]
    environment = os.environ | {
        "PYTHONPATH": str(repository),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    done = subprocess.run(command, env=environment, timeout=600, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    two = load_file(tmp_path / "two" / "weights.safetensors")
    for key, value in one.state_dict().items():
        torch.testing.assert_close(two[key].float(), value, rtol=2e-3, atol=2e-3)
    assert len((tmp_path / "two" / "log.csv").read_text().splitlines()) == 4
