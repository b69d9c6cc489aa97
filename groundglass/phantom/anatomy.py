"""Where everything lies in the phantom's chest.

Everything is given by formulas in millimetres of the patient (x to the patient's left, y to the back, z from the head
to the feet, 0 at the upper end of the scan), so that one seed is one chest at every resolution and with every preset.
"""

from dataclasses import dataclass

import numpy as np

from groundglass.domain.arrays import Floats, LabelMap, Mask
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG
from groundglass.phantom.shapes import Noise, Tube, common, ellipse, profile, tubes, union
from groundglass.phantom.vessels import LungTree, grow_tree

SCAN_LENGTH_MM, FIELD_OF_VIEW_MM = 300.0, 368.64

# Half width, half depth and centre of the chest cavity (the inner surface of the ribs), the body, and the spine.
CAVITY_X = profile((20, 84), (50, 104), (80, 114), (120, 122), (160, 129), (200, 133), (250, 135), (300, 130))
CAVITY_Y = profile((20, 58), (50, 69), (80, 78), (120, 86), (160, 90), (200, 92), (300, 91))
CAVITY_CENTRE_Y = profile((0, 16), (20, 13), (50, 8), (80, 4), (120, 2), (160, 0), (300, 0))
BODY_X = profile((0, 166), (40, 169), (100, 170), (170, 166), (230, 162), (300, 160))
BODY_Y = profile((0, 88), (30, 96), (70, 110), (120, 118), (180, 121), (300, 117))
SPINE_Y = profile((0, 26), (40, 36), (90, 47), (150, 53), (220, 50), (300, 40))

TRACHEA: Tube = ((0, -8, -12, 8.5), (2, 3, 55, 8.5), (1, 13, 112, 8.8))
MAIN_BRONCHI: tuple[Tube, ...] = (
    ((1, 13, 112, 8), (-22, 17, 126, 7), (-37, 20, 138, 6)),
    ((1, 13, 112, 8), (26, 19, 132, 6.5), (44, 25, 145, 5.5)),
)
BLOOD: tuple[Tube, ...] = (
    ((2, -22, 155, 15), (-11, -26, 122, 15.5), (-10, -18, 96, 14.5), (0, -6, 86, 13.5), (14, 14, 84, 13)),  # aorta
    ((14, 14, 84, 13), (23, 34, 97, 12.5), (23, 36, 140, 12), (19, 34, 220, 11.5), (8, 22, 310, 11)),
    ((18, -32, 155, 15), (20, -20, 130, 13.5), (34, 4, 122, 11), (50, 20, 132, 8.5)),  # pulmonary trunk, left artery
    ((20, -16, 132, 12), (-5, -4, 130, 11), (-40, 2, 136, 9)),  # right pulmonary artery
    ((-24, -22, 60, 8), (-27, -17, 100, 9), (-26, -13, 152, 10)),  # superior vena cava
    ((26, -32, 48, 6), (4, -32, 54, 6.5), (-24, -22, 62, 7.5)),  # left brachiocephalic vein
    ((-34, -24, -10, 6), (-32, -26, 36, 6.5), (-24, -22, 62, 7)),  # right brachiocephalic vein
    ((-4, -8, 84, 6.5), (-17, -7, 44, 6), (-24, -6, -10, 5)),  # brachiocephalic artery
    ((8, -2, 82, 4.5), (16, -6, 40, 4), (22, -8, -10, 4)),  # left common carotid artery
    ((17, 10, 80, 5.5), (25, 8, 42, 5), (48, -4, 20, 5)),  # left subclavian artery
    ((-24, 4, 200, 11), (-20, 8, 310, 12)),  # inferior vena cava
    ((-42, 18, 158, 6.5), (-12, 10, 160, 8)),  # pulmonary veins
    ((46, 16, 160, 6.5), (12, 10, 160, 8)),
)
HEART: tuple[Tube, ...] = (
    ((-4, -34, 172, 42), (22, -36, 188, 44), (50, -40, 206, 33)),  # ventricles
    ((-22, -20, 160, 28), (-26, -18, 196, 30)),  # right atrium
    ((-18, 6, 160, 18), (18, 10, 164, 18)),  # left atrium
)
OESOPHAGUS: Tube = (
    (4, 8, -10, 6),
    (7, 20, 60, 6),
    (8, 29, 112, 6.5),
    (5, 30, 180, 7),
    (12, 12, 240, 8),
    (24, -4, 264, 9),
)
CLAVICLES: tuple[Tube, ...] = (
    ((22, -66, 50, 7.5), (60, -66, 32, 6), (105, -42, 14, 6)),
    ((-22, -66, 50, 7.5), (-60, -66, 32, 6), (-105, -42, 14, 6)),
)
HUMERI: tuple[Tube, ...] = (((138, 8, 6, 21), (152, 4, -40, 17)), ((-138, 8, 6, 21), (-152, 4, -40, 17)))


@dataclass(frozen=True)
class Section:
    """One axial section of the chest: where its pixels lie, and the surfaces that the tissues share.

    All arrays are `(row, col)`; distances in mm, negative inside.
    """

    z: float
    x: Floats
    y: Floats
    cavity: Floats
    """Distance to the inner surface of the ribs."""
    mediastinum: Floats
    diaphragm: Floats
    """Depth below the diaphragm along z; negative above it."""
    lungs: Floats
    side: LabelMap
    """uint8, RIGHT_LUNG or LEFT_LUNG: the half of the chest."""

    @property
    def lower_lobes(self) -> Mask:
        """bool: behind and below the oblique fissure."""
        return self.fissure < 0

    @property
    def fissure(self) -> Floats:
        """Distance to the oblique fissure."""
        distance: Floats = ((118.0 - self.z) + (18.0 - self.y) * 1.15 + 6.0 * np.sin(self.x / 30.0)) * 0.65
        return distance


class Chest:
    """The chest of one seed: its measures, its textures and the trees of its lungs."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self.scale_x, self.scale_y = rng.uniform(0.98, 1.03, 2)
        self.fat_mm = float(rng.uniform(8.0, 13.0))
        self.dome_mm = {RIGHT_LUNG: 186.0 + rng.uniform(-4, 5), LEFT_LUNG: 194.0 + rng.uniform(-4, 5)}
        self.phases = rng.uniform(0.0, 2.0 * np.pi, 4)
        self.coarse = Noise(rng, 9.0, SCAN_LENGTH_MM, 400.0)
        self.fine = Noise(rng, 2.8, SCAN_LENGTH_MM, 400.0)
        self.trees = {side: self._grow(side, rng) for side in (RIGHT_LUNG, LEFT_LUNG)}

    def section(self, z: float, rows_mm: Floats, cols_mm: Floats) -> Section:
        """The section at height `z`, with pixels at the given rows (y) and columns (x)."""
        a, b, c, d = self.phases
        # A gentle shear along both axes: no organ is an exact ellipse, for the price of two lines.
        shift_x = 2.2 * np.sin(rows_mm / 23 + z / 37 + a) + 0.5 * np.sin(rows_mm / 10 - z / 23 + b)
        shift_y = 2.0 * np.sin(cols_mm / 29 - z / 41 + c) + 0.4 * np.sin(cols_mm / 11 + z / 19 + d)
        x = ((cols_mm[None, :] + shift_x[:, None]) / self.scale_x).astype(np.float32)
        y = ((rows_mm[:, None] + shift_y[None, :]) / self.scale_y).astype(np.float32)
        side = np.where(x < 3.0, RIGHT_LUNG, LEFT_LUNG).astype(np.uint8)
        mediastinum, diaphragm = self._mediastinum(x, y, z), self._diaphragm(x, y, z, side)
        cavity = self._cavity(x, y, z, mediastinum)
        lungs = common(common(cavity, -mediastinum, 8.0), 0.6 * diaphragm, 3.0)
        return Section(z, x, y, cavity, mediastinum, diaphragm, lungs, side)

    def _cavity(self, x: Floats, y: Floats, z: float, mediastinum: Floats) -> Floats:
        # The back of the cavity is deepest in the gutters on either side of the spine.
        gutter = 15.0 * np.exp(-((x / 42.0) ** 2)) * np.clip(y / 60.0, 0.0, 1.0)
        cavity = ellipse(x, y + gutter, (-3, CAVITY_CENTRE_Y(z)), (CAVITY_X(z), CAVITY_Y(z)), 2.25)
        if z >= 112.0:
            return cavity
        # The apex: above the first ribs each side ends in a dome of its own.
        dome = 1.0 - ((112.0 - z) / 89.0) ** 2
        if dome <= 0.0:
            return np.full_like(x, 99.0)
        apex = ellipse(np.abs(x + 2.0), y, (60, 10), (74 * dome**0.6, 86 * dome**0.6), 2.5)
        return common(cavity, union(apex, mediastinum, 4.0), 8.0)

    def _mediastinum(self, x: Floats, y: Floats, z: float) -> Floats:
        spine_y, front = SPINE_Y(z), CAVITY_CENTRE_Y(z) - CAVITY_Y(z)
        solid = union(ellipse(x, y, (0, spine_y + 14), (21, 36)), ellipse(x, y, (2, spine_y - 26), (16, 34)), 20.0)
        # The anterior junction line, where the lungs nearly touch behind the sternum.
        solid = union(solid, ellipse(x, y, (4, (front - 20) / 2), (6.0, abs(front) / 2)), 14.0)
        for group, margin in ((BLOOD, 2.0), (HEART, 3.0), (MAIN_BRONCHI, 2.5), ((TRACHEA,), 3.0)):
            nearest = tubes(x, y, z, group, 14.0)
            if nearest is not None:
                solid = union(solid, nearest - margin, 9.0)
        return solid

    def _diaphragm(self, x: Floats, y: Floats, z: float, side: LabelMap) -> Floats:
        if z < 160.0:
            return np.full_like(x, -99.0)
        top = np.where(side == RIGHT_LUNG, self.dome_mm[RIGHT_LUNG], self.dome_mm[LEFT_LUNG])
        centre_x = np.where(side == RIGHT_LUNG, -64.0, 66.0)
        radius_y = np.where(y > -16, 98.0, 84.0)
        relative = ((x - centre_x) / 84.0) ** 2 + ((y + 16) / radius_y) ** 2
        fall = 44.0 + 30.0 * np.clip((y + 70.0) / 110.0, 0.0, 1.0)
        depth: Floats = (z - top - fall * relative**1.15).astype(np.float32)
        return depth

    def _grow(self, side: int, rng: np.random.Generator) -> LungTree:
        step_mm = 5.0
        rows, cols = np.arange(-110.0, 111.0, step_mm), np.arange(-150.0, 151.0, step_mm)
        places: list[Floats] = []
        for z in np.arange(20.0, SCAN_LENGTH_MM, step_mm):
            section = self.section(float(z), rows, cols)
            row, col = np.nonzero((section.lungs < -2.5) & (section.side == side))
            places.append(np.stack([cols[col], rows[row], np.full(len(row), z)], axis=1))
        inside = np.concatenate(places)
        inside = inside + rng.uniform(-step_mm / 2, step_mm / 2, inside.shape)
        return grow_tree(inside, (-42.0, 14.0, 138.0) if side == RIGHT_LUNG else (46.0, 16.0, 138.0), rng)
