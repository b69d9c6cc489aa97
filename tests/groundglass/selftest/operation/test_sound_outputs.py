"""Each check passes outputs that are right, and says what it measured."""

import pytest

from tests.groundglass.selftest.operation.spoiling import Judged

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "title",
    [
        "Three phantoms",
        "Other files in the input",
        "Output folder",
        "Earlier results",
        "Software in result.json",
        "Form of result.json",
        "Segmentations",
        "Reports",
        "Presentation states",
        "Key images",
        "References and identity",
        "Provenance",
        "Strict reading",
        "Logs",
        "Peak memory",
        "The same study again",
        "Lung volumes",
        "Lungs in patient coordinates, by side",
        "Centres of the lungs",
        "State of the study",
        "First region, in patient coordinates",
        "Salient lesions",
        "Side of the first regions",
    ],
)
def test_outputs_that_are_right_pass(judged: Judged, title: str) -> None:
    outcome = judged.outcome(title)
    assert outcome.verdict == "passed", outcome.measured
    assert outcome.measured
