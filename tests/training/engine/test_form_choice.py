"""Which form of few is chosen, where one is better by construction."""

import numpy as np
import pytest

from training.engine.form_choice import BLOCKS, FORMS, PENALTIES, Form, areas_of_folds, choose_form, deal_folds

LABEL = np.arange(40) % 2
GROUP = np.array([f"case {number // 4}/{number % 2}" for number in range(40)])


def features() -> dict[str, list[np.ndarray]]:
    """Two views of two blocks; the second block of the view `lungs` alone tells the classes apart."""
    rng = np.random.default_rng(0)
    made = {view: [rng.normal(size=(40, 2, 3)) for _ in range(2)] for view in ("whole", "lungs")}
    made["lungs"][1][..., 0] += 4 * LABEL[:, None]
    return made


def test_the_form_that_sees_what_tells_is_chosen_and_all_are_told() -> None:
    forms = [Form(views, blocks, 1.0) for views in (("whole",), ("lungs",)) for blocks in ((0,), (1,))]
    form, report, found = choose_form(features(), LABEL, GROUP, forms)
    assert form == Form(("lungs",), (1,), 1.0)
    assert areas_of_folds(found, LABEL, deal_folds(LABEL, GROUP)) == report["forms"][form.title]["folds"]
    assert report["chosen"] == form.title == "view lungs, blocks 2, C = 1"
    assert next(iter(report["forms"])) == form.title
    assert report["forms"][form.title]["mean"] > 0.95
    assert report["forms"]["view whole, blocks 1, C = 1"]["mean"] < 0.8
    assert len(report["forms"]) == 4
    assert all(len(item["folds"]) == report["folds"] == 5 for item in report["forms"].values())


def test_figures_of_one_group_are_never_learned_from_and_asked_at_once() -> None:
    """What only repeats inside a group tells nothing."""
    rng = np.random.default_rng(1)
    groups = np.array([f"case {number // 20 * 2 + number % 2}" for number in range(80)])
    label = np.arange(80) % 2
    mark = {name: rng.normal(size=8) * 10 for name in np.unique(groups)}
    seen = np.stack([mark[name] for name in groups])[:, None] + rng.normal(size=(80, 1, 8))
    _, report, _ = choose_form({"whole": [seen]}, label, groups, [Form(("whole",), (0,), 1.0)])
    assert report["folds"] == 4
    assert report["groups"] == 8
    assert next(iter(report["forms"].values()))["mean"] < 0.9


def test_one_group_of_a_class_chooses_nothing() -> None:
    with pytest.raises(ValueError, match="two groups"):
        choose_form(features(), LABEL, np.where(LABEL == 1, "one", GROUP))


def test_every_view_block_and_penalty_is_a_form() -> None:
    assert len(set(FORMS)) == len(FORMS) == 3 * len(BLOCKS) * len(PENALTIES)
    assert Form(("whole", "lungs"), (3, 4), 10.0).select(
        {view: [np.zeros((2, 1, 3))] * 5 for view in ("whole", "lungs")}
    ).shape == (2, 1, 12)
