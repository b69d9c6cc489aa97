"""app.yaml, section by section: what each setting means, its unit, its source, and which values it may have.

`groundglass/settings.schema.json` and `docs/settings.md` are made of it; `groundglass.settings` is what the code uses.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, field_validator

from groundglass.dicomio.reading.rule_language import parse_rules
from groundglass.dicomio.writing.key_images import KeyImagesForm
from groundglass.dicomio.writing.segmentation import Form, SegmentationName
from groundglass.method.saliency import Factor, Part, Rule
from groundglass.method.score_gradients import Reading
from groundglass.settings_file import AS_TUPLE, Entries, Section, setting

WIDEST_WINDOW_HU = 4096.0
"""All that 12 bits, what scanners make, tell apart."""
View = Literal["axial", "coronal", "sagittal"]
"""Those of `groundglass.method.lung_segmentation.VIEWS`."""
_WINDOW = f"a width and a step in HU, 1 <= step <= width <= {WIDEST_WINDOW_HU:g}"


def _check_window(pair: tuple[float, float]) -> tuple[float, float]:
    width, step = pair
    if not 1 <= step <= width <= WIDEST_WINDOW_HU:
        raise ValueError
    return pair


Window = Annotated[tuple[float, float], AS_TUPLE, AfterValidator(_check_window)]
"""Width Q and step S of a sliding window."""


class SelectionSection(Section):
    """Which series of a study is analysed."""

    minimum_slices: int = setting(
        "Series with fewer are localizers, biopsy controls or fragments.", "images", "choice", low=3, high=10_000
    )
    minimum_extent_mm: float = setting(
        "From the first to the last slice; lungs are about 250 mm high.", "mm", "choice", low=10, high=2_000
    )
    maximum_spacing_mm: float = setting(
        "Between neighbouring slices, and of their thickness.", "mm", "choice", low=0.5, high=20
    )
    rules: dict[str, Any] = setting(
        "What a site asks for besides. The first selection with an eligible series decides.",
        "",
        "the site; language of the SDK's series selector",
        allowed="follow the language of groundglass/dicomio/reading/rule_language.py",
    )

    @field_validator("rules")
    @classmethod
    def _check_rules(cls, rules: dict[str, Any]) -> dict[str, Any]:
        parse_rules(rules)
        return rules


class VolumeSection(Section):
    """How pixels are read."""

    threads: int = setting("Images decoded at a time.", "threads", "choice", low=1, high=64)


class WeightsSection(Section):
    """One weight file."""

    file: str = setting("Its place under the model folder.", "", "models/", least=1)
    sha256: str = setting("Of the file; another file is refused.", "hexadecimal digits", "training.ship", least=1)


class ModelsSection(Section):
    """Files under the model folder, checked against their SHA-256 before use."""

    lungs: WeightsSection
    classifier: WeightsSection


class LungsSection(Section):
    """II-C: the lung segmentation."""

    windows_hu: Entries[Window] = setting(
        "Width Q and step S of each sliding window that votes.",
        "HU",
        "II-C, which leaves the values open",
        least=1,
        most=16,
        allowed=f"be a list of 1 to 16 windows, each {_WINDOW}",
    )
    views: Entries[View] = setting(
        "Planes that vote.",
        "",
        "II-C",
        least=1,
        most=3,
        allowed="be a list of some of axial, coronal, sagittal",
    )
    grid_mm: float = setting(
        "Cubes that the network works on; it was trained at this size.", "mm", "model card of the lungs", low=1, high=5
    )


class ClassificationSection(Section):
    """II-D: what the classifier sees, and how slices make a study."""

    window_hu: Window = setting(
        "Q and S of the classifier's input.", "HU", "II-C, which leaves the values open", allowed=f"be {_WINDOW}"
    )
    hide_outside_lungs: bool = setting(
        "Whether pixels outside the lungs are set to 0: saliency localises better, slices classify better.",
        "",
        "measured: model card of the classifier",
    )
    minimum_lung_cm2: float = setting("Lung that a slice needs to be classified.", "cm2", "choice", low=1, high=500)
    neighbours_mm: float = setting(
        "How far slices have a say in each other's probabilities: standard deviation along the body; 0: none.",
        "mm",
        "measured in two folds by patient: model card of the classifier",
        low=0,
        high=50,
    )
    study_top_part: float = setting(
        "Part of the slices, the most diseased ones, whose mean is the study's probability.",
        "1",
        "measured in two folds by patient: model card of the classifier",
        low=0.001,
        high=1,
    )
    study_minimum_slices: int = setting("At least so many of them.", "slices", "choice", low=1, high=1_000)
    absent_below: float = setting(
        "Probability of pneumonia below which a study's pneumonia is absent.",
        "1",
        "measured: operating points in the model card of the classifier",
        low=0,
        high=0.5,
    )
    present_from: float = setting(
        "Probability of pneumonia from which it is present; between the two it is indeterminate.",
        "1",
        "measured: operating points in the model card of the classifier",
        low=0.5,
        high=1,
    )
    kind_above: float = setting(
        "Share of CAP or of COVID-19 in both that must be exceeded for the kind to be named; 1: it is never named.",
        "1",
        "on patients of other hospitals no share carried a word: model card of the classifier",
        low=0.5,
        high=1,
    )


class SaliencySection(Section):
    """II-F: what is explained, and what becomes a box."""

    maximum_slices: int = setting(
        "Slices explained in a study, the most probable diseased ones first.",
        "slices",
        "choice, for the time it takes: benchmarks/results/stages.md",
        low=1,
        high=10_000,
    )
    spacing_mm: float = setting(
        "Spacing of the slices whose saliency is computed; slices between take it from their neighbours. 0 computes it "
        "for each.",
        "mm",
        "measured on four patients: benchmarks/results/saliency_spacing.md",
        low=0,
        high=10,
    )
    minimum_disease_probability: float = setting(
        "1 - P(NP) of a slice to be explained.", "1", "choice: more probable than not", low=0, high=1
    )
    minimum_area_mm2: float = setting(
        "Area of a salient region to get a box.", "mm2", "II-F.2, which leaves the value open", low=0, high=10_000
    )
    closing_mm: float = setting(
        "Side of the closing's square.", "mm", "II-F.2, which leaves the value open", low=0, high=50
    )
    minimum_region_ml: float = setting(
        "What is salient and smaller over the slices is left out, since mostly noise stays alone.",
        "ml",
        "choice: a sphere of 1 cm",
        low=0,
        high=1_000,
    )
    minimum_region_mm: float = setting(
        "What is salient and reaches no farther along the body is left out: vessels and domes mostly don't. Slices "
        "farther apart than this confirm a region alone.",
        "mm",
        "choice: two slices spacing_mm apart confirm; boxes of four patients: benchmarks/results/localisation.md",
        low=0,
        high=100,
    )
    maximum_regions: int = setting(
        "Regions listed in the report, those that contribute most; every box stays in result.json.",
        "regions",
        "choice: what a reader looks at",
        low=1,
        high=50,
    )


class OutputSection(Section):
    """What is written."""

    key_images: int = setting(
        "Key images after the summary: the best slice of each region first, then the most telling others.",
        "slices",
        "choice",
        low=1,
        high=99,
    )
    key_images_form: KeyImagesForm = setting(
        "Whether each key image is a file of its own, case-NNN.key-image-KK.dcm, which every viewer shows, or all are "
        "the frames of case-NNN.key-images.dcm, of which some viewers show the first alone.",
        "",
        "DICOM PS3.3, A.8.1 and A.8.5",
    )
    summary_pdf: bool = setting(
        "Whether case-NNN.summary-pdf.dcm, an Encapsulated PDF of the summary for a printer, is written too.",
        "",
        "DICOM PS3.3, A.45.1",
    )
    segmentation: Form = setting(
        "Form of the segmentations: Segmentation Storage, which all viewers of segmentations know, or Label Map "
        "Segmentation Storage of 2024, a tenth of the size.",
        "",
        "DICOM PS3.3, A.51",
    )
    segmentations: Entries[SegmentationName] = setting(
        "Which segmentations are written, each a series of its own: lungs in case-NNN.seg.dcm, salient regions in "
        "case-NNN.regions.dcm.",
        "",
        "the site",
        allowed="be a list of some of lungs, regions",
    )
    rt_structure_set: bool = setting(
        "Whether case-NNN.rtstruct.dcm, an RT Structure Set with the contours of the lungs, is written.",
        "",
        "DICOM PS3.3, A.19",
    )
    saliency_map: bool = setting(
        "Whether case-NNN.saliency.dcm, a Parametric Map of the joint saliency, is written.", "", "DICOM PS3.3, A.75"
    )
    fhir: bool = setting(
        "Whether case-NNN.fhir.json, a FHIR Bundle of a DiagnosticReport and its Observations, is written. It names "
        "the patient by the Patient ID of the images.",
        "",
        "HL7 FHIR R4",
    )


class PackageSection(Section):
    """What the image asks of a machine, for pkg.json and app.json: used when the image is built."""

    cpus: int = setting("Cores; more shorten a run.", "cores", "measured: docs/deployment.md", low=1, high=1_024)
    memory_gib: int = setting("Memory.", "GiB", "measured: docs/deployment.md", low=1, high=4_096)
    shared_memory_mib: int = setting(
        "Size of /dev/shm.", "MiB", "what containers get by default", low=1, high=1_048_576
    )
    timeout_s: int = setting(
        "After which an orchestrator may take a run for hung; 0 for never.", "s", "choice", low=0, high=604_800
    )


class ResearchSection(Section):
    """II-F: how the saliency is computed. For studies of the method: the figures of the model cards hold for these
    values alone, and a hospital leaves them as they are."""

    reading: Reading = setting(
        "What the class score of a scale is: Eq. 2 to the letter, or the sum of the score map's positive cells.",
        "",
        "measured: benchmarks/results/localisation.md",
    )
    rule: Rule = setting(
        "How the integral is approximated; riemann_right is Eq. 3, gauss_jacobi is made for gradient_power.",
        "",
        "measured: benchmarks/results/saliency_cost.md",
    )
    steps: int = setting(
        "Nodes on the path; Eq. 3 takes 25 with riemann_right. The fewest that look at the same places as the exact "
        "integral.",
        "nodes",
        "measured: benchmarks/results/saliency_cost.md",
        low=1,
        high=1_000,
    )
    proved_slices: int = setting(
        "Slices of a study on which the completeness of Eq. 3 is proved, by 12 midpoint nodes, where the rule is "
        "gauss_jacobi; the other rules prove it on each slice.",
        "slices",
        "choice: their time is that of one slice in ten",
        low=0,
        high=10_000,
    )
    joint_factor: Factor = setting(
        "What of each scale is multiplied: attribution is the paper's; gradient is Eq. 3 without its last factor, the "
        "input, which puts vessels before lesions.",
        "",
        "measured: benchmarks/results/localisation.md",
    )
    gradient_power: float = setting(
        "Weight of a path step = (position 0..1)^power; down-weights near-black images; 0 is the plain mean.",
        "1",
        "measured: benchmarks/results/localisation.md",
        low=0,
        high=10,
    )
    joint_blur_mm: float = setting(
        "Blur of each scale's map before their product; 0 is the paper's.",
        "mm",
        "measured: benchmarks/results/localisation.md",
        low=0,
        high=50,
    )
    joint_part: Part = setting(
        "Part of each map: absolute is the paper's; positive is what raises the class score.",
        "",
        "measured: benchmarks/results/localisation.md",
    )


class AppYaml(Section):
    """Every setting of the application. Unknown or missing ones are refused at start."""

    device: Literal["auto", "cpu", "cuda"] = setting(
        "What computes; with cuda a run without a usable GPU is refused.", "", "the site"
    )
    selection: SelectionSection
    volume: VolumeSection
    models: ModelsSection
    lungs: LungsSection
    classification: ClassificationSection
    saliency: SaliencySection
    output: OutputSection
    package: PackageSection
    research: ResearchSection
