"""Files that are either whole or not there: everything is written beside its place and then moved into it."""

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxrgan.errors import UserError

WAYS_OUT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room, or name another place"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "name a place that you may write to, or mend the permissions"
    ),
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EBUSY, errno.ENAMETOOLONG, errno.ELOOP), "name another place"
    ),
}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on an exception it is removed.

    The temporary path may be made into a file or a folder, and keeps the suffix of `path`. A folder can only
    take the place of nothing, since the file system has no atomic exchange for folders. An OSError of the disk
    names `path`, which is what people know.
    """
    path = path.absolute()  # a bare `.` has no name
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        for part in [*temporary.rglob("*"), temporary] if temporary.is_dir() else [temporary]:
            _flush(part)
        temporary.replace(path)
        _flush(path.parent)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError) and (error.filename is None or _is_inside(error.filename, temporary)):
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
        raise


def remove_leftovers(path: Path) -> list[Path]:
    """Remove what killed processes left beside `path`, half-written; the paths that are gone now.

    What a living process of this machine writes is let alone.
    """
    path = path.absolute()
    name = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)\.tmp{re.escape(path.suffix)}")
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    found = [(each, int(match[1])) for each in beside if (match := name.fullmatch(each.name))]
    leftovers = [each for each, process in found if not _is_alive(process)]
    for leftover in leftovers:
        _remove(leftover)
    return [leftover for leftover in leftovers if not leftover.exists()]


def check_free(path: Path, what: str) -> None:
    """UserError unless `path` is nothing yet or an empty folder, so that `what` is never mixed with other files."""
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} exists already; choose another folder for {what}, or remove it first")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def trouble(error: OSError) -> str:
    """What an OSError says, for people: the file, what is wrong with it, and where that is known what to do."""
    parts = [str(error.filename)] if error.filename is not None else []
    parts.append(error.strerror or str(error) or type(error).__name__)
    return ": ".join(parts) + (f"; {WAYS_OUT[error.errno]}" if error.errno in WAYS_OUT else "")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # what cannot be removed hides no error before it
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _is_inside(name: str | bytes | int, folder: Path) -> bool:
    return isinstance(name, str) and Path(name).absolute().is_relative_to(folder)


def _is_alive(process: int) -> bool:
    """Whether there is a process of this number; where that cannot be asked, there is."""
    if os.name == "nt":  # there, signal 0 ends it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's; a number that is none
        return True
    return True


def _flush(path: Path) -> None:
    """Ask the disk to hold a file, or the names in a folder, now; Windows has no such call for folders."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
