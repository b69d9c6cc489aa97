"""What the arrays of the library hold; their shapes are named where they are used."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

HounsfieldUnits = NDArray[np.int16]
"""Of a volume `(slice, row, col)`, or of one of its slices."""
Mask = NDArray[np.bool_]
"""What belongs to something, voxel by voxel."""
LabelMap = NDArray[np.uint8]
"""One of a few labels for each voxel, as BACKGROUND, RIGHT_LUNG and LEFT_LUNG."""
FloatMap = NDArray[np.float32]
"""A quantity for each voxel: a probability, a saliency, an image that is normalised for a network."""
Picture = NDArray[np.uint8]
"""Red, green and blue of each pixel `(row, col, 3)`, or its grey."""
Coordinates = NDArray[np.float64]
"""Positions in millimetres, directions, affine matrices, and what is reckoned with them."""
Numbers = NDArray[np.float64]
"""Other numbers that are reckoned with in double precision: distances, weights, errors, volumes."""
Floats = NDArray[np.floating[Any]]
"""Of single or double precision, whatever comes."""
Indices = NDArray[np.intp]
"""Of voxels, of slices, or how many there are."""
Regions = NDArray[np.int32]
"""The number of the connected region that each voxel belongs to, from 1; 0 where it belongs to none."""
AnyArray = NDArray[Any]
"""Of whatever the caller has."""

Scalar = TypeVar("Scalar", bound=np.generic)
"""Of a function that gives back what it got: `NDArray[Scalar]`."""
