"""Input as it should never be, made by code, each case with what must become of it.

`CASES` holds them all, a table a family. `case.write(folder)` writes the input of a case into an empty folder, and
`case.expected` tells the exit code, the status and the reason, or the volume to the last bit.
"""

from tests.bad_input import codestreams, file_sets, files, geometry, identity, pixels, reports, selection
from tests.bad_input.case import BadInput, Expected

CASES: tuple[BadInput, ...] = (
    files.CASES
    + file_sets.CASES
    + identity.CASES
    + geometry.CASES
    + pixels.CASES
    + codestreams.CASES
    + selection.CASES
    + reports.CASES
)

__all__ = ["CASES", "BadInput", "Expected"]
