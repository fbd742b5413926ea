"""prepare: any source becomes one whole dataset folder; bad input is set aside, and patients stay apart."""

import hashlib
import io
import json
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cxrgan.console import speaking
from cxrgan.data import decode as decode_module
from cxrgan.data import prepare as prepare_module
from cxrgan.data.decode import HALF_SIZE_REDUCTION, MIN_SIDE, decode
from cxrgan.data.manifest import Manifest, summary
from cxrgan.data.phantom import phantom
from cxrgan.data.prepare import prepare
from cxrgan.errors import UserError
from cxrgan.images import Fit, resize

FITS: tuple[Fit, ...] = ("crop", "pad", "stretch")


def chest(index: int = 0, size: int = 64) -> Image.Image:
    """A phantom, mode L."""
    return Image.fromarray(phantom(0, index, size, "NORMAL"))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file with this picture."""
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def write(root: Path, files: dict[str, bytes]) -> Path:
    """A source folder."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def chests(root: Path, *names: str) -> Path:
    """A source folder with a different phantom under each name."""
    return write(root, {name: encoded(chest(index)) for index, name in enumerate(names)})


def prepared(tmp_path: Path, files: dict[str, bytes], **options: Any) -> tuple[NDArray[np.uint8], Manifest]:
    """The images and the manifest made from `files`, as they lie on disk, with one good file beside them."""
    source = write(tmp_path / "source", {"zz_good.png": encoded(chest(99)), **files})
    prepare(str(source), tmp_path / "out", 32, **options)
    return load(tmp_path / "out")


def load(out: Path) -> tuple[NDArray[np.uint8], Manifest]:
    """What `prepare` wrote."""
    return np.load(out / "images.npy"), cast(Manifest, json.loads((out / "manifest.json").read_text()))


def image_of(name: str, images: NDArray[np.uint8], manifest: Manifest) -> NDArray[np.int64]:
    """The row of one file."""
    row = [entry["origin"] for entry in manifest["images"]].index(name)
    return np.asarray(images[row], dtype=np.int64)


def plain(image: Image.Image, size: int, fit: Fit = "crop") -> NDArray[np.int64]:
    """The plain way: grey, resized, whole numbers."""
    return np.asarray(resize(image.convert("L"), size, fit)).astype(np.int64)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_dataset_folder_holds_images_and_a_manifest_that_describes_them(tmp_path: Path) -> None:
    names = ("train/B/IM-0001-0001.png", "train/A/x.png", "test/A/person1_virus_1.png", "val/A/y.png")
    source = chests(tmp_path / "xrays", *names)
    returned = prepare(str(source), tmp_path / "out", 32, seed=5)
    images, manifest = load(tmp_path / "out")
    assert manifest == returned
    assert images.shape == (4, 32, 32)
    assert images.dtype == np.uint8
    order = ["train/A/x.png", "train/B/IM-0001-0001.png", "val/A/y.png", "test/A/person1_virus_1.png"]
    assert [entry["origin"] for entry in manifest["images"]] == order
    for row, entry in zip(images, manifest["images"], strict=True):
        content = (source / entry["origin"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        np.testing.assert_array_equal(row, plain(Image.open(io.BytesIO(content)), 32))
    assert {key: value for key, value in manifest.items() if key not in ("images", "images_sha256")} == {
        "format": 1,
        "name": "xrays",
        "size": 32,
        "fit": "crop",
        "seed": 5,
        "classes": ["A", "B"],
        "counts": {"train": {"A": 1, "B": 1}, "val": {"A": 1}, "test": {"A": 1}},
        "num_patients": {"train": 1, "val": 0, "test": 1},
        "patient_overlap": [],
        "license": None,
        "citation": None,
        "rejected": [],
        "duplicates": [],
    }
    digest = hashlib.sha256((tmp_path / "out" / "images.npy").read_bytes()).hexdigest()
    assert manifest["images_sha256"] == digest
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images.npy", "manifest.json"]


def test_manifest_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    prepared(tmp_path, {"a.png": b"bad", "b.jpg": encoded(chest())})
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()


GREY = chest(7, 48)
BLACK_CORNER = Image.fromarray(np.pad(np.full((40, 40), 255, np.uint8), (0, 8)))


def transparent(image: Image.Image) -> Image.Image:
    """The picture, transparent outside BLACK_CORNER, where it would be white."""
    white = Image.composite(image, Image.new("L", image.size, 255), BLACK_CORNER)
    return Image.merge("LA", (white, BLACK_CORNER))


def palette_with_transparency() -> bytes:
    values = np.asarray(GREY).copy()
    values[values == 7] = 8
    values[0, 0] = 7
    values[40:] = 7  # the one transparent colour
    values[:, 40:] = 7
    image = Image.fromarray(values).convert("P")
    image.putpalette(bytes(255 if value == 7 else value for value in range(256) for _ in range(3)))
    return encoded(image, transparency=7)


CUT = Image.composite(GREY, Image.new("L", GREY.size, 0), BLACK_CORNER)

MODES: dict[str, tuple[bytes, Image.Image, int]] = {  # file, the grey picture it shows, tolerance
    "grey.png": (encoded(GREY), GREY, 0),
    "rgb.png": (encoded(GREY.convert("RGB")), GREY, 0),
    "rgba.png": (encoded(GREY.convert("RGBA")), GREY, 0),
    "rgba_over_black.png": (encoded(transparent(GREY).convert("RGBA")), CUT, 0),
    "la_over_black.png": (encoded(transparent(GREY)), CUT, 0),
    "palette.png": (encoded(GREY.convert("P")), GREY, 0),
    "palette_over_black.png": (palette_with_transparency(), CUT, 40),
    "bit.png": (encoded(GREY.convert("1")), GREY.convert("1"), 0),
    "grey.jpg": (encoded(GREY, "JPEG", quality=100), GREY, 3),
    "rgb.jpeg": (encoded(GREY.convert("RGB"), "JPEG", quality=100), GREY, 3),
    "progressive.jpg": (encoded(GREY, "JPEG", quality=100, progressive=True), GREY, 3),
    "cmyk.jpg": (encoded(GREY.convert("CMYK"), "JPEG", quality=100), GREY, 6),
    "grey.tif": (encoded(GREY, "TIFF"), GREY, 0),
    "grey.bmp": (encoded(GREY, "BMP"), GREY, 0),
    "grey.gif": (encoded(GREY, "GIF"), GREY, 0),
    "no_suffix": (encoded(GREY), GREY, 0),
    "wrong_suffix.png": (encoded(GREY, "JPEG", quality=100), GREY, 3),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_becomes_the_grey_picture_it_shows(tmp_path: Path, name: str) -> None:
    content, shown, tolerance = MODES[name]
    result = image_of(name, *prepared(tmp_path, {name: content}))
    assert np.abs(result - plain(shown, 32)).max() <= tolerance


def deep_files() -> dict[str, bytes]:
    """The same 12-bit picture, 300 to 3200, in the three deep modes."""
    values = np.asarray(chest(3, 80)).astype(np.float64)
    values = 300 + (values - values.min()) / np.ptp(values) * 2900
    values += np.random.default_rng(0).uniform(0, 1, values.shape)
    return {
        "I;16.png": encoded(Image.fromarray(values.astype(np.uint16))),
        "I;16.tif": encoded(Image.fromarray(values.astype(np.uint16)), "TIFF"),
        "I.tif": encoded(Image.fromarray(values.astype(np.int32)), "TIFF"),
        "F.tif": encoded(Image.fromarray(values.astype(np.float32)), "TIFF"),
    }


@pytest.mark.parametrize("name", deep_files())
def test_deep_grey_fills_the_range_and_is_rounded_once(tmp_path: Path, name: str) -> None:
    content = deep_files()[name]
    result = image_of(name, *prepared(tmp_path, {name: content}))
    values = np.asarray(Image.open(io.BytesIO(content))).astype(np.float64)
    exact = (values - values.min()) / np.ptp(values) * 255
    exact = np.asarray(resize(Image.fromarray(exact.astype(np.float32)), 32, "crop"))
    assert np.abs(result - exact.clip(0, 255)).max() <= 0.501
    assert result.max() > 200


def test_deep_grey_that_is_not_finite_is_set_aside(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    values[0, 0] = np.nan
    _, manifest = prepared(tmp_path, {"nan.tif": encoded(Image.fromarray(values), "TIFF")})
    assert manifest["rejected"] == [{"origin": "nan.tif", "reason": "holds values that are not finite"}]


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_exif_orientation_is_applied(tmp_path: Path, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    turned = chest(4).transpose(Image.Transpose.ROTATE_90)
    options = {"quality": 100} if format == "JPEG" else {}
    name = f"turned.{format.lower()}"
    images, manifest = prepared(tmp_path, {name: encoded(turned, format, exif=exif, **options)})
    assert np.abs(image_of(name, images, manifest) - plain(chest(4), 32)).max() <= 3


@pytest.mark.parametrize("fit", FITS)
def test_fit_is_that_of_the_one_resize(tmp_path: Path, fit: Fit) -> None:
    wide = chest(5, 96).crop((0, 10, 96, 60))
    images, manifest = prepared(tmp_path, {"wide.png": encoded(wide)}, fit=fit)
    np.testing.assert_array_equal(image_of("wide.png", images, manifest), plain(wide, 32, fit))


@pytest.mark.parametrize("fit", FITS)
def test_half_size_decoding_of_jpeg_stays_within_one_grey_level(fit: Fit) -> None:
    side = HALF_SIZE_REDUCTION * 32
    picture = chest(6, 1024).resize((side + 130, side))
    for quality in (75, 90):
        content = encoded(picture, "JPEG", quality=quality)
        grey = decode(content, 32)
        assert grey.size == ((side + 130) // 2, side // 2)
        result = np.asarray(resize(grey, 32, fit)).astype(np.int64)
        assert np.abs(result - plain(Image.open(io.BytesIO(content)), 32, fit)).max() <= 1


def test_jpeg_is_decoded_whole_where_half_might_show() -> None:
    side = HALF_SIZE_REDUCTION * 32
    for width, height, mode in ((side - 2, side, "L"), (side + 1, side, "L"), (side, side, "RGB")):
        content = encoded(chest(6, 256).resize((width, height)).convert(mode), "JPEG")
        assert decode(content, 32).size == (width, height)


@pytest.mark.real
def test_half_size_decoding_of_real_originals_stays_within_one_grey_level(real_data: Path) -> None:
    num_halved = 0
    for path in sorted((real_data / "chest_xray_raw").rglob("*.jpeg")):
        content = path.read_bytes()
        whole = Image.open(io.BytesIO(content))
        for size in (32, 48, 64, 128):
            grey = decode(content, size)
            num_halved += grey.size != whole.size
            for fit in FITS if grey.size != whole.size else ():
                result = np.asarray(resize(grey, size, fit)).astype(np.int64)
                assert np.abs(result - plain(whole, size, fit)).max() <= 1
    assert num_halved > 10


def noise_jpeg() -> bytes:
    values = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    return encoded(Image.fromarray(values), "JPEG")


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", "the file is empty"),
    "text.png": (b"this is no picture\n", "not an image, or of an unknown format"),
    "README.txt": (b"read me", "not an image, or of an unknown format"),
    "vector.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "not an image"),
    "cut.jpg": (noise_jpeg()[:2000], "truncated or damaged"),
    "cut.png": (encoded(GREY)[:600], "truncated or damaged"),
    "broken.png": (encoded(GREY)[:100] + bytes(50) + encoded(GREY)[150:], "truncated or damaged"),
    "head.jpg": (noise_jpeg()[:20], ""),
    "bomb.png": (png_header(50_000, 50_000), "more than 67,108,864"),
    "smaller_bomb.png": (png_header(9_000, 9_000), "9000 x 9000 pixels, more than 67,108,864"),
    "thin_bomb.png": (png_header(2**26 + 1, 1), "more than 67,108,864"),
    "dot.png": (encoded(Image.new("L", (1, 1), 7)), f"1 x 1 pixels, but {MIN_SIDE} a side are needed"),
    "thin.png": (encoded(chest().crop((0, 0, 64, 15))), "64 x 15 pixels"),
    "black.png": (encoded(Image.new("L", (40, 40), 0)), "every pixel has the grey value 0"),
    "grey.png": (encoded(Image.new("I;16", (40, 40), 900)), "every pixel has the grey value 900"),
    "invisible.png": (encoded(Image.new("RGBA", (40, 40), (9, 9, 9, 0))), "every pixel has the grey value 0"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_set_aside_with_its_reason(tmp_path: Path, name: str) -> None:
    content, reason = BAD_FILES[name]
    _, manifest = prepared(tmp_path, {name: content})
    (rejected,) = manifest["rejected"]
    assert rejected["origin"] == name
    assert reason in rejected["reason"]
    assert "0x" not in rejected["reason"], "a memory address would make the manifest differ between runs"
    assert [entry["origin"] for entry in manifest["images"]] == ["zz_good.png"]


def test_unreadable_file_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_path = Path.open

    def guarded(path: Path, mode: str = "r", **options: Any) -> Any:
        if path.name == "secret.png" and mode == "rb":
            raise PermissionError(13, "Permission denied", str(path))
        return open_path(path, mode, **options)

    monkeypatch.setattr(Path, "open", guarded)
    _, manifest = prepared(tmp_path, {"secret.png": encoded(GREY)})
    assert manifest["rejected"] == [{"origin": "secret.png", "reason": "cannot be read: Permission denied"}]


def test_file_of_too_many_bytes_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "MAX_BYTES", 100_000)
    _, manifest = prepared(tmp_path, {"huge.png": bytes(100_001)})
    assert manifest["rejected"] == [{"origin": "huge.png", "reason": "the file has more than 100,000 bytes"}]


def test_bomb_is_never_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: Image.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(decode_module.Unusable, match="9000 x 9000"):
        decode(png_header(9_000, 9_000), 32)


def test_link_out_of_the_source_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(encoded(GREY))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "link.png").symlink_to(tmp_path / "outside.png")
    _, manifest = prepared(tmp_path, {})
    assert manifest["rejected"] == [{"origin": "link.png", "reason": "a link out of the source folder"}]


def test_copy_is_left_out_and_the_first_of_train_val_test_kept(tmp_path: Path) -> None:
    content = encoded(GREY)
    names = ("test/A/a.png", "val/A/a.png", "train/B/b.png", "train/B/c.png")
    source = chests(tmp_path / "source", "train/A/other.png")
    prepare(str(write(source, dict.fromkeys(names, content))), tmp_path / "out", 32)
    images, manifest = load(tmp_path / "out")
    assert [entry["origin"] for entry in manifest["images"]] == ["train/A/other.png", "train/B/b.png"]
    assert len(images) == 2
    assert manifest["duplicates"] == [
        {"origin": "train/B/c.png", "same_as": "train/B/b.png", "differs": []},
        {"origin": "val/A/a.png", "same_as": "train/B/b.png", "differs": ["split", "label"]},
        {"origin": "test/A/a.png", "same_as": "train/B/b.png", "differs": ["split", "label"]},
    ]
    assert "copies left out: 3 (2 of them with another split, label or patient)" in summary(manifest)


def test_patients_in_two_splits_of_the_source_are_reported(tmp_path: Path) -> None:
    names = ("train/A/IM-0001-0001.png", "test/A/IM-0001-0002.png", "test/A/IM-0002-0001.png")
    manifest = prepare(str(chests(tmp_path / "source", *names)), tmp_path / "out", 32)
    assert manifest["patient_overlap"] == [{"splits": ["train", "test"], "patients": ["IM-0001"]}]
    assert manifest["num_patients"] == {"train": 1, "test": 2}
    assert "named patients in both train and test: 1, such as IM-0001" in summary(manifest)


def test_made_split_is_by_patient_in_about_80_10_10(tmp_path: Path) -> None:
    names = [f"A/IM-{patient:04}-000{view}.png" for patient in range(150) for view in (1, 2)]
    manifest = prepare(str(chests(tmp_path / "source", *names)), tmp_path / "out", 32)
    patients = manifest["num_patients"]
    assert sum(patients.values()) == 150
    assert manifest["patient_overlap"] == []
    assert patients["train"] == pytest.approx(120, abs=15)
    assert patients["val"] == pytest.approx(15, abs=10)
    assert patients["test"] == pytest.approx(15, abs=10)


def test_made_split_depends_on_patient_and_seed_alone(tmp_path: Path) -> None:
    names = [f"IM-{patient:04}-0001.png" for patient in range(40)]

    def splits(folder: str, names: list[str], seed: int) -> dict[str, str]:
        manifest = prepare(str(chests(tmp_path / folder, *names)), tmp_path / f"{folder}_{seed}", 32, seed=seed)
        return {str(entry["patient"]): entry["split"] for entry in manifest["images"]}

    all_splits = splits("all", names, 0)
    assert splits("some", names[:4:-1], 0).items() <= all_splits.items()
    assert splits("all", names, 1) != all_splits


def test_result_does_not_depend_on_the_number_of_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: content for name, (content, *_) in (MODES | BAD_FILES).items()}
    source = write(tmp_path / "source", files)
    manifests = []
    for num in (1, 5):
        monkeypatch.setattr(prepare_module, "num_cores", lambda num=num: num)
        manifests.append(prepare(str(source), tmp_path / str(num), 32))
    assert manifests[0] == manifests[1]


def test_phantom_needs_no_data_and_repeats(tmp_path: Path) -> None:
    manifest = prepare("phantom", tmp_path / "a", 32, num=70, seed=2)
    images, _ = load(tmp_path / "a")
    assert images.shape == (70, 32, 32)
    assert manifest["classes"] == ["NORMAL", "PNEUMONIA"]
    assert set(manifest["counts"]) == {"train", "val", "test"}
    assert manifest["license"] == "CC0-1.0"
    assert prepare("phantom", tmp_path / "b", 32, num=70, seed=2) == manifest
    assert prepare("phantom", tmp_path / "c", 32, num=70, seed=3)["images_sha256"] != manifest["images_sha256"]


@pytest.mark.parametrize("colour", [False, True])
def test_npz_keeps_its_splits(tmp_path: Path, colour: bool) -> None:
    arrays: dict[str, NDArray[np.uint8]] = {}
    for offset, split in ((0, "train"), (4, "val"), (8, "test")):
        stack = np.stack([phantom(0, offset + index, 32, "NORMAL") for index in range(4)])
        arrays[f"{split}_images"] = np.repeat(stack[..., None], 3, axis=-1) if colour else stack
        arrays[f"{split}_labels"] = np.array([[0], [1], [1], [1]], np.uint8)
    arrays["test_images"][0] = arrays["train_images"][0]  # a leak
    np.savez(tmp_path / "pneumoniamnist_x.npz", **arrays)  # type: ignore[arg-type]
    manifest = prepare(str(tmp_path / "pneumoniamnist_x.npz"), tmp_path / "out", 32)
    images, _ = load(tmp_path / "out")
    assert manifest["counts"] == {
        "train": {"NORMAL": 1, "PNEUMONIA": 3},
        "val": {"NORMAL": 1, "PNEUMONIA": 3},
        "test": {"PNEUMONIA": 3},
    }
    assert manifest["num_patients"] == {"train": 0, "val": 0, "test": 0}
    assert manifest["duplicates"][0]["same_as"] == "train_images/000000"
    np.testing.assert_array_equal(images[0], phantom(0, 0, 32, "NORMAL"))


def test_existing_dataset_is_never_overwritten(tmp_path: Path) -> None:
    source = chests(tmp_path / "source", "a.png")
    out = tmp_path / "out"
    out.mkdir()
    prepare(str(source), out, 32)  # an empty folder is as good as none
    before = (out / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="exists already; choose another folder"):
        prepare(str(source), out, 32)
    assert (out / "manifest.json").read_bytes() == before
    with pytest.raises(UserError, match="exists already"):
        prepare(str(source), source / "a.png", 32)


def test_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source = chests(tmp_path / "source", "a.png")
    monkeypatch.setattr(prepare_module, "write_json", full_disk)
    with pytest.raises(UserError, match=r"cannot write .*out: No space left on device; make room"):
        prepare(str(source), tmp_path / "out", 32)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_folder_that_cannot_be_written_fails_before_the_work(tmp_path: Path) -> None:
    source = chests(tmp_path / "source", "a.png")
    with pytest.raises(UserError, match="cannot write"):
        prepare(str(source), source / "a.png" / "out", 32)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "contains no image"),
        ({"a.png": b"", "b.png": b"text"}, r"no usable image among 2 files.*a\.png: the file is empty; b\.png"),
    ],
)
def test_source_without_a_usable_image_is_one_clear_error(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(UserError, match=message):
        prepare(str(write(tmp_path / "source", files)), tmp_path / "out", 32)
    assert not (tmp_path / "out").exists()


def test_bad_options_are_clear_errors(tmp_path: Path) -> None:
    source = str(chests(tmp_path / "source", "a.png"))
    with pytest.raises(UserError, match="image size is 63"):
        prepare(source, tmp_path / "out", 63)
    with pytest.raises(UserError, match="fit is tile, but must be one of crop, pad, stretch"):
        prepare(source, tmp_path / "out", 64, cast(Fit, "tile"))
    with pytest.raises(UserError, match="does not exist"):
        prepare(str(tmp_path / "missing"), tmp_path / "out", 64)


def test_few_training_images_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with speaking():
        prepare(str(chests(tmp_path / "source", "train/a.png")), tmp_path / "out", 32)
        assert "Only 1 training images" in capsys.readouterr().err
        prepare("phantom", tmp_path / "many", 32, num=100)
    assert "Only" not in capsys.readouterr().err


def test_summary_says_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    files = {f"train/A/bad{index}.png": b"" for index in range(7)} | {"test/B/z.txt": b"no picture"}
    source = write(tmp_path / "xrays", files)
    chests(source, "train/A/IM-0001-0001.png", "train/A/b.png", "test/B/c.png")
    assert summary(prepare(str(source), tmp_path / "out", 32)).splitlines() == [
        "xrays: 3 images, 32 x 32 pixels (crop)",
        "  train      2: 2 A; named patients: 1",
        "  test       1: 1 B; named patients: 0",
        "files left out: 8",
        "  7: the file is empty (train/A/bad0.png)",
        "  1: not an image, or of an unknown format (test/B/z.txt)",
    ]


@pytest.mark.real
def test_real_set_is_prepared_whole(real_data: Path, tmp_path: Path) -> None:
    manifest = prepare(str(real_data / "chest_xray"), tmp_path / "out", 32)
    assert manifest["rejected"] == []
    assert len(manifest["images"]) + len(manifest["duplicates"]) == 5840
    assert {split: sum(counts.values()) for split, counts in manifest["counts"].items()} == {
        "train": 5190,
        "test": 618,
    }
    assert manifest["patient_overlap"] == []
    assert manifest["num_patients"] == {"train": 3654, "test": 427}  # one has only a copy of another's image


Maker = Callable[[Image.Image], bytes]

MAKERS: list[Maker] = [
    encoded,
    lambda image: encoded(image.convert("RGB"), "JPEG"),
    lambda image: encoded(image.convert("CMYK"), "JPEG"),
    lambda image: encoded(image.convert("RGBA")),
    lambda image: encoded(image.convert("P")),
    lambda image: encoded(Image.fromarray(np.asarray(image).astype(np.uint16) * 200)),
    lambda image: encoded(image)[: len(encoded(image)) // 2],
    lambda image: b"",
    lambda image: b"text",
]

FILES = st.dictionaries(
    keys=st.builds(
        "{}IM-{:04}-{:04}.png".format,
        st.sampled_from(["", "A/", "B/", "train/A/", "val/B/", "test/A/", "test/"]),
        st.integers(0, 9),
        st.integers(0, 3),
    ),
    values=st.tuples(st.integers(0, 3), st.integers(1, 70), st.integers(1, 70), st.integers(0, len(MAKERS) - 1)),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(files=FILES, size=st.integers(16, 40).map(lambda half: 2 * half), fit=st.sampled_from(FITS))
def test_any_mix_of_files_is_accounted_for_exactly_once(
    files: dict[str, tuple[int, int, int, int]], size: int, fit: Fit
) -> None:
    pictures = [chest(index, 80) for index in range(4)]
    contents = {
        name: MAKERS[maker](pictures[index].resize((width, height)))
        for name, (index, width, height, maker) in files.items()
    }
    has_splits = any(name.startswith(("train/", "val/", "test/")) for name in contents)
    good = "train/A/good.png" if has_splits else "good.png"
    with tempfile.TemporaryDirectory() as folder:
        source = write(Path(folder) / "source", {good: encoded(pictures[0]), **contents})
        prepare(str(source), Path(folder) / "out", size, fit)
        images, manifest = load(Path(folder) / "out")
        assert prepare(str(source), Path(folder) / "again", size, fit) == manifest
        origins = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    accounted = [entry["origin"] for entry in (*manifest["images"], *manifest["rejected"], *manifest["duplicates"])]
    assert Counter(accounted) == Counter(origins)
    assert images.shape == (len(manifest["images"]), size, size)
    assert images.dtype == np.uint8
    assert sum(sum(counts.values()) for counts in manifest["counts"].values()) == len(images)
    assert has_splits or not manifest["patient_overlap"]
    kept = {entry["origin"] for entry in manifest["images"]}
    assert all(duplicate["same_as"] in kept for duplicate in manifest["duplicates"])
    digests = [entry["sha256"] for entry in manifest["images"]]
    assert len(set(digests)) == len(digests)
