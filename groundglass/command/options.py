"""Options, as several commands take them: their values, and what was meant by one that does not exist."""

import argparse
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import NoReturn

_UNKNOWN = "unrecognized arguments: "
"""How argparse begins."""


class Parser(argparse.ArgumentParser):
    """Answers an option that does not exist with the one that was probably meant."""

    def error(self, message: str) -> NoReturn:
        word = message.removeprefix(_UNKNOWN).split(" ")[0]
        if message.startswith(_UNKNOWN) and word.startswith("--"):
            message += did_you_mean(word.split("=")[0], _options_of(self))
        super().error(message)


def _options_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every option of a parser and of its commands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _options_of(command)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question, or nothing where no known word is like this one."""
    close = get_close_matches(word.lower(), list(known), 1)
    return f"; did you mean '{close[0]}'?" if close else ""


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
