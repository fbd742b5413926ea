"""Files that are either whole or not there: everything is written beside its place and then moved into it."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on an exception it is removed.

    The temporary path may be made into a file or a folder, and keeps the suffix of `path`. A folder can only
    take the place of nothing, since the file system has no atomic exchange for folders.
    """
    path = path.absolute()  # a bare `.` has no name
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        for part in [*temporary.iterdir(), temporary] if temporary.is_dir() else [temporary]:
            _flush(part)
        temporary.replace(path)
        _flush(path.parent)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def _flush(path: Path) -> None:
    """Ask the disk to hold a file, or the names in a folder, now; Windows has no such call for folders."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
