"""A series after every check that needs no pixels, which selection makes and reading relies on."""

from dataclasses import dataclass, replace

from groundglass.dicomio.reading.attributes import quiet_pydicom
from groundglass.dicomio.reading.geometry import Grid, check_geometry
from groundglass.dicomio.reading.scan import Series
from groundglass.dicomio.reading.strays import stray_notes, without_strays
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import RefusalCode


@dataclass(frozen=True)
class CheckedSeries:
    """A series, and what its checks have found.

    Attributes:
        series: the frames of a multi-frame image each as an image of its own, without objects that are no slices.
        outcome: its geometry, or the refusal.
    """

    series: Series
    outcome: Grid | Refusal

    @property
    def grid(self) -> Grid:
        """Its geometry, from which `volume.read_grid` reads it.

        Raises:
            Refusal: DAMAGED_FILES, MISSING_FILES, or any code of `volume.read_images` that concerns headers.
        """
        if isinstance(self.outcome, Refusal):
            raise self.outcome
        return self.outcome


@quiet_pydicom()
def check_series(series: Series) -> CheckedSeries:
    """Find out whether a series is complete, and its headers describe one volume; raises no Refusal, `grid` does.

    Reads pixels only of images that lie at one position.
    """
    series = without_strays(series)
    try:
        _check_completeness(series)
        grid = check_geometry(series.instances)
        return CheckedSeries(series, replace(grid, notes=(*stray_notes(series), *grid.notes)))
    except Refusal as refusal:
        return CheckedSeries(series, refusal.with_traceback(None))  # whose frames would keep everything they hold


def _check_completeness(series: Series) -> None:
    if series.damaged:
        raise Refusal(
            RefusalCode.DAMAGED_FILES,
            f"{series.damaged} of the {len(series.instances) + series.damaged} files of the series are cut or not "
            "valid, so slices may be missing. Send the series again, and check the disk space and the network of the "
            "sender.",
        )
    if series.absent:
        raise Refusal(
            RefusalCode.MISSING_FILES,
            f"The DICOMDIR lists {series.absent} images of the series that are not in the folder, which holds "
            f"{len(series.instances)} of its images. Copy the whole file set, or leave the DICOMDIR out if they are "
            "left out on purpose.",
        )
