"""A DICOM study as one CT volume: scan, choice of the series, geometry, pixels."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.select import SelectionRules, choose_series
from groundglass.dicomio.reading.volume import ReadSeries, read_grid
from groundglass.domain.errors import UsageError
from groundglass.settings import load_settings


def read_study(folder: Path | str, rules: SelectionRules | None = None) -> ReadSeries:
    """The chest CT of a study that suits best by its headers, as a volume with its headers.

    Whether it shows the lungs whole is seen only in the volume; `groundglass analyse` takes another series where not.

    >>> series = read_study(study)
    >>> series.volume.hu.shape[0] == len(series.sources)
    True

    Args:
        folder: with the study's files in any nesting; other files may lie among them.
        rules: what a series has to have; by default those of app.yaml.

    Raises:
        UsageError: the folder is none, holds no chest CT, or several studies.
        Refusal: the series must not be analysed, because its result could be wrong.
    """
    folder = Path(folder)
    if folder.is_file():
        raise UsageError(
            "The study is a file. Give the folder that holds its DICOM files; `read_nifti` reads a NIfTI file (.nii, "
            ".nii.gz)."
        )
    if not folder.is_dir():
        raise UsageError("The study's folder does not exist or is no folder.")
    scan = scan_folder(folder)
    studies = {series.study_instance_uid for series in scan.series}
    if len(studies) > 1:
        raise UsageError(f"The folder holds {len(studies)} studies: give one study's, or use `groundglass analyse`.")
    selection = choose_series(list(scan.series), rules or load_settings().selection)
    if selection.chosen is None:
        rejected = [item.reasons for item in selection.rejected]
        raise UsageError("\n".join(why_none(rejected, [item.reason for item in scan.ignored])))
    return read_grid(selection.chosen.grid)


def why_none(rejected: Sequence[Sequence[str]], ignored: Sequence[str]) -> Iterator[str]:
    """Why nothing of a folder can be analysed, line by line; like reasons are counted.

    Args:
        rejected: the reasons of each series.
        ignored: the reason of each file that belongs to no series.
    """
    if not rejected and not ignored:
        yield "No series can be analysed: the folder holds no file. Give the folder that holds the images."
        return
    yield f"No series can be analysed: {len(rejected)} series rejected, {len(ignored)} files ignored."
    for reasons, count in Counter(" ".join(reasons) for reasons in rejected).most_common():
        yield f"{count} series rejected: {reasons}"
    for reason, count in Counter(ignored).most_common():
        yield f"{count} files ignored: {reason}"
