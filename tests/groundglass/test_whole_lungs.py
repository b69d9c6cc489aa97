"""Where the preferred series of a study cuts the lungs, or shows none, another one is analysed, and that is told."""

import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from groundglass.case import ANALYSED, REFUSED, Case
from groundglass.dicomio.reading.checked_series import check_series
from groundglass.dicomio.reading.scan import Series
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import RefusalCode
from groundglass.domain.volume import CTVolume, Face
from groundglass.pipeline import SegmentedLungs
from groundglass.presets import SHIPPED
from groundglass.run import Run
from tests.groundglass.dicomio.ct_samples import SERIES, Sample, make_series

TOP: Face = (0, 0)
BOTTOM: Face = (0, -1)
SIDE: Face = (2, 0)
Found = tuple[float, tuple[Face, ...]] | RefusalCode


def series(name: str, first_mm: float, count: int, **values: object) -> Series:
    """Slices 5 mm apart from a height downwards."""
    sample = Sample(count, top_mm=(-100.0, -90.0, first_mm), series=f"{SERIES}.{name}")

    def change(image: Dataset, index: int) -> None:
        for keyword, content in values.items():
            setattr(image, keyword, content)

    return Series(sample.study, sample.series, tuple(make_series(sample, change)))


class Looked:
    """A run in which the lungs of each series, told by the height of its first slice, are as given.

    Attributes:
        looks: names of the series whose lungs were looked for, in their order.
    """

    def __init__(self, folder: Path, lungs: dict[str, Found]) -> None:
        self.looks: list[str] = []
        self._lungs = lungs
        self._volumes: list[weakref.ref[np.ndarray]] = []
        pipeline: Any = SimpleNamespace(settings=SHIPPED, segment=self._segment)
        self.run = Run(pipeline, folder, lambda stage, done, total: None)
        self._find = self.run._find_lungs
        self.run._find_lungs = self._named  # type: ignore[method-assign]

    def _named(self, case: Case[Any]) -> Case[Any]:
        self.looks.append(case.series_instance_uid.rsplit(".", 1)[1])
        return self._find(case)

    def _segment(self, volume: CTVolume, on_planes: object) -> SegmentedLungs:
        gc.collect()
        assert [other for other in self._volumes if other() is not None] == [], "two volumes are in memory"
        self._volumes.append(weakref.ref(volume.hu))
        found = self._lungs[self.looks[-1]]
        if isinstance(found, RefusalCode):
            raise Refusal(found, "Nothing is there.")
        lungs_ml, faces = found
        return SegmentedLungs(np.zeros(volume.hu.shape, np.uint8), lungs_ml / 2, lungs_ml / 2, faces)

    def analyse(self, *candidates: Series) -> Case[Any]:
        """As a study of which the headers prefer the first series, then the second, and so on."""
        checked = [check_series(each) for each in candidates]
        self.run.record.series_rejected += [
            {"series_instance_uid": each.series_instance_uid, "reasons": ["Another was preferred."]}
            for each in candidates[1:]
        ]
        return self.run.segment(self.run.read(checked[0], 1, tuple(checked[1:])))

    @property
    def told(self) -> dict[str, list[str]]:
        return {
            item["series_instance_uid"].rsplit(".", 1)[1]: item["reasons"] for item in self.run.record.series_rejected
        }


BASES, CHEST = series("1", -100, 40), series("2", 50, 70)


def test_whole_lungs_need_no_second_look(tmp_path: Path) -> None:
    looked = Looked(tmp_path, {"1": (4000, ())})
    case = looked.analyse(BASES, CHEST)
    assert (looked.looks, case.warnings) == (["1"], ())
    assert looked.told == {"2": ["Another was preferred."]}


def test_a_whole_series_is_analysed_in_place_of_one_that_is_cut_and_both_are_told(tmp_path: Path) -> None:
    looked = Looked(tmp_path, {"1": (2000, (TOP,)), "2": (4000, ())})
    case = looked.analyse(BASES, CHEST)
    assert (looked.looks, case.status, case.series_instance_uid) == (["1", "2"], ANALYSED, CHEST.series_instance_uid)
    assert len(case.sources) == 70
    assert case.warnings == (
        "Another series of the study is preferred by its headers, but its images cut the lungs, so this series was "
        "analysed, which shows them whole.",
    )
    assert looked.told == {"1": ["Another series of the study was analysed in its place. Its images cut the lungs."]}


def test_a_series_that_ends_where_the_lungs_are_cut_is_not_looked_at(tmp_path: Path) -> None:
    """As other reconstructions of the same scan do."""
    looked = Looked(tmp_path, {"1": (2000, (TOP,))})
    looked.analyse(BASES, series("3", -100, 42), series("4", -150, 60))
    assert looked.looks == ["1"]


def test_a_larger_field_of_view_is_looked_at_where_the_sides_are_cut(tmp_path: Path) -> None:
    narrow = series("1", 50, 70, PixelSpacing=[9, 4], ImagePositionPatient=None)
    for index, image in enumerate(narrow.instances):
        image.ImagePositionPatient = [-50, -90, 50 - 5 * index]
    looked = Looked(tmp_path, {"1": (2000, (SIDE,)), "2": (4000, ())})
    assert looked.analyse(narrow, CHEST).series_instance_uid == CHEST.series_instance_uid


def test_without_lungs_what_lies_elsewhere_is_looked_at(tmp_path: Path) -> None:
    looked = Looked(tmp_path, {"1": RefusalCode.NO_LUNGS, "2": (4000, ())})
    case = looked.analyse(BASES, series("3", -105, 39), CHEST)
    assert (looked.looks, case.status) == (["1", "2"], ANALYSED)
    assert "no lungs were found in it" in case.warnings[0]
    assert "No lungs were found in it." in looked.told["1"][0]


def test_what_can_not_be_read_gives_way_to_another_series_of_the_same_place(tmp_path: Path) -> None:
    spoiled = series("1", 50, 70, RescaleIntercept=0)
    looked = Looked(tmp_path, {"2": (4000, ())})
    case = looked.analyse(spoiled, CHEST)
    assert (case.status, case.series_instance_uid) == (ANALYSED, CHEST.series_instance_uid)
    assert "can't be analysed (NOT_HU)" in case.warnings[0]


def test_where_none_is_whole_the_preferred_one_stays_and_is_read_again(tmp_path: Path) -> None:
    looked = Looked(tmp_path, {"1": (2000, (TOP,)), "2": (2050, (BOTTOM,))})
    case = looked.analyse(BASES, CHEST)
    assert (looked.looks, case.series_instance_uid, case.warnings) == (["1", "2", "1"], BASES.series_instance_uid, ())
    assert len(case.sources) == 40
    assert looked.told["2"][1].endswith("Its images cut the lungs.")


def test_where_none_is_whole_clearly_more_of_the_lungs_is_better(tmp_path: Path) -> None:
    looked = Looked(tmp_path, {"1": (2000, (TOP,)), "2": (3000, (BOTTOM,))})
    case = looked.analyse(BASES, CHEST)
    assert (looked.looks, case.series_instance_uid) == (["1", "2"], CHEST.series_instance_uid)
    assert case.warnings[0].endswith("which shows more of them.")


def test_where_all_are_refused_the_refusal_of_the_preferred_one_stands(tmp_path: Path) -> None:
    looked = Looked(tmp_path, {"1": RefusalCode.NO_LUNGS, "2": RefusalCode.NO_LUNGS})
    case = looked.analyse(BASES, CHEST)
    assert (case.status, case.series_instance_uid, case.warnings) == (REFUSED, BASES.series_instance_uid, ())


def test_three_series_are_looked_at_and_no_more(tmp_path: Path) -> None:
    steps = [series(str(number), -100 + 20 * number, 40 + 4 * number) for number in range(1, 6)]
    looked = Looked(tmp_path, {str(number): (2000 * number, (TOP,)) for number in range(1, 6)})
    assert looked.analyse(*steps).series_instance_uid == steps[2].series_instance_uid
    assert looked.looks == ["1", "2", "3"]


def test_a_series_that_is_called_another_part_is_analysed_if_its_lungs_are_whole_alone(tmp_path: Path) -> None:
    trunk = series("1", 50, 70, BodyPartExamined="ABDOMEN")
    assert Looked(tmp_path, {"1": (4000, ())}).analyse(trunk).status == ANALYSED
    case = Looked(tmp_path, {"1": (1000, (TOP,))}).analyse(trunk)
    assert (case.status, case.reason_code) == (REFUSED, RefusalCode.OTHER_BODY_PART)
    named = series("1", 50, 70, BodyPartExamined="ABDOMEN", StudyDescription="CT Thorax Abdomen")
    assert Looked(tmp_path, {"1": (1000, (TOP,))}).analyse(named).status == ANALYSED


@pytest.mark.parametrize(("faces", "status"), [((), ANALYSED), ((TOP,), ANALYSED), ((BOTTOM,), REFUSED)])
def test_lungs_that_another_acquisition_goes_on_with_are_refused(
    tmp_path: Path, faces: tuple[Face, ...], status: str
) -> None:
    chest, liver = series("1", 50, 50, AcquisitionNumber=1), series("1", -150, 60, AcquisitionNumber=2)
    for number, image in enumerate(liver.instances):
        image.SOPInstanceUID = f"1.2.3.{number}"
        image.PixelData = image.PixelData[:-2] + b"\x01\x04"
    both = Series(chest.study_instance_uid, chest.series_instance_uid, chest.instances + liver.instances)
    case = Looked(tmp_path, {"1": (4000, faces)}).analyse(both)
    assert (case.status, len(case.sources)) == (status, 50)
    assert (case.reason_code == RefusalCode.DUPLICATE_POSITION) == (status == REFUSED)
