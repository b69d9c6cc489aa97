"""What Groundglass promises, and the check of each promise: everything that the self-test does, in two lists.

A new check is a function in `installation`, or in a module of `operation`, that returns what it measured, and one line
here. `python -m groundglass.selftest.traceability` then writes docs/traceability.md again.
"""

from functools import partial
from typing import Any

from groundglass.selftest import installation as iq
from groundglass.selftest.check import Check
from groundglass.selftest.installed_copy import Copy
from groundglass.selftest.operation import bad_input, contract, objects, process, repeatability, truth
from groundglass.selftest.runs import Runs
from groundglass.selftest.samples import SAMPLES

REQUIREMENTS = {
    "R-01": "The installed copy is the one that was built: every file there, unchanged, none added.",
    "R-02": "Weights are safetensors, and only a file with the SHA-256 in app.yaml is loaded.",
    "R-03": "Python is 3.11 or newer, and every package has the version, and the content, that was built.",
    "R-04": "The manifests of the image state what the application is and needs, in agreement with app.yaml.",
    "R-05": "A GPU that this PyTorch can use is used; without one the CPU computes, unless app.yaml requires a GPU.",
    "R-06": "4 GiB of memory, a writable output folder and a writable temporary folder are enough.",
    "R-07": "The application writes into its output and temporary folder alone, as whichever user.",
    "R-08": "Options or HOLOSCAN_* variables name input, output and models; --help tells all of it.",
    "R-09": "The input is a folder with any nesting and other files in it; what is ignored is listed with a reason.",
    "R-10": "The output folder is flat: result.json, and files case-NNN.* for each case, whole or not at all.",
    "R-11": "result.json has the form of its JSON Schema, whatever came of the run.",
    "R-12": "Results of an earlier run in the output folder are replaced; other files stay.",
    "R-13": "Exit codes: 0 all analysed, 2 usage, 3 no eligible series, 4 all refused or failed, 5 some analysed.",
    "R-14": "Exit code 1 is a defect of the software, told without a patient's data.",
    "R-15": "The volume of each lung is right within 5 %.",
    "R-16": "Right is right and left is left: lungs, regions and boxes.",
    "R-17": "Outputs lie where the patient has it, however the scanner stored the series.",
    "R-18": "A diseased study is told from a healthy one.",
    "R-19": "The region that contributes most is on lesions, and most lesions are salient.",
    "R-20": "The lungs are a valid DICOM Segmentation that others read.",
    "R-21": "The findings are a valid Structured Report (TID 1500), conclusion first, and say the same as result.json.",
    "R-22": "Boxes are a valid Presentation State that draws them on their images.",
    "R-23": "Key images are secondary captures that a plain PACS shows.",
    "R-24": "The joint saliency is a valid Parametric Map, where app.yaml asks for it.",
    "R-25": "Outputs belong to the source's patient, study and frame of reference; every reference leads somewhere.",
    "R-26": "Every output names the software, its version and weights, and that it is for research use only.",
    "R-27": "The same study gives the same result, with the same UIDs.",
    "R-28": "A series that could give a wrong result is refused with the reason, and does not stop the others.",
    "R-29": "No log and no error holds anything of a patient.",
    "R-30": "Time and memory stay within the stated limits.",
    "R-31": "It ends within 5 s of SIGTERM, and leaves nothing behind.",
    "R-32": "Memory holds one or two volumes, however many studies the input has.",
    "R-33": "It runs with a read-only root, without capabilities and network, and beside other instances.",
    "R-34": "The image's entry point runs the application, and show, extract, selftest, quality and version.",
}
"""The contracts that tests and other programs rely on; ids are never used again for other requirements."""

NOT_COVERED = {
    "R-14": "A defect can't be provoked in a sound copy. The repository tests a single stage that fails.",
    "R-32": "The phantoms are too small to show it. `make bench` measures the peak of one study.",
    "R-33": "It depends on how the container is started, not on the copy. The self-test itself passes so.",
    "R-34": "The entry point is outside of what the self-test sees from within: it is what starts the self-test.",
}
"""Requirements that no check here covers, and why."""

INSTALLATION: tuple[Check[Copy], ...] = (
    Check("IQ-01", ("R-01",), "Build record", "a record of the build, of this version", iq.build_record),
    Check("IQ-02", ("R-01",), "Recorded files", "every file there, with its recorded SHA-256", iq.recorded_files),
    Check("IQ-03", ("R-01",), "Added files", "no file beyond the record", iq.added_files),
    Check("IQ-04", ("R-01",), "Compiled files", "each is what its source compiles to", iq.compiled_files),
    Check("IQ-05", ("R-02",), "Weights", "safetensors with the SHA-256 that app.yaml names", iq.weights),
    Check("IQ-06", ("R-03",), "Python", "3.11 or newer, as recorded", iq.python_version),
    Check("IQ-07", ("R-03",), "Versions of packages", "as recorded, none missing or added", iq.package_versions),
    Check("IQ-08", ("R-03",), "Files of packages", "as in the wheels they came in", iq.package_files),
    Check("IQ-09", ("R-04",), "Manifests", "version, folders, models and GPU as in app.yaml", iq.manifests),
    Check("IQ-10", ("R-05",), "Device", "a GPU where app.yaml requires one", iq.device),
    Check("IQ-11", ("R-06",), "Memory", f"at least {iq.MEMORY_MIB} MiB", iq.memory),
    Check(
        "IQ-12",
        ("R-06", "R-07"),
        "Write access",
        f"output and temporary folder, {iq.TEMPORARY_MIB} MiB free",
        iq.write_access,
    ),
)

OPERATION: tuple[Check[Runs], ...] = (
    Check("OQ-01", ("R-08",), "Help", "tells every exit code", contract.help_and_version),
    Check("OQ-02", ("R-08", "R-09", "R-13"), "Three phantoms", "exit code 0, all analysed", contract.phantoms_analysed),
    Check("OQ-03", ("R-09",), "Other files in the input", "listed with a reason", contract.other_files_listed),
    Check("OQ-04", ("R-10",), "Output folder", "what result.json lists, and nothing else", contract.contract_files),
    Check("OQ-05", ("R-12",), "Earlier results", "replaced; other files stay", contract.earlier_results_replaced),
    Check(
        "OQ-06",
        ("R-05", "R-26"),
        "Software in result.json",
        "version and weights as installed",
        contract.software_named,
    ),
    Check(
        "OQ-07", ("R-15",), "Lung volumes", f"each within {truth.VOLUME_PERCENT:g} % of the truth", truth.lung_volumes
    ),
    Check(
        "OQ-08",
        ("R-16", "R-17"),
        "Lungs in patient coordinates, by side",
        f"Dice coefficient with the truth at least {truth.DICE}",
        truth.lung_overlap,
    ),
    Check(
        "OQ-09",
        ("R-17",),
        "Centres of the lungs",
        f"within {truth.CENTRE_MM:g} mm of the true ones",
        truth.lung_centres,
    ),
    Check("OQ-10", ("R-18",), "State of the study", "present for the diseased phantoms alone", truth.states),
    Check(
        "OQ-11",
        ("R-17", "R-19"),
        "First region, in patient coordinates",
        "its box in the report on true lesions; no region in the healthy phantom",
        truth.first_region,
    ),
    Check(
        "OQ-12",
        ("R-19",),
        "Salient lesions",
        f"at least {truth.LESIONS_FOUND:.0%} of the true ones of all phantoms, one in each; at least "
        f"{truth.SALIENT_ON_LESIONS:.0%} of what is salient on them",
        truth.lesions_found,
    ),
    Check("OQ-13", ("R-16",), "Side of the first regions", "that of the true lesions", truth.region_sides),
    Check(
        "OQ-14",
        ("R-20",),
        "Segmentations",
        "highdicom reads them; volumes as in result.json",
        objects.segmentation_read,
    ),
    Check(
        "OQ-15",
        ("R-21",),
        "Reports",
        "highdicom parses them; words, codes, numbers and boxes as in result.json",
        objects.report_read,
    ),
    Check(
        "OQ-16",
        ("R-22",),
        "Presentation states",
        "the boxes of result.json on their images",
        objects.presentation_states,
    ),
    Check(
        "OQ-17",
        ("R-23",),
        "Key images",
        "as many frames as app.yaml asks for, each with its source",
        objects.key_images,
    ),
    Check("OQ-18", ("R-24",), "Saliency maps", "values within -1 and 1", objects.saliency_maps),
    Check(
        "OQ-19",
        ("R-25",),
        "References and identity",
        "the source's patient and study; nothing leads nowhere",
        objects.references,
    ),
    Check("OQ-20", ("R-26",), "Provenance", "version, weights and reservation in the files", objects.provenance),
    Check(
        "OQ-21",
        ("R-27",),
        "The same study again",
        "the same UIDs, values, pixels and result.json",
        repeatability.repeated,
    ),
    Check(
        "OQ-22",
        ("R-08", "R-13", "R-28"),
        "A bad series beside a good one; called by HOLOSCAN_* variables",
        "exit code 5, the good one analysed",
        bad_input.bad_beside_good,
    ),
    *(
        Check(
            id,
            ("R-28", "R-13") if SAMPLES[name].exit_code in (3, 4) else ("R-13", *more),
            f"Bad input: {SAMPLES[name].what}",
            f"exit code {SAMPLES[name].exit_code} and the reason",
            partial(bad_input.sample, name=name),
        )
        for id, name, *more in (
            ("OQ-23", "no DICOM"),
            ("OQ-24", "no CT"),
            ("OQ-25", "few slices"),
            ("OQ-26", "gap"),
            ("OQ-27", "damaged"),
            ("OQ-28", "no input"),
            ("OQ-29", "no output"),
            ("OQ-30", "changed weights", "R-02"),
            ("OQ-31", "no weights", "R-02"),
            ("OQ-32", "wrong setting"),
        )
    ),
    Check("OQ-33", ("R-11",), "Form of result.json", "as its JSON Schema, in every run", contract.result_form),
    Check(
        "OQ-34", ("R-20", "R-21", "R-22", "R-23"), "Strict reading", "pydicom takes every value", objects.strict_reading
    ),
    Check("OQ-35", ("R-29",), "Logs", "nothing of a header", process.no_patient_data_told),
    Check(
        "OQ-36",
        ("R-30",),
        "Run time",
        f"three phantoms {process.FIRST_RUN_S:.0f} s, one {process.SECOND_RUN_S:.0f} s, "
        f"bad input {process.SAMPLE_S:.0f} s",
        process.run_time,
    ),
    Check("OQ-37", ("R-06", "R-30"), "Peak memory", f"at most {process.PEAK_MIB:.0f} MiB", process.peak_memory),
    Check(
        "OQ-38",
        ("R-31", "R-10"),
        "SIGTERM",
        f"ends within {process.TERMINATION_S:g} s, leaves no file",
        process.termination,
    ),
    Check("OQ-39", ("R-01", "R-07"), "After all runs", "the copy's own files are as before", process.unchanged),
)


CHECKS: tuple[Check[Any], ...] = (*INSTALLATION, *OPERATION)


def checks_of(requirement: str) -> list[str]:
    """Ids of the checks that cover a requirement."""
    return [check.id for check in CHECKS if requirement in check.requirements]
