"""The graph, and nothing else."""

from collections.abc import Callable

from monai.deploy.core import Application

from groundglass.dicomio.reading.scan import Scan
from groundglass.domain.software import NAME
from groundglass.run import Run
from operators.ct_volume import CTVolumeOperator
from operators.dicom_loader import DICOMLoaderOperator
from operators.dicom_writer import DICOMWriterOperator
from operators.lung_segmentation import LungSegmentationOperator
from operators.saliency import SaliencyOperator
from operators.series_selector import SeriesSelectorOperator
from operators.slice_classifier import SliceClassifierOperator


class GroundglassApplication(Application):
    """Chest CT in, DICOM SEG, SR and key images out: each operator does one step of the run."""

    def __init__(self, scan: Callable[[], Scan], steps: Run) -> None:
        self._scan = scan
        self._steps = steps
        # Not the command line, which the engine would take: it knows no path whose bytes are no UTF-8.
        super().__init__([NAME])

    def compose(self) -> None:
        run = self._steps
        loader = DICOMLoaderOperator(self, scan=self._scan, run=run, name="dicom_loader")
        selector = SeriesSelectorOperator(self, run=run, ask_for_next=loader.resume, name="series_selector")
        volume = CTVolumeOperator(self, run=run, name="ct_volume")
        lungs = LungSegmentationOperator(self, run=run, name="lung_segmentation")
        classifier = SliceClassifierOperator(self, run=run, name="slice_classifier")
        saliency = SaliencyOperator(self, run=run, name="saliency_and_boxes")
        writer = DICOMWriterOperator(self, run=run, ask_for_next=loader.resume, name="dicom_writer")

        self.add_flow(loader, selector, {("dicom_study_list", "dicom_study_list")})
        self.add_flow(selector, volume, {("study_selected_series_list", "study_selected_series_list")})
        self.add_flow(volume, lungs, {("image", "image")})
        self.add_flow(lungs, classifier, {("seg_image", "seg_image")})
        self.add_flow(classifier, saliency, {("classified_slices", "classified_slices")})
        self.add_flow(saliency, writer, {("findings", "findings")})
