"""How a network is trained: the loop, checkpoints, the record of a run, what a command asks."""
