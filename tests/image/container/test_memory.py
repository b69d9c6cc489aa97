"""A study of usual length needs no more memory than the settings ask for."""

from collections.abc import Callable

import pytest
import yaml

from groundglass.locations import ROOT
from image.sizing import measure
from tests.image.container.containers import IMAGE, Containers

SLICES = 120


@pytest.mark.slow
@pytest.mark.usefixtures("selftest")
def test_a_study_of_usual_length_keeps_to_the_memory_asked_for(
    containers: Containers, measured: Callable[[str], None]
) -> None:
    figures = measure(containers.engine, IMAGE, SLICES, containers.new_folder())
    asked_mib = 1024 * yaml.safe_load((ROOT / "app.yaml").read_text(encoding="utf-8"))["package"]["memory_gib"]
    measured(f"{SLICES} slices: {figures['seconds']:.0f} s, {figures['peak_mib']:.0f} MiB of {asked_mib}")
    assert figures["peak_mib"] <= asked_mib
