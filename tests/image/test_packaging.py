"""What the image is made of and what it says of itself; `make map-test` tests the image."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from groundglass.locations import ROOT
from groundglass.selftest.build_record import commit_of, installed_packages
from image import build, components, lock, manifests
from image.bill_of_materials import to_cyclonedx

IMAGE = ROOT / "image"


def test_the_folder_does_not_hide_the_library_of_its_name() -> None:
    command = [sys.executable, "-c", "import packaging.version; print(packaging.__file__)"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert not Path(found).is_relative_to(IMAGE)
    assert found.endswith("packaging/__init__.py")


def test_a_misspelt_base_is_told_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CACHE", tmp_path)
    with pytest.raises(build.BuildError, match=r"did you mean 'ubuntu'\?"):
        build.build_image(build.Engine("podman", {}), "ubunto")
    with pytest.raises(build.BuildError, match=r"with its tag, fedora:TAG$"):
        build.build_image(build.Engine("podman", {}), "fedora")
    assert list(tmp_path.iterdir()) == []


# Locks


def locked(*files: Path) -> dict[str, str]:
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+) \\$", text, re.MULTILINE))


def required(*files: Path) -> dict[str, str]:
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    pins = [line.partition("#")[0].strip().split("==") for line in lines if line and not line.startswith(("#", "-r"))]
    return {name.lower(): version for name, version in pins}


@pytest.mark.parametrize(
    ("locks", "files"),
    [
        ((lock.REST, lock.TORCH_CPU), (ROOT / "requirements-library.txt", lock.REQUIRED)),
        ((lock.REST, lock.TORCH_CUDA), (ROOT / "requirements-library.txt", lock.REQUIRED)),
        ((lock.TOOLS,), (lock.REQUIRED_TOOLS,)),
    ],
)
def test_the_locks_have_every_requirement_in_its_version(locks: tuple[Path, ...], files: tuple[Path, ...]) -> None:
    packages, wanted = locked(*locks), required(*files)
    assert wanted
    assert {name: packages.get(name) for name in wanted} == wanted


def test_a_package_of_the_image_that_is_a_tool_too_has_one_version() -> None:
    """The build imports the image's first."""
    packages = locked(lock.REST, lock.TORCH_CUDA)
    assert [name for name, version in locked(lock.TOOLS).items() if packages.get(name, version) != version] == []


@pytest.mark.parametrize("file", [lock.REST, lock.TORCH_CPU, lock.TORCH_CUDA, lock.TOOLS])
def test_every_locked_package_has_a_hash(file: Path) -> None:
    entries = re.split(r"^(?=[a-z])", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}\n", entry)] == []


def test_a_package_that_is_compiled_for_one_python_has_a_hash_for_each() -> None:
    """A list of one Python's wheels would refuse those of the other as tampered with."""
    hashes = {
        entry["name"]: entry["hashes"].count("sha256")
        for entry in lock.ENTRY.finditer(lock.REST.read_text(encoding="utf-8"))
    }
    lacking = []
    for name, count in hashes.items():
        try:
            tags = re.findall(r"^Tag: (\S+)$", metadata.distribution(name).read_text("WHEEL") or "", re.M)
        except metadata.PackageNotFoundError:
            continue
        if all(re.match(r"cp\d+-cp\d+-", tag) for tag in tags) and count < 2:
            lacking.append(name)
    assert lacking == []


def test_the_cpu_image_has_no_package_of_cuda_but_its_runtime_library() -> None:
    packages = locked(lock.REST, lock.TORCH_CPU)
    assert [name for name in packages if name.startswith("nvidia-")] == ["nvidia-cuda-runtime"]
    assert packages.keys() & lock.LEFT_OUT.keys() == set()


# Manifests


@pytest.fixture
def settings() -> dict:
    return yaml.safe_load((ROOT / "app.yaml").read_text(encoding="utf-8"))


def test_the_command_is_a_list_for_the_specification_and_a_line_for_the_earlier_layout(
    settings: dict, tmp_path: Path
) -> None:
    manifests.write_manifests(settings, "1.2.3", "cpu", tmp_path)
    command = json.loads((tmp_path / "etc/holoscan/app.json").read_text(encoding="utf-8"))["command"]
    earlier = json.loads((tmp_path / "etc/monai/app.json").read_text(encoding="utf-8"))["command"]
    assert json.loads(command) == earlier.split() == ["/opt/holoscan/entrypoint", "run"]


def test_the_package_manifest_names_the_folder_of_every_model(settings: dict) -> None:
    package = manifests.pkg_manifest(settings, "1.2.3", "cpu")
    folders = {model["name"]: model["path"] for model in package["models"]}
    assert folders == {"lungs": "/opt/holoscan/models/lungs", "classifier": "/opt/holoscan/models/classifier"}
    assert package["version"] == "1.2.3"


@pytest.mark.parametrize(
    ("variant", "device", "gpu"),
    [("cpu", "auto", False), ("cuda", "auto", True), ("cuda", "cpu", False), ("cuda", "cuda", True)],
)
def test_the_cuda_variant_asks_for_a_gpu_and_its_memory_and_the_other_for_none(
    settings: dict, variant: str, device: str, gpu: bool
) -> None:
    package = manifests.pkg_manifest(settings | {"device": device}, "1.2.3", variant)
    assert package["resources"]["gpu"] == int(gpu)
    assert ("gpuMemory" in package["resources"]) == gpu
    assert package["platformConfig"] == ("dgpu" if gpu else "cpu")


# The commit that an image, and a record, name


def test_a_file_that_git_does_not_know_of_marks_the_commit_as_modified(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=b", *words], check=True)

    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "known.py").write_text("")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "a")
    clean = commit_of(tmp_path, ["app"])
    (tmp_path / "notes.txt").write_text("no part of the application")
    assert commit_of(tmp_path, ["app"]) == clean
    (tmp_path / "app" / "new.py").write_text("")
    assert commit_of(tmp_path, ["app"]) == f"{clean}-modified"


# Licences, and the bill of materials


def component(name: str, licence: str, linked: bool = True) -> components.Component:
    return components.Component("library", name, "1.0", licence, linked=linked)


@pytest.mark.parametrize(
    "licence",
    ["GPL-3.0-only", "LGPL-2.1-or-later", "AGPL-3.0", "MIT AND GPL-2.0", "GNU General Public License v3 (GPLv3)"],
)
def test_what_is_linked_under_the_gpl_family_is_refused_by_name(licence: str) -> None:
    with pytest.raises(components.LicenceRefused, match="pylibjpeg-libjpeg"):
        components.refuse_gpl_family([component("pylibjpeg-libjpeg", licence)])


def test_a_program_beside_the_application_may_be_under_the_gpl_and_so_may_an_exception() -> None:
    programs = [component("bash", "GPL-3+", linked=False), component("libc6", "LGPL-2.1")]
    components.refuse_gpl_family([*programs, component("libgomp", components.GCC_RUNTIME)])


def test_the_bill_of_materials_depends_on_what_is_in_it_alone() -> None:
    listed = [component("numpy", "BSD-3-Clause"), component("bash", "GPL-3+", linked=False)]
    text = to_cyclonedx(listed, "1.2.3", 0)
    assert text == to_cyclonedx(listed, "1.2.3", 0) == to_cyclonedx(listed[::-1], "1.2.3", 0)
    bill = json.loads(text)
    assert bill["serialNumber"] != json.loads(to_cyclonedx(listed[:1], "1.2.3", 0))["serialNumber"]
    assert bill["metadata"]["timestamp"] == "1970-01-01T00:00:00+00:00"
    assert sorted(item["name"] for item in bill["components"]) == ["bash", "numpy"]
    (of_the_application,) = (item for item in bill["dependencies"] if item["ref"] == "groundglass")
    assert of_the_application["dependsOn"] == ["numpy"]


@pytest.mark.slow
def test_two_processes_write_the_same_bill_of_materials() -> None:
    """Each has its own order of sets and its own random numbers."""
    program = "from image.components import python_packages; from image.bill_of_materials import to_cyclonedx\n"
    program += "print(to_cyclonedx(python_packages(), '1.2.3', 0))"
    bills = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(bills) == 1


def test_the_bill_of_materials_keeps_to_the_schema_of_cyclonedx() -> None:
    debian = components.Component("library", "libstdc++6", "12.2.0-14+deb12u1", "GPL-3", "pkg:deb/debian/libstdc++6@12")
    system = components.Component("operating-system", "debian", "12", "as each of its packages")
    bundled = components.Component("library", "libgomp", "1", "GPL-3.0", "pkg:generic/libgomp?in=torch", linked=True)
    listed = [*components.weights(ROOT / "app.yaml"), *components.python_packages(), debian, system, bundled]
    text = to_cyclonedx(listed, "1.2.3", 1_000_000_000)
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    written = json.loads(text)["components"]
    assert len(written) == len(listed)
    purls = [PackageURL.from_string(item["purl"]) for item in written if "purl" in item]
    assert {purl.name: purl.version for purl in purls if purl.type == "pypi"} == installed_packages()
    assert {each["content"] for item in written for each in item.get("hashes", ())} == {
        model["sha256"] for model in yaml.safe_load((ROOT / "app.yaml").read_text(encoding="utf-8"))["models"].values()
    }


# What goes in


def test_the_bill_names_the_terms_of_the_weights_where_the_image_has_them() -> None:
    """They are not those of the code: the data they were trained on sets them."""
    for each in components.weights(ROOT / "app.yaml"):
        assert each.licence.startswith("research, not commercial use: docs/")
        assert (ROOT / each.licence.rpartition("docs/")[2]).is_file()


def test_the_image_gets_the_code_and_the_weights_and_neither_tests_nor_training() -> None:
    files = build.source_files()
    assert {"app.yaml", "__main__.py", "app/command_line.py", "models/lungs/lungs.safetensors"} <= set(files)
    assert [name for name in files if name.startswith(("tests/", "training/", "benchmarks/", "image/"))] == []


def test_a_staged_folder_is_the_same_whatever_the_rights_of_who_stages_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "CACHE", tmp_path)
    context = build.stage_context(epoch=1_000_000_000)
    entry = context / "entrypoint"
    code = context / "app/app/command_line.py"
    assert oct(entry.stat().st_mode)[-3:] == "755"
    assert oct(code.stat().st_mode)[-3:] == "644"
    assert {path.stat().st_mtime for path in context.rglob("*")} == {1_000_000_000}
    assert (context / "models/classifier/classifier.safetensors").is_file()


# The entry point


def test_an_unknown_word_is_refused_and_says_which_there_are() -> None:
    done = subprocess.run(["sh", IMAGE / "entrypoint", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "run, show, extract, selftest, quality, version, help" in done.stderr


def test_the_deployment_page_tells_of_every_exit_code() -> None:
    page = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    codes = re.findall(
        r"^class ExitCode|^    \w+ = (\d)$", (ROOT / "groundglass/exit_codes.py").read_text(), re.MULTILINE
    )
    assert [code for code in codes if code and f"\n| {code} |" not in page] == []


@pytest.mark.parametrize(
    ("work", "stop", "code"),
    [
        ("sys.exit(5)", False, 5),
        ("signal.pause()", True, 143),
        # The graph's engine takes the signal itself, and leaves with 1.
        (
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)); print('ready', flush=True); signal.pause()",
            True,
            143,
        ),
    ],
)
def test_the_exit_code_of_the_work_comes_out_unless_it_was_stopped(
    tmp_path: Path, work: str, stop: bool, code: int
) -> None:
    application = tmp_path / "app.py"
    application.write_text(f"import signal, sys\nprint('started', flush=True)\n{work}\n", encoding="utf-8")
    entry = (IMAGE / "entrypoint").read_text(encoding="utf-8")
    script = entry.replace("PYTHON=/opt/venv/bin/python", f"PYTHON={sys.executable}")
    script = script.replace('"$ROOT/app"', f'"{application}"')
    with subprocess.Popen(["sh", "-c", script, "entrypoint", "run"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(2 if "ready" in work else 1):
            process.stdout.readline()
        if stop:
            process.terminate()
        assert process.wait(timeout=10) == code
