"""What a file says, checked at the door: read by name and kind, or a UserError of file, field, value and way out.

Files of a run or a dataset may come from anywhere. Each format has one reader, which takes every value through here, so
that nothing of another kind or size, and no name that leaves its folder, gets any further.
"""

import contextlib
import json
import math
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from cxrgan.errors import UserError

MAX_JSON_BYTES = 2**25  # far above what a run writes; a manifest has a bound of its own
MAX_NAME = 120  # characters of a class or a run, which is also the name of a folder
MAX_WHOLE = 2**62  # of a whole number: what PyTorch and numpy take, with room for counting on
SHOWN = 60  # characters of a wrong value that an error repeats

Choice = TypeVar("Choice", bound=str)


@dataclass(frozen=True)
class Fields:
    """A table of values by name, as JSON or TOML has it, and where it was read."""

    values: dict[str, Any]
    where: str
    """The file, and the table inside it."""
    mend: str
    """What to do about a wrong value, such as `prepare the dataset again`."""

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str:
        """A text of any characters."""
        value = self._get(name)
        return value if isinstance(value, str) else self.refuse(name, "text")

    def optional_text(self, name: str) -> str | None:
        """A text, or None where the field is null or absent."""
        return None if self.values.get(name) is None else self.text(name)

    def name(self, name: str) -> str:
        """A text that may become the name of a folder: it leaves no folder and hides nothing (`is_name`)."""
        value = self.text(name)
        return value if is_name(value) else self.refuse(name, "a name without / and control characters")

    def one_of(self, name: str, choices: Sequence[Choice]) -> Choice:
        """One of these texts."""
        value = self._get(name)
        found = next((choice for choice in choices if choice == value), None)
        return found if found is not None else self.refuse(name, "one of " + ", ".join(choices))

    def whole(self, name: str, least: int = 0, most: int = MAX_WHOLE) -> int:
        """A whole number from `least` to `most`."""
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.refuse(name, f"a whole number from {least} to {most}")
        return int(value)

    def number(self, name: str, least: float = -math.inf, most: float = math.inf) -> float:
        """A finite number from `least` to `most`."""
        value = self._get(name)
        if not is_number(value) or not least <= value <= most:
            limits = [f"at least {least:g}"] * (least > -math.inf) + [f"at most {most:g}"] * (most < math.inf)
            self.refuse(name, " and ".join(["a number", *limits]))
        return float(value)

    def optional_number(self, name: str, least: float = -math.inf, most: float = math.inf) -> float | None:
        """A finite number from `least` to `most`, or None where the field is null or absent."""
        return None if self.values.get(name) is None else self.number(name, least, most)

    def table(self, name: str) -> "Fields":
        """A table inside this one."""
        value = self._get(name)
        if not isinstance(value, dict):
            self.refuse(name, "a table")
        return Fields(value, f"{self.where}, {name}", self.mend)

    def tables(self, name: str) -> "Iterator[Fields]":
        """Each table of a list, in order."""
        value = self._get(name)
        if not isinstance(value, list):
            self.refuse(name, "a list of tables")
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                self.refuse(name, f"a list of tables, and number {index} is none")
            yield Fields(item, f"{self.where}, {name}[{index}]", self.mend)

    def names(self, name: str) -> list[str]:
        """A list of different names, each as `name` has it."""
        value = self._get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) and is_name(item) for item in value):
            self.refuse(name, "a list of names without / and control characters")
        if len(set(value)) < len(value):
            self.refuse(name, "a list in which no name stands twice")
        return list(value)

    def counts(self, name: str) -> dict[str, int]:
        """Names, each with a whole number of at least 0."""
        table = self.table(name)
        for key in table.values:
            if not is_name(key):
                self.refuse(name, f"counts by name, and {shown(key)} is no name without / and control characters")
        return {key: table.whole(key) for key in table.values}

    def refuse(self, name: str, wanted: str) -> NoReturn:
        """UserError: the value of `name` is not what is wanted."""
        is_there = f"is {shown(self.values[name])}" if name in self.values else "is missing"
        raise UserError(f"{self.where}: {name} {is_there}, but must be {wanted}; {self.mend}")

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise UserError(f"{self.where}: {name} is missing; {self.mend}")
        return self.values[name]


def read_json(path: Path, *, mend: str, most: int = MAX_JSON_BYTES) -> Fields:
    """The table in a JSON file; UserError where it is no such file. FileNotFoundError is for the caller."""
    content = read_bytes(path, most, mend=mend)
    try:
        values = parse_json(content)
    except ValueError as error:
        raise UserError(f"cannot read {path}: {error}; {mend}") from error
    if not isinstance(values, dict):
        raise UserError(f"cannot read {path}: it holds {shown(values)}, but must hold a table {{...}}; {mend}")
    return Fields(values, str(path), mend)


def parse_json(content: bytes | str) -> Any:
    """A value of JSON; ValueError for what is none, is nested too deeply or has numbers that are not finite."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number of JSON")

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else refuse(text)

    try:
        return json.loads(content, parse_constant=refuse, parse_float=finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_bytes(path: Path, most: int, *, mend: str) -> bytes:
    """The content of a regular file of at most `most` bytes; errors as of `open_regular`."""
    with open_regular(path, most, mend=mend) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # `read` takes all the memory that it is allowed at once


@contextlib.contextmanager
def open_regular(path: Path, most: int, *, mend: str) -> Iterator[BufferedReader]:
    """A regular file of at most `most` bytes, open for reading; a FIFO or a device is refused, and not waited for.

    FileNotFoundError is for the caller; anything else that hinders, here or in the block, is a UserError.
    """
    try:
        with _open_at_once(path) as file:
            check_regular(path, os.fstat(file.fileno()), most, mend=mend)
            yield file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; {mend}") from error


def _open_at_once(path: Path) -> BufferedReader:
    """Waits for no FIFO. A name with a NUL or half a character, as files may give one, is an OSError like any other."""
    try:
        return open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))
    except ValueError as error:
        raise OSError(str(error)) from error


def check_regular(path: Path, status: os.stat_result, most: int, *, mend: str) -> None:
    """UserError unless `status`, of `path`, is that of a regular file of at most `most` bytes."""
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} is no regular file; {mend}")
    if status.st_size > most:
        raise UserError(f"{path} has {status.st_size:,} bytes, more than the {most:,} that are read; {mend}")


def is_number(value: object) -> bool:
    """Whether it is a finite number, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= sys.float_info.max


def is_name(text: str) -> bool:
    """Whether a text can be the name of a class or a run, and so of a folder: short, printable, going nowhere."""
    if not 0 < len(text) <= MAX_NAME or text in (".", "..") or re.search(r"[/\\\n\t]", text):
        return False
    return printable(text) == text


def printable(text: str) -> str:
    """A text for a terminal: control characters, lone surrogates and what turns the direction of writing, escaped.

    Line breaks and tabs stay.
    """
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if char not in "\n\t" and unicodedata.category(char) in hidden
        else char
        for char in text
    )


def shown(value: object) -> str:
    """A wrong value in an error: as Python writes it, and not too long."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    if isinstance(value, dict | list):
        text = f"a {'table' if isinstance(value, dict) else 'list'} of {len(value)}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
