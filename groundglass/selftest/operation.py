"""Operational qualification: does the application find what is known to be there, and write what it promises?

Each function judges the runs of `runs`: what was found is held against the phantoms' truth, in patient coordinates.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import highdicom as hd
import jsonschema
import numpy as np
from pydicom import Dataset, dcmread

from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, on_grid
from groundglass.phantom.study import BIRTH_DATE
from groundglass.selftest import installation, readers
from groundglass.selftest.check import Measured, NotApplicable, listed
from groundglass.selftest.outputs import Output, read_outputs
from groundglass.selftest.runs import EARLIER_RESULT, OTHER_FILE, Phantom, Run, Runs
from groundglass.selftest.samples import SAMPLES, SECRET

VOLUME_PERCENT = 5.0
DICE = 0.95
CENTRE_MM = 3.0
TOP_BOXES, TOP_BOXES_ON_LESIONS = 10, 7
LESION_PART = 0.1
"""Part of a box that lesions must fill for it to be on them."""
LESIONS_FOUND = 0.75
FIRST_RUN_S, SECOND_RUN_S, SAMPLE_S, TERMINATION_S = 900.0, 450.0, 90.0, 5.0
"""On two cores without a GPU, with about as much again to spare."""
PEAK_MIB = 4096.0

_SIDES = {"right": RIGHT_LUNG, "left": LEFT_LUNG}
_CREATION = ("InstanceCreation", "Content", "PresentationCreation")
_TIMES_OF_CREATION = (*(f"{part}{unit}" for part in _CREATION for unit in ("Date", "Time")), "ContributionDateTime")


# The command line


def help_and_version(runs: Runs) -> Measured:
    """It answers, and tells its exit codes."""
    command = [sys.executable, "-B", "-m", "app", "--help"]
    done = subprocess.run(command, cwd=runs.copy.code, capture_output=True, text=True, timeout=60, check=False)
    missing = [str(code) for code in range(6) if f"\n  {code}  " not in done.stdout]
    problems = [f"the exit code {code} is not explained" for code in missing]
    if done.returncode:
        problems.append(f"--help ended with exit code {done.returncode}")
    return listed(problems, f"version {runs.copy.version}; --help explains the exit codes 0 to 5")


def phantoms_analysed(runs: Runs) -> Measured:
    """Whether every phantom became a case that was analysed."""
    run = runs.first
    cases = [case["status"] for case in run.result.get("cases", [])]
    figures = f"exit code {run.code}, status {run.result.get('status', 'missing')}, cases: {', '.join(cases) or 'none'}"
    return Measured(run.code == 0 and cases == ["analysed"] * len(runs.phantoms), figures)


def other_files_listed(runs: Runs) -> Measured:
    """Files that are no DICOM are named, wherever they lie, and change nothing."""
    ignored = runs.first.result["files_ignored"]
    figures = "; ".join(f"{item['file']}: {item['reason']}" for item in ignored) or "no file was ignored"
    return Measured([item["file"] for item in ignored] == [f"deep/{OTHER_FILE}"], figures)


def contract_files(runs: Runs) -> Measured:
    """The output folder holds what result.json lists, and nothing else of the application."""
    problems, figures = [], []
    promised = {"result.json", OTHER_FILE}
    for phantom in runs.phantoms:
        case = runs.first.case_of(phantom)
        kinds = ["seg.dcm", "sr.dcm", "key-images.dcm", "preview.png", *(["boxes.dcm"] if case["boxes"] else [])]
        kinds += ["saliency.dcm"] if runs.copy.settings["output"]["saliency_map"] and case["boxes"] else []
        kinds += (
            ["salient-seg.dcm"] if runs.copy.settings["output"]["segmentation"] == "labelmap" and case["boxes"] else []
        )
        names = {f"{case['case']}.{kind}" for kind in kinds}
        promised |= names
        figures.append(f"{case['case']}: {', '.join(kinds)}")
        if set(case["outputs"]) != names:
            problems.append(f"{case['case']} lists {', '.join(case['outputs'])}")
    there = set(runs.first.files)
    problems += [f"{name} is missing" for name in sorted(promised - there)]
    problems += [f"{name} is not promised" for name in sorted(there - promised - {EARLIER_RESULT})]
    return listed(problems, f"{len(there)} files; {'; '.join(figures)}")


def earlier_results_replaced(runs: Runs) -> Measured:
    """Results of an earlier run would be taken for those of this one."""
    there = runs.first.files
    problems = [f"{EARLIER_RESULT} of an earlier run is still there"] if EARLIER_RESULT in there else []
    problems += [] if OTHER_FILE in there else [f"{OTHER_FILE}, which is not the application's, was removed"]
    return listed(problems, f"{EARLIER_RESULT} of an earlier run was removed, {OTHER_FILE} is still there")


def result_schema(runs: Runs) -> Measured:
    """Of every run that wrote a result.json."""
    path = runs.copy.code / "groundglass" / "result.schema.json"
    validator = jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
    results = [run.result for run in runs.made if run.result]
    problems = [f"{error.json_path}: {error.message}" for result in results for error in validator.iter_errors(result)]
    return listed(problems, f"{len(results)} files result.json, each as {path.name} has it")


def software_named(runs: Runs) -> Measured:
    """A result tells which software, weights and device made it."""
    software = runs.first.result["software"]
    hashes = {name: model["sha256"] for name, model in runs.copy.settings["models"].items()}
    named = {name: model["sha256"] for name, model in software["models"].items()}
    figures = f"{software['name']} {software['version']} on {software['device']}, weights "
    figures += ", ".join(f"{name} {sha256[:12]}…" for name, sha256 in named.items())
    return Measured(software["version"] == runs.copy.version and named == hashes, figures)


# What is found, against the truth


def lung_volumes(runs: Runs) -> Measured:
    """Volumes in result.json against the truth."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        lungs = runs.first.case_of(phantom)["lungs"]
        for side in _SIDES:
            true_ml = getattr(phantom.truth, f"{side}_ml")
            percent = 100 * (lungs[f"{side}_ml"] / true_ml - 1)
            as_expected &= abs(percent) <= VOLUME_PERCENT
            found_ml = lungs[f"{side}_ml"]
            figures.append(f"{phantom.preset.name} {side} {found_ml:.0f} of {true_ml:.0f} ml ({percent:+.1f} %)")
    return Measured(as_expected, "; ".join(figures))


def _lungs(runs: Runs, phantom: Phantom) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Side, its segment in the SEG file, put on the phantom's grid by patient coordinates, and the truth, both bool."""
    segmentation = hd.seg.segread(runs.first.out / f"{runs.first.case_of(phantom)['case']}.seg.dcm")
    for number in segmentation.segment_numbers:
        label = segmentation.get_segment_description(number).segment_label.lower()
        side = next((side for side in _SIDES if label.startswith(f"{side} lung")), None)
        if side is not None:
            volume = segmentation.get_volume(segment_numbers=[number], rescale_fractional=False)
            mask = volume.array[..., 0] > 0 if volume.array.ndim == 4 else volume.array == number
            yield side, on_grid(mask, volume.affine, phantom.volume.affine), phantom.truth.lungs == _SIDES[side]


def lung_overlap(runs: Runs) -> Measured:
    """Right is right, and every voxel is where the patient has it."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        sides = set()
        for side, mask, truth in _lungs(runs, phantom):
            dice = 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))
            as_expected &= bool(dice >= DICE)
            sides.add(side)
            figures.append(f"{phantom.preset.name} ({phantom.preset.patient_position}) {side} {dice:.3f}")
        as_expected &= sides == set(_SIDES)
    return Measured(as_expected, "; ".join(figures))


def lung_centres(runs: Runs) -> Measured:
    """How far each lung's centre, in patient coordinates, is from the true one."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        centres = {}
        for side, mask, truth in _lungs(runs, phantom):
            spacing_mm = np.array(phantom.volume.spacing_mm)
            offset_mm = (np.argwhere(mask).mean(axis=0) - np.argwhere(truth).mean(axis=0)) * spacing_mm
            centres[side] = float(np.linalg.norm(offset_mm))
        as_expected &= len(centres) == len(_SIDES) and max(centres.values()) <= CENTRE_MM
        said = ", ".join(f"{side} {mm:.1f} mm" for side, mm in centres.items())
        figures.append(f"{phantom.preset.name} ({phantom.preset.patient_position}): {said}")
    return Measured(as_expected, "; ".join(figures))


def classes(runs: Runs) -> Measured:
    """Diseased phantoms are told from the healthy one."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        prediction = runs.first.case_of(phantom)["prediction"]
        as_expected &= (prediction["label"] == "np") == (phantom.truth.label == "np")
        probabilities = ", ".join(f"{name} {value:.2f}" for name, value in prediction["probabilities"].items())
        figures.append(f"{phantom.preset.name}: {prediction['label']} ({probabilities})")
    return Measured(as_expected, "; ".join(figures))


@cache
def _box_contents(path: Path, phantom: Phantom) -> list[set[int]]:
    """Numbers of the true lesions that each box of a report covers, largest box first.

    The boxes are read from the report and put into the patient by the headers of the images that they refer to, so that
    neither result.json nor the application's own geometry is believed.
    """
    content: Any = hd.sr.srread(path).content
    to_index = np.linalg.inv(phantom.volume.affine)
    boxes = []
    for group in content.get_planar_roi_measurement_groups():
        reference = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        image = phantom.sources[reference.ReferencedSOPInstanceUID]
        first, last = group.roi.value.min(axis=0), group.roi.value.max(axis=0) - 1  # (column, row), outer edges
        corners = np.array([_position_mm(image, *corner) for corner in (first, last)])
        low, high = np.sort(np.rint(corners @ to_index[:3, :3].T + to_index[:3, 3]).astype(int), axis=0)
        inside = phantom.truth.lesions[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
        area_mm2 = next(float(item.value) for item in group.get_measurements() if item.name.meaning == "Area")
        # A box around everything would hold every lesion, and point at none.
        is_hit = np.count_nonzero(inside) >= LESION_PART * inside.size
        boxes.append((area_mm2, {int(number) for number in np.unique(inside) if number and is_hit}))
    return [numbers for _, numbers in sorted(boxes, key=lambda box: -box[0])]


def _report_of(runs: Runs, phantom: Phantom) -> Path:
    return runs.first.out / f"{runs.first.case_of(phantom)['case']}.sr.dcm"


def _position_mm(image: Dataset, column: float, row: float) -> np.ndarray:
    """Where the patient has the centre of a pixel (PS3.3 equation C.7.6.2.1-1)."""
    row_cosine, column_cosine = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3)
    row_mm, column_mm = (float(value) for value in image.PixelSpacing)
    first = np.array(image.ImagePositionPatient, dtype=float)
    position: np.ndarray = first + column * column_mm * row_cosine + row * row_mm * column_cosine
    return position


def top_boxes(runs: Runs) -> Measured:
    """The largest boxes of a diseased phantom lie on its lesions; a healthy one has none."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        boxes = _box_contents(_report_of(runs, phantom), phantom)
        if phantom.truth.label == "np":
            as_expected &= not boxes
            figures.append(f"{phantom.preset.name}: {len(boxes)} boxes")
            continue
        top = boxes[:TOP_BOXES]
        hits = sum(bool(numbers) for numbers in top)
        as_expected &= len(top) == TOP_BOXES and hits >= TOP_BOXES_ON_LESIONS
        figures.append(
            f"{phantom.preset.name}: {hits} of the {len(top)} largest, {sum(map(bool, boxes))} of all {len(boxes)}"
        )
    return Measured(as_expected, "; ".join(figures))


def lesions_found(runs: Runs) -> Measured:
    """How many of the true lesions any box covers, by patient coordinates."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        true = len(phantom.truth.lesion_list)
        found = len(set().union(*_box_contents(_report_of(runs, phantom), phantom)))
        as_expected &= found >= LESIONS_FOUND * true
        figures.append(f"{phantom.preset.name}: {found} of {true}")
    return Measured(as_expected, "; ".join(figures))


def lesion_sides(runs: Runs) -> Measured:
    """The largest lesions are in the lungs that have some; with lesions on both sides, both are found."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        values = phantom.truth.lungs[phantom.truth.lesions > 0]
        true = {side for side, value in _SIDES.items() if (values == value).any()}
        if not true:
            continue
        found = [lesion["lung"] for lesion in runs.first.case_of(phantom)["lesions"]]
        largest = found[: len(true)]
        as_expected &= set(largest) == true or ("both" in largest and len(true) == 2)
        said = f"largest {' and '.join(largest) or 'none'}, true {' and '.join(sorted(true))}"
        figures.append(f"{phantom.preset.name}: {said}")
    return Measured(as_expected, "; ".join(figures))


# What is written


def _outputs(runs: Runs, run: Run | None = None) -> list[Output]:
    return list(read_outputs((run or runs.first).out))


def _judged(runs: Runs, ending: str, judge: Any, what: str) -> Measured:
    """The errors that a function of `readers` finds in the first run's files of one kind."""
    outputs = [output for output in _outputs(runs) if output.path.name.endswith(ending)]
    if not outputs:
        return Measured(False, "There is no such file.")
    problems = [f"{output.path.name}: {error}" for output in outputs for error in judge(output)]
    return listed(problems, f"{len(outputs)} files, {what}")


segmentation_read = partial(
    _judged, ending="seg.dcm", judge=readers.highdicom_segmentation, what="read by highdicom; volumes as in result.json"
)
report_read = partial(
    _judged,
    ending=".sr.dcm",
    judge=readers.highdicom_report,
    what="parsed as TID 1500; numbers and boxes as in result.json",
)


def strict_reading(runs: Runs) -> Measured:
    """Of every DICOM file of every run, reports of refused series too."""
    outputs = [output for run in runs.made for output in (_outputs(runs, run) if run.result else [])]
    problems = [f"{output.path.name}: {error}" for output in outputs for error in readers.strict_pydicom(output)]
    return listed(problems, f"{len(outputs)} files, every value and pixel read without a complaint")


def presentation_states(runs: Runs) -> Measured:
    """The graphics are the boxes of result.json, on their images."""
    problems, drawn = [], 0
    for phantom in runs.phantoms:
        case = runs.first.case_of(phantom)
        path = runs.first.out / f"{case['case']}.boxes.dcm"
        if not case["boxes"]:
            problems += [f"{path.name} is there without a box"] if path.exists() else []
            continue
        keys = ("sop_instance_uid", "column_min", "row_min", "column_max", "row_max")
        wanted = sorted(tuple(box[key] for key in keys) for box in case["boxes"])
        found = sorted(_drawn_boxes(dcmread(path)))
        drawn += len(found)
        if found != wanted:
            missing = len(set(wanted) - set(found))
            problems.append(f"{path.name}: {missing} of {len(wanted)} boxes are not drawn where they were found")
    return listed(problems, f"{drawn} boxes, each drawn on its image")


def _drawn_boxes(state: Dataset) -> Iterator[tuple[str, int, int, int, int]]:
    for annotation in state.GraphicAnnotationSequence:
        (image,) = annotation.ReferencedImageSequence
        for graphic in annotation.GraphicObjectSequence:
            points = np.reshape(graphic.GraphicData, (-1, 2))
            (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
            yield str(image.ReferencedSOPInstanceUID), int(left), int(top), int(right) - 1, int(bottom) - 1


def key_images(runs: Runs) -> Measured:
    """Colour frames that a plain viewer shows, each with its source image."""
    problems, figures = [], []
    for phantom in runs.phantoms:
        path = runs.first.out / f"{runs.first.case_of(phantom)['case']}.key-images.dcm"
        images = dcmread(path)
        pixels = images.pixel_array.reshape(-1, images.Rows, images.Columns, 3)
        figures.append(f"{phantom.preset.name} {len(pixels)}")
        if len(pixels) != min(runs.copy.settings["output"]["key_images"], len(phantom.sources)):
            problems.append(f"{path.name} has {len(pixels)} frames")
        if len(images.SourceImageSequence) != len(pixels):
            problems.append(f"{path.name} names {len(images.SourceImageSequence)} sources of {len(pixels)} frames")
        problems += [f"{path.name}: frame {n} is empty" for n, frame in enumerate(pixels, 1) if np.ptp(frame) == 0]
    return listed(problems, f"frames: {', '.join(figures)}")


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
        if name.endswith((".seg.dcm", ".sr.dcm")) and not all(sha256 in text for sha256 in hashes):
            problems.append(f"{name} does not name the SHA-256 of the weights")
    return listed(problems, f"{len(outputs)} files, all with version and reservation")


# Again, beside a bad series


def repeated(runs: Runs) -> Measured:
    """Bit for bit, but for the times of creation."""
    phantom = runs.phantoms[0]
    cases = [run.case_of(phantom) for run in (runs.first, runs.second)]
    plain = [{k: v for k, v in case.items() if k not in ("case", "outputs", "timings_s")} for case in cases]
    problems = [f"result.json differs in {key}" for key in plain[0] if plain[0][key] != plain[1].get(key)]
    kinds = [[name.partition(".")[2] for name in case["outputs"]] for case in cases]
    if kinds[0] != kinds[1]:
        problems.append(f"the files differ: {', '.join(kinds[0])} and {', '.join(kinds[1])}")
    for kind in kinds[0]:
        paths = [run.out / f"{case['case']}.{kind}" for run, case in zip((runs.first, runs.second), cases, strict=True)]
        if kind.endswith(".dcm"):
            first, second = (_without_times(dcmread(path)) for path in paths)
            differing = {element.keyword for element in first if element != second.get(element.tag)}
            differing |= {element.keyword for element in second if element.tag not in first}
            problems += [f"{kind} differs in {keyword}" for keyword in sorted(differing)]
        elif paths[0].read_bytes() != paths[1].read_bytes():
            problems.append(f"{kind} differs")
    return listed(problems, f"{len(kinds[0])} files with the same UIDs, values and pixels; the same result.json")


def _without_times(dataset: Dataset) -> Dataset:
    for part in (dataset, *dataset.get("ContributingEquipmentSequence", [])):
        for keyword in _TIMES_OF_CREATION:
            part.pop(keyword, None)
    return dataset


def bad_beside_good(runs: Runs) -> Measured:
    """A series that can't be analysed does not stop another."""
    cases = runs.second.result["cases"]
    said = sorted(f"{case['status']} {(case['reason'] or {}).get('code', '')}".strip() for case in cases)
    figures = f"exit code {runs.second.code}, status {runs.second.result['status']}, cases: {', '.join(said)}"
    return Measured(runs.second.code == 5 and said == ["analysed", "refused GAP"], figures)


# Bad input, bad calls


def sample(runs: Runs, name: str) -> Measured:
    """Whether the application ends as it must on a sample of bad input, with a word of why."""
    expected, run = SAMPLES[name], runs.samples[name]
    told = run.told + json.dumps(run.result)
    problems = [f"exit code {run.code}"] if run.code != expected.exit_code else []
    problems += [] if expected.said in told else [f"'{expected.said}' is said nowhere"]
    problems += [f"{file} was written" for file in run.files if file.endswith((".seg.dcm", ".png", ".boxes.dcm"))]
    last = (run.told.strip().splitlines() or [""])[-1].replace(str(runs.folder), "…")
    return listed(problems, f"exit code {run.code}: {last}")


def no_patient_data_told(runs: Runs) -> Measured:
    """Nothing of a header is in what the application writes to its log."""
    words = {SECRET: "a name, an identifier or a description", "PHANTOM-": "an identifier", "Phantom^": "a name"}
    words |= {BIRTH_DATE: "a date of birth"}
    for phantom in runs.phantoms:
        words |= {str(phantom.header.StudyInstanceUID): "a UID", str(phantom.header.SeriesInstanceUID): "a UID"}
        words |= dict.fromkeys(phantom.sources, "a UID")
    told = [run.told for run in runs.made]
    problems = sorted({f"the log holds {what}" for word, what in words.items() for text in told if word in text})
    return listed(problems, f"{sum(map(len, told))} characters of {len(told)} runs, none of a header")


# Time and memory


def run_time(runs: Runs) -> Measured:
    """Seconds from start to end of each run, and of each stage of the first."""
    limits = {"first": (runs.first, FIRST_RUN_S), "second": (runs.second, SECOND_RUN_S)}
    limits |= {name: (run, SAMPLE_S) for name, run in runs.samples.items()}
    problems = [
        f"{name}: {run.seconds:.0f} s of {limit:.0f} s" for name, (run, limit) in limits.items() if run.seconds > limit
    ]
    longest = max(run.seconds for run in runs.samples.values())
    stages: dict[str, float] = {}
    for case in runs.first.result.get("cases", []):
        for stage, seconds in case["timings_s"].items():
            stages[stage] = stages.get(stage, 0) + seconds
    told = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in stages.items())
    figures = f"three phantoms {runs.first.seconds:.0f} s ({told}); one and a bad series {runs.second.seconds:.0f} s; "
    return listed(problems, f"{figures}bad input at most {longest:.0f} s")


def peak_memory(runs: Runs) -> Measured:
    """The largest resident memory of any run."""
    peak = max(run.peak_mib for run in runs.made)
    figures = f"three phantoms {runs.first.peak_mib:.0f} MiB, one and a bad series {runs.second.peak_mib:.0f} MiB"
    return Measured(peak <= PEAK_MIB, figures)


def termination(runs: Runs) -> Measured:
    """SIGTERM, as orchestrators send it, in the middle of the work."""
    seconds, left = runs.terminate()
    figures = f"ended after {seconds:.1f} s, leaving {', '.join(left) or 'nothing'}"
    return Measured(seconds <= TERMINATION_S and not left, figures)


def unchanged(runs: Runs) -> Measured:
    """The runs have written nothing into the application's own folders."""
    for measured in (installation.recorded_files(runs.copy), installation.added_files(runs.copy)):
        if not measured.as_expected:
            return measured
    return Measured(True, "all files as before")


def previews(runs: Runs) -> list[tuple[str, Path]]:
    """The preview of each phantom that was analysed and has one, with a line on what it shows."""
    shown = []
    for phantom in runs.phantoms:
        try:
            case = runs.first.case_of(phantom)
        except LookupError:
            continue  # the checks have told so
        preset = phantom.preset
        found = case["prediction"]["label"]
        truth = f"true class {phantom.truth.label}, found {found}"
        line = f"Phantom {preset.name}, stored {preset.patient_position}: {truth}"
        path = runs.first.out / f"{case['case']}.preview.png"
        if path.is_file():
            shown.append((line, path))
    return shown
