"""The trees of a lung: arteries, veins and bronchi, grown from the hilum to points spread evenly through the lung."""

from dataclasses import dataclass

import numpy as np

from groundglass.domain.arrays import Floats, LabelMap
from groundglass.phantom.shapes import Sphere, capsule

_TWIG_RADIUS_MM = 0.58
_FLOW_EXPONENT = 0.36  # Murray's law would be 1/3; measured human arteries taper faster


@dataclass(frozen=True)
class LungTree:
    """Tapered pieces, each from one sphere to the next, in mm of the patient."""

    vessels: list[tuple[Sphere, Sphere]]
    bronchi: list[tuple[Sphere, Sphere]]
    """The lumen of the bronchi; `bronchial_wall` gives the piece with its wall."""


def bronchial_wall(piece: tuple[Sphere, Sphere]) -> tuple[Sphere, Sphere]:
    """The same piece of a bronchus, wall included."""
    (ax, ay, az, start), (bx, by, bz, end) = piece
    return (ax, ay, az, 1.15 * start + 0.3), (bx, by, bz, 1.15 * end + 0.3)


def grow_tree(places: Floats, hilum: tuple[float, float, float], rng: np.random.Generator) -> LungTree:
    """Grow the trees of one lung.

    Args:
        places: positions inside the lung, `(n, 3)` as x, y, z in mm; the twigs end at some of them.
        hilum: where artery, veins and bronchus enter.
        rng: random source.
    """
    root = np.array(hilum)
    arteries = _branch(root, _spread(places, 13.0, rng), rng)
    above = _spread(places[places[:, 2] < hilum[2] + 10], 14.5, rng)
    below = _spread(places[places[:, 2] >= hilum[2] + 10], 14.5, rng)
    upper_vein, lower_vein = root + np.array([0, -12, 10]), root + np.array([0, -8, 22])
    veins = _branch(upper_vein, above, rng) + _branch(lower_vein, below, rng)
    return LungTree(arteries + veins, _bronchi(arteries))


def _spread(places: Floats, distance_mm: float, rng: np.random.Generator) -> Floats:
    """One place from each cell of a lattice."""
    shuffled = rng.permutation(places)
    cells = np.floor((shuffled + rng.uniform(0, distance_mm, 3)) / distance_mm).astype(int)
    _, first = np.unique(cells, axis=0, return_index=True)
    return shuffled[np.sort(first)]


def _branch(root: Floats, ends: Floats, rng: np.random.Generator) -> list[tuple[Sphere, Sphere]]:
    """A binary tree from `root` to every one of `ends`: each part of the ends is halved across its longest axis."""
    pieces: list[tuple[Sphere, Sphere]] = []
    outwards = np.array([np.sign(root[0]), 0.0, 0.0])
    open_branches = [(root, outwards, ends, 0)]
    while open_branches:
        start, heading, group, depth = open_branches.pop()
        middle = group.mean(axis=0)
        if len(group) == 1:
            target = group[0]
        else:
            # Short trunks at the hilum, so that the lobes part early.
            share = (0.12, 0.22, 0.32)[depth] if depth < 3 else 0.46
            way = middle - start
            length = float(np.linalg.norm(way))
            direction = way / max(length, 1e-3) + 0.3 * heading + 0.18 * rng.standard_normal(3)
            target = start + share * length * direction / np.linalg.norm(direction)
        way = target - start
        length = float(np.linalg.norm(way))
        radius = _TWIG_RADIUS_MM * len(group) ** _FLOW_EXPONENT
        tip = radius * 0.85
        if len(group) == 1:
            pieces.append((_sphere(start, radius), _sphere(target, tip)))
            continue
        bend = start + 0.5 * way + 0.06 * length * rng.standard_normal(3)
        middle_sphere = _sphere(bend, (radius + tip) / 2)
        pieces += [(_sphere(start, radius), middle_sphere), (middle_sphere, _sphere(target, tip))]
        offset = group - middle
        # The way to the farthest end stands for the longest axis, at a tenth of a singular value decomposition's cost.
        along = offset @ offset[np.einsum("ij,ij->i", offset, offset).argmax()]
        order = along.argsort()
        cut = min(max(round(len(group) * rng.uniform(0.35, 0.65)), 1), len(group) - 1)
        heading = way / max(length, 1e-3)
        open_branches += [(target, heading, group[half], depth + 1) for half in (order[:cut], order[cut:])]
    return pieces


def _sphere(centre: Floats, radius: float) -> Sphere:
    x, y, z = centre.tolist()
    return x, y, z, float(radius)


def _bronchi(arteries: list[tuple[Sphere, Sphere]]) -> list[tuple[Sphere, Sphere]]:
    """A bronchus runs beside each artery down to about a millimetre of lumen."""
    pieces = []
    beside = np.array([0.0, -0.6, -0.8])
    for start, end in arteries:
        if start[3] < 1.5:
            continue
        way = np.subtract(end[:3], start[:3])
        way /= max(float(np.linalg.norm(way)), 1e-3)
        across = beside - (beside @ way) * way
        if np.linalg.norm(across) < 0.35:
            continue
        across /= np.linalg.norm(across)
        lumen = [min(0.72 * sphere[3], 3.4) for sphere in (start, end)]
        shifted = [
            _sphere(np.array(sphere[:3]) + across * (sphere[3] + 1.25 * radius + 0.3), radius)
            for sphere, radius in zip((start, end), lumen, strict=True)
        ]
        pieces.append((shifted[0], shifted[1]))
    return pieces


def render(
    cover: LabelMap,
    pieces: list[tuple[Sphere, Sphere]],
    z_mm: Floats,
    rows_mm: Floats,
    cols_mm: Floats,
) -> None:
    """Draw pieces into `cover`, in place: uint8 `(slice, row, col)`, 255 where a voxel is filled entirely.

    Args:
        cover: keeps the larger of what it has and what is drawn.
        pieces: tapered pieces in mm of the patient.
        z_mm, rows_mm, cols_mm: positions of the voxel centres, evenly spaced.
    """
    steps = [float(axis[1] - axis[0]) for axis in (z_mm, rows_mm, cols_mm)]
    edge_mm = max(steps[1], 0.6)
    # A thick slice averages what lies across it: take several heights a slice.
    heights = int(np.ceil(steps[0] / edge_mm))
    inside_slice = ((np.arange(heights) + 0.5) / heights - 0.5) * steps[0]
    for start, end in pieces:
        reach = max(start[3], end[3]) + edge_mm
        box = []
        for axis_mm, step, coordinate in zip((z_mm, rows_mm, cols_mm), steps, (2, 1, 0), strict=True):
            low, high = sorted((start[coordinate], end[coordinate]))
            margin = reach + (step / 2 if coordinate == 2 else 0.0)
            first = max(int(np.ceil((low - margin - axis_mm[0]) / step)), 0)
            box.append(slice(first, min(int((high + margin - axis_mm[0]) / step) + 1, len(axis_mm))))
        if any(part.start >= part.stop for part in box):
            continue
        z = (z_mm[box[0], None] + inside_slice)[:, :, None, None]
        distance = capsule(cols_mm[box[2]], rows_mm[box[1], None], z, start, end)
        filled = np.minimum(np.maximum(0.5 - distance / edge_mm, 0.0), 1.0).sum(axis=1)
        part = cover[tuple(box)]
        np.maximum(part, np.rint(255 / heights * filled).astype(np.uint8), out=part)
