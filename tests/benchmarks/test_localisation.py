"""The benchmarks' figures of merit on cases whose answer is known, and what is published agrees with itself."""

import json
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks import localisation, saliency
from benchmarks.attribution_maps import random_boxes
from benchmarks.lesion_slices import LesionSlice, evenly
from benchmarks.readme import RESULTS, saliency_figures
from groundglass.locations import ROOT
from groundglass.presets import SHIPPED
from groundglass.settings import load_settings

RULES = replace(SHIPPED.explanation, minimum_area_mm2=60.0, closing_mm=4.0)


@pytest.fixture
def item() -> LesionSlice:
    lung = np.zeros((224, 224), dtype=bool)
    lung[40:180, 20:100] = lung[40:180, 124:204] = True
    lesion = np.zeros_like(lung)
    lesion[60:90, 40:70] = lesion[120:150, 140:180] = True
    return LesionSlice("set", "patient", lung.astype(np.float32), lung, lesion, 1.5)


def test_a_map_that_is_the_lesion_reaches_every_figure(item: LesionSlice) -> None:
    scored = localisation.score_map(item.lesion.astype(float), item, RULES)
    assert scored.figures["pointing"] == scored.figures["precision"] == 1.0
    assert scored.figures["dice"] == pytest.approx(1.0, abs=0.05)
    assert scored.figures["box precision 0.3"] == scored.figures["box recall 0.3"] == 1.0
    assert scored.figures["box on lesion"] == 1.0
    assert scored.found_fraction == pytest.approx(scored.true_fraction, rel=0.1)


def test_a_map_beside_the_lesion_reaches_none(item: LesionSlice) -> None:
    beside = np.zeros(item.lung.shape)
    beside[150:175, 30:60] = 1.0
    scored = localisation.score_map(beside, item, RULES)
    assert scored.figures["pointing"] == scored.figures["dice"] == scored.figures["box recall 0.1"] == 0.0
    assert scored.figures["precision"] < 0.15


def test_average_precision_of_equal_values_is_the_prevalence(item: LesionSlice) -> None:
    prevalence = item.lesion.sum() / item.lung.sum()
    equal = localisation.score_map(np.zeros(item.lung.shape), item, RULES)
    assert equal.figures["precision"] == pytest.approx(prevalence)
    in_order = np.arange(item.lung.size, dtype=float).reshape(item.lung.shape) + item.lung.size * item.lesion
    assert localisation.score_map(in_order, item, RULES).figures["precision"] == 1.0


def test_overlap_of_boxes() -> None:
    one = np.array([[0, 0, 10, 10]])
    other = np.array([[0, 0, 10, 10], [0, 5, 10, 15], [20, 20, 30, 30]])
    assert localisation.overlap_of_boxes(one, other)[0] == pytest.approx([1.0, 1 / 3, 0.0])


def test_random_boxes_know_nothing_of_the_lesion(item: LesionSlice) -> None:
    rng = np.random.default_rng(0)
    scores = [localisation.score_map(random_boxes(item, rng), item, RULES).figures["precision"] for _ in range(50)]
    assert np.mean(scores) == pytest.approx(item.lesion.sum() / item.lung.sum(), abs=0.06)  # type: ignore[arg-type]


def test_slices_are_spread_evenly() -> None:
    assert evenly(np.arange(100), 4).tolist() == [12, 37, 62, 87]
    assert evenly(np.arange(3), 4).tolist() == [0, 1, 2]


def read_published(benchmark: ModuleType) -> dict[str, Any]:
    """The report of a benchmark, whose table beside it says the same."""
    name = benchmark.__name__.rpartition(".")[2]
    report: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert benchmark.as_markdown(report) == (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    return report


def test_where_it_looks_is_published_of_the_shipped_weights() -> None:
    assert read_published(localisation)["weights"] == load_settings().classifier_weights.sha256


def test_what_it_costs_is_published_of_the_shipped_weights() -> None:
    assert read_published(saliency)["weights"] == load_settings().classifier_weights.sha256


def test_the_page_on_benchmarks_shows_what_the_benchmark_found() -> None:
    assert saliency_figures() in (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
