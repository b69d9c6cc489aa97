"""A DICOM study as one CT volume: scan, choice of the series, geometry, pixels."""

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
    if not folder.is_dir():
        raise UsageError("The study's folder does not exist or is no folder.")
    scan = scan_folder(folder)
    studies = {series.study_instance_uid for series in scan.series}
    if len(studies) > 1:
        raise UsageError(f"The folder holds {len(studies)} studies: give one study's, or use `groundglass analyse`.")
    selection = choose_series(list(scan.series), rules or load_settings().selection)
    if selection.chosen is None:
        reasons = " ".join(reason for item in selection.rejected for reason in item.reasons)
        raise UsageError(f"No series of the folder can be analysed. {reasons}".strip())
    return read_grid(selection.chosen.grid)
