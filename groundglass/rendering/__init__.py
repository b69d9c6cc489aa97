"""Pictures of slices and findings, for people."""
