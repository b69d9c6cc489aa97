"""The analysis with its weights loaded: one input after another goes through the graph."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from app import NAME, VERSION
from app.accelerator import AcceleratorError, choose_device, load_cuda_runtime
from app.engine import import_engine
from app.settings import Settings, result_settings_sha256
from dicomio.scan import Scan
from method.classifier_network import MultiScaleClassifier
from method.folding import folded
from method.lung_network import LungUNet
from method.precision import fast_precision
from method.types import SoftwareIdentity
from method.weights import WeightsRefused, load_classifier, load_lung_network

if TYPE_CHECKING:  # it imports the graph's engine
    from operators.run_record import RunRecord

LOG = logging.getLogger("groundglass")


class AnalysisError(Exception):
    """The machine or the weights can't be used; the sentence says what to do."""


@dataclass(frozen=True)
class Analysis:
    """Settings, and both networks on the device that computes."""

    settings: Settings
    lung_network: LungUNet
    classifier: MultiScaleClassifier
    software: SoftwareIdentity

    def run(
        self, scan: Callable[[], Scan], output_folder: Path, progress: Callable[[str, int, int], None]
    ) -> "RunRecord":
        """Analyse every study of one input and write its DICOM files; result.json is left to the caller.

        Args:
            scan: finds the series of the input.
            output_folder: exists, and has no results of another run.
            progress: called with the stage, units done and units in all.

        Returns:
            What the run found.
        """
        # Imported only now: the graph's engine needs the CUDA runtime loaded, and the user named, before it is.
        from app.application import GroundglassApplication

        application = GroundglassApplication(
            scan, output_folder, self.settings, self.lung_network, self.classifier, self.software, progress
        )
        application.run()
        return application.record


def load_analysis(settings: Settings, model_folder: Path) -> Analysis:
    """Choose the device and load the weights.

    Raises:
        AnalysisError: the device can't be used, or a weight file is missing or another than the settings name.
    """
    try:
        load_cuda_runtime()
        device = choose_device(settings.device)
        if settings.device == "auto" and device == "cpu":
            LOG.info("No usable GPU was found: the CPU computes. Set device to cuda in app.yaml to insist on a GPU.")
        lungs, classifier = settings.lungs_weights, settings.classifier_weights
        lung_network = load_lung_network(model_folder / lungs.file, lungs.sha256)
        lung_network = folded(lung_network, fast_precision(torch.device(device))).to(device)
        slice_classifier = load_classifier(model_folder / classifier.file, classifier.sha256).to(device)
    except (AcceleratorError, WeightsRefused) as error:
        raise AnalysisError(str(error)) from error
    import_engine()
    hashes = {"lungs": lungs.sha256, "classifier": classifier.sha256}
    software = SoftwareIdentity(NAME, VERSION, hashes, device, result_settings_sha256(settings))
    return Analysis(settings, lung_network, slice_classifier, software)
