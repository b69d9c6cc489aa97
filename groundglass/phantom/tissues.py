"""What the tissues of the phantom look like on CT: fills a section of the anatomy with Hounsfield units."""

import numpy as np

from groundglass.domain.arrays import FloatMap, Floats
from groundglass.phantom import anatomy
from groundglass.phantom.anatomy import Chest, Section
from groundglass.phantom.shapes import Tube, capsule, ellipse, profile, tubes

AIR, LUMEN, LUNG, FAT, SKIN, MUSCLE, BLOOD, LIVER = -1024.0, -1000.0, -872.0, -100.0, 5.0, 52.0, 42.0, 58.0
CARTILAGE, MARROW, CORTEX = 110.0, 185.0, 520.0

_VERTEBRA_MM = 23.0
_RIB_FALL = profile((0, 0.5), (60, 0.75), (120, 1.0), (300, 1.05))
_STERNUM_X = profile((50, 25), (80, 19), (110, 14), (200, 15), (215, 6))


class SectionPainter:
    """Paints one section, from the outside in; later tissues cover earlier ones.

    Attributes:
        hu: float32 `(row, col)`, the section without the vessels of the lung and without noise.
    """

    def __init__(self, chest: Chest, section: Section, rows_mm: Floats, cols_mm: Floats) -> None:
        self.section, self.fat_mm = section, chest.fat_mm
        self.rows_mm, self.cols_mm = rows_mm, cols_mm
        self.edge_mm = max(float(rows_mm[1] - rows_mm[0]), 0.7)
        self.coarse = chest.coarse.plane(section.z, rows_mm, cols_mm)
        self.fine = chest.fine.plane(section.z, rows_mm, cols_mm)
        self.hu = np.full(section.x.shape, AIR, dtype=np.float32)

    def paint(self) -> FloatMap:
        self._couch()
        self._chest_wall()
        self._abdomen()
        self._mediastinum()
        self._lungs()
        self._ribs()
        self._sternum()
        self._spine()
        self._shoulders()
        return self.hu

    def _fill(self, distance: Floats | None, value: float | Floats) -> None:
        """Fill a shape; its edge passes through a pixel as a mixture, as on a real scanner."""
        if distance is None:
            return
        # Only the rows the shape reaches: most organs are small.
        rows = np.flatnonzero((distance < 0.5 * self.edge_mm).any(axis=1))
        if rows.size == 0:
            return
        reach = slice(rows[0], rows[-1] + 1)
        cover = np.clip(0.5 - distance[reach] / self.edge_mm, 0.0, 1.0)
        part = self.hu[reach]
        part += ((value[reach] if isinstance(value, np.ndarray) else value) - part) * cover

    def _tubes(self, group: tuple[Tube, ...], value: float | Floats, wall_mm: float = 0.0) -> None:
        distance = tubes(self.section.x, self.section.y, self.section.z, group, wall_mm + 1.0)
        self._fill(None if distance is None else distance - wall_mm, value)

    def _couch(self) -> None:
        # Drawn on the true grid: the table is straight whatever the patient's shape.
        surface = 134.0 - 24.0 * (self.cols_mm / 184.0) ** 2
        depth = self.rows_mm[:, None] - surface[None, :]
        within = np.abs(self.cols_mm)[None, :] - 176.0
        under = depth - 20.0 * np.sqrt(np.clip(1.0 - (self.cols_mm / 178.0) ** 2, 0.0, 1.0))[None, :]
        self._fill(np.maximum(np.maximum(-depth, under), within), -950.0)
        self._fill(np.maximum(np.abs(depth) - 0.9, within), -60.0)
        self._fill(np.maximum(np.abs(under) - 0.9, within), -40.0)

    def _chest_wall(self) -> None:
        s = self.section
        x, y, z = s.x, s.y, s.z
        body = ellipse(x, y, (0, 3), (anatomy.BODY_X(z), anatomy.BODY_Y(z)), 2.45)
        # The groove over the spine.
        body = body + np.where(y > 0, 5.0, 1.0) * np.exp(-((x / 20.0) ** 2))
        self._fill(body, SKIN)
        self._fill(body + 1.8, FAT + 6.0 * self.fine)
        below_fat = body + self.fat_mm * (1.0 + 0.35 * np.sin(x / 45.0) ** 2) + 1.2 * self.coarse
        self._fill(below_fat, MUSCLE + 5.0 * self.fine)
        # Fat between the layers of muscle, and in the armpits.
        for depth_mm, half_width_mm in ((15.5, 0.9), (29.0, 1.3)):
            plane = np.abs(s.cavity - depth_mm - 2.5 * np.sin(x / 17.0 + z / 40.0) - 1.2 * self.coarse)
            self._fill(np.maximum(plane - half_width_mm - 0.8 * self.coarse, below_fat), FAT + 25.0)
        if z < 120.0:
            height = np.sqrt(max(1.0 - ((z - 62.0) / 58.0) ** 2, 0.02))
            armpit = ellipse(np.abs(x), y, (128, -8), (19 * height, 40 * height)) + 4.0 * self.coarse
            self._fill(np.maximum(armpit, below_fat), FAT + 10.0)
        self._fill(s.cavity - 0.4, FAT + 22.0 + 14.0 * self.coarse)

    def _abdomen(self) -> None:
        s = self.section
        x, y, z = s.x, s.y, s.z
        if z < 170.0:
            return
        below = np.maximum(s.cavity, -0.6 * s.diaphragm)
        self._fill(below, MUSCLE)
        self._fill(below + 3.0, FAT + 8.0 * self.coarse)
        liver = np.maximum(below + 1.0, x - 30.0 + 0.45 * y + 3.0 * self.coarse)
        self._fill(liver, LIVER + 3.0 * self.fine)
        stomach = capsule(x, y, z, (62, -18, 232, 36), (40, -40, 290, 34)) + 1.5 * self.coarse
        self._fill(np.maximum(below + 3.5, stomach), 45.0)
        self._fill(np.maximum(below + 7.0, stomach + 4.0), 22.0 + 16.0 * self.fine)
        if z > 215.0:
            # Gas collects at the front of a patient who lies on the back.
            self._fill(np.maximum(np.maximum(below + 9.0, stomach + 5.0), y + 46.0), LUMEN)
        spleen = capsule(x, y, z, (84, 44, 244, 32), (98, 26, 275, 30)) + 1.5 * self.coarse
        self._fill(np.maximum(below + 2.0, spleen), 50.0 + 3.0 * self.fine)

    def _mediastinum(self) -> None:
        s = self.section
        x, y, z = s.x, s.y, s.z
        above = 0.6 * s.diaphragm
        self._fill(np.maximum(np.maximum(s.mediastinum, s.cavity), above), FAT + 30.0 + 18.0 * self.coarse)
        spine_y = anatomy.SPINE_Y(z)
        muscles = np.maximum(ellipse(x, y, (0, spine_y + 18), (25, 36)), spine_y + 2.0 - y)
        self._fill(np.maximum(muscles, s.mediastinum + 1.0), MUSCLE + 5.0 * self.fine)
        heart = tubes(x, y, z, anatomy.HEART)
        if heart is not None:
            self._fill(np.maximum(heart, above), BLOOD - 2.0 + 2.0 * self.fine)
        self._tubes(anatomy.BLOOD, BLOOD + 2.0 * self.fine)
        self._tubes((anatomy.OESOPHAGUS,), 32.0 + 4.0 * self.fine)
        airways = (anatomy.TRACHEA, *anatomy.MAIN_BRONCHI)
        self._tubes(airways, 20.0, wall_mm=1.5)

    def _lungs(self) -> None:
        s = self.section
        # Gravity: a lung is denser towards the back of a patient who lies on it.
        parenchyma = LUNG + 0.36 * s.y + 7.0 * self.coarse + 11.0 * self.fine
        fissure = np.exp(-((s.fissure / 0.8) ** 2))
        parenchyma += 70.0 * fissure
        self._fill(s.lungs, parenchyma)
        self._tubes((anatomy.TRACHEA, *anatomy.MAIN_BRONCHI), LUMEN)

    def _bone(self, outer: Floats, cortex_mm: float, marrow: float = MARROW) -> None:
        self._fill(outer, CORTEX)
        self._fill(outer + cortex_mm, marrow + 45.0 * self.fine)

    def _ribs(self) -> None:
        s = self.section
        z = s.z
        shell = (s.cavity > 0.5) & (s.cavity < 13.0) & (s.mediastinum > 1.0)
        if not shell.any():
            return
        x, y = s.x[shell], s.y[shell]
        around = (
            np.arctan2(np.abs(x) / anatomy.CAVITY_X(z), (y - anatomy.CAVITY_CENTRE_Y(z)) / anatomy.CAVITY_Y(z)) / np.pi
        )  # 0 at the spine, 1 at the sternum
        # A rib falls from the spine to the side and front; its cartilage climbs back to the sternum.
        fall = 92.0 * np.minimum(around, 0.74) - 80.0 * np.maximum(around - 0.74, 0.0)
        place = (z - 12.0 - fall * _RIB_FALL(z)) / _VERTEBRA_MM
        number = np.rint(place)
        exists = (
            (number >= 0) & (number <= 11) & (around < np.where(number >= 11, 0.35, np.where(number >= 10, 0.5, 1)))
        )
        across = np.hypot((place - number) * _VERTEBRA_MM / 6.4, (s.cavity[shell] - 6.2) / 3.5)
        distance = (across - 1.0) * 3.5
        cover = np.clip(0.5 - distance / self.edge_mm, 0.0, 1.0) * exists
        bony = around < 0.76
        value = np.where(bony, np.where(across < 0.62, MARROW + 40.0, CORTEX - 40.0), CARTILAGE)
        self.hu[shell] += (value - self.hu[shell]) * cover

    def _sternum(self) -> None:
        s = self.section
        if not 50.0 < s.z < 215.0:
            return
        front = anatomy.CAVITY_CENTRE_Y(s.z) - anatomy.CAVITY_Y(s.z)
        self._bone(ellipse(s.x, s.y, (2, front - 7.5), (_STERNUM_X(s.z), 6.0), 2.6), 1.3, 95.0)

    def _spine(self) -> None:
        s = self.section
        x, y, middle = s.x, s.y, anatomy.SPINE_Y(s.z)
        level = (s.z + 4.0) % _VERTEBRA_MM - _VERTEBRA_MM / 2
        canal_y = middle + 21.5
        body = ellipse(x, y, (0, middle), (17.5, 14.0), 2.3)
        if abs(level) > 9.3:
            self._fill(body, 85.0)
        else:
            self._bone(body, 1.3, CORTEX - 120.0 if abs(level) > 7.6 else MARROW)
        arch = ellipse(x, y, (0, canal_y), (14.5, 14.0))
        if abs(level) > 5.5:
            arch = np.maximum(arch, canal_y + 1.0 - y)  # the foramen, where the nerve leaves
        self._bone(arch, 1.6)
        if abs(level) < 6.0:
            process = tubes(
                x,
                y,
                0.0,
                (
                    ((9, canal_y + 4, 0, 5.5), (31, canal_y + 15, 0, 4.5)),
                    ((-9, canal_y + 4, 0, 5.5), (-31, canal_y + 15, 0, 4.5)),
                ),
            )
            if process is not None:
                self._bone(process, 1.4)
        tip = canal_y + 30.0 + 0.35 * level
        self._bone(ellipse(x, y, (0, (canal_y + 9 + tip) / 2), (3.2, (tip - canal_y - 9) / 2)), 1.2)
        self._fill(ellipse(x, y, (0, canal_y), (9.5, 8.5)), 20.0)
        self._fill(ellipse(x, y, (0, canal_y), (5.0, 4.0)), 38.0)

    def _shoulders(self) -> None:
        s = self.section
        x, y, z = s.x, s.y, s.z
        for group, cortex_mm in ((anatomy.CLAVICLES, 1.8), (anatomy.HUMERI, 1.6)):
            limb = tubes(x, y, z, group)
            if limb is not None:
                self._bone(limb, cortex_mm)
        if not 14.0 < z < 158.0:
            return
        # The shoulder blade: a curved plate behind the ribs that narrows to its lower tip.
        width = 37.0 * (1.0 - ((z - 62.0) / 96.0) ** 2) + 3.0
        along = np.abs(x) - 88.0
        sheet = y - (66.0 - 0.42 * along - 0.006 * along**2 + 12.0 * (z - 60.0) / 100.0)
        plate = np.maximum(np.abs(sheet) - 2.1, np.abs(along) - width)
        if z < 62.0:
            spine = np.maximum(np.abs(sheet - 9.0 - 0.25 * along) - 2.2, np.abs(along - 8.0) - 0.6 * width)
            plate = np.minimum(plate, spine)
        self._bone(plate, 1.3)
