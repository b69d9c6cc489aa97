"""The DICOM objects that were written: each can be read, says what result.json says, and belongs to its source."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread

from groundglass.selftest import readers
from groundglass.selftest.check import Measured, NotApplicable, listed
from groundglass.selftest.outputs import Output, read_outputs
from groundglass.selftest.runs import Run, Runs

_Extent = tuple[str, int, int, int, int]
"""SOP Instance UID of an image, first and last column and row on it: column, row, column, row."""


def _outputs(runs: Runs, run: Run | None = None) -> list[Output]:
    return list(read_outputs((run or runs.first).out))


def _judged(runs: Runs, ending: str | tuple[str, ...], judge: Any, what: str) -> Measured:
    """The errors that a function of `readers` finds in the first run's files of one kind."""
    outputs = [output for output in _outputs(runs) if output.path.name.endswith(ending)]
    if not outputs:
        return Measured(False, "There is no such file.")
    problems = [f"{output.path.name}: {error}" for output in outputs for error in judge(output)]
    return listed(problems, f"{len(outputs)} files, {what}")


segmentation_read = partial(
    _judged,
    ending=(".seg.dcm", ".regions.dcm"),
    judge=readers.highdicom_segmentation,
    what="read by highdicom; volumes as in result.json",
)
report_read = partial(
    _judged,
    ending=".sr.dcm",
    judge=readers.highdicom_report,
    what="parsed as TID 1500; words, codes, numbers and boxes as in result.json",
)


def strict_reading(runs: Runs) -> Measured:
    """Of every DICOM file of every run, reports of refused series too."""
    outputs = [output for run in runs.made for output in (_outputs(runs, run) if run.result else [])]
    problems = [f"{output.path.name}: {error}" for output in outputs for error in readers.strict_pydicom(output)]
    return listed(problems, f"{len(outputs)} files, every value and pixel read without a complaint")


def presentation_states(runs: Runs) -> Measured:
    """The graphics outline what the boxes of result.json surround, on their images."""
    problems, drawn = [], 0
    for phantom in runs.phantoms:
        case = runs.first.case_of(phantom)
        path = runs.first.out / f"{case['case']}.boxes.dcm"
        if not case["boxes"]:
            problems += [f"{path.name} is there without a box"] if path.exists() else []
            continue
        keys = ("sop_instance_uid", "column_min", "row_min", "column_max", "row_max")
        wanted = {tuple(box[key] for key in keys) for box in case["boxes"]}
        found = set(_extents_of_outlines(dcmread(path)))
        drawn += len(wanted)
        missing = wanted - found
        if missing:
            problems.append(f"{path.name}: {len(missing)} of {len(wanted)} boxes have no outline where they were found")
        if not all(any(_is_within(outline, box) for box in wanted) for outline in found):
            problems.append(f"{path.name}: an outline lies where no box is")
    return listed(problems, f"{drawn} boxes, each with its outline on its image")


def _is_within(inner: _Extent, outer: _Extent) -> bool:
    """Whether an outline lies in a box: that of a hole is smaller."""
    image, left, top, right, bottom = inner
    return image == outer[0] and left >= outer[1] and top >= outer[2] and right <= outer[3] and bottom <= outer[4]


def _extents_of_outlines(state: Dataset) -> Iterator[_Extent]:
    for annotation in state.GraphicAnnotationSequence:
        (image,) = annotation.ReferencedImageSequence
        for graphic in annotation.GraphicObjectSequence:
            points = np.reshape(graphic.GraphicData, (-1, 2))
            (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
            yield str(image.ReferencedSOPInstanceUID), int(left), int(top), int(right) - 1, int(bottom) - 1


def key_images(runs: Runs) -> Measured:
    """The summary and the key images: colour images that a plain viewer shows, each with its source image."""
    problems, figures = [], []
    output = runs.copy.settings["output"]
    for phantom in runs.phantoms:
        name = runs.first.case_of(phantom)["case"]
        pictures = [runs.first.out / f"{name}.summary.dcm", *sorted(runs.first.out.glob(f"{name}.key-image*.dcm"))]
        shown = 0
        for number, path in enumerate(pictures, start=1):
            image = dcmread(path)
            frames = image.pixel_array.reshape(-1, image.Rows, image.Columns, 3)
            problems += [
                f"{path.name}: picture {n} is empty" for n, frame in enumerate(frames, 1) if np.ptp(frame) == 0
            ]
            if image.InstanceNumber != number:
                problems.append(f"{path.name} has the Instance Number {image.InstanceNumber}")
            if number == 1:
                continue
            shown += len(frames)
            if len(image.SourceImageSequence) != len(frames):
                problems.append(f"{path.name} names {len(image.SourceImageSequence)} sources of {len(frames)} pictures")
        if shown != min(output["key_images"], len(phantom.sources)):
            problems.append(f"{name} has {shown} key images")
        figures.append(f"{phantom.preset.name} {shown}")
    return listed(problems, f"summary and key images: {', '.join(figures)}")


def saliency_maps(runs: Runs) -> Measured:
    """The Parametric Map, where the settings ask for it."""
    if not runs.copy.settings["output"]["saliency_map"]:
        raise NotApplicable("app.yaml has output.saliency_map switched off.")
    problems, read = [], 0
    for path in sorted(runs.first.out.glob("*.saliency.dcm")):
        values = dcmread(path).pixel_array
        read += 1
        if not (np.isfinite(values).all() and values.min() >= -1 and values.max() <= 1):
            problems.append(f"{path.name} has values outside -1 to 1")
    return listed(problems if read else ["no such file was written"], f"{read} files, values within -1 and 1")


def references(runs: Runs) -> Measured:
    """Patient, study and frame of reference are the source's, and whatever is referred to exists."""
    problems, count = [], 0
    for phantom in runs.phantoms:
        paths = sorted(runs.first.out.glob(f"{runs.first.case_of(phantom)['case']}.*.dcm"))
        outputs = {path.name: dcmread(path) for path in paths}
        classes = {uid: str(header.SOPClassUID) for uid, header in phantom.sources.items()}
        classes |= {str(output.SOPInstanceUID): str(output.SOPClassUID) for output in outputs.values()}
        series = {uid: str(header.SeriesInstanceUID) for uid, header in phantom.sources.items()}
        series |= {str(output.SOPInstanceUID): str(output.SeriesInstanceUID) for output in outputs.values()}
        for name, output in outputs.items():
            problems += [f"{name}: {problem}" for problem in _identity_problems(output, phantom.header)]
            problems += [f"{name}: {problem}" for problem in _place_problems(output, phantom.header, series)]
            referred = [item for item in _items(output) if "ReferencedSOPInstanceUID" in item]
            count += len(referred)
            if not referred:
                problems.append(f"{name} refers to no image")
            for item in referred:
                known = classes.get(str(item.ReferencedSOPInstanceUID))
                if known is None or known != item.get("ReferencedSOPClassUID", known):
                    problems.append(
                        f"{name} refers to an object that is neither a source nor an output, or of another class"
                    )
    return listed(sorted(set(problems)), f"{count} references, each to a source image or an output of its kind")


def _identity_problems(output: Dataset, source: Dataset) -> Iterator[str]:
    keywords = ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID"]
    for keyword in [*keywords, "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"]:
        if output.get(keyword) != source.get(keyword):
            yield f"{keyword} is not the source's"
    if "FrameOfReferenceUID" in output and output.FrameOfReferenceUID != source.FrameOfReferenceUID:
        yield "FrameOfReferenceUID is not the source's"
    if output.SeriesInstanceUID == source.SeriesInstanceUID:
        yield "it claims to be of the source's series"


def _place_problems(output: Dataset, source: Dataset, series: dict[str, str]) -> Iterator[str]:
    """A PACS fetches what is referred to by the study and the series that the reference stands under."""
    for item in _items(output):
        if item.get("StudyInstanceUID", source.StudyInstanceUID) != source.StudyInstanceUID:
            yield "a reference is to another study"
        within = [one for element in item if element.VR == "SQ" for one in element.value]
        referred = [str(one.ReferencedSOPInstanceUID) for one in within if "ReferencedSOPInstanceUID" in one]
        if "SeriesInstanceUID" in item and any(series.get(uid) != item.SeriesInstanceUID for uid in referred):
            yield "a reference is to another series than that of its image"


def _items(dataset: Dataset) -> Iterator[Dataset]:
    """The data sets within a data set, at every depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _items(item)


def provenance(runs: Runs) -> Measured:
    """Every file tells its software and its reservation; segmentation and report name the weights."""
    problems, outputs = [], _outputs(runs)
    hashes = [model["sha256"] for model in runs.copy.settings["models"].values()]
    for output in outputs:
        name, dataset = output.path.name, dcmread(output.path)
        text = "\n".join(str(element.value) for element in dataset.iterall() if element.VR in ("LT", "UT", "ST", "LO"))
        if "research" not in dataset.SeriesDescription.lower():
            problems.append(f"{name}: its series' description lacks the reservation")
        if dataset.get("SoftwareVersions") not in (runs.copy.version, [runs.copy.version]):
            problems.append(f"{name}: its software version is {dataset.get('SoftwareVersions')}")
        if name.endswith((".seg.dcm", ".regions.dcm", ".sr.dcm")) and not all(sha256 in text for sha256 in hashes):
            problems.append(f"{name} does not name the SHA-256 of the weights")
    return listed(problems, f"{len(outputs)} files, all with version and reservation")
