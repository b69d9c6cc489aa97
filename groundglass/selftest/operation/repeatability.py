"""The same study a second time: result.json and every file of the two runs, held against each other."""

from pydicom import Dataset, dcmread

from groundglass.selftest.check import Measured, listed
from groundglass.selftest.runs import Runs

_CREATION = ("Series", "InstanceCreation", "Content", "PresentationCreation")
_TIMES_OF_CREATION = (*(f"{part}{unit}" for part in _CREATION for unit in ("Date", "Time")), "ContributionDateTime")


def repeated(runs: Runs) -> Measured:
    """Bit for bit, but for the times of creation."""
    phantom = runs.phantoms[0]
    cases = [run.case_of(phantom) for run in (runs.first, runs.second)]
    plain = [{k: v for k, v in case.items() if k not in ("case", "outputs", "timings_s")} for case in cases]
    problems = [f"result.json differs in {key}" for key in plain[0] if plain[0][key] != plain[1].get(key)]
    kinds = [[name.partition(".")[2] for name in case["outputs"]] for case in cases]
    if kinds[0] != kinds[1]:
        problems.append(f"the files differ: {', '.join(kinds[0])} and {', '.join(kinds[1])}")
    for kind in kinds[0]:
        paths = [run.out / f"{case['case']}.{kind}" for run, case in zip((runs.first, runs.second), cases, strict=True)]
        if kind.endswith(".dcm"):
            first, second = (_without_times(dcmread(path)) for path in paths)
            differing = {element.keyword for element in first if element != second.get(element.tag)}
            differing |= {element.keyword for element in second if element.tag not in first}
            problems += [f"{kind} differs in {keyword}" for keyword in sorted(differing)]
        elif paths[0].read_bytes() != paths[1].read_bytes():
            problems.append(f"{kind} differs")
    return listed(problems, f"{len(kinds[0])} files with the same UIDs, values and pixels; the same result.json")


def _without_times(dataset: Dataset) -> Dataset:
    for part in (dataset, *dataset.get("ContributingEquipmentSequence", [])):
        for keyword in _TIMES_OF_CREATION:
            part.pop(keyword, None)
    return dataset
