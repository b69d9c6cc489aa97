"""Findings together with what they were found in: what a caller of the library gets, looks at and saves."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from groundglass.case import Case, RunRecord
from groundglass.dicomio.reading.volume import ReadSeries
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import FileGroup, output_failure
from groundglass.domain.arrays import FloatMap, LabelMap
from groundglass.domain.errors import UsageError
from groundglass.domain.findings import Box, Findings, Prediction, Region, SliceFinding
from groundglass.domain.software import SoftwareIdentity
from groundglass.domain.statement import warnings_of_saliency
from groundglass.domain.volume import CTVolume
from groundglass.nifti import NiftiVolume
from groundglass.outputs import write_analysed
from groundglass.rendering.preview import make_preview
from groundglass.rendering.slice_names import SliceNames
from groundglass.rendering.slice_picture import SlicePictures, draw_key_image, key_slices
from groundglass.result import describe, write_result
from groundglass.settings import Settings


@dataclass(frozen=True)
class Analysis:
    """A CT volume, what was found in it, and by whom.

    Attributes:
        volume: as it was analysed.
        findings: on the grid of `volume`.
        software: who found it.
        settings: with which.
        series: the DICOM series that `volume` was read from; None where it came as an array or from NIfTI.
        nifti: the NIfTI file's grid; None where it came otherwise.
    """

    volume: CTVolume
    findings: Findings
    software: SoftwareIdentity
    settings: Settings
    series: ReadSeries | None = None
    nifti: NiftiVolume | None = None

    @property
    def prediction(self) -> Prediction:
        """What is concluded of the study: pneumonia or none, and which kind where that may be said."""
        return self.findings.prediction

    @property
    def probabilities(self) -> tuple[float, float, float]:
        """The study's, in the order of CLASSES."""
        return self.findings.prediction.probabilities

    @property
    def lungs(self) -> LabelMap:
        """uint8 `(slice, row, col)`: BACKGROUND, RIGHT_LUNG or LEFT_LUNG."""
        return self.findings.lungs

    @property
    def slices(self) -> tuple[SliceFinding, ...]:
        """The classified slices, in slice order."""
        return self.findings.slices

    @property
    def boxes(self) -> tuple[Box, ...]:
        """In slice order, largest first within a slice."""
        return self.findings.boxes

    @property
    def regions(self) -> tuple[Region, ...]:
        """What the boxes are over the volume, those that contribute most first."""
        return self.findings.regions

    @property
    def saliency(self) -> Mapping[int, FloatMap]:
        """Joint saliency of each explained slice, float32 `(row, col)`, by slice index."""
        return self.findings.saliency

    @property
    def salient_fraction(self) -> float | None:
        """Salient lung volume over lung volume; None where it isn't known."""
        return self.findings.salient_fraction

    def save(self, folder: Path | str) -> list[str]:
        """Write pictures and JSON; with a DICOM source the application's files, SEG and SR among them; with a NIfTI
        source the lungs, regions and saliency on its grid.

        >>> names = pipeline.analyse(volume).save(out)
        >>> names[-1]
        'key-image-06.png'

        Files appear whole or not at all. A file of the same name is replaced.

        Args:
            folder: made where it is not there.

        Returns:
            The names of the files: of a DICOM source those of one case and `result.json`; of an array `findings.json`,
            `preview.png` and a picture of each of the most telling slices; of NIfTI also `lungs.nii.gz`, and
            `regions.nii.gz` and `saliency.nii.gz` where a slice was explained.

        Raises:
            UsageError: `folder` is a file.
            OutputFailed: the disk is full, or the folder can't be written.
        """
        out = Path(folder)
        if out.exists() and not out.is_dir():
            raise UsageError("The results need a folder, and the path given is a file. Give another path.")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_failure(error) from error
        return self._save_pictures(out) if self.series is None else self._save_case(self.series, out)

    def _save_pictures(self, folder: Path) -> list[str]:
        text = json.dumps(describe(self.findings), indent=2)
        with FileGroup(folder) as files:
            files.write_text(text + "\n", "findings.json")
            shown = key_slices(self.findings, self.settings.key_images)
            told = warnings_of_saliency(self.findings)
            files.write_image(make_preview(self.volume, self.findings, indices=shown, warnings=told), "preview.png")
            pictures = SlicePictures(self.volume, self.findings, SliceNames.counted(self.volume))
            for number, index in enumerate(shown, start=1):
                files.write_image(Image.fromarray(draw_key_image(pictures, index)), f"key-image-{number:02d}.png")
            if self.nifti is not None:
                for name, array in self._maps():
                    files.write_bytes(self.nifti.encode(array), f"{name}.nii.gz")
        return files.names

    def _maps(self) -> Iterator[tuple[str, LabelMap | FloatMap]]:
        """What NIfTI holds, on the grid of the volume."""
        yield "lungs", self.lungs
        if self.findings.salient is not None and self.findings.salient.any():
            yield "regions", self.findings.salient
        if self.saliency:
            saliency = np.zeros(self.volume.hu.shape, np.float32)
            for index, plane in self.saliency.items():
                saliency[index] = plane
            yield "saliency", saliency

    def _save_case(self, series: ReadSeries, folder: Path) -> list[str]:
        analysed = AnalysedSeries.of(series, self.findings, self.software)
        first = series.sources[0]
        case = Case(1, str(first.StudyInstanceUID), str(first.SeriesInstanceUID), series.sources, analysed.findings)
        case = replace(case, warnings=analysed.warnings)
        names = write_analysed(case.name, analysed, self.settings, folder, lambda done, total: None)
        write_result(RunRecord([], [], [(case, names)]), self.software, folder)
        return [*names, "result.json"]
