"""Measurements against peers and limits; never timed tests."""
