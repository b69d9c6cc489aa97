"""A series with all that was found in it: what every output of an analysed case is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydicom import Dataset

from groundglass.dicomio.reading.patient_age import is_minor
from groundglass.dicomio.reading.volume import ReadSeries
from groundglass.dicomio.writing import identity
from groundglass.domain.findings import Findings
from groundglass.domain.software import SoftwareIdentity
from groundglass.domain.statement import warnings_of
from groundglass.domain.volume import CTVolume


@dataclass(frozen=True)
class AnalysedSeries:
    """The source images, their volume, and what was found in it, all on the grid of the images.

    Attributes:
        sources: headers of the source images in slice order; their pixels aren't needed.
        volume: pixels and geometry of the sources.
        findings: on the grid of the sources.
        software: who found it; it is written into the equipment and the algorithm identification.
        warnings: in sentences, what a reader must know of this source; the outputs repeat them below the result.
        known_headers: of `identity.source_headers`, for all outputs.
        created: when, for all outputs alike: instances of one series must have the same Series Date and Time.

    Raises:
        ValueError: there is no source, or the volume or an array of the findings doesn't have one slice a source, each
            of the source's size.
    """

    sources: Sequence[Dataset]
    volume: CTVolume
    findings: Findings
    software: SoftwareIdentity
    warnings: tuple[str, ...] = ()
    created: datetime = field(default_factory=lambda: identity.now())
    known_headers: identity.KnownHeaders = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("There is no source image.")
        found = self.findings
        expected = (len(self.sources), int(self.sources[0].Rows), int(self.sources[0].Columns))
        shapes = {"volume": self.volume.hu.shape, "array of the lungs": found.lungs.shape}
        if found.salient is not None:
            shapes["array of the salient regions"] = found.salient.shape
        for name, shape in shapes.items():
            if shape != expected:
                raise ValueError(f"The {name} has the shape {shape}, the source images make up {expected}.")
        for index, saliency in found.saliency.items():
            if not 0 <= index < expected[0] or saliency.shape != expected[1:]:
                raise ValueError(
                    f"The saliency of slice {index} has the shape {saliency.shape}; there are {expected[0]} slices of "
                    f"{expected[1:]}."
                )

    @classmethod
    def of(
        cls, read: ReadSeries, findings: Findings, software: SoftwareIdentity, warnings: tuple[str, ...] = ()
    ) -> "AnalysedSeries":
        """What was found in a series that was read, brought back to its images where they lie on a grid of their own.

        Args:
            read: the series.
            findings: on the grid of `read.volume`.
            software: who found it.
            warnings: of the choice of the series; those of the patient and of the findings are added.
        """
        volume = read.volume
        if read.placement is not None:
            volume, findings = read.placement.to_sources(volume, findings)
        told = warnings_of(is_minor(read.sources[0]), findings)  # of the images, which result.json counts as well
        return cls(read.sources, volume, findings, software, (*warnings, *told))
