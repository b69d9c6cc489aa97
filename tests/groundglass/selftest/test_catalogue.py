"""Every promise has a check, and every check its requirements."""

from groundglass.selftest import traceability
from groundglass.selftest.catalogue import CHECKS, INSTALLATION, NOT_COVERED, OPERATION, REQUIREMENTS
from groundglass.selftest.check import Check, Measured, carry_out
from groundglass.selftest.samples import SAMPLES


def test_ids_are_unique_and_in_order() -> None:
    ids = [check.id for check in CHECKS]
    assert ids == [f"IQ-{n:02d}" for n in range(1, len(INSTALLATION) + 1)] + [
        f"OQ-{n:02d}" for n in range(1, len(OPERATION) + 1)
    ]


def test_every_check_covers_requirements_that_exist() -> None:
    assert [
        check.id for check in CHECKS if not check.requirements or set(check.requirements) - REQUIREMENTS.keys()
    ] == []


def test_every_requirement_has_a_check_or_is_named_as_not_covered_with_the_reason() -> None:
    covered = {requirement for check in CHECKS for requirement in check.requirements}
    assert REQUIREMENTS.keys() - covered == NOT_COVERED.keys()
    assert all(NOT_COVERED.values())


def test_every_sample_of_bad_input_has_a_check() -> None:
    names = [check.measure.keywords["name"] for check in OPERATION if "name" in getattr(check.measure, "keywords", {})]
    assert sorted(names) == sorted(SAMPLES)


def test_docs_traceability_is_current() -> None:
    """Write it again with: python -m groundglass.selftest.traceability"""
    assert traceability.DOCUMENT.read_text(encoding="utf-8") == traceability.to_markdown()


def test_a_check_that_cannot_come_to_its_end_has_failed() -> None:
    def fall_over(subject: object) -> Measured:
        raise KeyError("lungs")

    outcome = carry_out(Check("X", (), "", "", fall_over), None)
    assert outcome.verdict == "failed"
    assert "KeyError" in outcome.measured
