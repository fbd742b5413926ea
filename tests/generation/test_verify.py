"""Honest files are proven, lies are caught, and what differs is named."""

import io
import json
import os
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cxrgan.cli.main import main
from cxrgan.generation.difference import difference
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.provenance import Origin
from cxrgan.generation.readers import find_files
from cxrgan.generation.verify import Verdict, verify
from cxrgan.generation.writers.png import write_pngs

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 4


@pytest.fixture(scope="module")
def generator() -> TrainedGenerator:
    return load_generator("cxr-64")


@pytest.fixture(scope="module")
def made(generator: TrainedGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PNGs of the class NORMAL with the seeds from 3 to 6, and their grid."""
    return generator.sample(4, seed=3, label="NORMAL").save(tmp_path_factory.mktemp("made") / "png")


@pytest.fixture
def honest(made: Path, tmp_path: Path) -> Path:
    """The file of `SEED`, to be changed."""
    return Path(shutil.copy(made / "NORMAL" / f"seed-{SEED:06d}.png", tmp_path / "image.png"))


def judged(file: Path, generator: Path | None = None) -> Verdict:
    (verdict,) = verify([file], generator)
    return verdict


def said_by(file: Path) -> dict[str, Any]:
    with Image.open(file) as image:
        said: dict[str, Any] = json.loads(image.info["cxrgan"])
    return said


def save(file: Path, image: Image.Image, **changes: object) -> None:
    """Write `image` into `file` with what that said of itself, but for `changes`."""
    texts = PngInfo()
    texts.add_text("cxrgan", json.dumps(said_by(file) | changes))
    image.save(file, pnginfo=texts)


def redraw(file: Path, draw: "Callable[[NDArray[np.uint8]], NDArray[np.uint8]]") -> None:
    with Image.open(file) as image:
        pixels = np.asarray(image)
    save(file, Image.fromarray(draw(pixels.copy())))


@pytest.mark.parametrize(
    "words",
    [
        ["--num", "20"],
        ["--num", "3", "--label", "PNEUMONIA", "--truncation", "0.5"],
        ["--num", "3", "--format", "npz", "--seed", str(2**32 - 3)],
        ["--interpolate", "9", "2", "--frames", "5"],
        ["--interpolate", "2", "9", "--label", "NORMAL", "--truncation", "1.3"],
    ],
    ids=" ".join,
)
def test_whatever_generate_writes_is_proven(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["generate", "cxr-64", *words, "--out", out]) == 0
    assert main(["verify", out]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert all("; the same pixels" in line for line in lines[:-1])
    assert lines[-1] == f"{len(lines) - 1} proven"


def edit(image: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    image[20:24, 30:36] = 255
    return image


def jpeg(image: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=60)
    return np.asarray(Image.open(content))


def resized(image: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    return np.asarray(Image.fromarray(image).resize((96, 96)))


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (edit, "pixels differ, by up to [0-9]+ grey levels: all in rows 20 to 23, columns 30 to 35, so it was edited"),
        (lambda image: image ^ 1, "4096 of 4096 pixels differ, by up to 1 grey level: more than rounding"),
        (lambda image: image // 2 + 60, "the same picture, recompressed, filtered, or made in less precision"),
        (jpeg, "the same picture, recompressed"),
        (lambda image: 255 - image, "the same picture, inverted"),
        (lambda image: image[:, ::-1], "the same picture, mirrored"),
        (lambda image: image[::-1, ::-1], "the same picture, upside down"),
        (lambda image: np.zeros_like(image), "another image, so its seed, class or truncation is not what it says"),
        (
            lambda image: image[4:60, 10:],
            "it has 56 x 54 pixels, not 64 x 64: cropped to rows 4 to 59, columns 10 to 63",
        ),
        (resized, "it has 96 x 96 pixels, not 64 x 64: resized$"),
        (lambda image: np.pad(image, 8)[3:, 3:], "it has 77 x 77 pixels, not 64 x 64: .*or another image"),
    ],
)
def test_changed_pixels_are_found_and_named(
    draw: "Callable[[NDArray[np.uint8]], NDArray[np.uint8]]", words: str, honest: Path
) -> None:
    redraw(honest, lambda image: image)
    assert judged(honest).outcome == "proven"
    redraw(honest, draw)
    found = judged(honest)
    assert found.outcome == "differs"
    assert re.search(words, found.why), found.why


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": [SEED + 1]}, "another image, so its seed"),
        ({"labels": ["PNEUMONIA"]}, "pixels differ"),
        ({"truncation": 0.9}, "pixels differ"),
        ({"truncation": 0.999}, "pixels differ"),
        ({"labels": ["COVID"]}, "the generator does not make what it says: .*its classes are NORMAL, PNEUMONIA"),
        ({"seeds": [2**40]}, "the generator does not make what it says: .*a seed from 0 to"),
        ({"step": 9}, "it says step 9"),
        (
            {"licence": "Public domain"},
            "it names another licence than the generator, which has: Trained on images under",
        ),
        ({"shows": "grid"}, "it has 64 x 64 pixels, not 68 x 68"),
        ({"shows": "interpolation", "seeds": [3, SEED]}, "it has 64 x 64 pixels, not 68 x 134: cropped"),
    ],
)
def test_lies_about_the_origin_are_caught(changes: dict[str, object], words: str, honest: Path) -> None:
    with Image.open(honest) as image:
        save(honest, image, **changes)
    found = judged(honest)
    assert found.outcome == "differs"
    assert re.search(words, found.why), found.why


def test_the_texts_of_another_image_prove_nothing(made: Path, honest: Path) -> None:
    for other in ("NORMAL/seed-000005.png", "grid.png"):
        with Image.open(honest) as image:
            save(honest, image, **said_by(made / other))
        assert judged(honest).outcome == "differs"


def test_colour_further_frames_and_transparency_are_no_proof(honest: Path) -> None:
    with Image.open(honest) as image:
        grey = image.copy()
    save(honest, grey.convert("RGB"))
    assert "of the kind RGB, not 8-bit grey" in judged(honest).why
    texts = PngInfo()
    texts.add_text("cxrgan", json.dumps(said_by(honest)))
    grey.save(honest, save_all=True, append_images=[Image.new("L", grey.size)], pnginfo=texts)
    assert judged(honest).outcome == "differs"
    grey.save(honest, transparency=128, pnginfo=texts)
    assert "further frames or transparency" in judged(honest).why


def test_rounding_is_said_and_more_than_rounding_is_not_believed(honest: Path) -> None:
    def nudge(num: int) -> "Callable[[NDArray[np.uint8]], NDArray[np.uint8]]":
        def draw(image: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
            image.reshape(-1)[:: image.size // num][:num] ^= 1
            return image

        return draw

    redraw(honest, nudge(4))
    assert judged(honest).why.endswith("; the same up to rounding: 4 of 4096 pixels differ by 1 grey level")
    redraw(honest, nudge(4))  # back
    redraw(honest, nudge(5))
    assert judged(honest).outcome == "differs"


def test_every_crop_is_placed() -> None:
    image = np.random.default_rng(0).integers(0, 2, (24, 20), dtype=np.uint8)
    for top, left, height, width in [(0, 0, 24, 19), (5, 3, 12, 14), (14, 10, 10, 10)]:
        found = difference(image[top : top + height, left : left + width], image)
        box = f"cropped to rows {top} to {top + height - 1}, columns {left} to {left + width - 1}"
        assert found.endswith(box)
    assert difference(image[:, :10][:, ::-1], image).endswith("another image")


def test_a_strip_that_is_none_costs_no_images(
    generator: TrainedGenerator, honest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def interpolate(self: TrainedGenerator, seeds: object, num: int, *_: object, **__: object) -> "NDArray[np.uint8]":
        asked.append(num)
        return self.sample(num).images

    monkeypatch.setattr(TrainedGenerator, "interpolate", interpolate)
    wide = Image.new("L", (2**20, 1))
    save(honest, wide, shows="interpolation", seeds=[1, 2])
    assert judged(honest).outcome == "differs"
    assert asked == [2]


def test_differences_are_counted() -> None:
    image = np.arange(4096, dtype=np.uint8).reshape(64, 64)
    assert difference(image, image) == ""
    for row, column, level in [(0, 0, 1), (63, 63, 1), (9, 9, 7)]:
        other = image.copy()
        other[row, column] ^= level
        assert (difference(other, image) == "") == (level == 1)
    assert difference(image[:1, :1], image[1:2, 1:2]).startswith("1 of 1 pixels differ, by up to 65 grey levels: ")


def test_one_wrong_image_of_many_is_named(made: Path, generator: TrainedGenerator, tmp_path: Path) -> None:
    samples = generator.sample(30, seed=3)
    file = samples.save(tmp_path / "npz", "npz") / "images.npz"
    with np.load(file) as arrays:
        held = dict(arrays)
    held["images"][[7, 9], 5, 5] ^= 64
    np.savez(file, **held)
    assert "2 of 30 images differ, first that of seed 10: 1 of 4096 pixels differ" in judged(file).why


def test_a_checkpoint_is_found_by_its_weights(tiny_run: Path, tmp_path: Path) -> None:
    newest = load_generator(tiny_run)
    shutil.copytree(tiny_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-000008")
    older = load_generator(tmp_path / "run")
    assert (older.step, newest.step) == (4, 8)
    files = [made.sample(1, seed=5).save(tmp_path / f"{made.step}") / "seed-000005.png" for made in (older, newest)]
    assert [verdict.outcome for verdict in verify(files)] == ["unknown generator"] * 2
    assert "it says run, step 4, but no shipped generator" in judged(files[0]).why
    found = list(verify(files, tiny_run))
    assert [verdict.outcome for verdict in found] == ["proven"] * 2
    assert "first, step 4, seed 5; " in found[0].why
    assert [verdict.outcome for verdict in verify(files, tmp_path / "run")] == ["proven", "unknown generator"]


def test_a_lie_spoils_no_proof_of_another_file(made: Path, honest: Path) -> None:
    with Image.open(honest) as image:
        save(honest, image, labels=["COVID"])
    files = [made / "grid.png", honest, *sorted((made / "NORMAL").iterdir())]
    assert [verdict.outcome for verdict in verify(files)] == ["proven", "differs", *["proven"] * 4]
    assert [verdict.file for verdict in verify(files)] == files


def test_images_from_before_carry_no_provenance(
    generator: TrainedGenerator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = generator.sample(2)
    write_pngs(samples.images, ["", ""], samples.seeds, tmp_path / "png")
    np.savez(tmp_path / "png" / "old.npz", images=samples.images, labels=np.array(["", ""]), seeds=np.array([0, 1]))
    assert {verdict.outcome for verdict in verify(sorted((tmp_path / "png").iterdir()))} == {"no provenance"}
    assert main(["verify", str(tmp_path / "png")]) == 3
    assert capsys.readouterr().out.endswith("4 no provenance\n")


def bomb(side: int = 60000) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b""),
        ("a.png", b"no picture"),
        ("a.png", bomb()),
        ("a.npz", b"PK\x03\x04"),
        ("a.npz", b""),
        ("a.dcm", b"\0" * 128 + b"DICM"),
        ("a.gif", b"GIF89a"),
        ("gone", None),
        ("gone.png", None),
    ],
)
def test_what_cannot_be_read_is_one_line_and_the_status_2(
    name: str, content: bytes | None, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["verify", str(tmp_path / name), str(made / "grid.png")]) == 2
    first, second, total = capsys.readouterr().out.splitlines()
    assert ": unreadable: " in first
    assert name in first
    assert ("there is no file" in first) == (content is None)
    assert ": proven: " in second
    assert total == "1 unreadable, 1 proven"


def test_a_picture_of_another_kind_is_named_and_not_its_object(tmp_path: Path) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "a.png", "JPEG")
    assert judged(tmp_path / "a.png").why.startswith(f"cannot read {tmp_path / 'a.png'}: it is no PNG")


@pytest.mark.filterwarnings("error")
def test_a_large_picture_is_one_line_without_warnings(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bomb(13000))
    assert "13000 x 13000 pixels" in judged(tmp_path / "a.png").why


def test_folders_named_as_files_are_looked_into(honest: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    shutil.copy(honest, tmp_path / "folder.png" / "inside.png")
    assert find_files([tmp_path]) == [tmp_path / "folder.png" / "inside.png", honest]


def test_what_a_library_says_of_a_damaged_file_is_kept_short(generator: TrainedGenerator, tmp_path: Path) -> None:
    file = generator.sample(2).save(tmp_path / "npz", "npz") / "images.npz"
    content = bytearray(file.read_bytes())
    content[26:28] = struct.pack("<H", 5000)  # the length of the first name, which zipfile quotes as it is
    file.write_bytes(content)
    assert judged(file).outcome == "unreadable"
    assert len(judged(file).why) < 500
    assert "\n" not in judged(file).why


def test_provenance_that_is_none_is_unreadable(honest: Path, tmp_path: Path) -> None:
    with Image.open(honest) as image:
        save(honest, image, synthetic=False)
    assert "synthetic is False, but must be true" in judged(honest).why
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo.png")
        assert "is no regular file" in judged(tmp_path / "fifo.png").why


@pytest.mark.parametrize(
    "changes",
    [
        {"images": np.zeros((2, 64, 64), np.float32)},
        {"images": np.zeros((2, 64), np.uint8)},
        {"images": np.zeros((0, 64, 64), np.uint8)},
        {"seeds": np.array([1])},
        {"seeds": np.array([0.5, 1])},
        {"labels": np.array(["a/b", ""])},
        {"labels": np.array(["NORMAL"])},
        {"origin": np.array("{}")},
        {"images": np.array([{}, 1], dtype=object)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_arrays_of_the_wrong_kind_are_refused(
    changes: "dict[str, NDArray[Any]]", generator: TrainedGenerator, tmp_path: Path
) -> None:
    file = generator.sample(2).save(tmp_path / "npz", "npz") / "images.npz"
    with np.load(file) as arrays:
        np.savez(file, **{**dict(arrays), **changes})
    assert judged(file).outcome == "unreadable"
    assert "\n" not in judged(file).why


def test_a_generator_that_is_none_and_a_folder_without_images_are_bad_input(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(made), "--generator", str(tmp_path / "gone")]) == 2
    assert "there is no run folder" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 2
    assert "holds no .png, .dcm, .npz file" in capsys.readouterr().err
    assert main(["verify"]) == 2
    assert "there is nothing to read" in capsys.readouterr().err


def test_step_and_licence_of_an_unknown_dataset_are_no_lie(tiny_run: Path, tmp_path: Path) -> None:
    made = load_generator(tiny_run)
    origin: Origin = made.origin()
    assert "not known" in origin.licence
    samples = made.sample(1)
    write_pngs(samples.images, samples.labels, samples.seeds, tmp_path / "a", origin)
    assert judged(tmp_path / "a" / "seed-000000.png", tiny_run).outcome == "proven"
