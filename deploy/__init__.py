"""Ways to wire the application into a hospital; none of them is part of the container image."""
