"""What other programs rely on: the command line, the files of the output folder, and result.json."""

import subprocess

import jsonschema

from groundglass.result import result_schema
from groundglass.selftest.check import Measured, listed
from groundglass.selftest.runs import EARLIER_RESULT, OTHER_FILE, Runs


def help_and_version(runs: Runs) -> Measured:
    """It answers, and tells its exit codes."""
    command = [*runs.copy.program, "--help"]
    done = subprocess.run(command, cwd=runs.copy.start_folder, capture_output=True, text=True, timeout=60, check=False)
    missing = [str(code) for code in range(6) if f"\n  {code}  " not in done.stdout]
    problems = [f"the exit code {code} is not explained" for code in missing]
    if done.returncode:
        problems.append(f"--help ended with exit code {done.returncode}")
    return listed(problems, f"version {runs.copy.version}; --help explains the exit codes 0 to 5")


def phantoms_analysed(runs: Runs) -> Measured:
    """Whether every phantom became a case that was analysed."""
    run = runs.first
    cases = [case["status"] for case in run.result.get("cases", [])]
    figures = f"exit code {run.code}, status {run.result.get('status', 'missing')}, cases: {', '.join(cases) or 'none'}"
    return Measured(run.code == 0 and cases == ["analysed"] * len(runs.phantoms), figures)


def other_files_listed(runs: Runs) -> Measured:
    """Files that are no DICOM are named, wherever they lie, and change nothing."""
    ignored = runs.first.result["files_ignored"]
    figures = "; ".join(f"{item['file']}: {item['reason']}" for item in ignored) or "no file was ignored"
    return Measured([item["file"] for item in ignored] == [f"deep/{OTHER_FILE}"], figures)


def contract_files(runs: Runs) -> Measured:
    """The output folder holds what result.json lists, and nothing else of the application."""
    problems, figures = [], []
    promised = {"result.json", OTHER_FILE}
    for phantom in runs.phantoms:
        case = runs.first.case_of(phantom)
        output = runs.copy.settings["output"]
        kinds = ["sr.dcm", "summary.dcm", "preview.png", *(["boxes.dcm"] if case["boxes"] else [])]
        kinds += ["summary-pdf.dcm"] if output["summary_pdf"] else []
        if output["key_images_form"] == "multiframe":
            kinds.append("key-images.dcm")
        else:
            count = min(output["key_images"], len(phantom.sources))
            kinds += [f"key-image-{number:02d}.dcm" for number in range(1, count + 1)]
        kinds += ["fhir.json"] if output["fhir"] else []
        kinds += ["saliency.dcm"] if output["saliency_map"] and case["boxes"] else []
        kinds += ["seg.dcm"] if "lungs" in output["segmentations"] else []
        kinds += ["regions.dcm"] if "regions" in output["segmentations"] and case["boxes"] else []
        kinds += ["rtstruct.dcm"] if output["rt_structure_set"] else []
        names = {f"{case['case']}.{kind}" for kind in kinds}
        promised |= names
        figures.append(f"{case['case']}: {', '.join(kinds)}")
        if set(case["outputs"]) != names:
            problems.append(f"{case['case']} lists {', '.join(case['outputs'])}")
    there = set(runs.first.files)
    problems += [f"{name} is missing" for name in sorted(promised - there)]
    problems += [f"{name} is not promised" for name in sorted(there - promised - {EARLIER_RESULT})]
    return listed(problems, f"{len(there)} files; {'; '.join(figures)}")


def earlier_results_replaced(runs: Runs) -> Measured:
    """Results of an earlier run would be taken for those of this one."""
    there = runs.first.files
    problems = [f"{EARLIER_RESULT} of an earlier run is still there"] if EARLIER_RESULT in there else []
    problems += [] if OTHER_FILE in there else [f"{OTHER_FILE}, which is not the application's, was removed"]
    return listed(problems, f"{EARLIER_RESULT} of an earlier run was removed, {OTHER_FILE} is still there")


def result_form(runs: Runs) -> Measured:
    """Of every run that wrote a result.json."""
    validator = jsonschema.Draft202012Validator(result_schema())
    results = [run.result for run in runs.made if run.result]
    problems = [f"{error.json_path}: {error.message}" for result in results for error in validator.iter_errors(result)]
    return listed(problems, f"{len(results)} files result.json, each as its schema has it")


def software_named(runs: Runs) -> Measured:
    """A result tells which software, weights and device made it."""
    software = runs.first.result["software"]
    hashes = {name: model["sha256"] for name, model in runs.copy.settings["models"].items()}
    named = {name: model["sha256"] for name, model in software["models"].items()}
    figures = f"{software['name']} {software['version']} on {software['device']}, weights "
    figures += ", ".join(f"{name} {sha256[:12]}…" for name, sha256 in named.items())
    return Measured(software["version"] == runs.copy.version and named == hashes, figures)
