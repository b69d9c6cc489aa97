"""The radiologists' labels of slices."""

from pathlib import Path

from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG
from training.data.slices import read_infected, read_marked_sides


def test_marks_are_read_by_slice_and_by_lung(tmp_path: Path) -> None:
    (tmp_path / "slice_labels.csv").write_text(
        "case,index_desc,infected,LLL,LUL,RLL,RML,RUL\n"
        "one,1,1,0,1,0,0,0\none,0,0,0,0,0,0,0\none,2,1,1,0,0,1,0\ntwo,0,1,0,0,0,0,1\n"
    )
    assert {name: found.tolist() for name, found in read_infected(tmp_path).items()} == {
        "one": [False, True, True],
        "two": [True],
    }
    marked = read_marked_sides(tmp_path)
    assert marked["one"][:, RIGHT_LUNG].tolist() == [False, False, True]
    assert marked["one"][:, LEFT_LUNG].tolist() == [False, True, True]
    assert marked["two"][0].tolist() == [False, True, False]
