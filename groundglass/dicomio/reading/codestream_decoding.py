"""Codestreams of JPEG, JPEG-LS and JPEG 2000 to stored pixels, and whether a JPEG holds the whole image.

Decoders of Huffman-coded JPEG make up what is missing and say nothing.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from groundglass.dicomio.reading.codestream import has_all_restarts, lengthened, shortened
from groundglass.domain.arrays import AnyArray

_LEAST_ALIKE = 64
"""Pixels that noise doesn't make alike."""

DECODERS = {
    JPEGBaseline8Bit: "jpeg8_decode",
    JPEGExtended12Bit: "jpeg8_decode",
    JPEGLossless: "jpeg8_decode",
    JPEGLosslessSV1: "jpeg8_decode",
    JPEGLSLossless: "jpegls_decode",
    JPEGLSNearLossless: "jpegls_decode",
    JPEG2000Lossless: "jpeg2k_decode",
    JPEG2000: "jpeg2k_decode",
    HTJ2KLossless: "jpeg2k_decode",
    HTJ2KLosslessRPCL: "jpeg2k_decode",
    HTJ2K: "jpeg2k_decode",
}
"""Functions of imagecodecs, which lets threads decode side by side; pydicom's decoders keep them waiting.

Its decoder for HTJ2K alone tells errors on standard error; OpenJPEG, behind the one for JPEG 2000, reads HTJ2K too.
"""
HUFFMAN = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1})
"""Whose decoders don't tell where data are missing."""
JPEG_2000 = frozenset({JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K})
"""Their codestreams say themselves whether the values are signed."""


def decoder_of(syntax: str) -> Callable[..., AnyArray]:
    """The function of imagecodecs for a transfer syntax of DECODERS."""
    import imagecodecs  # when it is needed: most series are not compressed

    decode: Callable[..., AnyArray] = getattr(imagecodecs, DECODERS[UID(syntax)])
    return decode


def decode_whole(codestream: bytes, syntax: str, target: NDArray[np.int16 | np.uint16]) -> bool:
    """Whether a JPEG codestream holds the whole image, which is decoded: decoders make up what is missing in silence.

    With noise behind its data one that is cut ends in noise, or in whole rows made up once that is used up. So where
    only the last pixels are all alike, as outside the circle of a reconstruction, nothing is missing; else the same
    pixels have to come out without the noise.
    """
    decode = decoder_of(syntax)
    size = (target.shape[0], target.shape[1])
    if not has_all_restarts(codestream, size):
        return False
    decode(lengthened(codestream, size), out=target)
    is_last = target[-1] == target[-1, -1]
    if is_last[-_LEAST_ALIKE:].all() and not is_last.all():
        return True
    return np.array_equal(decode(codestream), target)


def is_whole(codestream: bytes, syntax: str, size: tuple[int, int]) -> bool:
    """Whether a JPEG codestream that pydicom is to read, since its pixels aren't plain ones, holds the whole image.

    What this decoder refuses comes through as its error: nobody else tells whether data are missing.
    """
    decode = decoder_of(syntax)
    return has_all_restarts(codestream, size) and np.array_equal(
        decode(codestream), decode(lengthened(codestream, size))
    )


def needs_all(codestream: bytes, syntax: str) -> bool:
    """Whether a JPEG codestream, whose end was missing, needs its last data: else they fill up one that was cut.

    What the decoder refuses of the codestream itself comes through as its error.
    """
    decode = decoder_of(syntax)
    stored = decode(codestream)
    try:
        without_last = decode(lengthened(shortened(codestream), (stored.shape[0], stored.shape[1])))
    except Exception:  # Of noise in their place no image can be made: they are needed.
        return True
    return not np.array_equal(stored, without_last)
