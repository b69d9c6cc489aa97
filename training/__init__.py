"""Training, cross-validation and the paper's tables. The application never imports it."""
