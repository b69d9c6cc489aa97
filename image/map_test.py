"""`make map-test`: build the image here, offline, run it locked down in every way that it has to stand, print a table.

Everything lies in a storage of its own, which is removed at the end. What can't be tested here is said at the end.
"""

import argparse
import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from groundglass.changed_settings import write_changed_settings
from groundglass.locations import ROOT
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.selftest.samples import write_series
from image.build import BuildError, Engine, build_image, find_engine
from image.sizing import measure

IMAGE = "groundglass:test"
SIZE_BUDGET_GB = 2.2
"""Of the CPU variant, uncompressed."""
STOP_S = 5.0
TIMEOUT_S = 900

LOCKED = (
    *("--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges"),
    *("--memory=4g", "--pids-limit=256"),
)
"""How a hospital runs it: no network, nothing writable but /tmp and the output, no rights, 4 GiB."""
ANY_USER = "--user=54321:54321"
NOT_TESTED = (
    "NVIDIA's base image, and the CUDA variant: no registry is asked, and there is no GPU here",
    "a GPU in the container, and NVIDIA's container runtime, which `monai-deploy run` asks for",
    "Python 3.12 in the image: the Debian base has 3.11",
    "docker's own daemon: podman stands in for it",
)


class CheckFailed(Exception):
    """What was found is not what has to be."""


_FAILURES = (subprocess.SubprocessError, BuildError, OSError, LookupError, ValueError, jsonschema.ValidationError)
"""What else a check ends with when something is not as it has to be."""


def require(condition: bool, found: str) -> None:
    """Raise CheckFailed with what was found, unless the condition holds."""
    if not condition:
        raise CheckFailed(found)


@dataclass(frozen=True)
class Run:
    """What a container did."""

    code: int
    out: str
    err: str
    seconds: float

    def result(self, folder: Path) -> dict[str, Any]:
        """result.json in `folder`, held against its schema."""
        require((folder / "result.json").is_file(), f"exit code {self.code}, no result.json: {self.err[-300:]}")
        result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        jsonschema.validate(result, json.loads((ROOT / "groundglass/result.schema.json").read_text(encoding="utf-8")))
        return result


@dataclass
class Bench:
    """The engine, the image, and a folder to work in."""

    engine: Engine
    folder: Path
    rows: list[tuple[str, str, bool]] = field(default_factory=list)

    def run(self, *command: str, mounts: dict[Path, str] | None = None, options: tuple[str, ...] = ()) -> Run:
        """A container, locked down, with `{folder of the host: where[:ro]}` mounted."""
        arguments = ["run", "--rm", *LOCKED, f"--timeout={TIMEOUT_S}"]
        arguments += [] if any(option.startswith("--user") for option in options) else [ANY_USER]
        arguments += [f"--volume={source}:{target}" for source, target in (mounts or {}).items()]
        start = time.monotonic()
        done = self.engine.run(*arguments, *options, IMAGE, *command, check=False, capture_output=True)
        return Run(done.returncode, done.stdout, done.stderr, time.monotonic() - start)

    def new_folder(self) -> Path:
        """An empty folder that any user may write."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o777)
        return folder

    def analyse(self, study: Path, *command: str, settings: Path | None = None, **options: Any) -> tuple[Run, Path]:
        """A study through the container; the results are in the folder that is returned too."""
        results = self.new_folder()
        mounts = {study: "/var/holoscan/input:ro", results: "/var/holoscan/output"} | options.pop("mounts", {})
        if settings is not None:
            mounts[settings] = "/var/holoscan/app.yaml:ro"
        return self.run(*command, mounts=mounts, **options), results

    def check(self, name: str, carry_out: Callable[[], str]) -> None:
        """Carry out one check, and print its line of the table."""
        start = time.monotonic()
        try:
            found, passed = carry_out(), True
        except CheckFailed as failure:
            found, passed = str(failure), False
        except _FAILURES as error:
            found, passed = f"{type(error).__name__}: {error}", False
        self.rows.append((name, found, passed))
        found = " ".join(found.split())
        verdict = "passed" if passed else "FAILED"
        print(
            f"{verdict}  {name:<44} {time.monotonic() - start:6.0f} s  {found[:300] if passed else found[-600:]}",
            flush=True,
        )


# Material


@dataclass(frozen=True)
class Studies:
    """Input folders and settings, made by code."""

    covid: Path
    small: Path
    gap: Path
    both: Path
    none: Path
    quick: Path
    brief: Path
    insists_on_gpu: Path


def make_studies(folder: Path) -> Studies:
    """A phantom with lesions, a small one, one with a slice missing, both of those, none; settings for short runs."""
    studies = Studies(
        *(folder / name for name in ("covid", "small", "gap", "both", "none", "quick.yaml", "brief.yaml", "cuda.yaml"))
    )
    write_study(make_thorax("covid19", slices=30, size=192)[0], studies.covid, preset="covid19")
    write_series(studies.small)
    write_series(studies.gap)[13].unlink()
    write_series(studies.both / "whole")
    shutil.copytree(studies.covid, studies.both / "other")
    sorted((studies.both / "other").iterdir())[13].unlink()
    studies.none.mkdir()
    (studies.none / "notes.txt").write_text("no DICOM", encoding="utf-8")
    write_changed_settings(studies.brief, saliency={"maximum_slices": 10})
    quick = {"saliency": {"maximum_slices": 2}, "research": {"steps": 2}, "lungs": {"views": ["axial"]}}
    write_changed_settings(studies.quick, **quick)
    write_changed_settings(studies.insists_on_gpu, device="cuda", **quick)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0))
    return studies


# The image


def check_size(bench: Bench) -> str:
    """The image keeps within its budget."""
    size_gb = json.loads(bench.engine.run("image", "inspect", IMAGE, capture_output=True).stdout)[0]["Size"] / 1e9
    require(size_gb <= SIZE_BUDGET_GB, f"{size_gb:.2f} GB, more than {SIZE_BUDGET_GB} GB")
    return f"{size_gb:.2f} GB of {SIZE_BUDGET_GB} GB"


def check_no_tools(bench: Bench) -> str:
    """Nothing that compiles, installs or tests is in the image."""
    tools = "cc gcc g++ clang ld make nvcc ptxas protoc pip pip3 uv pytest ruff mypy apt-get curl wget"
    folders = " -o ".join(f"-name {name}" for name in ("tests", "pip", "pytest", "_pytest"))
    command = f"for tool in {tools}; do command -v $tool; done; "
    command += f"find /opt -name ptxas -o -name protoc -o -type d '(' {folders} ')'; true"
    found = bench.run("-c", command, options=("--entrypoint=/bin/sh",)).out.split()
    require(not found, f"in the image: {' '.join(found)}")
    return "no compiler, no installer, no tests"


def hashes(bench: Bench, image: str) -> dict[str, str]:
    """SHA-256 of every file under /opt/holoscan, and of the manifests."""
    command = "find /opt/holoscan /etc/holoscan /etc/monai /var/holoscan -type f -exec sha256sum {} +"
    done = bench.engine.run(
        "run", "--rm", "--network=none", "--entrypoint=/bin/sh", image, "-c", command, capture_output=True
    )
    return {name: sha256 for sha256, name in (line.split(maxsplit=1) for line in done.stdout.splitlines())}


def check_reproducible(bench: Bench, second: str) -> str:
    """Two builds of one commit have the same files, to the last byte."""
    first, again = hashes(bench, IMAGE), hashes(bench, second)
    different = sorted(name for name in first.keys() | again.keys() if first.get(name) != again.get(name))
    require(not different, f"differ: {', '.join(different[:5])}")
    return f"{len(first)} files, the same hashes in both builds"


def layers(bench: Bench, image: str) -> list[str]:
    """Digests of the image's layers, the lowest first."""
    inspected = json.loads(bench.engine.run("image", "inspect", image, capture_output=True).stdout)[0]
    return list(inspected["RootFS"]["Layers"])


def check_new_weights(bench: Bench) -> str:
    """An image with another weight file shares all layers but the last two."""

    def change(context: Path) -> None:
        file = next((context / "models/classifier").iterdir())
        file.write_bytes(file.read_bytes() + b"\0")

    build_image(bench.engine, "debian", tag="groundglass:weights", edit=change, quiet=True)
    before, after = layers(bench, IMAGE), layers(bench, "groundglass:weights")
    same = sum(one == other for one, other in zip(before, after, strict=True))
    require(same >= len(before) - 2, f"{len(before) - same} of {len(before)} layers are new")
    return f"{len(before) - same} of {len(before)} layers are new, PyTorch's and the libraries' are not"


def check_bill(bench: Bench) -> str:
    """Every Python package is in the bill of materials, and every component has a licence."""
    command = "cat /opt/holoscan/docs/sbom.cdx.json"
    bill = json.loads(bench.run("-c", command, options=("--entrypoint=/bin/sh",)).out)
    record = json.loads(bench.run("-c", "cat /opt/holoscan/build-record.json", options=("--entrypoint=/bin/sh",)).out)
    require((bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5"), "no CycloneDX 1.5")
    purls = {component.get("purl", "") for component in bill["components"]}
    missing = [name for name, version in record["packages"].items() if f"pkg:pypi/{name}@{version}" not in purls]
    require(not missing, f"not in the bill: {', '.join(missing)}")
    undeclared = [
        each["name"] for each in bill["components"] if each["licenses"][0]["license"]["name"] == "not declared"
    ]
    require(not undeclared, f"without a licence: {', '.join(undeclared)}")
    return (
        f"{len(bill['components'])} components, {len(record['packages'])} of them Python packages, each with a licence"
    )


# Commands


def check_show(bench: Bench) -> str:
    """`show` prints both manifests."""
    shown = json.loads(bench.run("show").out)
    app, pkg = shown["app.json"], shown["pkg.json"]
    require(json.loads(app["command"])[0].startswith("/opt/holoscan/"), f"command {app['command']}")
    require(app["type"] == "application" and app["version"] == pkg["version"], "type or versions")
    return f"version {app['version']}, command {app['command']}, {len(pkg['models'])} models"


def check_extract(bench: Bench) -> str:
    """`extract` copies what is mounted, or everything, and says when it can not."""
    everything, one, closed = bench.new_folder(), bench.new_folder(), bench.new_folder()
    (one / "models").mkdir()
    (one / "models").chmod(0o777)
    closed.chmod(0o755)
    export = "/var/run/holoscan/export"
    require(bench.run("extract", mounts={everything: export}).code == 0, "extract of everything failed")
    present = sorted(path.name for path in everything.iterdir())
    require(present == ["app", "config", "docs", "models"], f"extracted {present}")
    config = sorted(path.name for path in (everything / "config").iterdir())
    require(config == ["app.json", "app.yaml", "pkg.json"], f"config has {config}")
    require(bench.run("extract", mounts={one: export}).code == 0, "extract of the models failed")
    extracted = sorted(path.relative_to(one).as_posix() for path in one.rglob("*.safetensors"))
    require(len(extracted) == 2 and [path.name for path in one.iterdir()] == ["models"], f"models: {extracted}")
    refused = bench.run("extract", mounts={closed: export})
    require(refused.code == 2 and "can't be written" in refused.err, f"{refused.code}: {refused.err}")
    return "all four parts; models alone; a folder that can't be written is refused with exit code 2"


def check_words(bench: Bench) -> str:
    """The other words of the entry point, and one that is none."""
    said = {word: bench.run(word) for word in ("version", "--help", "--version", "nonsense")}
    codes = [run.code for run in said.values()]
    require(codes == [0, 0, 0, 2], f"exit codes {codes}")
    require("selftest" in said["--help"].out and "commit" in said["version"].out, "help or version say too little")
    return said["version"].out.strip()


# Runs


def check_phantom(bench: Bench, studies: Studies, settings: Path | None) -> str:
    """A synthetic study, from DICOM to DICOM."""
    run, results = bench.analyse(studies.covid, settings=settings)
    result = run.result(results)
    require(run.code == 0 and result["status"] == "success", f"exit code {run.code}, {result['status']}")
    case = result["cases"][0]
    missing = [name for name in case["outputs"] if not (results / name).is_file()]
    require(len(case["outputs"]) >= 4 and not missing, f"outputs {case['outputs']}, missing {missing}")
    require(case["prediction"]["label"] == "covid19" and bool(case["boxes"]), f"label {case['prediction']['label']}")
    return f"covid19 found, {len(case['boxes'])} boxes, {len(case['outputs'])} files, {run.seconds:.0f} s"


def check_real(bench: Bench, studies: Studies, study: Path) -> str:
    """A real study."""
    run, results = bench.analyse(study, settings=studies.brief)
    result = run.result(results)
    require(run.code == 0, f"exit code {run.code}: {run.err[-300:]}")
    volume_ml = result["cases"][0]["lungs"]["volume_ml"]
    require(1000 < volume_ml < 9000, f"lungs of {volume_ml} ml")
    return f"{len(result['cases'][0]['slices'])} slices classified, {run.seconds:.0f} s"


def check_user(bench: Bench, studies: Studies, user: str) -> str:
    """Any user may run it, and the results are theirs."""
    run, results = bench.analyse(studies.small, settings=studies.quick, options=(f"--user={user}",))
    require(run.code == 0, f"exit code {run.code}: {run.err[-300:]}")
    owners = {path.stat().st_uid for path in results.iterdir()}
    require(owners == {int(user.split(":")[0])}, f"files of users {owners}")
    return f"exit code 0, files are the user's own, {run.seconds:.0f} s"


def check_code(bench: Bench, study: Path, code: int, said: str, *command: str, **options: Any) -> str:
    """The container ends with the exit code, and says why."""
    run, results = bench.analyse(study, *command, **options)
    told = run.err + (
        (results / "result.json").read_text(encoding="utf-8") if (results / "result.json").exists() else ""
    )
    require(run.code == code, f"exit code {run.code}, not {code}: {run.err[-300:]}")
    require(said in told, f"'{said}' is not in: {run.err[-300:]}")
    return f"exit code {code}: {run.err.strip().splitlines()[-1][:150]}"


def check_no_gpu(bench: Bench, studies: Studies) -> str:
    """Without a GPU the CPU computes, and one line says so."""
    run, results = bench.analyse(studies.small, settings=studies.quick)
    lines = [line for line in run.err.splitlines() if "GPU" in line or "CUDA" in line.upper()]
    require(run.code == 0 and len(lines) == 1, f"exit code {run.code}, lines: {lines}")
    device = run.result(results)["software"]["device"]
    require(device == "cpu", f"device {device}")
    return lines[0]


def check_wrong_weights(bench: Bench, studies: Studies) -> str:
    """A weight file that is not the validated one is refused by name."""
    models = bench.new_folder()
    shutil.copytree(ROOT / "models", models, dirs_exist_ok=True)
    file = next((models / "classifier").iterdir())
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    mounts = {models: "/opt/holoscan/models:ro"}
    return check_code(bench, studies.small, 2, "weight file 'classifier.safetensors'", mounts=mounts)


def check_defect(bench: Bench, studies: Studies) -> str:
    """A defect ends with 1, and tells nothing of a patient."""
    broken = bench.new_folder() / "saliency.py"
    broken.write_text('raise RuntimeError("a secret of the patient")\n', encoding="utf-8")
    mounts = {broken: "/opt/holoscan/app/operators/saliency.py:ro"}
    run, _ = bench.analyse(studies.small, mounts=mounts)
    require(run.code == 1, f"exit code {run.code}")
    require("secret" not in run.err and "defect" in run.err, f"told: {run.err[-300:]}")
    return f"exit code 1: {run.err.strip().splitlines()[-1]}"


def check_stop(bench: Bench, studies: Studies) -> str:
    """Asked to stop, the container does, within seconds, and leaves no half a file."""
    results = bench.new_folder()
    mounts = [f"--volume={studies.covid}:/var/holoscan/input:ro", f"--volume={results}:/var/holoscan/output"]
    name = f"stop-{os.getpid()}"
    started = bench.engine.run(
        "run", "--detach", f"--name={name}", *LOCKED, ANY_USER, *mounts, IMAGE, capture_output=True
    )
    container = started.stdout.strip()
    deadline = time.monotonic() + 240
    while "reading slices" not in bench.engine.run("logs", container, capture_output=True).stderr:
        require(time.monotonic() < deadline, "the run did not begin")
        time.sleep(0.5)
    start = time.monotonic()
    bench.engine.run("kill", "--signal=TERM", container, capture_output=True)
    code = bench.engine.run("wait", container, capture_output=True).stdout.strip()
    seconds = time.monotonic() - start
    bench.engine.run("rm", "--force", container, capture_output=True)
    left = sorted(path.name for path in results.iterdir())
    require(seconds <= STOP_S and code == "143", f"exit code {code} after {seconds:.1f} s")
    require(not left, f"left behind: {left}")
    return f"ended after {seconds:.1f} s with exit code {code}, nothing half-written"


def check_beside(bench: Bench, studies: Studies) -> str:
    """Two containers at once, each with its own folders."""
    found: dict[int, tuple[Run, Path]] = {}

    def analyse(number: int) -> None:
        found[number] = bench.analyse(studies.small, settings=studies.quick)

    threads = [threading.Thread(target=analyse, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results = [run.result(folder)["cases"][0] for run, folder in found.values()]
    require([run.code for run, _ in found.values()] == [0, 0], f"exit codes {[run.code for run, _ in found.values()]}")
    require(results[0]["prediction"] == results[1]["prediction"], "the two found different things")
    return "both exit code 0, and the same prediction"


def check_mercure(bench: Bench, studies: Studies) -> str:
    """As the orchestrator does: the manifest by `cat`, then its command with folders and environment of its own."""
    shown = bench.run("cat", "/etc/monai/app.json", options=("--entrypoint=",)).out
    command = json.loads(shown)["command"].split()
    results = bench.new_folder()
    folders = {"IN": "/tmp/data", "OUT": "/tmp/output"}
    environment = {f"MERCURE_{name}_DIR": folder for name, folder in folders.items()}
    environment |= {"MONAI_INPUTPATH": "/tmp/data", "MONAI_OUTPUTPATH": "/tmp/output"}
    environment |= {"HOLOSCAN_INPUT_PATH": "/tmp/data", "HOLOSCAN_OUTPUT_PATH": "/tmp/output"}
    options = ["--entrypoint=", "--user=1007:1007", *(f"--env={name}={value}" for name, value in environment.items())]
    mounts = {studies.small: "/tmp/data", results: "/tmp/output", studies.quick: "/var/holoscan/app.yaml:ro"}
    run = bench.run(*command, mounts=mounts, options=tuple(options))
    require(run.code == 0, f"exit code {run.code}: {run.err[-300:]}")
    return f"{' '.join(command)}: status {run.result(results)['status']}"


def check_monai_deploy(bench: Bench, studies: Studies) -> str:
    """`monai-deploy run` calls docker by name, and asks for NVIDIA's runtime: a stand-in gives both to podman."""
    home, results = bench.new_folder(), bench.new_folder()
    plugin = home / ".docker/cli-plugins/docker-buildx"
    docker = home / "bin/docker"
    for file in (plugin, docker):
        file.parent.mkdir(parents=True)
    plugin.write_text("#!/bin/sh\n", encoding="utf-8")
    docker.write_text(_DOCKER.format(podman=shutil.which("podman")), encoding="utf-8")
    for file in (plugin, docker):
        file.chmod(0o755)
    path = f"{docker.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | bench.engine.environment | {"HOME": str(home), "PATH": path}
    command = ["monai-deploy", "run", IMAGE, "--input", str(studies.small), "--output", str(results), "--rm"]
    command += [
        "--network",
        "groundglass",
        "--gpus",
        "none",
        "--uid",
        "1007",
        "--gid",
        "1007",
        "--config",
        str(studies.quick),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    told = done.stdout + done.stderr
    require(done.returncode == 0, f"exit code {done.returncode}: {told[-600:]}")
    result = Run(done.returncode, done.stdout, done.stderr, 0).result(results)
    return f"status {result['status']}; its --runtime nvidia was left out"


_DOCKER = """#!/bin/sh
# docker, played by podman: without `--runtime nvidia`, and without limits that this machine doesn't let be raised.
for argument; do
    shift
    case "$skip$argument" in
        yes*) skip=; continue ;;
        --runtime | --ulimit) skip=yes; continue ;;
        --runtime=* | --ulimit=* | --ulimit) continue ;;
    esac
    set -- "$@" "$argument"
done
exec {podman} "$@"
"""


def check_selftest(bench: Bench, *options: str) -> str:
    """The self-test in the container passes."""
    results = bench.new_folder()
    run = bench.run("selftest", *options, mounts={results: "/var/holoscan/output"})
    last = (run.out + run.err).strip().splitlines()[-1:]
    require(run.code == 0, f"exit code {run.code}: {(run.out + run.err)[-800:]}")
    require((results / "report.html").is_file(), "there is no report.html")
    return f"{''.join(last)[:200]}, {run.seconds:.0f} s"


def check_selftest_finds(bench: Bench) -> str:
    """The self-test finds a source file that has been changed."""
    changed = bench.new_folder() / "boxes.py"
    changed.write_text(
        (ROOT / "groundglass/method/boxes.py").read_text(encoding="utf-8") + "# changed\n", encoding="utf-8"
    )
    mounts = {changed: "/opt/holoscan/app/groundglass/method/boxes.py:ro", bench.new_folder(): "/var/holoscan/output"}
    run = bench.run("selftest", "--no-operational", mounts=mounts)
    require(run.code == 1 and "boxes.py" in run.out + run.err, f"exit code {run.code}: {(run.out + run.err)[-300:]}")
    return "a changed source file: exit code 1, and its name"


def check_quality(bench: Bench, studies: Studies) -> str:
    """The watch over results, from nothing but them."""
    _, results = bench.analyse(studies.none)
    report = bench.new_folder()
    mounts = {results: "/results:ro", report: "/report"}
    run = bench.run("quality", "--results=/results", "--out=/report", mounts=mounts)
    written = sorted(path.name for path in report.iterdir())
    require(run.code == 0 and len(written) == 2, f"exit code {run.code}, written: {written}; {run.err[-300:]}")
    return ", ".join(written)


def carry_out_all(bench: Bench, studies: Studies, quick: bool) -> None:
    """Every check, in the order in which a reader wants the answers.

    Args:
        bench: where.
        studies: what is analysed.
        quick: leave out the real CT, and the phantom's settings are those of a short run.
    """
    check = bench.check
    check("size", lambda: check_size(bench))
    check("no compiler, installer, tests", lambda: check_no_tools(bench))
    check("bill of materials and licences", lambda: check_bill(bench))
    check("show", lambda: check_show(bench))
    check("extract", lambda: check_extract(bench))
    check("version, --help, an unknown word", lambda: check_words(bench))
    check("phantom, locked down, any user", lambda: check_phantom(
        bench, studies, studies.quick if quick else None))  # fmt: skip
    data = os.environ.get("GROUNDGLASS_DATA", str(ROOT.parent / "shared" / "data"))
    real = Path(data, "dicom", "P001")
    if quick:
        print(f"skipped  {'real CT P001':<44}            --quick")
    elif real.is_dir():
        check("real CT P001, locked down", lambda: check_real(bench, studies, real))
    else:
        print(f"skipped  {'real CT P001':<44}            there is no folder dicom/P001 in GROUNDGLASS_DATA")
    check("user 0, without its rights", lambda: check_user(bench, studies, "0:0"))
    check("no GPU: the CPU, and one line", lambda: check_no_gpu(bench, studies))
    check("exit 1, a defect", lambda: check_defect(bench, studies))
    check("exit 2, a wrong weight file", lambda: check_wrong_weights(bench, studies))
    check("exit 2, a GPU is insisted on", lambda: check_code(
        bench, studies.small, 2, "'cuda'", settings=studies.insists_on_gpu))  # fmt: skip
    check("exit 2, an unknown option", lambda: check_code(bench, studies.small, 2, "unrecognized", "--nonsense"))
    check("exit 3, no eligible series", lambda: check_code(bench, studies.none, 3, "no_eligible_series"))
    check("exit 4, a series with a gap", lambda: check_code(bench, studies.gap, 4, "GAP"))
    check("exit 5, one case of two", lambda: check_code(bench, studies.both, 5, "partial", settings=studies.quick))
    check("SIGTERM", lambda: check_stop(bench, studies))
    check("two beside each other", lambda: check_beside(bench, studies))
    check("mercure's way to call it", lambda: check_mercure(bench, studies))
    check("monai-deploy run", lambda: check_monai_deploy(bench, studies))
    check("selftest finds a change", lambda: check_selftest_finds(bench))
    check("quality", lambda: check_quality(bench, studies))


def check_sizing(bench: Bench) -> str:
    """A study of usual length needs no more memory than the settings ask for."""
    figures = measure(bench.engine, IMAGE, 120, bench.new_folder())
    asked_mib = 1024 * yaml.safe_load((ROOT / "app.yaml").read_text(encoding="utf-8"))["package"]["memory_gib"]
    require(figures["peak_mib"] <= asked_mib, f"{figures['peak_mib']:.0f} MiB of the {asked_mib} asked for")
    return f"120 slices: {figures['seconds']:.0f} s, {figures['peak_mib']:.0f} MiB of {asked_mib}"


@contextlib.contextmanager
def own_storage(keep: Path | None) -> Iterator[tuple[Engine, Path]]:
    """podman with a storage of its own, and a folder to work in; both are removed, unless one is named to be kept.

    The folder's name is short: podman refuses a long one.
    """
    folder = keep or Path(tempfile.mkdtemp(prefix="map-", dir="/var/tmp"))
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    engine = find_engine("podman", storage=folder)
    try:
        yield engine, work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        engine.run("rm", "--all", "--force", check=False, capture_output=True)
        if keep is None:
            engine.run("rmi", "--all", "--force", check=False, capture_output=True)
            subprocess.run(["umount", str(folder / "graph" / "overlay")], check=False, capture_output=True)
            shutil.rmtree(folder, ignore_errors=True)


def why_not() -> str | None:
    """Why no container can be built and run here, if so."""
    if not shutil.which("podman") or not shutil.which("mmdebstrap"):
        return "podman or mmdebstrap is not installed and could not be: the administrator can, with `make map-tools`"
    if os.getuid() != 0:
        return "the base is made, and the image built, by root only"
    return None


def main(arguments: list[str] | None = None) -> int:
    """Build, check, print; returns 0 when everything passed, or nothing can be tested here, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="make map-test", description=__doc__)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the images in this folder, for the next run")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="what CI runs: one build, short settings, no real CT, the installation part of the self-test",
    )
    options = parser.parse_args(arguments)
    if reason := why_not():
        print(f"make map-test is skipped, nothing was tested: {reason}.")
        return 0
    start = time.monotonic()
    with own_storage(options.keep) as (engine, work):
        bench = Bench(engine, work)

        def build(tag: str, *arguments: str) -> str:
            build_image(engine, "debian", tag=tag, options=arguments, quiet=True)
            return "without network, out of a folder of wheels"

        bench.check("image, built on Debian packages", lambda: build(IMAGE))
        if bench.rows[-1][2]:
            carry_out_all(bench, make_studies(work / "in"), options.quick)
            # The self-test takes three minutes, and builds wait for the disk: neither measures a time, so side by side.
            with ThreadPoolExecutor() as beside:
                selftest = beside.submit(bench.check, "selftest", lambda: check_selftest(
                    bench, *(["--no-operational"] if options.quick else [])))  # fmt: skip
                if not options.quick:
                    bench.check("memory of 120 slices", lambda: check_sizing(bench))
                    bench.check("new weights leave PyTorch alone", lambda: check_new_weights(bench))
                    bench.check("a second build, from nothing", lambda: build("groundglass:again", "--no-cache"))
                    bench.check("both builds are the same", lambda: check_reproducible(bench, "groundglass:again"))
                selftest.result()  # a defect of the check itself ends this command, as it does in the others
    failed = [name for name, _, passed in bench.rows if not passed]
    print("\nNot tested here:")
    for line in NOT_TESTED:
        print(f"  {line}")
    minutes = (time.monotonic() - start) / 60
    print(f"\nIn {minutes:.0f} minutes.\n{len(bench.rows) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
