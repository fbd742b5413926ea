"""What files of generated images say of themselves, and that hostile versions of it are refused in a line."""

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mutations import CONTENTS, mutated
from PIL import Image

import cxrgan
from cxrgan.cli.main import main
from cxrgan.errors import UserError
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.pack import pack
from cxrgan.generation.packed import sha256_of
from cxrgan.generation.provenance import Origin, Provenance, parse_origin, parse_provenance
from cxrgan.images import SYNTHETIC

ORIGIN = Origin("0.1.0", "runs of Zoë\n", "ab" * 32, 3244, 0.7, "Trained on images under CC BY 4.0")
PROVENANCES = [
    Provenance(ORIGIN, "image", (5,), ("NORMAL",)),
    Provenance(replace(ORIGIN, truncation=1.0, licence="", step=0), "image", (2**32 - 1,), ("",)),
    Provenance(ORIGIN, "grid", (3, 4, 5), ("A", "", "Ärmel")),
    Provenance(ORIGIN, "interpolation", (9, 3), ("A",)),
]


@pytest.fixture(scope="module")
def generator() -> TrainedGenerator:
    return load_generator("cxr-64")


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk of a PNG, by the standard alone."""
    place = 8
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        yield kind, content[place + 8 : place + 8 + length]
        place += length + 12


@pytest.mark.parametrize("said", PROVENANCES)
def test_what_is_written_is_read_back(said: Provenance) -> None:
    assert parse_provenance(said.text, "x") == said
    assert said.text.isascii()
    assert "\n" not in said.text
    assert parse_origin(said.origin.text, "x") == said.origin


def refusal(text: str) -> str | None:
    """What is said against a text; None where it is taken."""
    try:
        parse_provenance(text, "here")
    except UserError as error:
        return str(error)
    return None


def test_no_field_is_believed() -> None:
    said = {what: refusal(json.dumps(value)) for what, value in mutated(json.loads(PROVENANCES[0].text))}
    taken = {what for what, refused in said.items() if refused is None}
    numbers = {"step: 1000000000000000019884624838656", "truncation: 0.5", "seeds.0: -1", f"seeds.0: {10**30}"}
    texts = {what for what in said if what.startswith(("cxrgan: '", "generator: '", "licence: '"))}
    assert taken <= numbers | texts | {"synthetic: True", "labels.0: 'x'", "labels.0: '<script>'"}
    assert all("here" in refused and len(refused) < 300 for refused in said.values() if refused)


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: repr(content[:6]))
def test_what_is_no_table_is_refused(content: bytes) -> None:
    for parse in (parse_provenance, parse_origin):
        with pytest.raises(UserError, match="here"):
            parse(content.decode("latin-1"), "here")


def test_nothing_long_is_read() -> None:
    many = replace(PROVENANCES[2], seeds=tuple(range(65)), labels=("",) * 65)
    for said in (many, replace(PROVENANCES[0], origin=replace(ORIGIN, licence="x" * 1001))):
        with pytest.raises(UserError, match=r"here: (seeds|licence) is"):
            parse_provenance(said.text, "here")
    with pytest.raises(UserError, match="more than the 65,536 that are read"):
        parse_provenance(" " * 2**16 + PROVENANCES[0].text, "here")


def test_a_png_says_it_in_the_keywords_of_the_standard(generator: TrainedGenerator, tmp_path: Path) -> None:
    assert main(["generate", "cxr-64", "--num", "3", "--seed", "7", "--out", str(tmp_path / "out")]) == 0
    (file,) = (tmp_path / "out").rglob("seed-000008.png")
    texts = dict(chunk.split(b"\0", 1) for kind, chunk in chunks(file.read_bytes()) if kind == b"tEXt")
    assert texts[b"Description"].decode() == SYNTHETIC
    assert texts[b"Software"].decode() == f"cxrgan {cxrgan.__version__}"
    assert texts[b"Source"].decode().startswith(f"generator cxr-64, step {generator.step}, seed 8, class ")
    assert "CC BY 4.0" in texts[b"Copyright"].decode()
    said = json.loads(texts[b"cxrgan"])
    facts = {"synthetic": True, "generator": "cxr-64", "sha256": generator.sha256, "step": generator.step}
    assert said | facts == said
    assert (said["seeds"], said["labels"], said["truncation"]) == ([8], [file.parent.name], 1.0)
    with Image.open(tmp_path / "out" / "grid.png") as sheet:
        assert parse_provenance(sheet.info["cxrgan"], "").seeds == (7, 8, 9)


def test_the_pixels_are_stored_as_they_always_were(generator: TrainedGenerator, tmp_path: Path) -> None:
    samples = generator.sample(2, label="NORMAL")
    samples.save(tmp_path / "out")
    for seed in (0, 1):
        plain = io.BytesIO()
        Image.fromarray(samples[seed]).save(plain, "PNG")
        made = (tmp_path / "out" / "NORMAL" / f"seed-00000{seed}.png").read_bytes()
        pixels = [[chunk for kind, chunk in chunks(file) if kind == b"IDAT"] for file in (made, plain.getvalue())]
        assert pixels[0] == pixels[1]


def test_text_beyond_latin_stays_whole(generator: TrainedGenerator, tmp_path: Path) -> None:
    licence = "Trained on images of 東京, \x1b[31m"
    replace(generator, licence=licence).sample(1, label="NORMAL").save(tmp_path / "out")
    with Image.open(tmp_path / "out" / "NORMAL" / "seed-000000.png") as image:
        assert image.info["Copyright"] == "Trained on images of 東京, \\x1b[31m"
        assert parse_provenance(image.info["cxrgan"], "").origin.licence == licence


def test_arrays_and_interpolations_say_it_too(generator: TrainedGenerator, tmp_path: Path) -> None:
    words = ["--truncation", "0.5", "--out"]
    assert main(["generate", "cxr-64", "--num", "3", "--format", "npz", *words, str(tmp_path / "npz")]) == 0
    with np.load(tmp_path / "npz" / "images.npz") as arrays:
        assert str(arrays["description"]) == SYNTHETIC
        assert parse_origin(str(arrays["origin"]), "") == generator.origin(0.5)
    assert main(["generate", "cxr-64", "--interpolate", "4", "2", *words, str(tmp_path / "way")]) == 0
    wanted = Provenance(generator.origin(0.5), "interpolation", (4, 2), generator.labels(1, 4))
    with Image.open(tmp_path / "way" / "interpolation-4-2.png") as strip:
        assert parse_provenance(strip.info["cxrgan"], "") == wanted
    with Image.open(tmp_path / "way" / "interpolation-4-2.gif") as gif:
        assert parse_provenance(gif.info["comment"].decode(), "") == wanted


def test_a_part_of_the_samples_says_it_of_itself(generator: TrainedGenerator) -> None:
    part = generator.sample(5, truncation=0.6)[2:4]
    with Image.open(io.BytesIO(part._repr_png_())) as sheet:
        said = parse_provenance(sheet.info["cxrgan"], "")
    assert (said.seeds, said.labels, said.origin.truncation) == ((2, 3), part.labels, 0.6)


def test_the_hash_is_of_the_weights_and_of_nothing_else(tiny_run: Path, tmp_path: Path) -> None:
    original = load_generator(tiny_run)
    for half in (False, True):
        pack(tiny_run, tmp_path / f"packed-{half}", name="lab/first", half=half)
    exact, half_ = (load_generator(tmp_path / f"packed-{half}") for half in (False, True))
    assert exact.sha256 == original.sha256 != half_.sha256
    next(original.network.parameters()).data[0] += 1
    assert sha256_of(original.network) != exact.sha256
