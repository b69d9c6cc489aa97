"""Both networks as MONAI Bundles: `make bundle`."""
