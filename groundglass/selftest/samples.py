"""Bad input, one sample for each way in which a run must end without a result for everything: made by code."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydicom import Dataset, dcmread

from groundglass.domain.volume import CTVolume
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.selftest.installed_copy import Copy

SECRET = "SECRET"
"""Stands in every name, identifier and description of the samples, so that a log that repeats one is found out."""


@dataclass(frozen=True)
class Call:
    """What the application is called with."""

    study: Path
    out: Path
    models: Path
    settings: Path


@dataclass(frozen=True)
class Sample:
    """One way to go wrong.

    Attributes:
        what: is wrong, in words.
        make: writes what is needed into a new folder, and may change the call.
        exit_code: that the application must end with.
        said: must stand in what it tells or in result.json: a reason's code, or what a person needs to know.
    """

    what: str
    make: Callable[[Path, Call], Call]
    exit_code: int
    said: str


def prepare(sample: Sample, folder: Path, copy: Copy) -> Call:
    """Write the sample into `folder`, which is made here; returns how to call the application on it."""
    call = Call(folder / "study", folder / "out", copy.models, copy.settings_file)
    call.study.mkdir(parents=True)
    return sample.make(folder, call)


@lru_cache(maxsize=1)
def _small_chest() -> CTVolume:
    return make_thorax("normal", slices=32, size=64)[0]


def write_series(folder: Path, edit: Callable[[Dataset], None] = lambda image: None) -> list[Path]:
    """A small phantom with secrets in its headers; `edit` changes each image. Returns the files from head to feet."""
    files = write_study(_small_chest(), folder, preset="normal")
    for file in files:
        image = dcmread(file)
        image.PatientName, image.PatientID = f"{SECRET}^NAME", f"{SECRET}-ID"
        image.AccessionNumber, image.ReferringPhysicianName = f"{SECRET}-ACC", f"{SECRET}^PHYSICIAN"
        image.StudyDescription = image.SeriesDescription = f"{SECRET} description"
        image.InstitutionName = image.ProtocolName = f"{SECRET} place"
        edit(image)
        image.save_as(file, enforce_file_format=True)
    return files


def _no_dicom(folder: Path, call: Call) -> Call:
    (call.study / "notes.txt").write_text("no DICOM", encoding="utf-8")
    return call


def _no_ct(folder: Path, call: Call) -> Call:
    write_series(call.study, lambda image: setattr(image, "Modality", "MR"))
    return call


def _gap(folder: Path, call: Call) -> Call:
    write_series(call.study)[13].unlink()
    return call


def _damaged(folder: Path, call: Call) -> Call:
    last = write_series(call.study)[-1]  # at the end of the series, where no gap gives it away
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    return call


def _few_slices(folder: Path, call: Call) -> Call:
    for file in write_series(call.study)[10:]:
        file.unlink()
    return call


def _no_input_folder(folder: Path, call: Call) -> Call:
    call.study.rmdir()
    return call


def _unwritable_output(folder: Path, call: Call) -> Call:
    call.out.write_text("a file stands where the folder has to be", encoding="utf-8")
    return call


def _changed_weights(folder: Path, call: Call) -> Call:
    models = folder / "models"
    shutil.copytree(call.models, models, copy_function=shutil.copyfile)
    file = next((models / "classifier").iterdir())
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return Call(call.study, call.out, models, call.settings)


def _no_weights(folder: Path, call: Call) -> Call:
    return Call(call.study, call.out, call.study, call.settings)


def _misspelt_setting(folder: Path, call: Call) -> Call:
    settings = folder / "app.yaml"
    text = call.settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("maximum_slices:", "maximum_slicse:"), encoding="utf-8")
    return Call(call.study, call.out, call.models, settings)


SAMPLES = {
    "no DICOM": Sample("a folder without DICOM", _no_dicom, 3, "No series can be analysed"),
    "no CT": Sample("a series that is no CT", _no_ct, 3, "not CT"),
    "few slices": Sample("a CT of ten slices", _few_slices, 3, "slices"),
    "gap": Sample("a series in which a slice is missing", _gap, 4, "GAP"),
    "damaged": Sample("a series with a file cut in half", _damaged, 4, "DAMAGED_FILES"),
    "no input": Sample("an input folder that does not exist", _no_input_folder, 2, "does not exist"),
    "no output": Sample("an output folder that can't be written", _unwritable_output, 2, "can't be written"),
    "changed weights": Sample("a weight file of which one bit is another", _changed_weights, 2, "SHA-256"),
    "no weights": Sample("a model folder without the weights", _no_weights, 2, "is missing from the model folder"),
    "wrong setting": Sample("a misspelt setting", _misspelt_setting, 2, "maximum_slices"),
}
