"""Attributes of a header as plain Python values, whatever garbage the file holds: nothing here raises an error."""

import logging
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items


class Kept:
    """A header that knows some attributes without its elements."""

    def kept(self, keyword: str) -> str | None:
        """The text of an attribute; None where the elements themselves must be asked."""
        raise NotImplementedError


def value(header: Dataset, keyword: str) -> Any:
    """The value of an attribute; None where it is absent, empty or not readable."""
    try:
        return header.get(keyword)
    except Exception:  # pydicom converts on access and raises what the garbage in the value provokes.
        return None


def items(header: Dataset, keyword: str) -> Sequence[Dataset]:
    """The items of a sequence; none where it is absent, or where the file calls the attribute something else."""
    content = value(header, keyword)
    return content if isinstance(content, Items) else ()


def text(header: Dataset, keyword: str) -> str:
    """The value of an attribute as text, values joined by backslashes; empty where it is absent, binary or items."""
    if isinstance(header, Kept):
        kept = header.kept(keyword)
        if kept is not None:
            return kept
    content = value(header, keyword)
    # A file may call any attribute a sequence, and not all items can be printed.
    if content is None or isinstance(content, bytes | Items):
        return ""
    values = content if isinstance(content, Sequence) and not isinstance(content, str) else [content]
    return "\\".join(str(item).strip(" \0") for item in values)


def numbers(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """The `count` values of a numeric attribute; None unless there are just so many, all of them finite numbers."""
    try:
        result = tuple(map(_as_float, text(header, keyword).split("\\")))
    except ValueError:
        return None
    return result if len(result) == count and all(math.isfinite(item) for item in result) else None


def _as_float(item: str) -> float:
    if "_" in item:  # digits in groups are Python's way to write a number, not that of PS3.5 6.2
        raise ValueError("An underscore is no part of a number.")
    return float(item)


def number(header: Dataset, keyword: str) -> float | None:
    """The one value of a numeric attribute; None where there is no finite number, or more than one."""
    found = numbers(header, keyword, 1)
    return found[0] if found else None


class _Quiet:
    """Counts who needs pydicom quiet, since the filters of warnings and logging are shared by all threads."""

    lock = threading.Lock()
    users = 0
    warning_filters: "warnings.catch_warnings[None] | None" = None
    log_level = logging.NOTSET


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning and logging: its messages quote header values, which may be patient data."""
    logger = logging.getLogger("pydicom")
    with _Quiet.lock:
        _Quiet.users += 1
        if _Quiet.users == 1:
            _Quiet.warning_filters = warnings.catch_warnings()
            _Quiet.warning_filters.__enter__()
            warnings.simplefilter("ignore")
            _Quiet.log_level = logger.level
            logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.users -= 1
            if _Quiet.users == 0 and _Quiet.warning_filters is not None:
                _Quiet.warning_filters.__exit__(None, None, None)
                logger.setLevel(_Quiet.log_level)
