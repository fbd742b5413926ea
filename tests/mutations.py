"""Hostile versions of a valid file: one field at a time of another kind or gone, and files that are no files."""

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cxrgan.errors import UserError

GONE = object()
WRONG: tuple[Any, ...] = (
    None,
    True,
    "x",
    "../../x",
    "/tmp/x",
    "<script>",
    "\x1b[31m",
    "\ud800",
    -1,
    0.5,
    1e308,
    10**30,
    [],
    [[]],
    {},
)

CONTENTS = [b"", b"{", b"[]", b"null", b'{"a": NaN}', b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe\x00", b"9" * 5000]
"""No JSON of a table, each in another way."""


def mutated(value: Any) -> Iterator[tuple[str, Any]]:
    """(what is wrong, a copy of `value` in which it is) for every field at any depth; of lists, the first item."""
    for path in _paths(value):
        for wrong in (*WRONG, GONE):
            changed = copy.deepcopy(value)
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            if wrong is GONE:
                del inner[path[-1]]
            else:
                inner[path[-1]] = wrong
            yield f"{'.'.join(map(str, path))}: {'gone' if wrong is GONE else repr(wrong)}", changed


def check_mutations(file: Path, read: Callable[[], object], named: str = "") -> list[str]:
    """Every mutation of a JSON file, and what is no JSON, is read or is a UserError that names it; returns the refused.

    `named` stands in the error where it is not the file's name. The file is left as it was.
    """
    before, refused = file.read_bytes(), []
    contents = [(what, json.dumps(value).encode()) for what, value in mutated(json.loads(before))]
    for what, content in [*contents, *((repr(content[:9]), content) for content in CONTENTS)]:
        file.write_bytes(content)
        if _is_refused(read, named or file.name, what):
            refused.append(what)
    file.write_bytes(before)
    read()
    return refused


def check_no_file(file: Path, read: Callable[[], object]) -> None:
    """A folder, and a FIFO at which a naive reader would wait for ever, are refused in place of `file`."""
    before = file.read_bytes()
    file.unlink()
    makers: list[Callable[[Path], None]] = [Path.mkdir, *([os.mkfifo] if hasattr(os, "mkfifo") else [])]
    for make in makers:
        make(file)
        assert _is_refused(read, file.name, make.__name__)
        (Path.rmdir if file.is_dir() else Path.unlink)(file)
    file.write_bytes(before)


def _is_refused(read: Callable[[], object], named: str, what: str) -> bool:
    try:
        read()
        return False
    except UserError as error:
        message = str(error)
    except Exception as error:
        pytest.fail(f"{what}: {repr(error)[:300]}")
    assert named in message, f"{what}: {message}"
    assert len(message) < 2000, what
    return True


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, inner in items:
        yield (key,)
        yield from ((key, *path) for path in _paths(inner))
