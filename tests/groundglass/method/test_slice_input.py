import numpy as np
import pytest

from groundglass.method.slice_input import LungSquare


def test_the_square_encloses_all_lungs_of_the_volume() -> None:
    lungs = np.zeros((3, 100, 120), dtype=bool)
    lungs[0, 30:40, 20:30] = True
    lungs[2, 50:70, 80:100] = True
    square = LungSquare.around(lungs, (1.0, 1.0), margin=0.0)
    assert square.rows == square.columns == 80
    cut = square.cut(lungs[0] | lungs[2], False)
    assert cut.sum() == (lungs[0] | lungs[2]).sum()


def test_the_square_is_square_in_millimetres() -> None:
    lungs = np.zeros((100, 200), dtype=bool)
    lungs[20:80, 40:160] = True
    square = LungSquare.around(lungs, (1.0, 0.5), margin=0.0)
    assert (square.rows, square.columns) == (60, 120)


def test_what_lies_beyond_the_image_is_filled() -> None:
    cut = LungSquare(-2, 3, 4, 4).cut(np.ones((5, 5)), outside=-1024.0)
    assert (cut[:2] == -1024).all()
    assert (cut[2:, :2] == 1).all()
    assert (cut[:, 2:] == -1024).all()


@pytest.mark.parametrize(
    "square", [LungSquare(10, 20, 300, 300), LungSquare(-15, -7, 150, 150), LungSquare(200, 200, 260, 130)]
)
def test_pasted_labels_lie_where_they_were_cut(square: LungSquare) -> None:
    plane = np.zeros((320, 320), dtype=np.int32)
    plane[240:280, 210:290] = 2
    plane[40:100, 60:120] = 1
    back = square.paste(np.rint(square.resize(plane == 1, 0.0)).astype(np.int32), (320, 320), smooth=False)
    inside = np.zeros_like(plane, dtype=bool)
    inside[
        max(square.row, 0) : max(square.row + square.rows, 0),
        max(square.column, 0) : max(square.column + square.columns, 0),
    ] = True
    expected = (plane == 1) & inside
    assert (back.astype(bool) ^ expected).sum() <= 0.06 * max(expected.sum(), 1) + 2


def test_no_lungs_have_no_square() -> None:
    with pytest.raises(ValueError, match="no lungs"):
        LungSquare.around(np.zeros((4, 4), dtype=bool), (1.0, 1.0))
