"""The container image: what is in it, how it is built, what it says of itself, and how it is tested."""
