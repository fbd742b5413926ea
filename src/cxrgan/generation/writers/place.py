"""The new folder that every writer makes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from cxrgan.files import check_free, remove_leftovers, replacing


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` as a whole or not at all; UserError where something lies there."""
    check_free(out, "the images")
    remove_leftovers(out)
    with replacing(out) as folder:
        folder.mkdir()
        yield folder
