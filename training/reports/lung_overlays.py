"""An overlay of the lungs of each whole chest, for a person to accept or to reject."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from groundglass.domain.errors import Refusal
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.method.lung_network import LungUNet
from groundglass.method.normalisation import scale_to_window
from training.data.segmentation import segment
from training.data.slices import PATIENT_CLASS, read_patient

OVERLAYS = (*PATIENT_CLASS, "lung_dx_A0001")


def draw_overlay(volume: CTVolume, lungs: np.ndarray, title: str, path: Path, count: int = 6) -> None:
    """Outline the lungs on `count` slices between apex and base, right in red and left in blue, as PNG."""
    import matplotlib.pyplot as plt

    hu, labels = volume.to_canonical(volume.hu), volume.to_canonical(lungs)
    inside = np.nonzero(labels.any(axis=(1, 2)))[0]
    picks = np.linspace(inside[0], inside[-1], count + 2).round().astype(int)[1:-1]
    figure, axes = plt.subplots(1, count, figsize=(4 * count, 4.6))
    for axis, index in zip(axes, picks, strict=True):
        axis.imshow(scale_to_window(hu[index], -1350, 150), cmap="gray", vmin=0, vmax=1)
        for side, colour in ((RIGHT_LUNG, "red"), (LEFT_LUNG, "deepskyblue")):
            if (labels[index] == side).any():
                axis.contour(labels[index] == side, levels=[0.5], colors=colour, linewidths=1.0)
        axis.set_title(f"slice {index} from the apex")
        axis.axis("off")
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=75)
    plt.close(figure)


def draw_overlays(network: LungUNet, data: Path, out: Path, names: Sequence[str] = OVERLAYS) -> dict[str, Any]:
    """Segment whole chests as the application does, and draw each; volumes in ml, or why one was refused."""
    figures: dict[str, Any] = {}
    for name in tqdm(names, desc="overlays", unit="volume"):
        volume = read_patient(data, name)
        try:
            lungs = segment(network, volume)
        except Refusal as refusal:
            figures[name] = {"refused": refusal.reason}
            continue
        title = f"{name}: right (red) {lungs.right_ml:.0f} ml, left (blue) {lungs.left_ml:.0f} ml"
        draw_overlay(volume, lungs.labels, title, out / f"overlay_{name}.png")
        figures[name] = {"right_ml": lungs.right_ml, "left_ml": lungs.left_ml, "picture": f"overlay_{name}.png"}
    return figures
