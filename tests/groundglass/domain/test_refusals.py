"""Every refusal code has its advice, is raised somewhere, and stands in the docs."""

from groundglass.domain.errors import OutputFailed, Refusal
from groundglass.domain.refusals import DOCUMENT, REFUSALS, RefusalCode, as_markdown
from groundglass.locations import ROOT


def test_every_code_has_its_advice() -> None:
    assert set(REFUSALS) == set(RefusalCode)


def test_no_code_is_never_raised() -> None:
    files = [path for path in (ROOT / "groundglass").rglob("*.py") if path.name != "refusals.py"]
    written = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert [code for code in RefusalCode if f"RefusalCode.{code}" not in written] == []


def test_the_docs_are_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == as_markdown(), "run python -m groundglass.domain.refusals"


def test_every_advice_says_in_a_sentence_what_to_do() -> None:
    for advice in REFUSALS.values():
        assert advice.meaning.endswith(".")
        assert advice.remedy.endswith(".")


def test_an_error_tells_its_code_and_its_reason() -> None:
    for error in (Refusal(RefusalCode.GAP, "A slice is missing."), OutputFailed(RefusalCode.DISK_FULL, "It is full.")):
        assert str(error) == f"{error.code.value}: {error.reason}"
