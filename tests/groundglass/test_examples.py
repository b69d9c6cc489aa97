"""The examples of the public docstrings give what they say."""

import doctest
from pathlib import Path

import nibabel
import numpy as np
import pytest

import groundglass
from groundglass.domain.volume import CTVolume
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.pipeline import Pipeline
from tests.app.runs import small_chest

pytestmark = pytest.mark.slow

NAMES = ("Pipeline", "CTVolume", "Analysis", "ProgressReporter", "read_study", "read_nifti")


@pytest.fixture(scope="module")
def named(quick: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the examples take for granted."""
    folder = tmp_path_factory.mktemp("examples")
    write_study(make_thorax("normal", slices=32, size=64)[0], folder / "study", preset="normal")
    chest = small_chest()
    volume = CTVolume.from_array(chest.hu, chest.spacing_mm)
    nibabel.save(nibabel.Nifti1Image(volume.hu.T, np.diag([-2.88, -2.88, -10.0, 1.0])), folder / "ct.nii.gz")
    return {
        "pipeline": Pipeline.load(quick),
        "volume": volume,
        "study": folder / "study",
        "nifti": folder / "ct.nii.gz",
        "out": folder / "out",
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_public_name_hold(name: str, named: dict[str, object]) -> None:
    shown = getattr(groundglass, name)
    globs = {each: getattr(groundglass, each) for each in groundglass.__all__} | named
    examples = [test for test in doctest.DocTestFinder().find(shown, name, globs=globs) if test.examples]
    assert examples
    told: list[str] = []
    failures = [doctest.DocTestRunner().run(test, out=told.append).failed for test in examples]
    assert failures == [0] * len(examples), "".join(told)


def test_every_public_function_has_an_example() -> None:
    shown = [
        Pipeline, Pipeline.segment, Pipeline.classify, Pipeline.explain, Pipeline.analyse, CTVolume.from_array,
        groundglass.Analysis.save, groundglass.read_study, groundglass.read_nifti,
    ]  # fmt: skip
    assert [each for each in shown if ">>>" not in (each.__doc__ or "")] == []
