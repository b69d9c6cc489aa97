"""What the configuration of a bundle names: the application's own steps as MONAI's inferers, and what writes classes.

A copy of this file is in each bundle, as scripts/inference.py. It needs the library groundglass.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import MapTransform
from torch import Tensor

from groundglass.domain.arrays import LabelMap
from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.folding import folded
from groundglass.method.lung_network import LungUNet
from groundglass.method.lung_segmentation import segment_lungs
from groundglass.method.precision import fast_precision
from groundglass.method.slice_classification import classify_slices
from groundglass.method.slice_input import SliceInputs
from groundglass.method.weights import load_lung_network
from groundglass.nifti import NiftiVolume, volume_of
from groundglass.settings import Settings, load_settings


class LungInferer(Inferer):
    """The lungs of a CT in HU: all windows and views, as the application segments them (II-C).

    Args:
        settings: the bundle's app.yaml.
    """

    def __init__(self, settings: str) -> None:
        self._settings = load_settings(Path(settings))

    def __call__(self, inputs: Tensor, network: LungUNet, *_: Any, **__: Any) -> Tensor:
        """Labels `(1, 1, i, j, k)`, uint8: 0 none, 1 the patient's right lung, 2 the left one.

        Args:
            inputs: `(1, 1, i, j, k)` with the affine of its file.
            network: LungUNet with the bundle's weights.
        """
        source = _source(inputs)
        labels = _lungs(network, source, self._settings)
        found = MetaTensor(torch.from_numpy(np.ascontiguousarray(source.on_file_grid(labels)))[None, None])
        found.copy_meta_from(inputs, copy_attr=False)  # what is saved lies on the grid of the file
        found.is_batch = True
        return found


class ClassInferer(Inferer):
    """Class probabilities of a CT in HU, as the application finds them (II-D).

    Args:
        settings: the bundle's app.yaml.
        lungs: weights of the lung network, through whose mask the classifier sees a slice.
    """

    def __init__(self, settings: str, lungs: str) -> None:
        self._settings = load_settings(Path(settings))
        self._lung_network = load_lung_network(Path(lungs), self._settings.lungs_weights.sha256)

    def __call__(self, inputs: Tensor, network: MultiScaleClassifier, *_: Any, **__: Any) -> Tensor:
        """Probabilities `(1, 1 + slices, 3)` in the order of CLASSES.

        The first line is the study's; then comes one for each slice from head to feet, not a number where it shows too
        little lung.

        Args:
            inputs: `(1, 1, i, j, k)` with the affine of its file.
            network: MultiScaleClassifier with the bundle's weights.
        """
        source, rules = _source(inputs), self._settings.classification
        lungs = _lungs(self._lung_network.to(inputs.device), source, self._settings)
        volume = source.volume
        seen = SliceInputs.of_volume(volume, lungs, rules.window, rules.hide_outside_lungs)
        channels_last = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        slices = classify_slices(channels_last, volume, seen, rules.minimum_lung_mm2, rules.neighbours_mm)
        lines = torch.full((1 + len(volume.hu), len(CLASSES)), torch.nan, dtype=torch.float64)
        lines[0] = torch.tensor(rules.study_rule.apply(slices))
        for item in slices:
            lines[1 + item.index] = torch.tensor(item.probabilities)
        return lines[None]


class SaveClassesd(MapTransform):
    """Writes classes.json: the study's state and probabilities, and those of each slice, from head to feet.

    Args:
        keys: of the probabilities.
        output_dir: made where it is not there.
        settings: the bundle's app.yaml.
    """

    def __init__(self, keys: str, output_dir: str, settings: str) -> None:
        super().__init__(keys)
        self._out = Path(output_dir)
        self._decision = load_settings(Path(settings)).classification.decision

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Write the file; the data pass through."""
        (key,) = self.keys
        study, *slices = np.asarray(data[key], float).tolist()
        prediction = self._decision.apply((study[0], study[1], study[2]))
        told = {
            "state": prediction.state,
            "pneumonia_probability": prediction.pneumonia_probability,
            "kind": prediction.kind,
            "probabilities": dict(zip(CLASSES, study, strict=True)),
            "slices": [
                {"index": index, "probabilities": dict(zip(CLASSES, line, strict=True))}
                for index, line in enumerate(slices)
                if not np.isnan(line).any()
            ],
        }
        self._out.mkdir(parents=True, exist_ok=True)
        (self._out / "classes.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        return data


def _source(inputs: Tensor) -> NiftiVolume:
    if not isinstance(inputs, MetaTensor):
        raise TypeError("The image has lost the affine of its file: load it with LoadImaged.")
    affine = np.asarray(inputs.affine.cpu(), float).reshape(-1, 4, 4)
    if len(inputs) != 1 or inputs.shape[1] != 1:
        raise ValueError("Give one image of one channel at a time.")
    return volume_of(inputs[0, 0].cpu().numpy(), affine[0])


def _lungs(network: LungUNet, source: NiftiVolume, settings: Settings) -> LabelMap:
    device = next(network.parameters()).device
    rules, fast = settings.lungs, folded(network, fast_precision(device)).to(device)
    return segment_lungs(fast, source.volume, rules.windows, rules.grid_mm, rules.views)
