"""What the entry point does besides analysing."""

import json
from collections.abc import Callable

from tests.image.container.containers import Containers
from tests.image.container.studies import Studies


def test_show_prints_both_manifests(containers: Containers, measured: Callable[[str], None]) -> None:
    shown = json.loads(containers.run("show").out)
    app, pkg = shown["app.json"], shown["pkg.json"]
    assert json.loads(app["command"])[0].startswith("/opt/holoscan/")
    assert app["type"] == "application"
    assert app["version"] == pkg["version"]
    measured(f"version {app['version']}, command {app['command']}, {len(pkg['models'])} models")


def test_extract_copies_what_is_mounted_or_everything_and_says_when_it_cannot(
    containers: Containers, measured: Callable[[str], None]
) -> None:
    everything, one, closed = containers.new_folder(), containers.new_folder(), containers.new_folder()
    (one / "models").mkdir()
    (one / "models").chmod(0o777)
    closed.chmod(0o755)
    export = "/var/run/holoscan/export"
    assert containers.run("extract", mounts={everything: export}).code == 0
    assert sorted(path.name for path in everything.iterdir()) == ["app", "config", "docs", "models"]
    config = sorted(path.name for path in (everything / "config").iterdir())
    assert config == ["app.json", "app.yaml", "pkg.json"]
    assert containers.run("extract", mounts={one: export}).code == 0
    assert len(list(one.rglob("*.safetensors"))) == 2
    assert [path.name for path in one.iterdir()] == ["models"]
    refused = containers.run("extract", mounts={closed: export})
    assert refused.code == 2
    assert "can't be written" in refused.err
    measured("all four parts; models alone; a folder that can't be written is refused with exit code 2")


def test_version_and_help_are_told_and_an_unknown_word_is_refused(
    containers: Containers, measured: Callable[[str], None]
) -> None:
    said = {word: containers.run(word) for word in ("version", "--help", "--version", "nonsense")}
    assert [run.code for run in said.values()] == [0, 0, 0, 2]
    assert "selftest" in said["--help"].out
    assert "commit" in said["version"].out
    measured(said["version"].out.strip())


def test_the_watch_over_results_needs_nothing_but_them(
    containers: Containers, studies: Studies, measured: Callable[[str], None]
) -> None:
    _, results = containers.analyse(studies.none)
    report = containers.new_folder()
    mounts = {results: "/results:ro", report: "/report"}
    run = containers.run("quality", "--results=/results", "--out=/report", mounts=mounts)
    written = sorted(path.name for path in report.iterdir())
    assert run.code == 0, run.err[-300:]
    assert len(written) == 2
    measured(", ".join(written))
