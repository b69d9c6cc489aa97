"""What networks learn from and are scored on: patients, slices, painted disease, augmentation."""
