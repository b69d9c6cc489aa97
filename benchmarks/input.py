"""From a folder to a volume, ours against the SDK's: `python -m benchmarks.input`, a part of `make bench`.

In one process both find the series of a folder, choose the CT and make one array of it: ours with scan, selection and
volume, the SDK with its loader, its selector and its series-to-volume operator, called as plain objects. They take
turns; the medians make the ratio. Memory is measured in a process for each, as the rise of the resident memory over
what it was before, after a small series has loaded every library. Last comes a scan of many files, as an archive's
export has them.
"""

import argparse
import ctypes
import gc
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from benchmarks.machine import describe_machine, machine_in_words
from benchmarks.memory import status_mib
from benchmarks.report_files import write_report
from benchmarks.sdk import make_graph, make_reader
from groundglass.dicomio.reading.measures import order_by_position
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.presets import SHIPPED
from groundglass.study import read_study

RESULTS = Path(__file__).resolve().parent / "results"
REPOSITORY = RESULTS.parent.parent
OURS, SDK = "ours", "SDK"

Loaded = tuple[np.ndarray, list[str]]
"""The volume `(slice, row, col)`, and the SOP Instance UID of each slice."""


def load_with_ours(folder: Path) -> Loaded:
    """Scan, selection and volume, with the application's rules."""
    read = read_study(folder, SHIPPED.selection)
    return read.volume.hu, [str(header.SOPInstanceUID) for header in read.sources]


def make_sdk_loader() -> Callable[[Path], Loaded]:
    """The SDK's three operators, with a rule that asks for CT."""
    read = make_reader(make_graph())

    def load(folder: Path) -> Loaded:
        volume, series = read(folder)
        return volume, [str(item.get_native_sop_instance().SOPInstanceUID) for item in series.get_sop_instances()]

    return load


def loader_of(name: str) -> Callable[[Path], Loaded]:
    """One of the two, by its name."""
    return load_with_ours if name == OURS else make_sdk_loader()


def measure_seconds(folder: Path, repeat: int) -> dict[str, list[float]]:
    """Seconds of every turn of each, after one round that does not count."""
    loaders = {name: loader_of(name) for name in (SDK, OURS)}
    seconds: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(repeat + 1):
        for name, load in loaders.items():
            gc.collect()  # nobody clears away what the one before left
            start = time.perf_counter()
            load(folder)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def differing_voxels(folder: Path) -> int:
    """How many voxels of slices that both have differ."""
    ours, our_uids = load_with_ours(folder)
    theirs, their_uids = make_sdk_loader()(folder)
    if sorted(our_uids) != sorted(their_uids):
        raise ValueError("The two have not read the same slices.")
    return sum(
        int(np.count_nonzero(ours[index] != theirs[their_uids.index(uid)])) for index, uid in enumerate(our_uids)
    )


def _rise_mib(work: Callable[[], Any]) -> float:
    """How far the resident memory rises above what it was, while `work` runs."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = status_mib("VmRSS")
    result = work()
    rise = status_mib("VmHWM") - before
    del result
    return rise


def _measure_rise(name: str, folder: Path, small: Path) -> float:
    load = loader_of(name)
    load(small)
    return _rise_mib(lambda: load(folder))


def _measure_scan(folder: Path, small: Path) -> tuple[float, float, int]:
    scan_folder(small)
    seconds: list[float] = []

    def scan() -> Any:
        start = time.perf_counter()
        found = scan_folder(folder)
        seconds.append(time.perf_counter() - start)
        return found

    rise = _rise_mib(scan)
    return seconds[0], rise, sum(len(series.instances) for series in scan_folder(folder).series)


def in_own_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `work` in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def write_many(template: Path, folder: Path, count: int) -> None:
    """`count` files of the size of `template`, 200 a series, with UIDs of their own; their pixels take no disk."""
    folder.mkdir(parents=True)
    header = dcmread(template)
    content = template.read_bytes()
    content = content[: content.index(header.PixelData)]
    instance, series = header.SOPInstanceUID.encode(), header.SeriesInstanceUID.encode()
    for index in range(count):
        path = folder / f"{index // 200:03d}" / f"{index % 200:03d}"
        path.parent.mkdir(exist_ok=True)
        own = content.replace(instance, instance[:-6] + b"%06d" % (100_000 + index))
        path.write_bytes(own.replace(series, series[:-4] + b"%04d" % (1000 + index // 200)))
        os.truncate(path, template.stat().st_size)


def copy_few(folder: Path, to: Path) -> Path:
    """Every fourth slice, to load the libraries with."""
    to.mkdir()
    (series,) = scan_folder(folder).series
    for index, header in enumerate(order_by_position(series.instances)[::4]):
        shutil.copy(str(header.filename), to / f"{index}")
    return to


def measure(studies: dict[str, Path], many: Path, work: Path, repeat: int) -> dict[str, Any]:
    """Everything that the table tells."""
    rows = {}
    for number, (name, folder) in enumerate(studies.items()):
        small = copy_few(folder, work / f"small-{number}")
        volume_mib = load_with_ours(folder)[0].nbytes / 2**20
        seconds = measure_seconds(folder, repeat)
        rows[name] = {
            "seconds": seconds,
            "ratio": statistics.median(seconds[SDK]) / statistics.median(seconds[OURS]),
            "volume_mib": volume_mib,
            "rise_mib": {who: in_own_process(_measure_rise, who, folder, small) for who in (SDK, OURS)},
            "differing_voxels": differing_voxels(folder),
        }
    scan_seconds, scan_mib, files = in_own_process(_measure_scan, many, work / "small-0")
    return {
        "machine": describe_machine(),
        "repeat": repeat,
        "rows": rows,
        "scan": {"files": files, "seconds": scan_seconds, "rise_mib": scan_mib},
    }


def as_markdown(report: dict[str, Any]) -> str:
    """The table in Markdown."""
    machine, scan = report["machine"], report["scan"]
    lines = [
        "# From a folder to a volume, against the SDK's three operators",
        "",
        f"Medians of {report['repeat']} turns each in one process, [least to most], "
        f"{machine_in_words(machine)}. Memory: the highest resident memory above that before, "
        "in a process for each, the volume included. Written by `python -m benchmarks.input`.",
        "",
        "| study | SDK, s | ours, s | SDK / ours | SDK, MiB | ours, MiB | of the volume | voxels that differ |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in report["rows"].items():
        seconds = [
            f"{statistics.median(row['seconds'][who]):.2f} [{min(row['seconds'][who]):.2f} to "
            f"{max(row['seconds'][who]):.2f}]"
            for who in (SDK, OURS)
        ]
        rise = row["rise_mib"]
        lines.append(
            f"| {name} | {seconds[0]} | {seconds[1]} | {row['ratio']:.1f} | {rise[SDK]:.0f} | {rise[OURS]:.0f} | "
            f"{rise[OURS] / row['volume_mib']:.2f} x {row['volume_mib']:.0f} MiB | {row['differing_voxels']} |"
        )
    lines += [
        "",
        f"Scan of {scan['files']} files of 512 KiB: {scan['seconds']:.1f} s, {scan['rise_mib']:.0f} MiB.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Print the table and keep it, with every number behind it, in benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.input", description=__doc__)
    parser.add_argument("--repeat", type=int, default=9, help="turns that count (default 9)")
    parser.add_argument("--slices", type=int, default=300, help="slices of the phantom (default 300)")
    parser.add_argument("--files", type=int, default=20_000, help="files of the scan (default 20000)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default benchmarks/results")
    options = parser.parse_args(arguments)
    data = Path(os.environ.get("GROUNDGLASS_DATA", REPOSITORY / "../shared/data")).resolve() / "dicom" / "P001"
    with tempfile.TemporaryDirectory() as folder:
        phantom, many = Path(folder) / "phantom", Path(folder) / "many"
        volume, _ = make_thorax("covid19", slices=options.slices, size=512)
        files = write_study(volume, phantom, preset="covid19")
        del volume
        write_many(files[0], many, options.files)
        studies = {f"phantom, {options.slices} slices, uncompressed": phantom}
        if data.is_dir():
            studies["P001, 148 slices, JPEG Lossless"] = data
        else:
            print("P001 is left out: no folder 'dicom/P001' under GROUNDGLASS_DATA.")
        report = measure(studies, many, Path(folder), options.repeat)
    write_report(report, as_markdown(report), options.out, "input")
    return 0


if __name__ == "__main__":
    sys.exit(main())
