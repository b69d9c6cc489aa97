from dataclasses import asdict

import pytest
import yaml

from groundglass.locations import SETTINGS_FILE
from groundglass.presets import PAPER, SHIPPED
from groundglass.settings import load_settings


def test_the_shipped_preset_is_app_yaml() -> None:
    assert load_settings() == SHIPPED
    assert SHIPPED.gradients.steps == yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8"))["research"]["steps"]


def test_the_papers_preset_has_the_numbers_of_its_equations() -> None:
    gradients, explanation = PAPER.gradients, PAPER.explanation
    assert (gradients.rule, gradients.steps, gradients.gradient_power) == ("riemann_right", 25, 0)
    assert gradients.nodes()[0].tolist() == [n / 25 for n in range(1, 26)]  # Eq. 3
    assert gradients.nodes()[1] == pytest.approx(1 / 25)
    assert (explanation.joint_factor, explanation.joint_blur_mm, explanation.joint_part) == (
        "attribution",
        0,
        "absolute",
    )


def test_the_two_presets_differ_in_neighbours_and_in_how_the_saliency_is_computed_alone() -> None:
    shipped, paper = asdict(SHIPPED), asdict(PAPER)
    different = {name for name in shipped if shipped[name] != paper[name]}
    assert different == {"classification", "gradients", "explanation"}
    assert paper["classification"] == shipped["classification"] | {"neighbours_mm": 0}
    of_explanation = {key for key, value in shipped["explanation"].items() if paper["explanation"][key] != value}
    assert of_explanation == {"spacing_mm", "joint_factor", "joint_blur_mm"}
