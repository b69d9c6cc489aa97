"""The bundles are what MONAI takes for such, and give the application's own lungs and classes."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import run, verify_metadata

from bundles.__main__ import write_bundle
from bundles.configurations import NAMES
from groundglass import Pipeline, read_nifti
from groundglass.domain.class_names import CLASSES
from tests.groundglass.test_nifti import write


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, quick: Path) -> dict[str, Path]:
    """Both bundles, with settings that make them quick."""
    folder = tmp_path_factory.mktemp("bundles")
    written = {network: write_bundle(network, folder) for network in NAMES}
    for bundle in written.values():
        shutil.copyfile(quick, bundle / "configs" / "app.yaml")
    return written


@pytest.mark.parametrize("network", NAMES)
def test_monai_verifies_the_metadata_without_a_network(network: str, bundles: dict[str, Path]) -> None:
    bundle = bundles[network]
    files = {
        "meta_file": str(bundle / "configs" / "metadata.json"),
        "filepath": bundle / "docs" / "metadata.schema.json",
    }
    verify_metadata(**files)
    told = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    del told["network_data_format"]["outputs"]["pred"]["channel_def"]
    (bundle / "spoilt.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(ValueError, match="channel_def"):
        verify_metadata(**files | {"meta_file": str(bundle / "spoilt.json")})


@pytest.mark.parametrize("network", NAMES)
def test_the_weights_are_tensors_alone(network: str, bundles: dict[str, Path]) -> None:
    tensors = torch.load(bundles[network] / "models" / "model.pt", weights_only=True)
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())


def run_bundle(bundle: Path, image: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `python -m monai.bundle run` in the bundle's folder."""
    monkeypatch.chdir(bundle)
    monkeypatch.syspath_prepend(str(bundle))
    run(config_file="configs/inference.json", image=str(image), output_dir=str(out))


@pytest.mark.slow
def test_the_bundles_give_the_applications_lungs_and_classes(
    bundles: dict[str, Path], quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write(tmp_path / "ct.nii.gz", "SRP")
    for bundle in bundles.values():
        run_bundle(bundle, image, tmp_path / "out", monkeypatch)
    pipeline, source = Pipeline.load(quick), read_nifti(image)
    lungs = pipeline.segment(source.volume)
    found = nibabel.load(tmp_path / "out" / "lungs.nii.gz")
    assert np.array_equal(np.asarray(found.dataobj), source.on_file_grid(lungs.labels))
    assert found.affine == pytest.approx(nibabel.load(image).affine)
    classes = pipeline.classify(source.volume, lungs)
    told = json.loads((tmp_path / "out" / "classes.json").read_text(encoding="utf-8"))
    assert told["state"] == classes.prediction.state
    assert [told["probabilities"][name] for name in CLASSES] == pytest.approx(
        classes.prediction.probabilities, abs=1e-6
    )
    assert [item["index"] for item in told["slices"]] == [item.index for item in classes.slices]
    for item, expected in zip(told["slices"], classes.slices, strict=True):
        assert [item["probabilities"][name] for name in CLASSES] == pytest.approx(expected.probabilities, abs=1e-6)
