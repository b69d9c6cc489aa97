"""The command's table and messages, its server, and what is pinned."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from pydicom import dcmread

from conformance.orthanc import Orthanc
from conformance.tools import ToolMissing
from conformance.viewer import __main__ as command
from conformance.viewer import ohif, phantoms
from conformance.viewer.finding import Finding
from conformance.viewer.server import serving

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Archive(Orthanc):
    """One that says what it was asked."""

    def answer(self, path: str, headers: object) -> tuple[int, str, bytes]:
        return 404 if "none" in path else 200, "application/dicom+json", f"{path} {headers}".encode()


def test_the_viewer_and_the_archive_have_one_address_and_what_a_page_sends_is_kept(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").write_text("the page")
    (tmp_path / "dist" / "app.js").write_text("a script")
    (tmp_path / "secret.js").write_text("outside")
    with serving(tmp_path / "dist", Archive(0, 0, tmp_path)) as (address, measured):

        def get(path: str) -> str:
            with OPENER.open(urllib.request.Request(f"{address}{path}", headers={"Accept": "a/b"})) as answer:
                return answer.read().decode()

        assert get("/viewer?StudyInstanceUIDs=1.2") == "the page"
        assert get("/app.js") == "a script"
        assert "dataSourcesModule.dicomweb" in get("/app-config.js")
        assert get("/dicom-web/studies?limit=1").startswith("/dicom-web/studies?limit=1 {'Accept': 'a/b'")
        for path in ("/dicom-web/none", "/missing.js", "/..%2fsecret.js", "/../secret.js"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(path)
        with OPENER.open(urllib.request.Request(f"{address}/measured/0/seg", data=b"\x01\x02")):
            pass
    assert measured == {"0/seg": b"\x01\x02"}


def test_the_table_has_a_line_for_everything_and_the_problem_below_it() -> None:
    findings = [
        Finding("OHIF", "positive", "seg: Right lung"),
        Finding("OHIF", "positive", "sr: opened", "TypeError\nat line 1"),
        Finding("3D Slicer", "positive", "source"),
    ]
    assert list(command.lines_of(findings)) == [
        "OHIF, positive",
        "    ok  seg: Right lung",
        "  FAIL  sr: opened",
        "          TypeError",
        "          at line 1",
        "3D Slicer, positive",
        "    ok  source",
    ]


def test_the_exit_code_tells_a_problem_from_a_program_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "cases_of", lambda options, folder: [])
    for findings, code, said in (([Finding("a", "b", "c")], 0, "none"), ([Finding("a", "b", "c", "d")], 1, "1")):
        monkeypatch.setattr(command, "look", lambda *_, found=findings: found)
        assert command.main(["--few"]) == code
        assert f"1 things were looked at, {said} of them wrong." in capsys.readouterr().out

    def missing(*_: object) -> list[Finding]:
        raise ToolMissing("The program chromium is not installed.")

    monkeypatch.setattr(command, "look", missing)
    assert command.main(["--few"]) == 2
    assert "chromium" in capsys.readouterr().err


def test_results_of_a_patient_are_shown_only_with_their_study(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        command.main(["--results", str(tmp_path)])
    with pytest.raises(SystemExit):
        command.main(["--results", str(tmp_path), "--study", str(tmp_path)])


def test_what_npm_installs_is_pinned_and_comes_from_no_other_registry() -> None:
    wanted = json.loads((ohif.HERE / "package.json").read_text())["dependencies"]
    packages = json.loads((ohif.HERE / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == wanted
    installed = {name.removeprefix("node_modules/"): package for name, package in packages.items()}
    assert {name: package["version"] for name, package in installed.items()} == wanted
    assert all(package["integrity"].startswith("sha512-") for package in installed.values())
    assert not any("resolved" in package for package in installed.values())


def test_a_phantom_goes_through_the_application_and_must_end_as_it_should(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(phantoms, "SLICES", 8)
    monkeypatch.setitem(phantoms.PHANTOMS, "refused", phantoms.Phantom("normal", None, without=3))
    given: list[int] = []

    def refuse(study: Path, results: Path, **_: object) -> int:
        given.append(len(list(study.iterdir())))
        uid = dcmread(next(study.iterdir())).SeriesInstanceUID
        results.mkdir()
        case = {"case": "case-001", "series_instance_uid": uid, "outputs": []}
        (results / "result.json").write_text(json.dumps({"cases": [case]}))
        return 4

    monkeypatch.setattr(phantoms, "run_application", refuse)
    (case,) = phantoms.make_cases("refused", tmp_path / "refused", few=True)
    assert (case.name, len(case.sources), given) == ("refused", 7, [7])
    with pytest.raises(phantoms.UnexpectedEnd, match="to be absent in the case 'negative'"):
        list(phantoms.make_cases("negative", tmp_path / "negative", few=True))
