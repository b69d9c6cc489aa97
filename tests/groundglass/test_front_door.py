"""The library as a researcher uses it: an array or a study in, findings, pictures and DICOM out."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

import groundglass
from groundglass import Analysis, CTVolume, OutputFailed, Pipeline, Refusal, UsageError, read_study
from groundglass.locations import MODEL_FOLDER, ROOT
from groundglass.presets import SHIPPED
from groundglass.result import result_schema
from tests.app.runs import small_chest, write_quick_settings, write_small_study

RULES = replace(SHIPPED.selection, minimum_slices=10, minimum_extent_mm=100)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline.load(str(write_quick_settings(tmp_path_factory.mktemp("settings") / "quick.yaml")))


@pytest.fixture(scope="module")
def of_array(pipeline: Pipeline) -> Analysis:
    chest = small_chest()
    return pipeline.analyse(CTVolume.from_array(chest.hu, chest.spacing_mm))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_small_study(folder)
    return folder


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_neither_the_library_nor_its_command_loads_the_graphs_engine(tmp_path: Path) -> None:
    program = "import sys, groundglass; print('torch' in sys.modules, 'holoscan' in sys.modules)\n"
    program += "from groundglass import Pipeline, read_study; from groundglass.__main__ import main\n"
    (tmp_path / "in").mkdir()
    program += f"main(['analyse', {str(tmp_path / 'in')!r}, {str(tmp_path / 'out')!r}, '-l', 'error'])\n"
    program += "print('torch' in sys.modules, 'holoscan' in sys.modules, 'monai' in sys.modules)"
    assert run(program).split() == ["False", "False", "True", "False", "False"]


def test_a_name_that_the_library_does_not_have_is_no_attribute() -> None:
    assert set(dir(groundglass)) == set(groundglass.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = groundglass.Nothing


@pytest.mark.slow
def test_an_array_gives_findings_pictures_and_json(of_array: Analysis, tmp_path: Path) -> None:
    names = of_array.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    assert names[:3] == ["findings.json", "preview.png", "key-image-01.png"]
    told = json.loads((tmp_path / "out" / "findings.json").read_text(encoding="utf-8"))
    assert told["prediction"]["state"] == of_array.prediction.state
    assert [item["number"] for item in told["regions"]] == [region.number for region in of_array.regions]
    assert len(told["boxes"]) == len(of_array.boxes)
    assert [item["index"] for item in told["slices"]] == [item.index for item in of_array.slices]
    for name in names[1:]:
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.width > 200


@pytest.mark.slow
def test_the_picture_of_an_array_says_how_many_slices_were_explained(
    of_array: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("groundglass.rendering.preview.draw_text", lambda _, __, text, *___, **____: told.append(text))
    of_array.save(tmp_path)
    explained = sum(item.explained for item in of_array.slices)
    left_out = sum(item.why_not_explained == "budget" for item in of_array.slices)
    assert left_out
    assert f"Saliency was computed on {explained} of {explained + left_out} slices" in " ".join(told)


@pytest.mark.slow
def test_the_stages_are_what_the_one_call_does(pipeline: Pipeline, of_array: Analysis) -> None:
    lungs = pipeline.segment(of_array.volume)
    assert np.array_equal(lungs.labels, of_array.lungs)
    classified = pipeline.classify(of_array.volume, lungs)
    assert classified.prediction == of_array.prediction
    assert pipeline.explain(of_array.volume, lungs, classified).boxes == of_array.boxes


@pytest.mark.slow
def test_a_study_gives_dicom_and_the_same_findings_as_its_array(
    pipeline: Pipeline, of_array: Analysis, study: Path, tmp_path: Path
) -> None:
    found = pipeline.analyse(read_study(study, RULES))
    assert found.probabilities == pytest.approx(of_array.probabilities)
    names = found.save(tmp_path)
    assert {"case-001.seg.dcm", "case-001.sr.dcm", "case-001.preview.png", "result.json"} <= set(names)
    jsonschema.validate(json.loads((tmp_path / "result.json").read_text(encoding="utf-8")), result_schema())


def test_a_folder_that_is_no_study_is_refused_with_a_reason(tmp_path: Path, study: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_study(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="No series can be analysed: the folder holds no file"):
        read_study(tmp_path)
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    with pytest.raises(UsageError, match=r"0 series rejected, 1 files ignored\.\n1 files ignored: "):
        read_study(tmp_path)
    with pytest.raises(UsageError, match="The study is a file"):
        read_study(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match="at least 20"):
        read_study(study)  # a dozen slices


def test_a_study_with_a_missing_slice_is_refused(tmp_path: Path) -> None:
    write_small_study(tmp_path)
    sorted(tmp_path.iterdir())[5].unlink()
    with pytest.raises(Refusal, match="GAP"):
        read_study(tmp_path, RULES)


CHEST = np.linspace(-1000, 200, 40**3).reshape(40, 40, 40)
"""Air, soft tissue and all between."""
SPACING_MM = (8.0, 8.0, 8.0)


@pytest.mark.parametrize(
    ("hu", "spacing_mm", "said"),
    [
        (CHEST[0], SPACING_MM, "axes"),
        (CHEST, (5.0, 0.0, 1.0), "spacing"),
        (CHEST, (5.0, 1.0), "spacing"),
        (CHEST, 2.5, "three lengths in mm above 0, along"),
        (CHEST, None, "spacing is missing"),
        (CHEST, (0.8, 0.8, 0.8), "32 mm wide, which is no chest"),  # in cm
        (CHEST, (80.0, 8.0, 8.0), "3200 mm high"),
        (np.where(CHEST > 0, np.nan, CHEST), SPACING_MM, "no Hounsfield units"),
        (CHEST + 40000, SPACING_MM, "no Hounsfield units"),
        (CHEST.astype(complex), SPACING_MM, "the type complex128"),
        (CHEST.astype(str), SPACING_MM, "the type <U32"),
    ],
)
def test_an_array_that_is_no_ct_volume_can_not_be_used(hu: np.ndarray, spacing_mm: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        CTVolume.from_array(hu, spacing_mm)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((CHEST + 1000) / 1200, "scaled to a range of 1"),
        ((CHEST + 400) / 600, "scaled to a range of 1"),
        (((CHEST + 1000) / 1200 * 255).astype(np.uint8), "grey values of a picture"),
        (CHEST + 1024, "0.0% of the voxels are air"),
        (CHEST * 0 - 1000, "0.0% soft tissue"),
    ],
)
def test_an_array_of_other_values_than_hounsfield_units_is_refused(values: np.ndarray, said: str) -> None:
    with pytest.raises(Refusal, match=said) as refused:
        CTVolume.from_array(values, SPACING_MM)
    assert refused.value.code == "NOT_HU"


def test_what_is_less_than_air_is_air() -> None:
    padded = CHEST.copy()
    padded[:, :3] = -3024
    assert CTVolume.from_array(padded, SPACING_MM).hu.min() == -1024


@pytest.mark.slow
def test_results_are_not_saved_in_place_of_a_file(of_array: Analysis, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UsageError, match="is a file"):
        of_array.save(tmp_path / "file")
    with pytest.raises(OutputFailed, match="OUTPUT_NOT_WRITABLE"):
        of_array.save(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "kept"


def test_missing_weights_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lungs\.safetensors"):
        Pipeline.load(models=tmp_path)
    assert (MODEL_FOLDER / "lungs" / "lungs.safetensors").is_file()
