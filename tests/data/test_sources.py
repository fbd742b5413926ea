"""Sources: what each kind of SOURCE offers, which patients, splits and classes it names, and what it refuses."""

import os
import sys
import zipfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pooch
import pytest
import requests

from cxrgan.data.sources import npz
from cxrgan.data.sources.download import PNEUMONIAMNIST_MD5, fetch_pneumoniamnist
from cxrgan.data.sources.drawn import phantom_source
from cxrgan.data.sources.folder import folder_source
from cxrgan.data.sources.npz import npz_source
from cxrgan.data.sources.open import open_source
from cxrgan.errors import UserError


def touch(root: Path, *names: str) -> Path:
    """Empty files: a source looks at names only."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def places(root: Path) -> dict[str, tuple[str | None, str | None]]:
    """Split and label by origin."""
    return {record.origin: (record.split, record.label) for record in folder_source(root).records}


def medmnist(path: Path, **changes: Any) -> Path:
    """A tiny MedMNIST file: 4 training, 2 validation and 2 test images."""
    arrays: dict[str, Any] = {}
    for split, num in (("train", 4), ("val", 2), ("test", 2)):
        arrays[f"{split}_images"] = np.random.default_rng(num).integers(0, 255, (num, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(num, dtype=np.uint8)[:, None] % 2
    arrays |= changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1029_bacteria_2961.jpeg", "person1029_bacteria"),
        ("person1081_virus_1793.jpeg", "person1081_virus"),
        ("person447_virus_921_1.jpeg", "person447_virus"),
        ("IM-0129-0001.jpeg", "IM-0129"),
        ("IM-0439-0001-0002.jpeg", "IM-0439"),
        ("NORMAL2-IM-0533-0001.jpeg", "NORMAL2-IM-0533"),
        ("NORMAL2-IM-1094-0001-0001.jpeg", "NORMAL2-IM-1094"),
        ("person12.jpeg", None),
        ("my IM-0129-0001.jpeg", None),
        ("00000013_005.png", None),
    ],
)
def test_patient_is_read_from_kaggles_names_and_no_others(tmp_path: Path, name: str, patient: str | None) -> None:
    (record,) = folder_source(touch(tmp_path, name)).records
    assert record.patient == patient


@pytest.mark.real
def test_real_set_has_its_known_patients_and_none_in_train_and_test(real_data: Path) -> None:
    source = folder_source(real_data / "chest_xray")
    patients = defaultdict(set)
    for record in source.records:
        patients[record.split].add(record.patient)
    assert len(source.records) == 5216 + 624
    assert not source.rejected
    assert len(patients["train"]) == 3654
    assert len(patients["test"]) == 428
    assert not patients["train"] & patients["test"]
    assert not any(None in names for names in patients.values())


def test_kaggles_layout_gives_split_and_class_with_and_without_val(tmp_path: Path) -> None:
    touch(tmp_path, "train/NORMAL/a.png", "test/PNEUMONIA/b.png")
    assert places(tmp_path) == {
        "train/NORMAL/a.png": ("train", "NORMAL"),
        "test/PNEUMONIA/b.png": ("test", "PNEUMONIA"),
    }
    touch(tmp_path, "Val/NORMAL/c.png")
    assert places(tmp_path)["Val/NORMAL/c.png"] == ("val", "NORMAL")


def test_folder_nested_in_one_of_the_same_name_does_not_matter(tmp_path: Path) -> None:
    root = touch(tmp_path / "chest_xray", "chest_xray/train/NORMAL/a.png")
    assert places(root) == {"chest_xray/train/NORMAL/a.png": ("train", "NORMAL")}
    root = touch(tmp_path / "classes", "classes/NORMAL/a.png")
    assert places(root) == {"classes/NORMAL/a.png": (None, "NORMAL")}
    touch(root, "README.txt")
    assert places(root)["classes/NORMAL/a.png"] == (None, "NORMAL")


def test_class_may_have_the_name_of_the_source(tmp_path: Path) -> None:
    root = touch(tmp_path / "covid", "covid/a.png", "normal/b.png")
    assert places(root) == {"covid/a.png": (None, "covid"), "normal/b.png": (None, "normal")}


def test_folder_of_classes_has_classes_and_no_split(tmp_path: Path) -> None:
    touch(tmp_path, "NORMAL/a.png", "PNEUMONIA/deeper/b.png")
    assert places(tmp_path) == {
        "NORMAL/a.png": (None, "NORMAL"),
        "PNEUMONIA/deeper/b.png": (None, "PNEUMONIA"),
    }


def test_flat_folder_has_neither(tmp_path: Path) -> None:
    assert places(touch(tmp_path, "a.png", "b.jpg")) == {"a.png": (None, None), "b.jpg": (None, None)}


def test_hidden_and_system_files_are_skipped_quietly(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", ".DS_Store", "__MACOSX/._a.png", ".cache/b.png", "Thumbs.db")
    source = folder_source(tmp_path)
    assert [record.origin for record in source.records] == ["a.png"]
    assert not source.rejected


def test_file_outside_the_split_folders_is_set_aside(tmp_path: Path) -> None:
    source = folder_source(touch(tmp_path, "train/NORMAL/a.png", "extra/b.png"))
    assert [record.origin for record in source.records] == ["train/NORMAL/a.png"]
    assert [(item.origin, item.reason) for item in source.rejected] == [
        ("extra/b.png", "outside the folders train, val and test")
    ]


def test_links_out_of_the_source_are_refused_and_those_inside_followed(tmp_path: Path) -> None:
    outside = touch(tmp_path, "secret.png", "other/c.png")
    root = touch(tmp_path / "source", "a.png", "sub/b.png")
    (root / "leaves.png").symlink_to(outside / "secret.png")
    (root / "climbs.png").symlink_to(Path("..") / "secret.png")
    (root / "folder").symlink_to(outside / "other")
    (root / "inside.png").symlink_to(root / "a.png")
    (root / "again").symlink_to(root / "sub")
    (root / "broken.png").symlink_to(root / "nothing.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    source = folder_source(root)
    assert {record.origin for record in source.records} == {"a.png", "sub/b.png", "inside.png"}
    assert {item.origin: item.reason for item in source.rejected} == {
        "leaves.png": "a link out of the source folder",
        "climbs.png": "a link out of the source folder",
        "folder": "a link out of the source folder",
        "again": "a link to a folder (not followed)",
        "broken.png": "a broken link, or not a regular file",
        "loop.png": "a broken link, or not a regular file",
    }


def test_pipe_is_set_aside_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(touch(tmp_path, "a.png") / "pipe.png")
    (rejected,) = folder_source(tmp_path).rejected
    assert (rejected.origin, rejected.reason) == ("pipe.png", "a broken link, or not a regular file")


def test_folder_that_cannot_be_listed_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch(tmp_path, "a.png", "closed/b.png").resolve()
    scandir = os.scandir

    def guarded(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    source = folder_source(root)
    assert [record.origin for record in source.records] == ["a.png"]
    assert [(item.origin, item.reason) for item in source.rejected] == [("closed", "cannot be read: Permission denied")]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_name_that_is_no_unicode_gets_an_origin_that_is(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).touch()
    (record,) = folder_source(tmp_path).records
    assert record.origin == "caf\\xe9.png"


def test_npz_gives_splits_and_numbers_as_labels(tmp_path: Path) -> None:
    source = npz_source(medmnist(tmp_path / "mine.npz"))
    assert [(record.split, record.label) for record in source.records[:5]] == [
        ("train", "0"),
        ("train", "1"),
        ("train", "0"),
        ("train", "1"),
        ("val", "0"),
    ]
    assert all(record.patient is None for record in source.records)
    assert (source.name, source.license) == ("mine", None)


def test_pneumoniamnist_file_has_named_classes_and_its_licence(tmp_path: Path) -> None:
    source = npz_source(medmnist(tmp_path / "pneumoniamnist_64.npz"))
    assert {record.label for record in source.records} == {"NORMAL", "PNEUMONIA"}
    assert source.records[1].label == "PNEUMONIA"
    assert source.license == "CC BY 4.0"
    assert source.citation is not None
    assert "Kermany" in source.citation


def test_npz_with_several_labels_an_image_is_unlabelled(tmp_path: Path) -> None:
    changes = {
        f"{split}_labels": np.zeros((num, 14), np.uint8) for split, num in (("train", 4), ("val", 2), ("test", 2))
    }
    source = npz_source(medmnist(tmp_path / "chestmnist.npz", **changes))
    assert {record.label for record in source.records} == {None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_labels": None, "test_images": None}, "lacks val_labels, test_images"),
        ({"train_images": np.zeros((4, 28, 28), np.float32)}, r"train_images is float32 \(4, 28, 28\)"),
        ({"train_images": np.zeros((4, 28), np.uint8)}, "train_images is uint8"),
        ({"val_labels": np.zeros((5, 1), np.uint8)}, "one whole number for each of the 2 images"),
        ({"val_labels": np.array(["a", "b"])}, "val_labels is"),
        ({"test_labels": np.array([object(), object()])}, "not a readable .npz"),
    ],
)
def test_malformed_npz_is_a_clear_error(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        npz_source(medmnist(tmp_path / "bad.npz", **changes))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 28, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 28, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 28, 10000000000000000000000), }",
        "{'descr': 3, 'fortran_order': 'x', 'shape': 'x', }",
        "{[]: 1}",
        "(" * 300,
        "'unclosed",
        "{",
        "\x00",
    ],
)
def test_npz_with_a_header_that_lies_is_a_clear_error(tmp_path: Path, header: str) -> None:
    whole = medmnist(tmp_path / "whole.npz")
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(tmp_path / "bad.npz", "w") as bad:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "train_images.npy":
                content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content[128:]
            bad.writestr(name, content)
    with pytest.raises(UserError, match=r"bad\.npz"):
        npz_source(tmp_path / "bad.npz")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are any bytes on Linux only")
def test_a_folder_that_can_name_no_class_is_set_aside(tmp_path: Path) -> None:
    for name in (b"NORMAL", b"bad\xff", b"red\x1b[31m", b"two\nlines", b"back\\slash"):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        (folder / "a.png").touch()
    source = folder_source(tmp_path)
    assert [record.label for record in source.records] == ["NORMAL"]
    assert [item.reason for item in source.rejected] == ["in a folder whose name cannot be a class"] * 4


def test_npz_that_is_no_archive_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UserError, match=r"not a readable \.npz"):
        npz_source(tmp_path / "text.npz")
    whole = medmnist(tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"not a readable \.npz"):
        npz_source(tmp_path / "cut.npz")


def test_npz_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_NPZ_BYTES", 1000)
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(UserError, match="unpacks to more than 1,000 bytes"):
        npz_source(medmnist(tmp_path / "bomb.npz"))


@pytest.mark.parametrize(
    ("size", "pixels", "name"),
    [
        (28, 28, "pneumoniamnist.npz"),
        (32, 64, "pneumoniamnist_64.npz"),
        (64, 64, "pneumoniamnist_64.npz"),
        (66, 128, "pneumoniamnist_128.npz"),
        (256, 224, "pneumoniamnist_224.npz"),
    ],
)
def test_pneumoniamnist_is_fetched_at_the_smallest_size_that_suffices(
    size: int, pixels: int, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def retrieve(url: str, **options: Any) -> str:
        asked.update(options, url=url)
        return str(tmp_path / name)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert fetch_pneumoniamnist(size) == tmp_path / name
    assert asked["url"] == f"https://zenodo.org/records/10519652/files/{name}?download=1"
    assert asked["known_hash"] == f"md5:{PNEUMONIAMNIST_MD5[pixels]}"
    assert asked["fname"] == name


def test_downloaded_file_becomes_the_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = medmnist(tmp_path / "server.npz")
    serve(monkeypatch, tmp_path / "cache", file.read_bytes())
    monkeypatch.setitem(PNEUMONIAMNIST_MD5, 64, pooch.file_hash(str(file), alg="md5"))
    source = open_source("pneumoniamnist", size=64, seed=0, num=0)
    assert (source.name, len(source.records)) == ("pneumoniamnist_64", 8)
    assert (tmp_path / "cache" / "pneumoniamnist_64.npz").is_file()


def test_download_with_a_wrong_checksum_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(monkeypatch, tmp_path / "cache", b"something else")
    with pytest.raises(UserError, match="wrong checksum"):
        fetch_pneumoniamnist(64)
    assert not any((tmp_path / "cache").glob("*"))


def test_without_a_network_the_error_says_where_to_put_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serve(monkeypatch, tmp_path / "cache", requests.ConnectionError("no network"))
    with pytest.raises(UserError, match=r"no network.*download it by hand.*cache/pneumoniamnist_64\.npz"):
        fetch_pneumoniamnist(64)


def serve(monkeypatch: pytest.MonkeyPatch, cache: Path, answer: bytes | Exception) -> None:
    """Let pooch get `answer` in place of a download, and keep it in `cache`."""

    def download(url: str, output_file: str, _: object) -> None:
        if isinstance(answer, Exception):
            raise answer
        Path(output_file).write_bytes(answer)

    monkeypatch.setattr(pooch, "os_cache", lambda _: cache)
    monkeypatch.setattr(pooch, "retrieve", partial(pooch.retrieve, downloader=download))


def test_kaggle_without_kagglehub_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(UserError, match=r"pip install '.\[kaggle\]'"):
        open_source("kaggle", size=64, seed=0, num=0)


def test_kaggles_archive_is_read_once_though_it_holds_everything_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    touch(tmp_path / "chest_xray", "train/NORMAL/a.png", "chest_xray/train/NORMAL/a.png", "__MACOSX/b.png")
    hub = SimpleNamespace(dataset_download=lambda handle: str(tmp_path))
    monkeypatch.setitem(sys.modules, "kagglehub", hub)
    source = open_source("kaggle", size=64, seed=0, num=0)
    assert [record.origin for record in source.records] == ["train/NORMAL/a.png"]
    assert (source.name, source.license) == ("kaggle", "CC BY 4.0")


def test_kaggle_out_of_reach_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: str) -> str:
        raise RuntimeError("offline")

    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=fail))
    with pytest.raises(UserError, match=r"offline.*by hand"):
        open_source("kaggle", size=64, seed=0, num=0)


def test_phantom_has_both_classes_in_turn_and_no_split() -> None:
    source = phantom_source(num=4, size=32, seed=3)
    assert [record.label for record in source.records] == ["NORMAL", "PNEUMONIA"] * 2
    assert {record.split for record in source.records} == {None}
    assert source.license == "CC0-1.0"
    with pytest.raises(UserError, match="num is 0"):
        phantom_source(num=0, size=32, seed=3)


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "does not exist"), ("picture.png", "is not a folder or an .npz file")]
)
def test_what_is_no_source_is_a_clear_error(tmp_path: Path, name: str, message: str) -> None:
    touch(tmp_path, "picture.png")
    with pytest.raises(UserError, match=f"{name} {message}; give a folder"):
        open_source(str(tmp_path / name), size=64, seed=0, num=0)
