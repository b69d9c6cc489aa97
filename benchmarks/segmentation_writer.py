"""Our SEG writer against the SDK's, in one process: `python -m benchmarks.segmentation_writer`, a part of `make bench`.

Both get the same 300 headers in memory and the same labels, and end with a file on the disk. They take turns; the
quickest turn counts for the ratio, since what others do on the machine only ever adds. What each does besides is its
own affair: the SDK's reads its file back, ours copies headers that break the standard and waits for the disk.
Both leave empty frames out; salient regions are a file of their own for us, since they lie in the lungs.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from benchmarks.machine import describe_machine, machine_in_words
from benchmarks.sdk import make_graph, make_segmentation_writer
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom, write_text
from groundglass.dicomio.writing.segmentation import Form, make_region_segmentation, make_segmentation
from groundglass.domain.findings import UNLISTED_REGION, Findings, Prediction
from groundglass.domain.software import SoftwareIdentity
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax

RESULTS = Path(__file__).resolve().parent / "results"
SOFTWARE = SoftwareIdentity("groundglass", "bench", {"lungs": "0" * 64, "classifier": "0" * 64}, "cpu", "0" * 64)


def sdk_writer(
    headers: Sequence[Dataset], labels: np.ndarray, names: list[str], omit_empty: bool
) -> Callable[[Path], None]:
    """The SDK's operator on the labels `(slice, row, col)`, one segment a name."""
    operator = make_segmentation_writer(make_graph(), names, omit_empty)
    from monai.deploy.core.domain.dicom_series import DICOMSeries  # the graph has prepared the engine

    series = DICOMSeries(headers[0].SeriesInstanceUID)
    for header in headers:
        series.add_sop_instance(header)
    return lambda folder: operator.create_dicom_seg(labels, series, folder)


def our_writer(analysed: AnalysedSeries, form: Form) -> Callable[[Path], None]:
    """Our own."""

    def write(folder: Path) -> None:
        write_dicom(make_segmentation(analysed, form), folder / "lungs.dcm")
        if analysed.findings.salient is not None:
            write_dicom(make_region_segmentation(analysed, form), folder / "regions.dcm")

    return write


def make_writers(slices: int, size: int, folder: Path) -> dict[str, Callable[[Path], None]]:
    """Every row of the table, on a phantom of `slices` slices of `size` x `size`."""
    volume, truth = make_thorax("covid19", slices=slices, size=size)
    headers = [dcmread(path, stop_before_pixels=True) for path in write_study(volume, folder, preset="covid19")]
    salient = np.where(truth.lesions > 0, np.uint8(UNLISTED_REGION), np.uint8(0))
    prediction = Prediction((0.1, 0.1, 0.8), "present", "undetermined")
    lungs = Findings(truth.lungs, truth.right_ml, truth.left_ml, prediction, 0.1, ())
    both = replace(lungs, salient=salient)
    holed = np.where(salient > 0, np.uint8(3), truth.lungs).astype(np.uint8)  # the SDK's operator can't overlap

    def ours(findings: Findings, form: Form) -> Callable[[Path], None]:
        return our_writer(AnalysedSeries(headers, volume, findings, SOFTWARE), form)

    two, three = ["Right lung", "Left lung"], ["Right lung", "Left lung", "Salient"]
    return {
        "SDK, two lungs": sdk_writer(headers, truth.lungs, two, omit_empty=True),
        "ours, two lungs": ours(lungs, "binary"),
        "ours, label map of the lungs": ours(lungs, "labelmap"),
        "SDK, three segments": sdk_writer(headers, holed, three, omit_empty=True),
        "ours, lungs and salient regions": ours(both, "binary"),
        "ours, label maps of lungs and salient regions": ours(both, "labelmap"),
    }


def measure(writers: dict[str, Callable[[Path], None]], repeat: int) -> dict[str, tuple[float, float, float]]:
    """Quickest and median seconds, and MB, of each; the writers take turns, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in writers}
    sizes: dict[str, float] = {}
    for turn in range(repeat + 1):
        for name, write in writers.items():
            gc.collect()  # nobody clears away what the one before left
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                write(Path(folder))
                if turn:
                    seconds[name].append(time.perf_counter() - start)
                sizes[name] = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
    return {name: (min(seconds[name]), statistics.median(seconds[name]), sizes[name]) for name in writers}


def table(measured: dict[str, tuple[float, float, float]], slices: int, size: int, repeat: int) -> str:
    """The table in Markdown; each of ours is divided by the SDK's row with as many segments."""
    peers = {
        "ours, two lungs": "SDK, two lungs",
        "ours, label map of the lungs": "SDK, two lungs",
        "ours, lungs and salient regions": "SDK, three segments",
        "ours, label maps of lungs and salient regions": "SDK, three segments",
    }
    lines = [
        "# SEG writer against the SDK's",
        "",
        f"{slices} slices of {size} x {size}, {repeat} turns in one process, "
        f"{machine_in_words(describe_machine())}. Written by `python -m benchmarks.segmentation_writer`.",
        "",
        "| writer | quickest, s | median, s | MB | quickest to the SDK's with as many segments |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, (quickest, median, megabytes) in measured.items():
        ratio = f"{quickest / measured[peers[name]][0]:.2f}" if name in peers else ""
        lines.append(f"| {name} | {quickest:.2f} | {median:.2f} | {megabytes:.1f} | {ratio} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Print the table and keep it in benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segmentation_writer", description=__doc__)
    parser.add_argument("--repeat", type=int, default=7, help="turns that count (default 7)")
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--size", type=int, default=512, help="rows and columns")
    parser.add_argument("--out", type=Path, default=RESULTS / "segmentation_writer.md")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        writers = make_writers(options.slices, options.size, Path(folder) / "study")
        told = table(measure(writers, options.repeat), options.slices, options.size, options.repeat)
    write_text(told, options.out)
    print(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
