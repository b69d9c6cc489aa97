"""A stage of a case: what becomes of it, and what is told."""

import pytest
import torch

from groundglass.case import Case, attempt
from groundglass.domain.errors import Refusal

CASE = Case(1, "1.2", "1.2.3", (), "")


def raising(error: Exception):
    def work(case: Case) -> Case:
        raise error

    return work


def test_a_stage_that_works_leaves_its_time() -> None:
    case = attempt("lungs", CASE, lambda case: case.with_found("cap"))
    assert (case.status, case.found, case.reason) == ("analysed", "cap", None)
    assert case.timings_s["lungs"] >= 0


def test_a_case_that_was_refused_is_passed_on_as_it_is() -> None:
    refused = attempt("volume", CASE, raising(Refusal("GAP", "Two slices are 10 mm apart.")))
    assert attempt("lungs", refused, raising(KeyError("never done"))) is refused


@pytest.mark.parametrize(
    ("error", "code"),
    [(Refusal("GAP", "Two slices are 10 mm apart."), "GAP"), (Refusal("NO_LUNGS", "No lungs."), "NO_LUNGS")],
)
def test_a_refusal_keeps_its_code_and_its_sentence(error: Refusal, code: str) -> None:
    case = attempt("volume", CASE, raising(error))
    assert (case.status, case.reason_code) == ("refused", code)
    assert case.reason == error.reason


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_a_memory_that_is_too_small_is_no_defect(error: Exception) -> None:
    case = attempt("lungs", CASE, raising(error))
    assert (case.status, case.reason_code) == ("failed", "OUT_OF_MEMORY")
    assert "the stage 'lungs'" in str(case.reason)


def test_a_defect_tells_its_place_and_not_its_text() -> None:
    case = attempt("lungs", CASE, raising(KeyError("Doe^Jane")))
    assert (case.status, case.reason_code) == ("failed", "DEFECT")
    assert "KeyError in work" in str(case.reason)
    assert "Doe" not in str(case.reason)


def test_not_even_the_debug_log_quotes_the_text_of_a_defect_or_of_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    def work(case: Case) -> Case:
        try:
            raise KeyError("Doe^Jane")
        except KeyError as cause:
            raise ValueError("can't convert Doe^Jane") from cause

    with caplog.at_level("DEBUG", "groundglass"):
        attempt("lungs", CASE, work)
    assert "in work" in caplog.text
    line_of_the_source = '"can\'t convert Doe^Jane"'
    assert "Doe^Jane" not in caplog.text.replace(line_of_the_source, "")
