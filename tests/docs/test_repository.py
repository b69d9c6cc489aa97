"""The site has every file that its pages link to, and nothing of it is typed twice."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from mkdocs.config.base import load_config
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from docs import repository
from groundglass.domain.refusals import REFUSALS
from groundglass.locations import ROOT


def page(uri: str) -> SimpleNamespace:
    return SimpleNamespace(file=SimpleNamespace(src_uri=uri))


@pytest.mark.parametrize(
    ("here", "link", "there"),
    [
        ("run.md", "[a](outputs.md#summary)", "[a](outputs.md#summary)"),
        ("run.md", "[a](../model_cards/lungs.md)", "[a](model_cards/lungs.md)"),
        ("model_cards/classifier.md", "![a](pictures/calibration.png)", "![a](pictures/calibration.png)"),
        ("CONTRIBUTING.md", "[a](docs/quality.md)", "[a](quality.md)"),
        ("benchmarks/results/stages.md", "[a](../../docs/quality.md#metrics)", "[a](../../quality.md#metrics)"),
        ("CONTRIBUTING.md", "[a](README.md)", "[a](index.md)"),
        (
            "run.md",
            "[a](https://doi.org/10.1109/ACCESS.2020.3005510)",
            "[a](https://doi.org/10.1109/ACCESS.2020.3005510)",
        ),
        ("run.md", "[a](#exit-codes)", "[a](#exit-codes)"),
        ("python.md", "[a](notebooks/tutorial.ipynb)", "[a](notebooks/tutorial.md)"),
        ("notebooks/retrain.md", "[a](../retrain.md)", "[a](../retrain.md)"),
    ],
)
def test_a_link_leads_to_the_copy_on_the_site(here: str, link: str, there: str) -> None:
    assert repository.on_page_markdown(link, page(here)) == there


def site_of(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Files:
    config = load_config(str(ROOT / "mkdocs.yml"))
    config["nav"] = []
    config["plugins"]._current_plugin = "docs.repository"  # as while the hooks run
    (tmp_path / "docs").mkdir(exist_ok=True)
    (tmp_path / "docs" / "index.md").write_text(text, encoding="utf-8")
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "one.md").write_text("![a](one.png)", encoding="utf-8")
    (tmp_path / "cards" / "one.png").write_bytes(b"picture")
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    monkeypatch.setattr(repository, "DOCS", tmp_path / "docs")
    index = File.generated(config, "index.md", content=text)
    return repository.on_files(Files([index]), config)


def test_what_pages_link_to_is_on_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = site_of(tmp_path, "[card](../cards/one.md)", monkeypatch)
    assert sorted(file.src_uri for file in files) == ["cards/one.md", "cards/one.png", "index.md"]


def test_a_link_to_nothing_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match=r"cards/two\.md"):
        site_of(tmp_path, "[card](../cards/two.md)", monkeypatch)


def test_a_link_in_code_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = site_of(tmp_path, "```md\n[card](../cards/two.md)\n```\n", monkeypatch)
    assert [file.src_uri for file in files] == ["index.md"]


def test_a_notebook_is_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [{"cell_type": "markdown", "source": ["# Title\n", "[card](../../cards/one.md)"]}]
    cells += [{"cell_type": "code", "source": ["print(1)"]}]
    (tmp_path / "docs" / "notebooks").mkdir(parents=True)
    (tmp_path / "docs" / "notebooks" / "one.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    files = site_of(tmp_path, "[one](notebooks/one.ipynb)", monkeypatch)
    assert sorted(file.src_uri for file in files) == ["cards/one.md", "cards/one.png", "index.md", "notebooks/one.md"]
    made = files.get_file_from_path("notebooks/one.md")
    assert made is not None
    assert made.content_string == "# Title\n[card](../../cards/one.md)\n\n```python\nprint(1)\n```\n"


def test_the_questions_have_an_answer_for_every_refusal_code() -> None:
    text = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    shown = repository.on_page_markdown(text, page("faq.md"))
    assert [code for code in REFUSALS if f"### `{code}`" not in shown] == []
    assert REFUSALS[next(iter(REFUSALS))].remedy in shown


def test_the_page_on_benchmarks_has_the_figures_of_readme() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    shown = repository.on_page_markdown(text, page("benchmarks.md"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    figures = readme.split("<!-- figures -->")[1].split("<!-- end of figures -->")[0].strip()
    assert figures in shown


@pytest.mark.parametrize("name", ["api", "faq", "benchmarks"])
def test_what_is_said_in_place_of_a_generated_part_is_not_on_the_site(name: str) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    shown = repository.on_page_markdown(text, page(f"{name}.md"))
    assert "`make docs`" in text
    assert "`make docs`" not in shown
    assert "readers of this file" not in shown


@pytest.mark.parametrize(
    ("tag", "loads"),
    [
        ('<script src="https://example.org/x.js">', True),
        ('<link href="//example.org/x.css" rel="stylesheet">', True),
        ('<a href="https://example.org">', False),
        ('<script src="assets/x.js">', False),
    ],
)
def test_a_page_that_loads_from_elsewhere_ends_the_build(tmp_path: Path, tag: str, loads: bool) -> None:
    (tmp_path / "index.html").write_text(f"<html>{tag}</html>", encoding="utf-8")
    if loads:
        with pytest.raises(PluginError, match=r"example\.org"):
            repository.on_post_build({"site_dir": str(tmp_path)})
    else:
        repository.on_post_build({"site_dir": str(tmp_path)})
