"""The lungs' tables say what is missing and who was scored."""

from pathlib import Path

import numpy as np

from groundglass.method.lung_network import LungUNet
from training.data.lung_images import LungImages
from training.data.scored_lungs import ScoredSet
from training.engine.checkpoint import export_weights
from training.reports.lung_figures import SHIPPED, score_all
from training.reports.lung_report import describe_weights, find_weights
from training.reports.lung_tables import as_markdown


def test_the_tables_say_what_is_missing_and_who_was_scored(tmp_path: Path, tiny: LungImages) -> None:
    export_weights(LungUNet(), tmp_path / "shipped.safetensors")
    export_weights(LungUNet(), tmp_path / "run" / "fixed" / "lungs.safetensors")
    (tmp_path / "run" / "fixed" / "report.json").write_text('{"iterations": 7}')
    weights = find_weights(tmp_path / "run", tmp_path / "shipped.safetensors")
    assert list(weights) == ["fixed window", SHIPPED]
    single = LungImages(tiny.image[2:3], tiny.lung[2:3], tiny.spacing_mm)
    sets = {
        "single": ScoredSet("one slice", (single, single), (np.ones(1, dtype=bool),) * 2),
        "volumes": ScoredSet("a chest", (tiny,), (np.zeros(len(tiny.image), dtype=bool),)),
    }
    networks = {row: (LungUNet().eval(), normalisation) for row, (_, normalisation) in weights.items()}
    part = score_all(networks, sets)
    part["weights"] = {row: describe_weights(path) for row, (path, _) in weights.items()}
    assert "single" not in part["figures"][SHIPPED]["multi-view voting"]
    text = as_markdown({"shipped_sha256": "0", "dice": part})
    assert "left out: no normalisation, sliding window" in text
    assert "fixed window, 7 iterations" in text
    assert "single: 2 consolidated slices" in text
    threshold = part["figures"]["thresholding"][""]["volumes"]["dice"]["mean"]
    assert f"{threshold:.3f} (n = 1)" in text


def test_bad_sides_and_refused_volumes_stay_in_the_tables() -> None:
    sides = {"FFS": {"right": 0.1, "left": 0.2, "right_called_left": 0.9, "left_called_right": 0.8}}
    overlays = {
        "a": {"refused": "No lungs were found."},
        "b": {"right_ml": 2001.0, "left_ml": 1802.0, "picture": "overlay_b.png"},
    }
    text = as_markdown({"shipped_sha256": "0", "sides": sides, "overlays": overlays})
    assert "| FFS | 0.100 | 0.200 | 0.900 | 0.800 |" in text
    assert "| a | – | – | refused: No lungs were found. |" in text
    assert "| b | 2001 | 1802 | ![lungs of b](overlay_b.png) |" in text
