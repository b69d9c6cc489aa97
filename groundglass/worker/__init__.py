"""A worker that stays: a process with imports and weights loaded once, which takes study after study."""
