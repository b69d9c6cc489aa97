"""The summary page in the PACS: as an image that every viewer opens (PS3.3 A.8.1), or as a document (PS3.3 A.45.1)."""

import io
from collections.abc import Sequence

import numpy as np
from highdicom import SOPClass
from PIL import Image
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from groundglass.dicomio.writing import identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.secondary_capture import JPEG_QUALITY, make_capture, reference_to, source_names
from groundglass.rendering.drawing import PAPER, SCREEN, Palette
from groundglass.rendering.preview import PIXELS_PER_INCH, SHOWN_SLICES, make_preview

_TITLE = "AI summary of a chest CT, research use only"


def draw_summary(analysed: AnalysedSeries, indices: Sequence[int], palette: Palette = SCREEN) -> Image.Image:
    """The page, its slices called by their Instance Numbers.

    Args:
        analysed: the series and what was found in it.
        indices: of the key images, in order; the page shows the first of them.
        palette: SCREEN or PAPER.
    """
    names = source_names(analysed.sources, analysed.volume)
    return make_preview(analysed.volume, analysed.findings, names, indices, palette, analysed.warnings)


def make_summary(analysed: AnalysedSeries, page: Image.Image, indices: Sequence[int]) -> SOPClass:
    """A Secondary Capture of the page, the first image of its series.

    Args:
        analysed: the series that the page is of.
        page: what `draw_summary` returned.
        indices: of the slices it shows.
    """
    return make_capture(
        analysed,
        [np.asarray(page)],
        shown=indices[:SHOWN_SLICES],
        series=identity.SUMMARY,
        number_in_series=1,
        variant="summary",
        description="Result on one page",
    )


def make_summary_pdf(analysed: AnalysedSeries, indices: Sequence[int]) -> SOPClass:
    """An Encapsulated PDF of the page as for a printer, A4 across; it has a series of its own, of modality DOC."""
    header = identity.source_headers(analysed.sources[:1])[0]
    document = SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity.instance_attributes(identity.SUMMARY_PDF, analysed.sources, analysed.software),
    )
    document.ConversionType = "WSD"
    document.BurnedInAnnotation = "NO"  # what would identify the patient
    document.RecognizableVisualFeatures = "NO"
    document.AcquisitionDateTime = None
    document.DocumentTitle = _TITLE
    document.ConceptNameCodeSequence = []
    document.ContributingEquipmentSequence = identity.processing_equipment(analysed.software)
    document.SourceInstanceSequence = [reference_to(analysed.sources[index]) for index in indices[:SHOWN_SLICES]]
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    stream = io.BytesIO()
    draw_summary(analysed, indices, PAPER).save(
        stream,
        "PDF",
        resolution=PIXELS_PER_INCH,
        quality=JPEG_QUALITY,
        title=_TITLE,
        author=analysed.software.name,
        creationDate=None,  # the data set has it, and a repeated run gives the same document
        modDate=None,
    )
    content = stream.getvalue()
    document.EncapsulatedDocumentLength = len(content)
    document.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    identity.complete(document, analysed.sources[0], analysed.created)
    del document.BodyPartExamined  # of images alone
    return document
