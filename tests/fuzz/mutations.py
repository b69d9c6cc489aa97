"""Series of small CT images with anything at all in their headers, for hypothesis to draw."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR
from pydicom.uid import UID, ExplicitVRLittleEndian

from groundglass.dicomio.reading.header import KEPT
from tests.fuzz.files import (
    SMALL,
    SYNTAXES,
    Image,
    as_file,
    as_multi_frame,
    element,
    small_series,
    value_of,
    with_element,
)

SLICES = SMALL.shape[0]
_TEXTS = (
    "", " ", "\0", "\\", "0", "-0", "1", "-1", "2", "0.5", "-1024", "1e3", "1e-300", "1e30", "1e154", "1e308", "-1e308",
    "1e999", "NaN", "-inf", "1_0", "0x10", "1,5", "1.5.2", "1\\2", "1\\0\\0\\0\\1\\0", "0\\0\\0", "1e308\\1e308\\1e308",
    "-1e308\\-1e308\\-1e308", "\xe9", "9" * 70, "1." + "2" * 70, "CT", "MR", "HU", "OD", "US", "MONOCHROME1", "RGB",
    "LOCALIZER", "HEAD", "planted", "planted\x1b[2J\n", "../../x",
)  # fmt: skip
_REPRESENTATIONS = (
    "AE", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "OB", "OW", "PN", "SH", "SL", "SQ", "SS", "ST", "UI",
    "UL", "UN", "US", "UT",
)  # fmt: skip
_NUMERIC = tuple(keyword for keyword in KEPT if dictionary_VR(keyword) in ("DS", "IS"))


@dataclass(frozen=True)
class OtherValue:
    """An attribute of some images holds something else, now and then in another value representation."""

    keyword: str
    vr: str | None
    value: bytes
    where: frozenset[int]

    def __call__(self, images: Sequence[Image]) -> list[Image]:
        value = self.value + b" " * (len(self.value) % 2)
        new = element(self.keyword, value, self.vr.encode() if self.vr else None)
        return [with_element(image, new) if index in self.where else image for index, image in enumerate(images)]


@dataclass(frozen=True)
class OtherNumber:
    """One number of an attribute is larger or smaller; `is_growing`: the farther down, the more."""

    keyword: str
    place: int
    by: float
    is_growing: bool
    where: frozenset[int]

    def __call__(self, images: Sequence[Image]) -> list[Image]:
        changed = []
        for index, image in enumerate(images):
            texts = value_of(image, self.keyword).decode("latin-1").strip("\0 ").split("\\")
            place = self.place % len(texts)
            try:
                texts[place] = repr(float(texts[place]) + self.by * (index if self.is_growing else 1))
            except ValueError:  # absent, or another change was here before
                texts[place] = repr(self.by)
            value = "\\".join(texts).encode("latin-1")
            new = element(self.keyword, value + b" " * (len(value) % 2))
            changed.append(with_element(image, new) if index in self.where else image)
        return changed


@dataclass(frozen=True)
class Absent:
    """Some images lack an attribute."""

    keyword: str
    where: frozenset[int]

    def __call__(self, images: Sequence[Image]) -> list[Image]:
        tag = element(self.keyword, b"").tag
        return [
            tuple(each for each in image if each.tag != tag) if index in self.where else image
            for index, image in enumerate(images)
        ]


@dataclass(frozen=True)
class Exchanged:
    """Two images have each other's value."""

    keyword: str
    first: int
    second: int

    def __call__(self, images: Sequence[Image]) -> list[Image]:
        changed, (first, second) = list(images), (self.first % len(images), self.second % len(images))
        for place, other in ((first, second), (second, first)):
            changed[place] = with_element(images[place], element(self.keyword, value_of(images[other], self.keyword)))
        return changed


@dataclass(frozen=True)
class Doubled:
    """An image is there twice, perhaps under a UID of its own, or with other pixels."""

    place: int
    has_own_uid: bool
    has_own_pixels: bool

    def __call__(self, images: Sequence[Image]) -> list[Image]:
        copy, other = images[self.place % len(images)], images[(self.place + 1) % len(images)]
        if self.has_own_uid:
            copy = with_element(copy, element("SOPInstanceUID", b"1.2.3.77"))
        if self.has_own_pixels:
            copy = (*copy[:-1], replace(copy[-1], value=other[-1].value, is_open=other[-1].is_open))
        return [*images, copy]


@dataclass(frozen=True)
class Missing:
    """An image is not there."""

    place: int

    def __call__(self, images: Sequence[Image]) -> list[Image]:
        return [image for index, image in enumerate(images) if index != self.place % len(images)]


Change = OtherValue | OtherNumber | Absent | Exchanged | Doubled | Missing


@dataclass(frozen=True)
class Spoiled:
    """A series, as single images or as one multi-frame image, and all that was done to it; `files` are made of that."""

    syntax: UID
    is_multi_frame: bool
    changes: tuple[Change, ...]
    changes_of_whole: tuple[Change, ...]
    order: tuple[int, ...] = field(default=tuple(range(SLICES)))

    @property
    def files(self) -> list[bytes]:
        images = list(small_series(self.syntax))
        for change in self.changes:
            images = list(change(images))
        if self.is_multi_frame:
            images = [as_multi_frame(images)]
            for change in self.changes_of_whole:
                images = list(change(images))
        places = sorted(range(len(images)), key=lambda place: self.order[place % SLICES])
        return [as_file(images[place], self.syntax) for place in places]


_where = st.one_of(
    st.integers(0, SLICES - 1).map(lambda index: frozenset({index})),
    st.sampled_from([frozenset(range(SLICES)), frozenset(range(SLICES // 2)), frozenset(range(0, SLICES, 2))]),
)
_place = st.integers(0, SLICES - 1)
_text = st.one_of(
    st.sampled_from(_TEXTS),
    st.lists(st.floats().map(str) | st.integers(-70_000, 70_000).map(str), min_size=1, max_size=7).map("\\".join),
)
_value = st.one_of(
    _text.map(lambda text: text.encode("latin-1")),
    st.integers(0, 65535).map(lambda number: number.to_bytes(2, "little")),
    st.binary(max_size=12),
)
_shift = st.sampled_from([1e-6, 0.04, 0.3, 0.7, 3.0, 6.0, 100.0]) | st.floats(-20, 20)
_attribute = st.one_of(
    st.builds(OtherValue, st.sampled_from(KEPT), st.none() | st.sampled_from(_REPRESENTATIONS), _value, _where),
    st.builds(OtherNumber, st.sampled_from(_NUMERIC), st.integers(0, 5), _shift, st.booleans(), _where),
    st.builds(Absent, st.sampled_from((*KEPT, "PixelData")), _where),
)
_change = st.one_of(
    _attribute,
    _attribute,
    st.builds(Exchanged, st.sampled_from(KEPT), _place, _place),
    st.builds(Doubled, _place, st.booleans(), st.booleans()),
    st.builds(Missing, _place),
)
spoiled_series = st.one_of(
    st.builds(
        Spoiled,
        st.sampled_from(SYNTAXES),
        st.just(False),
        st.lists(_change, min_size=1, max_size=3).map(tuple),
        st.just(()),
        st.permutations(range(SLICES)).map(tuple),
    ),
    st.builds(
        Spoiled,
        st.just(ExplicitVRLittleEndian),
        st.just(True),
        st.lists(_change, max_size=2).map(tuple),
        st.lists(_attribute, max_size=2).map(tuple),
    ),
)
"""Series with up to three changes, whose files lie in any order."""
