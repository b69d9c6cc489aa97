"""OHIF, on an archive that holds the case: every object opens, and the screen shows what its file holds."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, ParametricMapStorage

from conformance import orthanc
from conformance.tools import find
from conformance.viewer.case import REPORTS, SEGMENTATIONS, Case, Region, Report, affine_of
from conformance.viewer.finding import Finding, compare_masks
from conformance.viewer.server import Measured, serving

HERE = Path(__file__).resolve().parent
_PACKAGES = HERE / "node_modules"
_OHIF = _PACKAGES / "@ohif" / "app" / "dist"
_ENDS_WITHIN_S = 1800
UNSUPPORTED = frozenset({GrayscaleSoftcopyPresentationStateStorage})
"""What OHIF 3.13.2 lists as a kind that it can't show."""
NOT_OPENED = frozenset({ParametricMapStorage})
"""What it lists and can't open: it takes the number of the map's images for that of the source's."""
_OUTLINE_TOLERANCE = 0.05
"""Of a pixel: the viewer computes places in millimetres, with 32 bits."""
_LOSSY_TOLERANCE = 2
"""Gray values by which two decoders of a lossy image may differ."""
_COLOURED = 12
"""Difference between the parts of a colour above which a pixel of the screen counts as no gray."""
_BROWSER_ARGUMENTS = (
    # Software rendering, the same on every machine.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-dev-shm-usage",
    "--force-device-scale-factor=1",
)


class ViewerFailed(Exception):
    """The viewer could not be installed, or did not get to its end; the text says where."""


def look(cases: Sequence[Case], pictures: Path | None) -> Iterator[Finding]:
    """Opens every object of every case.

    Args:
        cases: in the order in which they are opened.
        pictures: existing folder for a picture of each report, CASE-KIND.png.

    Raises:
        ToolMissing: Chromium, npm, Orthanc or DCMTK is not installed.
        ViewerFailed: OHIF did not start.
    """
    chromium = find("chromium")
    install()
    with orthanc.running() as archive:
        for case in cases:
            refused = archive.take(case.source_paths) + archive.store(case.outputs)
            what = f"{len(case.outputs)} object{'s' * (len(case.outputs) > 1)} stored in the archive"
            yield Finding("Orthanc", case.name, what, "\n".join(refused))
            if refused:  # what is not there would be waited for, minutes each
                return
        with serving(_OHIF, archive) as (address, measured), TemporaryDirectory(prefix="groundglass-ohif-") as folder:
            job = {
                "site": address,
                "chromium": chromium,
                # It refuses to start as root with a sandbox.
                "arguments": [*_BROWSER_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])],
                "studies": [_job(case, str(number), pictures) for number, case in enumerate(cases)],
            }
            Path(folder, "job.json").write_text(json.dumps(job), encoding="utf-8")
            said = _drive(Path(folder, "job.json"))
        for number, case in enumerate(cases):
            if str(number) not in measured:
                raise ViewerFailed(f"OHIF did not get to the end of the case '{case.name}': {said[-1000:]}")
            yield from compare(case, str(number), measured)


def install() -> None:
    """The pinned packages of npm, where they are not installed.

    Raises:
        ToolMissing: npm is not installed.
        ViewerFailed: npm failed.
    """
    npm, lock, installed = find("npm"), HERE / "package-lock.json", _PACKAGES / ".package-lock.json"
    if installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    # No package's own scripts run: none of these needs them.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ViewerFailed(f"npm failed: {(done.stdout + done.stderr).strip()[-1000:]}")
    installed.touch()


def _drive(job: Path) -> str:
    """Starts the browser and goes through the job; returns what the driver says."""
    try:
        done = subprocess.run(
            [find("node"), HERE / "ohif.mjs", job],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_ENDS_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return str(error)
    return done.stdout.decode("utf-8", "replace")


def _job(case: Case, place: str, pictures: Path | None) -> dict[str, Any]:
    """What ohif.mjs is to open: in each page a list of objects.

    A report of measurements has a second page, in which they are tracked: OHIF offers that only when nobody has leafed
    through them before.
    """
    source = str(case.sources[0].SOPInstanceUID)
    first = [{"name": "source", "kind": "image", "sop": source, "place": f"{place}/source"}]
    others = []
    for path, header in sorted(case.headers.items(), key=lambda item: _ORDER.index(_kind(item[1]))):
        name, kind = case.kind(path), _kind(header)
        if header.SOPClassUID in NOT_OPENED:
            continue
        item = {"name": name, "kind": kind, "sop": str(header.SOPInstanceUID), "place": f"{place}/{name}"}
        if pictures is not None and kind != "image":
            item["picture"] = str(pictures.resolve() / f"{case.name.replace(', ', '-')}-{name}.png")
        if kind == "segmentation":
            item["slice"] = str(case.sources[fullest_slice(case, path)].SOPInstanceUID)
        if kind == "report":
            item["title"] = str(header.ConceptNameCodeSequence[0].CodeMeaning)
            if Report.read(header).measures:
                picture = {"picture": item["picture"].replace(".png", "-tracked.png")} if "picture" in item else {}
                others.append([item | picture | {"kind": "tracking"}])
        first.append(item)
    return {"place": place, "uid": case.study_instance_uid, "pages": [first, *others]}


_ORDER = ("segmentation", "image", "report")
"""In which the kinds of objects are opened: a report that OHIF can't open may leave it in disorder."""


def _kind(header: Dataset) -> str:
    if header.SOPClassUID in SEGMENTATIONS:
        return "segmentation"
    return "report" if header.SOPClassUID in REPORTS else "image"


def fullest_slice(case: Case, path: Path) -> int:
    """The slice on which a Segmentation has most."""
    areas = sum(np.count_nonzero(mask, axis=(1, 2)) for _, mask in case.masks[path].values())
    return int(np.argmax(areas))


# Comparison


def compare(case: Case, place: str, measured: Measured) -> Iterator[Finding]:
    """What ohif.mjs sent of a case, against its files."""
    result = json.loads(measured[place])
    for name, problem in result["problems"]:
        yield Finding("OHIF", case.name, f"{name}: opened", problem)
    headers = {"source": case.sources[0]} | {case.kind(path): header for path, header in case.headers.items()}
    paths = {"source": case.source_paths[0]} | {case.kind(path): path for path in case.outputs}
    for name, header in headers.items():
        if header.SOPClassUID in NOT_OPENED:
            continue
        found = result["objects"].get(name, {})
        if found.get("unsupported", False) or header.SOPClassUID in UNSUPPORTED:
            yield _compare_support(case, name, header, found)
        elif _kind(header) == "segmentation":
            yield from _compare_segmentation(case, paths[name], f"{place}/{name}", found, measured)
        elif _kind(header) == "report":
            report = Report.read(header)
            findings = compare_measurements(case, report, found) if report.measures else compare_text(report, found)
            yield from (Finding("OHIF", case.name, f"{name}: {what}", problem) for what, problem in findings)
        else:
            yield _compare_pixels(case, name, paths[name], found, measured)


def _compare_support(case: Case, name: str, header: Dataset, found: dict[str, Any]) -> Finding:
    kind = header.SOPClassUID.name
    if header.SOPClassUID not in UNSUPPORTED:
        return Finding("OHIF", case.name, name, f"OHIF says that it can't show {kind}.")
    problem = "" if found.get("unsupported", False) else "OHIF shows this kind now: no more one of UNSUPPORTED."
    return Finding("OHIF", case.name, f"{name}: listed; OHIF can't show {kind}", problem)


def _compare_pixels(case: Case, name: str, path: Path, found: dict[str, Any], measured: Measured) -> Finding:
    dataset = dcmread(path)
    held = dataset.pixel_array.reshape(int(dataset.get("NumberOfFrames", 1)), dataset.Rows, dataset.Columns, -1)
    if "RescaleSlope" in dataset:
        held = held * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    tolerance = _LOSSY_TOLERANCE if dataset.get("LossyImageCompression") == "01" else 0
    shown = found.get("pixels", {})
    what = f"{name}: {len(held)} image{'s' * (len(held) > 1)}, every pixel"
    if len(shown) != len(held):
        return Finding("OHIF", case.name, what, f"OHIF shows {len(shown)} images.")
    differing = 0
    for frame, (place, kind) in zip(held, shown.items(), strict=True):
        dtype = np.dtype(kind.removesuffix("Array").removesuffix("Clamped").lower())
        pixels = np.frombuffer(measured[place], dtype).reshape(*frame.shape[:2], -1)
        # A browser's colours have an alpha.
        apart = np.abs(pixels[..., : frame.shape[2]].astype(float) - frame).max(axis=-1)
        differing += int(np.count_nonzero(apart > tolerance))
    return Finding("OHIF", case.name, what, f"{differing} pixels differ." if differing else "")


def _compare_segmentation(
    case: Case, path: Path, place: str, found: dict[str, Any], measured: Measured
) -> Iterator[Finding]:
    slices = {source.SOPInstanceUID: index for index, source in enumerate(case.sources)}
    masks = case.masks[path]
    shape = next(iter(masks.values()))[1].shape
    layers = [
        (slices.get(uid), np.frombuffer(measured[layer], np.uint8).reshape(shape[1:]))
        for layer, uid in found.get("voxels", {}).items()
    ]
    labels = {int(number): label for number, label in found.get("segments", {}).items()}
    for number, (label, mask) in masks.items():
        shown = np.zeros(shape, bool)
        for index, layer in layers:
            if index is not None:
                shown[index] |= layer == number
        problem = compare_masks(mask, shown)
        if labels.get(number) != label:
            problem = f"OHIF names the segment {labels.get(number)!r}. {problem}".strip()
        yield Finding("OHIF", case.name, f"{case.kind(path)}: {label}, {np.count_nonzero(mask)} voxels", problem)
    if screen := measured.get(f"{place}/screen"):
        colours = np.frombuffer(screen, np.uint8).reshape(*shape[1:], 4)[..., :3].astype(int)
        coloured = colours.max(axis=-1) - colours.min(axis=-1) > _COLOURED
        index = fullest_slice(case, path)
        anything = np.any([mask[index] for _, mask in masks.values()], axis=0)
        what = f"{case.kind(path)}: on the screen, slice {index + 1}, {np.count_nonzero(anything)} pixels"
        yield Finding("OHIF", case.name, what, compare_masks(anything, coloured))


def compare_measurements(case: Case, report: Report, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A report whose regions OHIF shows on the images: what was looked at, and what is wrong with it."""
    held = Counter((region.uid, region.sop_instance_uid) for region in report.regions)
    measurements = found.get("measurements", [])
    loaded = Counter((item["uid"], item.get("sop", "")) for item in measurements if item["loaded"])
    problem = (
        "" if loaded == held else f"OHIF has {len(measurements)} measurements, {sum((loaded & held).values())} right."
    )
    yield f"{len(report.regions)} regions, as many measurements", problem
    if not report.regions:
        return
    right = found.get("seen", 0)
    problem = "" if right == len(report.regions) else f"Number {right + 1} does not come to its slice."
    yield f"{len(report.regions)} regions, each comes to its slice", problem
    drawn = {item["uid"]: item for item in found.get("outlines", [])}
    right = sum(_is_drawn(region, drawn.get(region.uid), case) for region in report.regions)
    problem = "" if right == len(report.regions) else f"{right} of {len(report.regions)} are drawn in their place."
    yield f"{len(report.regions)} regions, each drawn in its place", problem
    if found.get("trackable"):
        tracked, right = found.get("tracked", []), found.get("jumped", 0)
        slices = sorted(region.sop_instance_uid for region in report.regions)
        problem = "" if sorted(item["sop"] for item in tracked) == slices else f"OHIF tracks {len(tracked)} of them."
        yield f"{len(report.regions)} regions, each can be tracked", problem
        problem = "" if right == len(report.regions) else f"Number {right + 1} does not jump to its slice."
        yield f"{len(report.regions)} tracked regions, each jumps to its slice", problem


def _is_drawn(region: Region, drawn: dict[str, Any] | None, case: Case) -> bool:
    if drawn is None or drawn["sop"] != region.sop_instance_uid:
        return False
    source = next((source for source in case.sources if source.SOPInstanceUID == region.sop_instance_uid), None)
    if source is None:
        return False
    points = np.column_stack([np.array(drawn["points"], float), np.ones(len(drawn["points"]))])
    places = np.linalg.inv(_plane(source)) @ points.T
    # From the centre of the first pixel to its corner.
    outline = np.column_stack([places[2], places[1]]) + 0.5
    return len(outline) == len(region.outline) and np.allclose(outline, region.outline, atol=_OUTLINE_TOLERANCE)


def _plane(source: Dataset) -> np.ndarray:
    """Of one image: its normal in the place of the step from slice to slice."""
    affine = affine_of([source])
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    affine[:3, 0] = normal / np.linalg.norm(normal)
    return affine


def compare_text(report: Report, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A report that OHIF shows as text: what was looked at, and what is wrong with it."""
    words = " ".join(found.get("text", "").split())
    missing = [text for text in report.texts if " ".join(text.split()) not in words]
    problem = f"{len(missing)} are missing: {missing[0]!r}" if missing else ""
    if found.get("measured"):
        problem = "OHIF takes it for an Imaging Measurement Report."
    yield f"{len(report.texts)} texts, each on the screen", problem
