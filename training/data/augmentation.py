"""What the augmentations of both networks share."""

import numpy as np
import torch
from scipy import ndimage

from groundglass.method.classifier_network import INPUT_SIZE


def turn(angle_degrees: float, zoom: float) -> np.ndarray:
    """2x2 matrix of a rotation and a zoom, in the normalised coordinates of `warp`."""
    angle = np.deg2rad(angle_degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * zoom


def warp(planes: np.ndarray, matrix: np.ndarray, shift: np.ndarray, size: int) -> np.ndarray:
    """Resample `(plane, row, col)` to `(plane, size, size)`, all planes alike, zero beyond the border.

    Args:
        planes: float32.
        matrix: 2x2, from target to source in normalised coordinates (column, row), each from -1 to 1.
        shift: `(2, 1)`, in the same coordinates.
        size: rows and columns of the result.
    """
    theta = torch.from_numpy(np.concatenate([matrix, shift], axis=1)[None]).float()
    grid = torch.nn.functional.affine_grid(theta, [1, 1, size, size], align_corners=False)
    return torch.nn.functional.grid_sample(torch.from_numpy(planes)[None], grid, align_corners=False)[0].numpy()


def augment_as_paper(image: np.ndarray, rng: np.random.Generator, contrast: bool = True) -> np.ndarray:
    """II-G.3: centre crop of 0.7 to 1, rotation by up to 25 degrees, mirror, contrast by 0.5 to 1.5.

    Args:
        image: float32 `(224, 224)` in [0, 1].
        rng: random source.
        contrast: whether the contrast changes (the row "NCA" of the tables goes without).
    """
    matrix = turn(rng.uniform(-25.0, 25.0), rng.uniform(0.7, 1.0))
    if rng.random() < 0.5:
        matrix[0] *= -1
    warped = warp(image[None], matrix, np.zeros((2, 1)), INPUT_SIZE)[0]
    factor = np.float32(rng.uniform(0.5, 1.5))
    return np.clip(warped * factor if contrast else warped, 0.0, 1.0)


def augment_strongly(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For few figures of every quality: free crops, contrast, gamma, blur, noise, and a piece cut out."""
    crop = rng.uniform(0.7, 1.0)
    matrix = turn(rng.uniform(-15.0, 15.0), crop) * rng.uniform(0.9, 1.1, (2, 1))
    if rng.random() < 0.5:
        matrix[0] *= -1
    result = warp(image[None], matrix, rng.uniform(crop - 1, 1 - crop, (2, 1)), INPUT_SIZE)[0]
    result = np.clip(result, 0, 1) ** np.float32(rng.uniform(0.8, 1.25))
    result = (result - np.float32(0.4)) * np.float32(rng.uniform(0.75, 1.25)) + np.float32(rng.uniform(0.35, 0.45))
    if rng.random() < 0.2:
        result = ndimage.gaussian_filter(result, rng.uniform(0.3, 1.2))
    if rng.random() < 0.2:
        result = result + rng.standard_normal(result.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, 0.04))
    if rng.random() < 0.3:
        height, width = rng.integers(INPUT_SIZE // 16, INPUT_SIZE // 4, 2)
        row, column = rng.integers(0, INPUT_SIZE - height), rng.integers(0, INPUT_SIZE - width)
        result[row : row + height, column : column + width] = rng.uniform(0.0, 1.0)
    return np.clip(result, 0.0, 1.0).astype(np.float32)
