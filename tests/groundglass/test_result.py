"""What result.json tells other systems."""

from collections.abc import Iterator
from typing import Any

import pytest

from groundglass.domain.statement import LIMITS, NO_ADULT
from groundglass.result import MERCURE_KEY, result_schema
from tests.app.results import analysed_case, make_result, refused_case

SICK, DOUBTFUL, HEALTHY = (0.14, 0.4, 0.46), (0.5, 0.3, 0.2), (0.96, 0.02, 0.02)


def test_mercure_is_told_the_statement_of_the_case_on_one_line() -> None:
    told = make_result(analysed_case(SICK))[MERCURE_KEY]
    assert told == {
        "text": "case-001: Pneumonia present: probability 0.86. Kind not determined (COVID-19 0.46, CAP 0.40). "
        + LIMITS,
        "requested": True,
    }


@pytest.mark.parametrize(("probabilities", "requested"), [(SICK, True), (DOUBTFUL, True), (HEALTHY, False)])
def test_a_notification_is_requested_where_there_is_something_to_look_at(
    probabilities: tuple[float, float, float], requested: bool
) -> None:
    assert make_result(analysed_case(probabilities))[MERCURE_KEY]["requested"] is requested


@pytest.mark.parametrize("status", ["refused", "failed"])
def test_a_case_without_a_result_is_told_with_its_reason(status: str) -> None:
    told = make_result(analysed_case(HEALTHY), refused_case("GAP", status))[MERCURE_KEY]
    assert told["requested"]
    healthy, refused = told["text"].splitlines()
    assert healthy.startswith("case-001: Pneumonia absent")
    assert refused == "case-001: Not analysed (GAP). Slices are missing."


@pytest.mark.parametrize("case", [analysed_case(SICK), refused_case("GAP", "refused")])
def test_a_case_is_told_with_its_warnings(case: dict[str, Any]) -> None:
    made = make_result(case | {"warnings": [NO_ADULT]})
    assert made[MERCURE_KEY]["text"].endswith(NO_ADULT)


def test_a_run_without_a_case_requests_nothing_and_says_so() -> None:
    told = make_result()[MERCURE_KEY]
    assert (told["requested"], "chest CT" in told["text"]) == (False, True)


def test_mercure_reads_the_notification_as_it_is_written() -> None:
    """As mercure's notification.py does: by these keys, and only what is true and not empty counts."""
    output = make_result(analysed_case(SICK))
    found = output.get("__mercure_notification")
    assert found.get("requested")
    assert found.get("text")


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field that the schema names, at any depth."""
    for name, field in schema.get("properties", {}).items():
        yield name, field
        yield from fields(field)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from fields(schema[key])
    for one in schema.get("anyOf", ()):
        yield from fields(one)


def test_the_schema_describes_every_field() -> None:
    assert [name for name, field in fields(result_schema()) if not field.get("description", "").endswith(".")] == []
