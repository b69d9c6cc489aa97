"""The graph and the library's own command write the same bytes."""

import datetime
import json
from pathlib import Path

import pytest

from groundglass.__main__ import main
from groundglass.dicomio.writing import identity
from tests.app.runs import call

pytestmark = pytest.mark.slow


def content(folder: Path) -> dict[str, bytes]:
    """The files of a run, but for the seconds that its stages took."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = json.loads(files["result.json"])
    for case in result["cases"]:
        case["timings_s"] = sorted(case["timings_s"])
    return files | {"result.json": json.dumps(result).encode()}


def test_the_graph_and_the_librarys_command_write_the_same_bytes(
    small_study: Path, quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "now", lambda: datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC))
    graph = call(small_study, tmp_path / "graph", "--settings", str(quick))
    code = main(["analyse", str(small_study), str(tmp_path / "command"), "--settings", str(quick)])
    assert graph.code == code == 0
    found = content(tmp_path / "command")
    assert {name.split(".", 1)[1] for name in found if name.startswith("case-001")} >= {
        "seg.dcm",
        "sr.dcm",
        "preview.png",
    }
    assert found == content(tmp_path / "graph")
