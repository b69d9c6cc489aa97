"""The docs list every refusal code of the code, and no other."""

import ast

from groundglass.domain.refusals import DOCUMENT, REFUSALS, as_markdown
from groundglass.locations import ROOT

PACKAGES = ("app", "operators", "method", "dicomio")


def raised_codes() -> dict[str, set[str]]:
    """Every code that the application's source hands to an error of refusal or to a case, and where."""
    codes: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    named = [keyword.value for keyword in node.keywords if keyword.arg in ("reason_code", "code")]
                    is_error = isinstance(node.func, ast.Name) and node.func.id in ("SeriesRefused", "Unsuitable")
                    given = [*named, *(node.args[:1] if is_error else [])]
                    for argument in given:
                        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                            codes.setdefault(argument.value, set()).add(path.name)
    return codes


def test_every_code_that_is_raised_is_in_the_table() -> None:
    found = raised_codes()
    assert {"GAP", "NO_LUNGS", "DEFECT"} <= found.keys()
    assert {code: places for code, places in found.items() if code not in REFUSALS} == {}


def test_no_code_of_the_table_is_never_raised() -> None:
    written = "\n".join(
        path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "refusals.py"
    )
    assert [code for code in REFUSALS if f'"{code}"' not in written] == []


def test_the_docs_are_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == as_markdown(), "run python -m groundglass.domain.refusals"


def test_every_refusal_says_in_a_sentence_what_to_do() -> None:
    for refusal in REFUSALS.values():
        assert refusal.meaning.endswith(".")
        assert refusal.remedy.endswith(".")
