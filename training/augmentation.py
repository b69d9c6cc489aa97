"""What the augmentations of both networks share."""

import numpy as np
import torch


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
