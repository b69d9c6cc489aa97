"""The objects that are checked, and how the application's own writers make them."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pydicom import Dataset

from conformance.series import Series, case_of
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.key_images import make_key_images, make_multiframe_key_images
from groundglass.dicomio.writing.parametric_map import make_saliency_map
from groundglass.dicomio.writing.presentation_state import make_presentation_state
from groundglass.dicomio.writing.report import make_refusal_report, make_report
from groundglass.dicomio.writing.rt_structure_set import make_structure_set
from groundglass.dicomio.writing.segmentation import make_region_segmentation, make_segmentation
from groundglass.dicomio.writing.summary import draw_summary, make_summary, make_summary_pdf
from groundglass.domain.software import SoftwareIdentity
from groundglass.rendering.slice_picture import key_slices
from groundglass.selftest.outputs import Output

WEIGHTS = {"lungs": "ab" * 32, "classifier": "cd" * 32}
SOFTWARE = SoftwareIdentity("groundglass", "0.1.0", WEIGHTS, "cpu", "ef" * 32)

Made = dict[str, Dataset]
"""The objects of a series that were made before, by name."""

REFUSAL = "refusal SR"


def _shown(of: AnalysedSeries) -> list[int]:
    return key_slices(of.findings, 3)


OBJECTS: dict[str, Callable[[AnalysedSeries, Made], Dataset | None]] = {
    "SEG": lambda of, made: make_segmentation(of),
    REFUSAL: lambda of, made: make_refusal_report(of.sources, SOFTWARE, "GAP", "A slice is missing."),
    "summary": lambda of, made: make_summary(of, draw_summary(of, _shown(of)), _shown(of)),
    "summary PDF": lambda of, made: make_summary_pdf(of, _shown(of)),
    "key image": lambda of, made: make_key_images(of, _shown(of)[:1])[0],
    "key images": lambda of, made: make_multiframe_key_images(of, _shown(of)),
    "saliency map": lambda of, made: make_saliency_map(of) if of.findings.saliency else None,
    "boxes": lambda of, made: make_presentation_state(of) if of.findings.boxes else None,
    "regions": lambda of, made: make_region_segmentation(of) if of.findings.boxes else None,
    "label map": lambda of, made: make_segmentation(of, "labelmap"),
    "regions label map": lambda of, made: make_region_segmentation(of, "labelmap") if of.findings.boxes else None,
    "structure set": lambda of, made: make_structure_set(of),
    "SR": lambda of, made: make_report(of, [one for name, one in made.items() if name != REFUSAL]),
}
"""Name in the table, and what makes the object: one line for each. None where a series has no such object."""


def write_outputs(series: Series, folder: Path, wanted: Callable[[str], bool]) -> Iterator[Output]:
    """Makes and writes the objects of a series whose names are `wanted`."""
    folder.mkdir(parents=True, exist_ok=True)
    analysed = AnalysedSeries(series.sources, series.volume, series.findings, SOFTWARE)
    made: Made = {}
    for name, make in OBJECTS.items():
        dataset = make(analysed, made)
        if dataset is None:
            continue
        made[name] = dataset
        if wanted(name):
            path = folder / f"{name.replace(' ', '-')}.dcm"
            write_dicom(dataset, path)
            case = None if name == REFUSAL else case_of(series)
            yield Output(series.name, name, path, dataset.SOPClassUID, series, case)
