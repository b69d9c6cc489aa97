"""What libFuzzer calls with one input after another: `python -m tests.fuzz` starts it."""

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

TARGETS = {
    "headers": "what hypothesis draws for the headers of a whole series",
    "bytes": "one file of a series, byte by byte",
}

INSTRUMENTED = ["dicomio", "pydicom.filereader", "pydicom.fileutil", "pydicom.encaps", "pydicom.values"]
"""Whose branches count as new ground."""

_FUZZED = 2
"""The slice whose file is fuzzed: without it there is a gap."""


def headers_target() -> Callable[[bytes], object]:
    """Input in the form in which hypothesis records what it draws."""
    from tests.groundglass.dicomio.reading.test_any_header import (
        test_any_header_ends_in_an_explained_refusal_or_in_the_right_volume as test,
    )

    fuzz_one_input: Callable[[bytes], object] = test.hypothesis.fuzz_one_input  # type: ignore[attr-defined]
    return fuzz_one_input


def bytes_target(folder: Path) -> Callable[[bytes], object]:
    """Input that is the content of one file; the others lie in `folder` and are sound."""
    from pydicom.uid import ExplicitVRLittleEndian

    from tests.fuzz.files import as_file, small_series
    from tests.fuzz.judge import judge

    images = small_series(ExplicitVRLittleEndian)
    for index, image in enumerate(images):
        (folder / str(index)).write_bytes(as_file(image, ExplicitVRLittleEndian))

    def target(content: bytes) -> None:
        (folder / str(_FUZZED)).write_bytes(content)
        judge(folder, len(images), pixels_are_sound=False)

    return target


def write_header_seeds(corpus: Path) -> None:
    """Long enough for hypothesis to draw a whole series from, which libFuzzer would take long to come to."""
    generator = random.Random(0)
    for number in range(50):
        (corpus / f"seed {number}").write_bytes(generator.randbytes(2000))


def write_byte_seeds(corpus: Path) -> None:
    """The file in every form that is read, for libFuzzer to begin with."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

    from tests.bad_input.series import write, write_bare
    from tests.fuzz.files import SMALL, SYNTAXES, as_file, as_multi_frame, small_series

    for syntax in SYNTAXES:
        (corpus / syntax).write_bytes(as_file(small_series(syntax)[_FUZZED], syntax))
    write(SMALL.image(_FUZZED), corpus / "big endian", ExplicitVRBigEndian)
    write_bare(SMALL.image(_FUZZED), corpus / "bare")
    images = small_series(ExplicitVRLittleEndian)
    (corpus / "multi-frame").write_bytes(as_file(as_multi_frame(images), ExplicitVRLittleEndian))
    other = replace(SMALL, series="1.2.3.4").image(_FUZZED)
    write(other, corpus / "another series")


def main() -> None:
    """Fuzz one target; libFuzzer takes the arguments behind its name and ends the process."""
    import atheris

    name, *arguments = sys.argv[1:]
    with TemporaryDirectory() as folder:
        with atheris.instrument_imports(include=INSTRUMENTED):
            import groundglass.dicomio.reading.volume  # noqa: F401  # before anything else imports it
        target = headers_target() if name == "headers" else bytes_target(Path(folder))
        if Path(arguments[0]).is_dir():
            (write_header_seeds if name == "headers" else write_byte_seeds)(Path(arguments[0]))
        atheris.Setup([sys.argv[0], *arguments], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
