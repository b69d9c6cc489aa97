"""How far slices may lie from one straight, even stack and still be put right; beyond that a series is refused."""

LARGEST_TILT_DEGREES = 30
"""What gantries are built for."""
LEAST_STEP, LARGEST_STEP = 0.55, 1.45
"""Distances of neighbouring slices, in parts of the usual one, that are evened out. A missing slice makes it two."""
