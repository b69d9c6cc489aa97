"""The sets that score the lung network."""

import numpy as np
import pytest

from training.data.lung_images import LungImages, threshold_images
from training.data.scored_lungs import load_scored_sets, paint_held_out
from training.engine.options import DATA_FOLDER
from training.reports.lung_figures import dice_score


def test_a_painted_slice_is_consolidated_and_a_threshold_misses_it(chest: LungImages) -> None:
    single = LungImages(chest.image[12:13], chest.lung[12:13], chest.spacing_mm)
    painted = paint_held_out([single])
    (item,) = painted.patients
    assert np.array_equal(item.lung, single.lung)
    assert np.array_equal(single.image, chest.image[12:13])  # the original stays as it was
    assert dice_score(threshold_images(item), item.lung) < dice_score(threshold_images(single), single.lung) - 0.02


@pytest.mark.data
@pytest.mark.skipif(not DATA_FOLDER.is_dir(), reason=f"the CT data folder {DATA_FOLDER} is missing")
def test_the_public_patients_that_are_scored_never_trained() -> None:
    sets = load_scored_sets(DATA_FOLDER)
    assert {name: len(scored.patients) for name, scored in sets.items() if "painted" not in name} == {
        "lung_slices": 40,
        "lesion_masks": 1,
        "lesion_volumes": 4,
    }
    for scored in sets.values():
        if scored.is_volumes:  # from the apex downwards, lungs end with more or with the wider section
            for item in scored.patients:
                widths = item.lung.any(axis=1).sum(axis=1)
                assert widths[len(widths) // 6] <= widths[len(widths) // 2]
