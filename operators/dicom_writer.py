"""DICOM writer: the last node, which writes the files of a case."""

from collections.abc import Callable

from holoscan.core import Fragment
from monai.deploy.core import Operator, OperatorSpec

from groundglass.run import Run


class DICOMWriterOperator(Operator):
    """Writes the case's files, records the case, and asks for the next study.

    Input:
        findings: `Case`.
    """

    def __init__(
        self, fragment: Fragment, *args: object, run: Run, ask_for_next: Callable[[], None], name: str
    ) -> None:
        self._run = run
        self._ask_for_next = ask_for_next
        super().__init__(fragment, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("findings")

    def compute(self, op_input, op_output, context) -> None:  # type: ignore[no-untyped-def]
        self._run.write(op_input.receive("findings"))
        self._ask_for_next()
