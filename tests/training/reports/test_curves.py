"""ROC curves and confusion matrices."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.made_up import predictions
from training.reports.curves import plot


@pytest.mark.slow
def test_pictures_are_drawn_for_each_task_and_for_the_joint_classifier(tmp_path: Path) -> None:
    files = plot([predictions(), predictions("conv3"), predictions(task=("np", "cap"))], tmp_path)
    assert sorted(file.name for file in files) == [
        "confusion.joint.np-cap-covid19.png",
        "confusion.joint.np-cap.png",
        "roc.np-cap-covid19.png",
        "roc.np-cap.png",
    ]
    for file in files:
        with Image.open(file) as picture:
            assert min(picture.size) > 500
            assert np.asarray(picture.convert("L")).std() > 10
