"""What a user would take instead of this application: `python -m benchmarks.peer STUDY RESULTS`.

The SDK's loader, selector, series-to-volume operator, Segmentation writer and text SR writer, the same networks called
plainly (float32, BatchNorm as it stands), and captum once a scale with Eq. 3's rule on each explained slice. Which are
classified and explained, and what is a lung and a box, is decided by the same rules as the application's. Writes
RESULTS/peer.json and RESULTS/peer.npz, which `benchmarks.peer_turn` holds against the application's results.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pydicom import Dataset
from torch import Tensor

from benchmarks.captum_gradients import PAPERS_RULE, captum_attributions
from benchmarks.in_float32 import InFloat32
from benchmarks.memory import status_mib
from benchmarks.sdk import make_graph, make_reader, make_segmentation_writer
from groundglass.device import choose_device
from groundglass.dicomio.reading.defects import REQUIRED
from groundglass.domain.software import VERSION, SoftwareIdentity
from groundglass.domain.volume import CTVolume
from groundglass.locations import ROOT, SETTINGS_FILE
from groundglass.method.classifier_network import SCALES, MultiScaleClassifier
from groundglass.method.saliency import IntegratedGradients, PathIntegrals
from groundglass.method.weights import load_classifier, load_lung_network
from groundglass.pipeline import Pipeline
from groundglass.presets import PAPER
from groundglass.settings import Settings, load_settings

Attribute = Callable[[Tensor], np.ndarray]


@dataclass(frozen=True)
class CaptumGradients(IntegratedGradients):
    """Eq. 3 by captum, once a scale, in the place of ours; no completeness errors, which a peer is not asked for."""

    def prepare(self, network: MultiScaleClassifier, target: int) -> Attribute:  # type: ignore[override]
        return partial(captum_attributions, network, target, *PAPERS_RULE)

    def attribute(self, gradients: Attribute, image: Tensor) -> PathIntegrals:  # type: ignore[override]
        maps, pixels = gradients(image), image.cpu().numpy()
        return PathIntegrals(maps, maps / np.where(pixels > 0, pixels, 1), np.full(len(SCALES), np.nan))


def analyse(study: Path, results: Path, settings: Settings) -> dict[str, float]:
    """Seconds by stage; the Segmentation and the text SR lie in `results`, with peer.npz for a comparison."""
    clock = time.perf_counter()
    graph = make_graph()
    read = make_reader(graph)
    from monai.deploy.operators.dicom_text_sr_writer_operator import DICOMTextSRWriterOperator, EquipmentInfo, ModelInfo

    seconds = {}

    def stage(name: str) -> None:
        nonlocal clock
        seconds[name], clock = time.perf_counter() - clock, time.perf_counter()

    device = choose_device(settings.device)
    lung_network = InFloat32(load_lung_network(ROOT / "models" / settings.lungs_weights.file)).to(device)
    classifier = load_classifier(ROOT / "models" / settings.classifier_weights.file).to(device)
    stage("start")
    hu, series = read(study)
    headers = [item.get_native_sop_instance() for item in series.get_sop_instances()]
    for header in headers:  # the SDK's writer ends with an error where a real archive has left one out
        for keyword in REQUIRED:
            if keyword not in header:
                setattr(header, keyword, None)
    # The networks' slices run from head to feet; the writer wants the SDK's own order.
    feet_first = headers[0].ImagePositionPatient[2] < headers[-1].ImagePositionPatient[2]
    order = slice(None, None, -1 if feet_first else 1)
    volume = _volume_of(hu[order], headers[order])
    stage("volume")
    # The networks alone are plain: what is around them is the library's own, called as the application calls it.
    gradients = replace(PAPER.gradients, reading=settings.gradients.reading)
    each = replace(settings.explanation, spacing_mm=PAPER.explanation.spacing_mm)
    plain = replace(settings, gradients=CaptumGradients(**vars(gradients)), explanation=each)
    software = SoftwareIdentity("peer", VERSION, {}, device, "")
    wrapped, explaining = (
        Pipeline(plain, lung_network, network, software)  # type: ignore[arg-type]
        for network in (InFloat32(classifier), classifier)
    )
    lungs = wrapped.segment(volume)
    stage("lungs")
    classified = wrapped.classify(volume, lungs)
    stage("classification")
    findings = explaining.explain(volume, lungs, classified)
    stage("saliency")
    writer = make_segmentation_writer(graph, ("Right lung", "Left lung", "Salient"), omit_empty=False)
    labels = findings.lungs.astype(np.uint8)
    if findings.salient is not None:
        labels[(findings.salient > 0) & (findings.lungs > 0)] = 3
    writer.create_dicom_seg(labels[order], series, results)
    text = json.dumps(
        {
            "label": findings.prediction.label,
            "probabilities": findings.prediction.probabilities,
            "boxes": len(findings.boxes),
        }
    )
    DICOMTextSRWriterOperator(
        graph, output_folder=results, model_info=ModelInfo(), equipment_info=EquipmentInfo(), name="sr_writer"
    ).write(text, series, results)
    stage("writing")
    np.savez(
        results / "peer.npz",
        lungs=findings.lungs,
        uids=np.array([str(header.SOPInstanceUID) for header in headers[order]]),
        slices=np.array([finding.index for finding in findings.slices]),
        probabilities=np.array([finding.probabilities for finding in findings.slices]),
        study=np.array(findings.prediction.probabilities),
        boxes=np.array([[box.slice_index, *_bounds(box.place)] for box in findings.boxes]).reshape(-1, 5),
    )
    return seconds


def _bounds(place: tuple[slice, slice]) -> tuple[int, int, int, int]:
    return place[0].start, place[0].stop, place[1].start, place[1].stop


def _volume_of(hu: np.ndarray, headers: Sequence[Dataset]) -> CTVolume:
    """The SDK's array with the geometry of its headers."""
    positions = np.array([header.ImagePositionPatient for header in headers], dtype=float)
    along_row, along_column = np.array(headers[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    step = (positions[-1] - positions[0]) / (len(headers) - 1)
    slice_mm = float(np.linalg.norm(step))
    row_mm, column_mm = (float(value) for value in headers[0].PixelSpacing)
    directions = np.stack([step / slice_mm, along_column, along_row])
    return CTVolume(hu, (slice_mm, row_mm, column_mm), positions[0], directions)


def main(arguments: list[str] | None = None) -> int:
    """Write peer.json: seconds by stage, peak MiB, the GPU's too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer", description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--settings", type=Path, default=SETTINGS_FILE, help="default app.yaml")
    options = parser.parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    seconds = analyse(options.study, options.results, load_settings(options.settings))
    gpu = torch.cuda.max_memory_reserved() / 2**20 if torch.cuda.is_available() else 0.0
    told = json.dumps({"seconds": seconds, "peak_mib": status_mib("VmHWM"), "gpu_mib": gpu})
    (options.results / "peer.json").write_text(told + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
