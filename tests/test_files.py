"""Atomic writing."""

from pathlib import Path

import pytest

from cxrgan.files import replacing, write_bytes, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    write_json(target, {"step": 1})
    before = target.read_bytes()
    with pytest.raises(OSError, match="full"), replacing(target) as temporary:
        temporary.write_text("half")
        raise OSError("full")
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_folder_is_removed_whole(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), replacing(tmp_path / "step-1") as temporary:
        temporary.mkdir()
        (temporary / "weights").write_text("half")
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []


def test_folders_above_are_made(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "c.bin", b"x")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"x"
