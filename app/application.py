"""The graph, and nothing else."""

from collections.abc import Callable
from pathlib import Path

from monai.deploy.core import Application

from app.settings import Settings
from dicomio.scan import Scan
from method.classifier_network import MultiScaleClassifier
from method.lung_network import LungUNet
from method.types import SoftwareIdentity
from operators.ct_volume import CTVolumeOperator
from operators.dicom_loader import DICOMLoaderOperator
from operators.dicom_writer import DICOMWriterOperator
from operators.lung_segmentation import LungSegmentationOperator
from operators.run_record import RunRecord
from operators.saliency import SaliencyOperator
from operators.series_selector import SeriesSelectorOperator
from operators.slice_classifier import SliceClassifierOperator


class GroundglassApplication(Application):
    """Chest CT in, DICOM SEG, SR and key images out."""

    def __init__(
        self,
        scan: Callable[[], Scan],
        output_folder: Path,
        settings: Settings,
        lung_network: LungUNet,
        classifier: MultiScaleClassifier,
        software: SoftwareIdentity,
        progress: Callable[[str, int, int], None],
    ) -> None:
        self._scan = scan
        self._output_folder = output_folder
        self._settings = settings
        self._lung_network = lung_network
        self._classifier = classifier
        self._software = software
        self._progress = progress
        self.record = RunRecord()
        super().__init__()

    def compose(self) -> None:
        settings, record, progress = self._settings, self.record, self._progress
        loader = DICOMLoaderOperator(self, scan=self._scan, record=record, name="dicom_loader")
        selector = SeriesSelectorOperator(
            self, rules=settings.selection, record=record, on_nothing=loader.resume, name="series_selector"
        )
        volume = CTVolumeOperator(self, threads=settings.decoding_threads, progress=progress, name="ct_volume")
        writer = DICOMWriterOperator(
            self,
            folder=self._output_folder,
            software=self._software,
            key_image_count=settings.key_images,
            segmentation_form=settings.segmentation,
            write_saliency_map=settings.saliency_map,
            record=record,
            on_done=loader.resume,
            progress=progress,
            name="dicom_writer",
        )
        lungs = LungSegmentationOperator(
            self,
            network=self._lung_network,
            windows=settings.lungs.windows,
            views=settings.lungs.views,
            grid_mm=settings.lungs.grid_mm,
            classifier_window=settings.classification.window,
            hide_outside_lungs=settings.classification.hide_outside_lungs,
            ensure_room=writer.ensure_room,
            progress=progress,
            name="lung_segmentation",
        )
        classifier = SliceClassifierOperator(
            self,
            network=self._classifier,
            minimum_lung_mm2=settings.classification.minimum_lung_mm2,
            study_rule=settings.classification.study_rule,
            progress=progress,
            name="slice_classifier",
        )
        saliency = SaliencyOperator(
            self,
            network=self._classifier,
            gradients=settings.gradients,
            rules=settings.explanation,
            progress=progress,
            name="saliency_and_boxes",
        )

        self.add_flow(loader, selector, {("dicom_study_list", "dicom_study_list")})
        self.add_flow(selector, volume, {("study_selected_series_list", "study_selected_series_list")})
        self.add_flow(volume, lungs, {("image", "image")})
        self.add_flow(lungs, classifier, {("seg_image", "seg_image")})
        self.add_flow(classifier, saliency, {("classified_slices", "classified_slices")})
        self.add_flow(saliency, writer, {("findings", "findings")})
