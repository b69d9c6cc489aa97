"""What every part of the library speaks of: a CT volume, what is found in it, who found it, why it was refused."""
