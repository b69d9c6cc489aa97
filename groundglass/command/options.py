"""Values of options that several commands take."""

import argparse


def path(text: str) -> str:
    """A path: an empty one, such as an unset variable of a script gives, would be the folder that one is in."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return text


def positive(text: str) -> int:
    """A whole number above 0, for options."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
