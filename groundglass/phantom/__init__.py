"""A synthetic chest CT with known truth, for tests and for the validator's report."""
