"""DICOM as a source: every coding comes in as the picture it shows, what is no radiograph is named, and nobody is."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from dicoms import CT, DX, PERSON, SC, SYNTAXES, lut, write_dicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_modality_lut, apply_windowing
from pydicom.pixels.utils import pixel_array

from cxrgan.cli.main import main
from cxrgan.console import speaking
from cxrgan.data.decode import Unusable
from cxrgan.data.manifest import Manifest
from cxrgan.data.phantom import phantom
from cxrgan.data.prepare import prepare
from cxrgan.data.sources import codecs, dicom, pseudonyms
from cxrgan.data.sources.dicom import DicomImage, read_header
from cxrgan.data.sources.folder import folder_source
from cxrgan.data.sources.pseudonyms import default_key_file
from cxrgan.errors import UserError
from cxrgan.evaluation.sets import first_image_size, folder_set
from cxrgan.images import SYNTHETIC, save_png

FILM = phantom(0, 7, 64, "PNEUMONIA").astype(float)
GREY = np.round((FILM - FILM.min()) / np.ptp(FILM) * 255).astype(np.uint8)  # (64, 64), from 0 to 255
TWELVE = np.round(GREY / 255 * 4095).astype(np.uint16)  # the same, 12 bits deep
EXACT = {"WindowCenter": 2048, "WindowWidth": 4096}  # shows 12 bits whole


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # of values that the tests make wrong


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or makes the key of whoever runs it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """What is said is not tested here, unless a test asks."""
    with speaking():
        yield


def film(seed: int) -> NDArray[np.uint8]:
    """(64, 64) uint8, a different one for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)


def png(path: Path, grey: NDArray[np.uint8]) -> Path:
    """A PNG with the same picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey).save(path)
    return path


def prepared(source: Path, out: Path, size: int = 32, **options: Any) -> tuple[NDArray[np.uint8], Manifest]:
    """What `prepare` makes of a folder."""
    manifest = prepare(str(source), out, size, **options)
    return np.load(out / "images.npy"), manifest


def gamma(table: str) -> dict[str, Any]:
    """A table that squeezes the 12 bits to their square, and pixels that need it to look like GREY."""
    squared = np.round(np.arange(4096.0) ** 2 / 4095).astype(np.uint16)
    more: dict[str, Any] = {"ModalityLUTType": "US"} if "Modality" in table else {}
    return {table: [lut(squared, 12, **more)]}


ROOTS = np.round(np.sqrt(TWELVE * 4095.0)).astype(np.uint16)
PALETTE = {
    "PhotometricInterpretation": "PALETTE COLOR",
    **{f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in ("Red", "Green", "Blue")},
    **{
        f"{name}PaletteColorLookupTableData": (np.arange(256, dtype="<u2")[::-1] * 257).tobytes()
        for name in ("Red", "Green", "Blue")
    },
}

CODINGS: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    **{f"8 bits, {syntax}": (GREY, {"syntax": syntax}) for syntax in SYNTAXES if "12" not in syntax},
    **{f"12 bits, {syntax}": (TWELVE, {"syntax": syntax, "bits": 12, **EXACT}) for syntax in SYNTAXES},
    "DX": (GREY, {"kind": DX}),
    "secondary capture": (GREY, {"kind": SC}),
    "MONOCHROME1": (255 - GREY, {"PhotometricInterpretation": "MONOCHROME1"}),
    "MONOCHROME1, window": (4095 - TWELVE, {"PhotometricInterpretation": "MONOCHROME1", "bits": 12, **EXACT}),
    "signed": (TWELVE.astype(np.int16) - 2048, {"bits": 12, "WindowCenter": 0, "WindowWidth": 4096}),
    "signed, 8 bits": ((GREY.astype(np.int16) - 128).astype(np.int8), {}),
    "unused bits": (TWELVE | 0xF000, {"bits": 12, **EXACT}),
    "rescale": (
        TWELVE,
        {"bits": 12, "RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 3096, "WindowWidth": 8191},
    ),
    "negative slope": (255 - GREY, {"RescaleSlope": -1, "RescaleIntercept": 255}),
    "exact window": (
        TWELVE,
        {"bits": 12, "WindowCenter": 2047.5, "WindowWidth": 4095, "VOILUTFunction": "LINEAR_EXACT"},
    ),
    "first of two windows": (TWELVE, {"bits": 12, "WindowCenter": [2048, 9], "WindowWidth": [4096, 5]}),
    "no window": (GREY.astype(np.uint16) * 13 + 300, {"bits": 16}),
    "empty window": (GREY, {"WindowCenter": None, "WindowWidth": None}),
    "VOI LUT": (ROOTS, {"bits": 12, **gamma("VOILUTSequence")}),
    "VOI LUT before window": (ROOTS, {"bits": 12, "WindowCenter": 5, "WindowWidth": 9, **gamma("VOILUTSequence")}),
    "VOI LUT that says 16 bits": (
        TWELVE,
        {"bits": 12, "VOILUTSequence": [lut(np.arange(4096, dtype=np.uint16), 16)]},
    ),
    "modality LUT": (ROOTS, {"bits": 12, **EXACT, **gamma("ModalityLUTSequence")}),
    "palette": (255 - GREY, PALETTE),
    "RGB": (np.stack([GREY] * 3, axis=-1), {"kind": SC}),
    "RGB, jpeg-lossless": (np.stack([GREY] * 3, axis=-1), {"kind": SC, "syntax": "jpeg-lossless"}),
    "YBR": (
        np.stack([GREY, np.full_like(GREY, 128), np.full_like(GREY, 128)], axis=-1),
        {"kind": SC, "PhotometricInterpretation": "YBR_FULL"},
    ),
}


@pytest.mark.parametrize("name", CODINGS)
def test_a_picture_comes_in_as_from_png_in_every_coding(name: str, tmp_path: Path) -> None:
    pixels, options = CODINGS[name]
    write_dicom(tmp_path / "dicom" / "a.dcm", pixels, **options)
    png(tmp_path / "png" / "a.png", GREY)
    ours, manifest = prepared(tmp_path / "dicom", tmp_path / "a", 64)
    theirs, _ = prepared(tmp_path / "png", tmp_path / "b", 64)
    assert manifest["rejected"] == []
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(
    ("more", "shape"),
    [
        ({"PixelSpacing": [0.4, 0.2]}, (128, 64)),
        ({"ImagerPixelSpacing": [0.2, 0.4]}, (64, 128)),
        ({"PixelAspectRatio": [3, 2]}, (96, 64)),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.4]}, (64, 64)),
        ({"PixelSpacing": [0.2, 0.201]}, (64, 64)),
    ],
)
def test_pixels_that_are_not_square_are_made_so(more: dict[str, Any], shape: tuple[int, int], tmp_path: Path) -> None:
    picture = DicomImage(write_dicom(tmp_path / "a.dcm", GREY, **more)).load()
    expected = Image.fromarray(GREY).resize(shape[::-1], Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(picture, np.asarray(expected))


def test_pixels_of_an_unlikely_shape_are_refused(tmp_path: Path) -> None:
    file = write_dicom(tmp_path / "a.dcm", GREY, PixelSpacing=[100, 0.2])
    with pytest.raises(Unusable, match="500 times as high as they are wide"):
        DicomImage(file).load()


def test_depth_is_kept_until_the_one_quantisation(tmp_path: Path) -> None:
    """A ramp of 4096 values that is shown 16 times brighter still has all its grey levels."""
    ramp = np.tile(np.arange(256, dtype=np.uint16), (256, 1))
    write_dicom(tmp_path / "source" / "a.dcm", ramp, bits=12, WindowCenter=128, WindowWidth=256)
    images, _ = prepared(tmp_path / "source", tmp_path / "out", 256)
    assert len(np.unique(images)) == 256


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(1000, 900), (2000.5, 1), (-300, 1e4)])
def test_windows_are_those_of_pydicom(function: str, center: float, width: float, tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "WindowCenter": center,
        "WindowWidth": width,
        "VOILUTFunction": function,
        "RescaleSlope": 1.5,
    }
    file = write_dicom(tmp_path / "a.dcm", TWELVE, bits=12, RescaleIntercept=-700, **more)
    dataset = pydicom.dcmread(file)
    shown = apply_windowing(apply_modality_lut(pixel_array(dataset), dataset), dataset)
    low, high = -700, 4095 * 1.5 - 700
    np.testing.assert_allclose(DicomImage(file).load(), (shown - low) / (high - low) * 255, atol=1e-3)


def test_padding_is_black_and_does_not_count_for_the_range(tmp_path: Path) -> None:
    values = GREY.astype(np.uint16) * 13 + 300
    markings: list[tuple[dict[str, Any], int]] = [
        ({"PixelPaddingValue": 65535}, 65535),
        ({"PixelPaddingValue": 60000, "PixelPaddingRangeLimit": 62000}, 61000),
    ]
    for more, marked in markings:
        for photometric, stored in (("MONOCHROME2", values), ("MONOCHROME1", 4000 - values)):
            padded = stored.copy()
            padded[:, :10] = marked
            file = write_dicom(tmp_path / "a.dcm", padded, PhotometricInterpretation=photometric, **more)
            picture = DicomImage(file).load()
            assert (picture[:, :10] == 0).all()
            low, high = GREY[:, 10:].min(), GREY[:, 10:].max()
            expected = (GREY[:, 10:].astype(float) - low) / (high - low) * 255
            np.testing.assert_allclose(picture[:, 10:], expected, atol=1e-3)


# The stripes of the test files SC_rgb_*: rows, and the colours that pydicom's own tests expect there.
STRIPES = {5: (255, 0, 0), 15: (255, 128, 128), 25: (0, 255, 0), 35: (128, 255, 128), 45: (0, 0, 255)}
GREYS = {65: 0, 75: 64, 85: 192, 95: 255}


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("SC_rgb_rle.dcm", 0),
        ("SC_rgb_rle_16bit.dcm", 0),
        ("SC_rgb_jpeg_gdcm.dcm", 0),  # lossless
        ("SC_rgb_dcmtk_+eb+cr.dcm", 0),
        ("SC_rgb_jpeg_dcmtk.dcm", 5),
        ("SC_rgb_gdcm_KY.dcm", 2),  # JPEG 2000
        ("SC_rgb_jls_lossy_line.dcm", 3),
        ("SC_ybr_full_422_uncompressed.dcm", 5),
    ],
)
def test_pydicoms_own_files_have_their_known_values(name: str, tolerance: int) -> None:
    picture = DicomImage(real(name)).load().astype(int)
    for row, colour in {**STRIPES, **{row: (grey,) * 3 for row, grey in GREYS.items()}}.items():
        assert np.abs(picture[row, 50] - colour).max() <= tolerance, row


@pytest.mark.parametrize(
    "name",
    [
        "JPEG2000.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_jpeg_app14_dcmd.dcm",
        "SC_jpeg_no_color_transform.dcm",
        "SC_jpeg_no_color_transform_2.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "examples_ybr_color.dcm",
    ],
)
def test_our_codecs_agree_with_pillow(name: str) -> None:
    dataset = pydicom.dcmread(real(name))
    theirs = pixel_array(dataset, index=0, decoding_plugin="pillow")
    np.testing.assert_array_equal(codecs.decompressed(dataset), theirs)


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_pydicoms_deep_files_come_in_with_their_window_or_range(name: str) -> None:
    dataset = pydicom.dcmread(real(name))
    picture = DicomImage(real(name)).load()
    assert picture.shape == (dataset.Rows, dataset.Columns) == (1024, 256)
    stored = codecs.decompressed(dataset)
    shown = apply_windowing(apply_modality_lut(stored, dataset), dataset).astype(float)
    # where it is not cut off, what we show is a straight line of what pydicom shows
    inside = (picture > 0) & (picture < 255)
    assert inside.sum() > 1000
    assert np.corrcoef(picture[inside], shown[inside])[0, 1] > 0.999999


def real(name: str) -> Path:
    """A test file inside pydicom's wheel."""
    return Path(str(get_testdata_file(name, download=False)))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "ct": ({"kind": CT}, "CT Image Storage: only CR, DX and secondary capture are read"),
    "raw": (
        {"kind": DX + ".1"},
        "raw detector data (Digital X-Ray, for processing); export the image for presentation",
    ),
    "private": ({"kind": "1.2.3.4.77"}, "of no known kind: only CR, DX and secondary capture are read"),
    "frames": ({"NumberOfFrames": 2}, "2 frames: only single images are read"),
    "huge": ({"Rows": 30000, "Columns": 30000}, "30000 x 30000 pixels, more than 67,108,864"),
    "tiny": ({"Rows": 8, "Columns": 8}, "8 x 8 pixels, but 16 a side are needed"),
    "burned": ({"BurnedInAnnotation": "YES"}, "Burned In Annotation is YES: the picture itself may name the patient"),
    "sizeless": ({"Rows": None}, "it has no pixel data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_radiograph_is_refused_by_its_header(name: str, tmp_path: Path) -> None:
    more, reason = REFUSED[name]
    file = write_dicom(tmp_path / "a.dcm", GREY, **more)
    with pytest.raises(Unusable) as caught:
        read_header(file)
    assert str(caught.value) == reason


def test_huge_pixels_are_never_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "decompressed", None)
    file = write_dicom(tmp_path / "a.dcm", GREY, syntax="jpeg-2000", Rows=30000, Columns=30000)
    with pytest.raises(Unusable, match="30000 x 30000 pixels"):
        DicomImage(file).load()
    for syntax in ("jpeg-2000", "jpeg-ls", "jpeg-lossless"):
        file = write_dicom(tmp_path / "a.dcm", GREY, syntax=syntax, Rows=32, Columns=32)
        with pytest.raises(Unusable, match=r"compressed picture is 64 x 64 pixels, its header says 32 x 32"):
            DicomImage(file).load()
    file = write_dicom(tmp_path / "a.dcm", GREY, syntax="rle")
    dataset = pydicom.dcmread(file)
    dataset.Rows = dataset.Columns = 32
    dataset.save_as(file)
    with pytest.raises(Unusable, match="larger than its header says"):
        DicomImage(file).load()
    monkeypatch.setattr(dicom, "MAX_BYTES", 1000)
    with pytest.raises(Unusable, match="more than 1,000 bytes"):
        read_header(file)


def test_files_without_pixels_and_damaged_ones_are_set_aside(tmp_path: Path) -> None:
    file = write_dicom(tmp_path / "a.dcm", GREY)
    whole = file.read_bytes()
    dataset = pydicom.dcmread(file)
    del dataset.PixelData
    dataset.save_as(file)
    with pytest.raises(Unusable, match="no pixel data"):
        DicomImage(file).load()
    (tmp_path / "b.dcm").write_bytes(whole[:-2000])
    with pytest.raises(Unusable, match=r"cannot be decoded|truncated"):
        DicomImage(tmp_path / "b.dcm").load()
    (tmp_path / "c.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(Unusable, match="without its mark"):
        read_header(tmp_path / "c.dcm")
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(whole)
        for place in rng.integers(128, len(whole) - 4096, 5):
            damaged[place] = rng.integers(256)
        (tmp_path / "d.dcm").write_bytes(damaged)
        with contextlib.suppress(Unusable):
            read_header(tmp_path / "d.dcm")
            DicomImage(tmp_path / "d.dcm").load()


@pytest.mark.parametrize("frames", [1, 20])
def test_bytes_behind_the_pixels_do_not_count(frames: int, tmp_path: Path) -> None:
    file = write_dicom(tmp_path / "a.dcm", GREY)
    dataset = pydicom.dcmread(file)
    dataset.PixelData += bytes(GREY.size * frames)
    dataset.save_as(file)
    np.testing.assert_array_equal(DicomImage(file).load(), GREY)


def test_damaged_compressed_pixels_end_no_process(tmp_path: Path) -> None:
    """GDCM aborts on such files, and with it everything."""
    rng = np.random.default_rng(1)
    for syntax in ("jpeg-lossless", "jpeg-ls", "jpeg-2000", "rle"):
        whole = write_dicom(tmp_path / "a.dcm", GREY, syntax=syntax).read_bytes()
        for _ in range(40):
            damaged = bytearray(whole)
            for place in len(whole) - 1 - rng.integers(0, 1500, 8):
                damaged[place] = rng.integers(256)
            (tmp_path / "a.dcm").write_bytes(damaged)
            with contextlib.suppress(Unusable):
                DicomImage(tmp_path / "a.dcm").load()


def test_dicom_is_recognised_by_its_mark_and_mixes_with_other_files(tmp_path: Path) -> None:
    root = tmp_path / "source"
    write_dicom(root / "train" / "SICK" / "IM0001", GREY, PatientID="7")
    write_dicom(root / "train" / "SICK" / "named.png", film(8), PatientID="7")
    write_dicom(root / "test" / "WELL" / "x.DCM", film(9), PatientID="8")
    png(root / "test" / "WELL" / "y.png", film(10))
    _, manifest = prepared(root, tmp_path / "out")
    assert manifest["counts"] == {"train": {"SICK": 2}, "test": {"WELL": 2}}
    assert manifest["num_patients"] == {"train": 1, "test": 1}
    assert manifest["rejected"] == []


def test_the_same_pixels_under_another_header_are_a_copy(tmp_path: Path) -> None:
    root = tmp_path / "source"
    write_dicom(root / "a.dcm", GREY, PatientID="7")
    write_dicom(root / "b.dcm", GREY, PatientID="anonymous", syntax="rle")
    _, manifest = prepared(root, tmp_path / "out")
    assert len(manifest["images"]) == 1
    assert "patient" in manifest["duplicates"][0]["differs"]


def test_no_identifier_reaches_the_dataset_folder(tmp_path: Path) -> None:
    root = tmp_path / "Alonso 4471123"
    person = dict(PERSON)
    folder = root / "Quixote_Alonso" / "STUDY-31415"
    write_dicom(folder / f"{person['SOPInstanceUID']}.dcm", GREY, **person)
    write_dicom(folder / "MRN-4471123.dcm", GREY, **{**person, "SOPClassUID": CT})
    write_dicom(folder / "ACC998877", GREY, **{**person, "NumberOfFrames": 3})
    write_dicom(folder / "IM2", film(8), **{**person, "SOPClassUID": "Quixote^Alonso"})
    (folder / "letter_to_Quixote.pdf").write_bytes(b"Dear Mr Quixote")
    (folder / "Quixote.dcm").write_bytes(b"Dear Mr Quixote")
    png(folder / "MRN-4471123.png", film(11))
    for index in range(12):
        other: dict[str, Any] = {"PatientID": f"PID{index:07d}", "PatientName": f"Panza{index}^Sancho"}
        write_dicom(root / f"Panza{index}" / "a.dcm", film(index + 100), **other)
    table = tmp_path / "labels.csv"
    rows = [f"MRN-4471123,{person['SOPInstanceUID']},a", "MRN-0000001,missing-MRN-0000001.dcm,b"]
    table.write_text("\n".join(["patient,image,label", *rows, *(f"PID{i:07d},Panza{i}/a.dcm,b" for i in range(12))]))
    names = ["--image-column", "image", "--label-column", "label", "--patient-column", "patient"]
    secrets = {
        *person.values(),
        "Quixote",
        "Alonso",
        "4471123",
        "MRN-",
        "Panza",
        "PID0000",
        "letter",
        "Sancho",
        "Mancha",
    }
    for number, options in enumerate(([], ["--labels", str(table), *names])):
        out = tmp_path / f"out{number}"
        assert main(["prepare", str(root), "--out", str(out), "--size", "32", *options]) == 0
        written = b"".join(str(path).encode() + path.read_bytes() for path in out.rglob("*"))
        found = [secret for secret in secrets if secret.lower().encode() in written.lower()]
        assert found == []
        manifest = json.loads((out / "manifest.json").read_text())
        assert len(manifest["images"]) + len(manifest["rejected"]) + len(manifest["duplicates"]) >= 18
    assert manifest["classes"] == ["a", "b"]


def test_the_one_who_prepares_is_told_which_files_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "source"
    write_dicom(root / "a.dcm", GREY)
    write_dicom(root / "scan" / "ct.dcm", GREY, kind=CT)
    assert main(["prepare", str(root), "--out", str(tmp_path / "out"), "--size", "32"]) == 0
    said = capsys.readouterr()
    assert "left out (CT Image Storage: only CR, DX and secondary capture are read): scan/ct.dcm" in (
        (said.out + said.err).replace("\n", " ")
    )
    (root / "a.dcm").unlink()
    with pytest.raises(UserError, match=r"no usable image among 1 files; the first problems are scan/ct\.dcm: CT"):
        prepare(str(root), tmp_path / "none", 32)


def patients(root: Path, out: Path, **options: Any) -> dict[str, tuple[str | None, str]]:
    """SHA-256 of each image -> pseudonym and split."""
    _, manifest = prepared(root, out, **options)
    return {image["sha256"]: (image["patient"], image["split"]) for image in manifest["images"]}


def test_patients_have_pseudonyms_that_only_the_key_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = iter(["11" * 32, "22" * 32])
    monkeypatch.setattr(pseudonyms, "secrets", SimpleNamespace(token_hex=lambda num: next(keys)))
    root = tmp_path / "source"
    for index in range(40):
        write_dicom(root / f"{index}.dcm", film(index), PatientID=f"{index // 2}")
    first = patients(root, tmp_path / "a")
    names = {name for name, _ in first.values()}
    assert len(names) == 20  # a patient is one, whatever his images
    key = default_key_file()
    assert key.is_file()
    assert key.stat().st_mode & 0o077 == 0
    assert patients(root, tmp_path / "b") == first  # the key is kept
    other = patients(root, tmp_path / "c", patient_key=tmp_path / "other.key")
    assert not {name for name, _ in other.values()} & names
    assert {digest: split for digest, (_, split) in other.items()} != {
        digest: split for digest, (_, split) in first.items()
    }
    # new files move nobody, be they DICOM or not
    for index in range(40, 60):
        write_dicom(root / f"{index}.dcm", film(index), PatientID=f"{index // 2}")
    png(root / "person7_virus_1.png", GREY)
    assert first.items() <= patients(root, tmp_path / "d").items()
    # the issuer makes another patient of the same number
    write_dicom(root / "x.dcm", film(0 + 300), PatientID="1", IssuerOfPatientID="elsewhere")
    assert len({name for name, _ in patients(root, tmp_path / "e").values()}) == 32


def test_the_first_dicom_file_moves_no_other_image(tmp_path: Path) -> None:
    root = tmp_path / "source"
    for index in range(30):
        png(root / (f"person{index}_virus_1.png" if index % 2 else f"{index}.png"), film(index))
    before = {digest: split for digest, (_, split) in patients(root, tmp_path / "a").items()}
    assert len(set(before.values())) == 3
    write_dicom(root / "a.dcm", GREY)
    after = {digest: split for digest, (_, split) in patients(root, tmp_path / "b").items()}
    assert before.items() <= after.items()


def test_a_key_that_is_none_or_would_be_shared_is_refused(tmp_path: Path) -> None:
    write_dicom(tmp_path / "source" / "a.dcm", GREY)
    (tmp_path / "short.key").write_text("1234")
    with pytest.raises(UserError, match="has 4 bytes, but needs 16"):
        prepare(str(tmp_path / "source"), tmp_path / "out", 32, patient_key=tmp_path / "short.key")
    with pytest.raises(UserError, match="would lie in the dataset folder"):
        prepare(str(tmp_path / "source"), tmp_path / "out", 32, patient_key=tmp_path / "out" / "a.key")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write the key .*file.*--patient-key"):
        prepare(str(tmp_path / "source"), tmp_path / "out", 32, patient_key=tmp_path / "file" / "a.key")
    assert not (tmp_path / "out").exists()


def test_pictures_alone_need_no_key(tmp_path: Path) -> None:
    png(tmp_path / "source" / "a.png", GREY)
    _, manifest = prepared(tmp_path / "source", tmp_path / "out")
    assert manifest["images"][0]["origin"] == "a.png"
    assert not default_key_file().exists()


def test_a_folder_of_one_patient_named_after_him_is_no_class(tmp_path: Path) -> None:
    root = tmp_path / "source"
    for index, (folder, name, number) in enumerate(
        [
            ("Doe_Jane", "Doe^Jane", "1"),
            ("4711-x", "Roe^Rita", "4711"),
            ("normal", "Normal^Nora", "2"),
            ("normal", "Poe^Paul", "3"),
        ]
    ):
        file = root / folder / f"{index}.dcm"
        write_dicom(file, film(index), PatientName=name, PatientID=number)
    labels = sorted(str(record.label) for record in folder_source(root).records)
    assert labels == ["None", "None", "normal", "normal"]


def test_a_medium_as_hospitals_burn_it_comes_in(tmp_path: Path) -> None:
    """pydicom's own: three CR images of one patient in a folder of his number, CT and MR, and the DICOMDIR."""
    shutil.copytree(real("DICOMDIR").parent, tmp_path / "CD")
    images, manifest = prepared(tmp_path / "CD", tmp_path / "out")
    assert images.shape == (3, 32, 32)
    assert manifest["classes"] == []
    assert sum(manifest["num_patients"].values()) == 1
    reasons = {item["reason"].split(":")[0] for item in manifest["rejected"]}
    assert {
        "CT Image Storage",
        "MR Image Storage",
        "the directory of a DICOM medium (DICOMDIR), no image",
    } <= reasons
    written = (tmp_path / "out" / "manifest.json").read_text()
    for dataset in map(pydicom.dcmread, (tmp_path / "CD" / "77654033").rglob("[0-9]*[0-9]")):
        for name in ("PatientID", "PatientName", "SOPInstanceUID", "StudyInstanceUID", "AccessionNumber"):
            value = str(dataset.get(name) or "")
            assert len(value) < 7 or value not in written  # less may stand in a hash by chance


def test_without_pydicom_each_dicom_file_is_named_and_the_extra_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dicom, "find_spec", lambda name: None)
    root = tmp_path / "source"
    for index in range(3):
        write_dicom(root / f"{index}.dcm", film(index))
    png(root / "a.png", GREY)
    _, manifest = prepared(root, tmp_path / "out")
    said = capsys.readouterr()
    text = " ".join((said.out + said.err).split())
    assert text.count("3 DICOM files are left out, since pydicom is missing; in the checkout, run: pip install") == 1
    assert [item["reason"] for item in manifest["rejected"]] == [
        "a DICOM file, which needs pydicom; in the checkout, run: pip install '.[dicom]'"
    ] * 3


def test_a_missing_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_dicom(tmp_path / "a.dcm", GREY, syntax="jpeg-2000")
    monkeypatch.setattr(codecs, "find_spec", lambda name: None)
    with pytest.raises(Unusable, match=r"compressed as JPEG 2000 .* no decoder here; .*pip install"):
        DicomImage(file).load()


def test_evaluate_reads_a_folder_of_dicom(tmp_path: Path) -> None:
    write_dicom(tmp_path / "SICK" / "a.dcm", GREY)
    write_dicom(tmp_path / "WELL" / "b.dcm", film(9))
    assert first_image_size(tmp_path) == 64
    images = folder_set(tmp_path, 64)
    assert images.images.shape == (2, 64, 64)
    assert list(images.labels) == ["SICK", "WELL"]
    np.testing.assert_array_equal(images.images[0], GREY)
    assert not default_key_file().exists()


def test_what_says_that_it_is_synthetic_is_kept_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dicom(tmp_path / "films" / "a.dcm", GREY, SyntheticData="YES")
    write_dicom(tmp_path / "films" / "b.dcm", film(9), SyntheticData="NO")
    write_dicom(tmp_path / "films" / "c.dcm", film(10))
    save_png(tmp_path / "films" / "d.png", film(11), SYNTHETIC)
    save_png(tmp_path / "films" / "e.png", film(12), "A film")
    with speaking():
        manifest = prepare(str(tmp_path / "films"), tmp_path / "out", 64)
    assert len(manifest["images"]) == 5
    assert "2 files of films say that they are synthetic" in capsys.readouterr().err
