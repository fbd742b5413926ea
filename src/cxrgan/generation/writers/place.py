"""The new folder that every writer makes, and the places of single images in it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from cxrgan.errors import UserError
from cxrgan.fields import is_name
from cxrgan.files import check_free, remove_leftovers, replacing


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` as a whole or not at all; UserError where something lies there."""
    check_free(out, "the images")
    remove_leftovers(out)
    with replacing(out) as folder:
        folder.mkdir()
        yield folder


def places(labels: Sequence[str], seeds: Sequence[int], suffix: str) -> list[Path]:
    """The file of each image within the folder: named by its seed, in a folder of its class if it has one."""
    for label in set(labels) - {""}:
        if not is_name(label):
            raise UserError(f"the class {label!r} cannot name a folder of images; --format npz writes none")
    return [Path(label, f"seed-{seed:06d}{suffix}") for label, seed in zip(labels, seeds, strict=True)]
