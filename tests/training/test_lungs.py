"""The command that trains the lung network."""

from pathlib import Path

import pytest

from training import lungs


def test_lungs_of_another_seed_or_normalisation_do_not_go_on_from_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begins(*_: object) -> None:
        raise KeyboardInterrupt  # at the training itself, which is held elsewhere

    monkeypatch.setattr(lungs, "load_sources", lambda _: ({}, {}))
    monkeypatch.setattr(lungs, "train_lungs", begins)
    common = ["--data", str(tmp_path), "--out", str(tmp_path)]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            lungs.main([*common, "--seed", "0"])
    for other in (["--seed", "1"], ["--normalisation", "none"], ["--iterations", "7"]):
        with pytest.raises(SystemExit):
            lungs.main([*common, *other])
