"""The SDK's operators, called as plain objects: what the benchmarks hold the application against."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.accelerator import load_cuda_runtime
from groundglass.dicomio.writing import codes


def make_graph() -> Any:
    """A graph without operators: an operator needs one to live in."""
    load_cuda_runtime()  # before the graph engine is imported
    from monai.deploy.core import Application

    class Graph(Application):
        """Composes nothing."""

        def compose(self) -> None:
            pass

    return Graph()


def make_reader(graph: Any) -> Callable[[Path], tuple[np.ndarray, Any]]:
    """Loader, selector and series-to-volume operator, with a rule that asks for CT.

    What it returns reads a folder: the volume `(slice, row, col)`, and the series whose instances have its order.
    """
    from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
    from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
    from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator

    loader = DICOMDataLoaderOperator(graph, name="loader")
    selector = DICOMSeriesSelectorOperator(graph, name="selector")
    to_volume = DICOMSeriesToVolumeOperator(graph, name="to_volume")
    rules = {"selections": [{"name": "CT", "conditions": {"Modality": "CT"}}]}

    def read(folder: Path) -> tuple[np.ndarray, Any]:
        selected = selector.filter(rules, loader.load_data_to_studies(folder))
        image = to_volume.convert_to_image(selected)
        return image.asnumpy(), selected[0].selected_series[0].series

    return read


def make_segmentation_writer(graph: Any, names: Sequence[str], omit_empty: bool) -> Any:
    """The Segmentation writer, one segment a name; `create_dicom_seg(labels, series, folder)` writes."""
    from monai.deploy.operators.dicom_seg_writer_operator import DICOMSegmentationWriterOperator, SegmentDescription

    descriptions = [
        SegmentDescription(
            segment_label=name,
            segmented_property_category=codes.ANATOMICAL_STRUCTURE,
            segmented_property_type=codes.LUNG,
            algorithm_name="bench",
            algorithm_version="1",
        )
        for name in names
    ]
    return DICOMSegmentationWriterOperator(
        graph,
        segment_descriptions=descriptions,
        output_folder=Path(),
        omit_empty_frames=omit_empty,
        name="sdk_seg_writer",
    )
