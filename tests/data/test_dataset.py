"""Reading a dataset folder, and the pure function that orders its images."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import check_mutations, check_no_file
from numpy.typing import NDArray
from tiny import write_tiny_dataset

from cxrgan.data.dataset import batch_indices, load_dataset, load_held_out
from cxrgan.errors import UserError


@given(num=st.integers(1, 50), batch=st.integers(1, 70), seed=st.integers(0, 5), epochs=st.integers(1, 3))
def test_every_image_is_seen_once_an_epoch_whatever_the_batch(num: int, batch: int, seed: int, epochs: int) -> None:
    steps = -(-num * epochs // batch)
    seen = np.concatenate([batch_indices(s, num_images=num, batch_size=batch, seed=seed) for s in range(steps)])
    for epoch in range(epochs):
        assert sorted(seen[epoch * num : (epoch + 1) * num]) == list(range(num))


def test_order_depends_on_seed_and_epoch() -> None:
    first, again = (batch_indices(0, num_images=64, batch_size=64, seed=0) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, batch_indices(1, num_images=64, batch_size=64, seed=0))
    assert not np.array_equal(first, batch_indices(0, num_images=64, batch_size=64, seed=1))


def test_a_folder_is_read_with_its_labels(tmp_path: Path) -> None:
    dataset = load_dataset(write_tiny_dataset(tmp_path / "data"))
    assert dataset.images.shape == (40, 32, 32)
    assert dataset.images.dtype == np.uint8
    assert dataset.labels.tolist() == [0] * 40
    assert dataset.classes == ("NORMAL",)


def test_a_missing_folder_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a dataset folder; make one with: cxrgan prepare"):
        load_dataset(tmp_path / "nowhere")


def test_changed_images_are_refused(tmp_path: Path) -> None:
    path = write_tiny_dataset(tmp_path / "data")
    with (path / "images.npy").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\xfe")  # the corner of a blob is dark
    with pytest.raises(UserError, match="is not the file its manifest describes"):
        load_dataset(path)


def test_a_missing_split_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images in the split 'test'; its splits are train"):
        load_dataset(write_tiny_dataset(tmp_path / "data"), split="test")


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = write_tiny_dataset(tmp_path / "data")
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(UserError, match="not of format 1"):
        load_dataset(path)


@pytest.mark.parametrize("missing", ["images_sha256", "classes", "name", "images", "size"])
def test_a_manifest_that_lacks_something_is_one_clear_error(missing: str, tmp_path: Path) -> None:
    path = write_tiny_dataset(tmp_path / "data")
    rewrite(path, lambda manifest: manifest.pop(missing))
    with pytest.raises(UserError, match=rf"manifest\.json: {missing} is missing; prepare the dataset again"):
        load_dataset(path)


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest."""
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def write_images(path: Path, content: bytes) -> None:
    """Other bytes as images.npy, of which the manifest knows the SHA-256."""
    (path / "images.npy").write_bytes(content)
    rewrite(path, lambda manifest: manifest.update(images_sha256=hashlib.sha256(content).hexdigest()))


def npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_no_manifest_is_too_hostile_to_be_read_or_refused(tmp_path: Path) -> None:
    path = write_tiny_dataset(tmp_path / "data", num=3, classes=("NORMAL", "PNEUMONIA"))
    file = path / "manifest.json"
    refused = check_mutations(file, lambda: load_dataset(path), named=path.name)
    for mutation in ("classes.0: '../../x'", "images.0.label: '/tmp/x'", "size: 1e+308", "images.0.split: 'x'"):
        assert mutation in refused
    for mutation in ("counts: gone", "images.0.label: None", "images.0.patient: 'x'"):
        assert mutation not in refused
    check_no_file(file, lambda: load_dataset(path))


def test_images_that_are_no_file_are_not_waited_for(tmp_path: Path) -> None:
    path = write_tiny_dataset(tmp_path / "data")
    check_no_file(path / "images.npy", lambda: load_dataset(path))
    (path / "images.npy").unlink()
    with pytest.raises(UserError, match=r"has no images\.npy"):
        load_dataset(path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((40, 32, 32), np.float32),
        np.zeros((40, 32, 32), np.int8),
        np.zeros((39, 32, 32), np.uint8),
        np.zeros((41, 32, 32), np.uint8),
        np.zeros((40, 32, 33), np.uint8),
        np.zeros((40, 1, 32, 32), np.uint8),
        np.asfortranarray(np.zeros((40, 32, 32), np.uint8)),
        np.zeros(40, [("a", np.uint8)]),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_an_array_that_is_not_the_manifests_is_refused_by_its_header(array: NDArray[Any], tmp_path: Path) -> None:
    path = write_tiny_dataset(tmp_path / "data")
    write_images(path, npy(array))
    with pytest.raises(UserError, match=r"images\.npy begins with .*, but its manifest needs .*\(40, 32, 32\)"):
        load_dataset(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY\x02\x00\x00\x00\x00\x00", b"PK"]
)
def test_what_is_no_array_is_refused(content: bytes, tmp_path: Path) -> None:
    path = write_tiny_dataset(tmp_path / "data")
    write_images(path, content)
    with pytest.raises(UserError, match=r"images\.npy begins with"):
        load_dataset(path)


def test_an_array_that_was_cut_off_or_goes_on_is_refused(tmp_path: Path) -> None:
    path = write_tiny_dataset(tmp_path / "data")
    whole = (path / "images.npy").read_bytes()
    for content in (whole[:-1], whole + b"1"):
        write_images(path, content)
        with pytest.raises(UserError, match=r"has 40,9(59|61) bytes of images, but must have 40,960"):
            load_dataset(path)


def test_a_header_of_more_images_than_there_is_memory_is_refused_unread(tmp_path: Path) -> None:
    path = write_tiny_dataset(tmp_path / "data")
    whole = (path / "images.npy").read_bytes()
    (path / "images.npy").write_bytes(whole.replace(b"(40, 32, 32), }           ", b"(1000000000000, 32, 32), }"))
    with pytest.raises(UserError, match=r"1000000000000, 32, 32"):
        load_dataset(path)
    with (path / "images.npy").open("r+b") as stream:  # a file with a hole: 4 TB that take no room
        stream.write(whole)
        stream.truncate(2**42)
    with pytest.raises(UserError, match=r"has 4,398,046,510,976 bytes of images, but must have 40,960"):
        load_dataset(path)


@pytest.mark.parametrize(
    ("num_val", "num_test", "expected"), [(16, 20, "test"), (20, 16, "val"), (0, 3, "test"), (0, 0, None)]
)
def test_held_out_images_are_the_larger_of_val_and_test(
    num_val: int, num_test: int, expected: str | None, tmp_path: Path
) -> None:
    path = write_tiny_dataset(tmp_path / "data", num=40)
    manifest = json.loads((path / "manifest.json").read_text())
    for index, row in enumerate(manifest["images"]):
        row["split"] = "val" if index < num_val else "test" if index < num_val + num_test else "train"
    numbers = {"train": 40 - num_val - num_test, "val": num_val, "test": num_test}
    manifest["counts"] = {split: {"NORMAL": number} for split, number in numbers.items() if number}
    (path / "manifest.json").write_text(json.dumps(manifest))
    held_out = load_held_out(path)
    assert (held_out and held_out.split) == expected
    assert held_out is None or len(held_out.images) == max(num_val, num_test)
