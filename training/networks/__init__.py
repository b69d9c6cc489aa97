"""Networks that only training has."""
