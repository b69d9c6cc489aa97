"""Maps of one slice by every method that is compared: higher is more of a lesion."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from captum.attr import InputXGradient, LayerAttribution, LayerGradCam
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from torch import Tensor

from benchmarks.lesion_slices import LesionSlice
from groundglass.method.classifier_network import INPUT_SIZE, SCALES, MultiScaleClassifier
from groundglass.method.explanation import ExplanationRules
from groundglass.method.saliency import IntegratedGradients, PathIntegrals, geometric_mean, joint_saliency
from groundglass.method.score_gradients import Reading
from groundglass.presets import PAPER

READINGS: tuple[Reading, ...] = ("score_map", "score")
BLUR_MM = (0.0, 3.0, 5.0, 8.0)
POWERS = (1.0, 2.0, 4.0, 6.0, 10.0)
CAPTUM_STEPS = PAPER.gradients.steps
RANDOM_BOXES, RANDOM_SIDE_MM = 3, (10.0, 60.0)

Maps = dict[str, np.ndarray]


class SummedScore(torch.nn.Module):
    """The network's prediction score of one class: what methods without scales explain."""

    def __init__(self, network: MultiScaleClassifier, target: int) -> None:
        super().__init__()
        self.network = network
        self._target = target

    def forward(self, images: Tensor) -> Tensor:
        """`(batch,)`."""
        scores: Tensor = self.network(images)
        return scores[:, self._target]


class AttributionMaps:
    """Asks every method about one class.

    Args:
        network: in evaluation mode.
        target: class index.
        gradients: how to integrate; its reading is replaced by each in turn.
        rules: how the joint saliency is made.
    """

    def __init__(
        self, network: MultiScaleClassifier, target: int, gradients: IntegratedGradients, rules: ExplanationRules
    ) -> None:
        self._network, self._target, self._rules = network, target, rules
        self._gradients = {reading: replace(gradients, reading=reading) for reading in READINGS}
        self._scores = {reading: item.prepare(network, target) for reading, item in self._gradients.items()}
        summed = SummedScore(network, target)
        self._peers: dict[str, Callable[[Tensor], Tensor]] = {
            "Grad-CAM (captum)": partial(_grad_cam, LayerGradCam(summed, network.blocks[-1])),
            "gradient x input (captum)": InputXGradient(summed).attribute,
            "IG of the summed score (captum)": partial(
                CaptumIntegratedGradients(summed).attribute, n_steps=CAPTUM_STEPS, method=PAPER.gradients.rule,
                internal_batch_size=5,
            ),
        }  # fmt: skip

    def integrals(self, item: LesionSlice) -> dict[str, PathIntegrals]:
        """Integrated gradients at the three scales, by reading."""
        image = torch.from_numpy(item.image)
        return {
            reading: gradients.attribute(self._scores[reading], image) for reading, gradients in self._gradients.items()
        }

    def compared(self, item: LesionSlice, integrals: dict[str, PathIntegrals], rng: np.random.Generator) -> Maps:
        """The rows of the main table, each `(224, 224)`."""
        image = torch.from_numpy(item.image)[None, None]
        rows: Maps = {}
        for reading, found in integrals.items():
            maps = found.attributions
            rows[f"joint, {reading}"] = self._rules.joint_saliency(found, item.pixel_mm)
            rows[f"joint, {reading}, as in the paper"] = PAPER.explanation.joint_saliency(found, item.pixel_mm)
            rows |= {f"{scale}, {reading}": np.abs(values) for scale, values in zip(SCALES, maps, strict=True)}
        with torch.no_grad():
            score_maps = self._network.score_maps(image)
        for scale, values in zip(SCALES, score_maps, strict=True):
            rows[f"CAM of {scale}"] = _enlarge(values[:, self._target][:, None])
        for name, attribute in self._peers.items():
            rows[name] = np.abs(attribute(image.clone().requires_grad_()).detach().numpy()[0, 0])
        rows["intensity"] = item.image
        rows["random boxes"] = random_boxes(item, rng)
        return rows

    def ablation(self, item: LesionSlice, integrals: dict[str, PathIntegrals]) -> Maps:
        """What the paper leaves open about the joint saliency."""
        rows = self._weighted(item)
        for reading, found in integrals.items():
            rows[f"{reading}, product (the paper's)"] = joint_saliency(found.attributions)
            plain = np.divide(
                found.attributions, item.image, out=np.zeros_like(found.attributions), where=item.image > 0
            )
            factors = {
                "attributions": found.attributions,
                "gradients": plain,
                "weighted gradients, as in app.yaml": found.gradients,
            }
            for name, maps in factors.items():
                for width_mm in BLUR_MM:
                    blur_pixels = width_mm / item.pixel_mm
                    row = f"{reading}, geometric mean of {name}, blurred by {width_mm:g} mm"
                    rows[row] = geometric_mean(joint_saliency(maps, blur_pixels))
                    rows[f"{row}, positive parts"] = geometric_mean(joint_saliency(maps, blur_pixels, "positive"))
        return rows

    def _weighted(self, item: LesionSlice) -> Maps:
        """How much the gradients near the image count: by powers of their place on the path."""
        reading = READINGS[0]
        image, (places, parts) = torch.from_numpy(item.image), self._gradients[reading].nodes()
        pairs = image.new_tensor(places)[:, None, None].split(2)
        at_nodes = torch.cat([self._scores[reading](pair * image)[0] for pair in pairs], dim=1).float().numpy()
        blur_mm = self._rules.joint_blur_mm
        rows: Maps = {}
        for power in POWERS:
            shares = parts * places**power
            mean = np.tensordot(at_nodes, shares / shares.sum(), ([1], [0])) * (item.image > 0)
            row = (
                f"{reading}, geometric mean of gradients with power {power:g} of their place, blurred by {blur_mm:g} mm"
            )
            rows[row] = geometric_mean(joint_saliency(mean, blur_mm / item.pixel_mm))
        return rows


def random_boxes(item: LesionSlice, rng: np.random.Generator) -> np.ndarray:
    """Rectangles about random places in the lungs; noise orders what lies in none."""
    values = 0.01 * rng.random(item.lung.shape)
    places = np.argwhere(item.lung)
    for row, column in places[rng.integers(len(places), size=RANDOM_BOXES)]:
        height, width = (rng.uniform(*RANDOM_SIDE_MM, 2) / item.pixel_mm / 2).astype(int)
        values[max(row - height, 0) : row + height + 1, max(column - width, 0) : column + width + 1] += 1.0
    return values


def _enlarge(values: Tensor) -> np.ndarray:
    enlarged = LayerAttribution.interpolate(values.detach(), (INPUT_SIZE, INPUT_SIZE), "bilinear")
    return np.asarray(enlarged[0, 0].numpy())


def _grad_cam(method: LayerGradCam, image: Tensor) -> Tensor:
    return torch.from_numpy(_enlarge(method.attribute(image, relu_attributions=True)))[None, None]
