"""The base of the operators that work on a case: receive it, do one step of the run, emit it."""

from collections.abc import Callable

from holoscan.core import Fragment
from monai.deploy.core import Operator, OperatorSpec

from groundglass.case import Case


class CaseOperator(Operator):
    """One step of a run on each case that comes. A case that was refused or has failed is passed on.

    Attributes:
        port_in, port_out: names of the ports.
    """

    port_in: str
    port_out: str

    def __init__(self, fragment: Fragment, *conditions: object, step: Callable[[Case], Case], name: str) -> None:
        self._step = step
        super().__init__(fragment, *conditions, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input(self.port_in)
        spec.output(self.port_out)

    def compute(self, op_input, op_output, context) -> None:  # type: ignore[no-untyped-def]
        op_output.emit(self._step(op_input.receive(self.port_in)), self.port_out)
