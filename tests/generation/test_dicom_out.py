"""DICOM out: valid, read by others, and as hard to lie with as a PNG."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cxrgan
from cxrgan.cli.main import main
from cxrgan.errors import UserError
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.provenance import Provenance, parse_provenance
from cxrgan.generation.samples import Samples
from cxrgan.generation.verify import verify
from cxrgan.generation.writers.dicom import secondary_capture
from cxrgan.images import SYNTHETIC

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def generator() -> TrainedGenerator:
    return load_generator("cxr-64")


@pytest.fixture
def file(generator: TrainedGenerator, tmp_path: Path) -> Path:
    """The image of seed 5."""
    return generator.sample(1, 5, "PNEUMONIA").save(tmp_path / "out", "dicom") / "PNEUMONIA" / "seed-000005.dcm"


def test_generate_writes_a_secondary_capture_of_nobody(generator: TrainedGenerator, tmp_path: Path) -> None:
    words = ["--num", "3", "--seed", "5", "--label", "NORMAL", "--truncation", "0.5", "--format", "dicom"]
    assert main(["generate", "cxr-64", *words, "--out", str(tmp_path / "out")]) == 0
    files = sorted((tmp_path / "out").rglob("*.*"))
    assert [str(file.relative_to(tmp_path / "out")) for file in files] == [
        f"NORMAL/seed-00000{seed}.dcm" for seed in (5, 6, 7)
    ]
    ds = pydicom.dcmread(files[1])
    assert ds.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE_ENDIAN
    assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == SECONDARY_CAPTURE
    assert (ds.SyntheticData, ds.ConversionType, ds.ContentQualification) == ("YES", "SYN", "RESEARCH")
    assert (ds.BurnedInAnnotation, ds.Modality, ds.PhotometricInterpretation) == ("NO", "OT", "MONOCHROME2")
    assert (ds.PatientName, ds.PatientID) == ("SYNTHETIC^SEED 6", f"SYNTHETIC-{generator.sha256[:12]}-6")
    assert (ds.PatientBirthDate, ds.PatientSex, ds.StudyDate) == ("", "", "")
    assert ds.SeriesDescription == "Synthetic chest X-ray NORMAL"
    assert (ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions) == ("cxrgan", "cxr-64", cxrgan.__version__)
    assert ds.ContributingEquipmentSequence[0].DeviceSerialNumber == generator.sha256
    assert ds.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeMeaning == "Synthesizing Equipment"
    assert ds.DerivationDescription.endswith("seed 6, class NORMAL, truncation 0.5")
    assert ds.ImageComments == f"{SYNTHETIC} Licence: {generator.licence}"
    assert np.array_equal(ds.pixel_array, generator.sample(1, 6, "NORMAL", truncation=0.5)[0])
    said = parse_provenance(ds.private_block(0x0011, "cxrgan")[0x01].value, "")
    assert said == Provenance(generator.origin(0.5), "image", (6,), ("NORMAL",))


def test_one_content_has_one_uid_and_another_another(generator: TrainedGenerator) -> None:
    image, said = generator.sample(1, 5, "NORMAL")[0], Provenance(generator.origin(), "image", (5,), ("NORMAL",))
    first, again = secondary_capture(image, said), secondary_capture(image, said)
    assert first == again
    others = [
        secondary_capture(image[::-1], said),
        secondary_capture(image, replace(said, seeds=(6,))),
        secondary_capture(image, replace(said, labels=("PNEUMONIA",))),
        secondary_capture(image, replace(said, origin=generator.origin(0.5))),
    ]
    assert len({ds.SOPInstanceUID for ds in [first, *others]}) == 5
    assert len({ds.PatientID for ds in [first, *others]}) == 2  # by generator and seed
    uids = {ds[name].value for ds in [first, *others] for name in ("SOPInstanceUID", "StudyInstanceUID")}
    assert all(uid.is_valid and uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)
    assert first.SOPInstanceUID != first.StudyInstanceUID != first.SeriesInstanceUID


@cache
def standard() -> Any:
    """What dicom-validator needs of the standard: the Secondary Capture Image IOD, from the tables in highdicom.

    dicom-validator itself downloads the standard, which a test must not. Attributes whose presence depends on
    a condition count as optional, since the tables have the conditions in words.
    """
    info = pytest.importorskip("dicom_validator.validator.dicom_info", reason="dicom-validator is not installed")
    pytest.importorskip("highdicom", reason="highdicom, which has the standard's tables, is not installed")
    tables = resources.files("highdicom") / "_standard"
    of_iods, of_modules = (
        json.loads((tables / f"{name}_map.json").read_text()) for name in ("iod_module", "module_attribute")
    )
    modules = of_iods["secondary-capture-image"]
    assert {"patient", "general-study", "sc-equipment", "image-pixel", "sop-common"} <= {m["key"] for m in modules}
    iod = {m["key"]: {"ref": m["key"], "use": m["usage"]} for m in modules}
    attributes = {m["key"]: nested(of_modules.get(m["key"], [])) for m in modules}
    iods = {SECONDARY_CAPTURE: {"title": "Secondary Capture Image", "modules": iod, "group_macros": {}}}
    return info.DicomInfo({}, iods, attributes)


def nested(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of attributes, each with the path of its sequences -> attributes by tag, with `items` inside a sequence."""
    root: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: len(row["path"])):
        level = root
        for name in row["path"]:
            level = level[tag(name)].setdefault("items", {})
        level[tag(row["keyword"])] = {"name": row["keyword"], "type": row["type"] if row["type"] in ("1", "2") else "3"}
    return root


def tag(keyword: str) -> str:
    number = pydicom.datadict.tag_for_keyword(keyword) or 0
    return f"({number >> 16:04X},{number & 0xFFFF:04X})"


def faults(ds: Any) -> list[str]:
    """What dicom-validator finds, as `0008,0064 TagMissing`."""
    validating = pytest.importorskip("dicom_validator.validator.iod_validator")
    result = validating.IODValidator(ds, standard(), error_handler=Quiet()).validate()
    return sorted(
        f"{tag.tag} {error.code.name}" for errors in result.module_errors.values() for tag, error in errors.items()
    )


class Quiet:
    """Prints nothing of what is found."""

    def handle_validation_start(self, result: object) -> None: ...
    def handle_validation_result(self, result: object) -> None: ...


def without(name: str) -> Callable[[Any], None]:
    return lambda ds: delattr(ds, name)


def test_dicom_validator_finds_no_fault(file: Path, tiny_run: Path) -> None:
    assert faults(pydicom.dcmread(file)) == []
    plain = load_generator(tiny_run).sample(1).save(file.parent / "plain", "dicom") / "seed-000000.dcm"
    assert faults(pydicom.dcmread(plain)) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (without("ConversionType"), "(0008,0064) TagMissing"),
        (without("StudyID"), "(0020,0010) TagMissing"),
        (without("Rows"), "(0028,0010) TagMissing"),
        (lambda ds: setattr(ds, "SeriesInstanceUID", ""), "(0020,000E) TagEmpty"),
        (lambda ds: setattr(ds, "KVP", "70"), "(0018,0060) TagUnexpected"),
        (lambda ds: delattr(ds.ContributingEquipmentSequence[0], "Manufacturer"), "(0008,0070) TagMissing"),
    ],
)
def test_dicom_validator_would_have_found_one(change: Callable[[Any], None], found: str, file: Path) -> None:
    ds = pydicom.dcmread(file)
    change(ds)
    assert found.lower() in [fault.lower() for fault in faults(ds)]


def test_gdcm_reads_the_same(file: Path, generator: TrainedGenerator) -> None:
    gdcm = pytest.importorskip("gdcm", reason="python-gdcm is not installed")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(file))
    assert reader.Read()
    image = reader.GetImage()
    assert [image.GetDimension(axis) for axis in (0, 1)] == [64, 64]
    assert image.GetPhotometricInterpretation().GetType() == gdcm.PhotometricInterpretation.MONOCHROME2
    buffer = image.GetBuffer().encode("utf-8", "surrogateescape")
    assert buffer == generator.sample(1, 5, "PNEUMONIA")[0].tobytes()
    texts = gdcm.StringFilter()
    texts.SetFile(reader.GetFile())
    assert texts.ToString(gdcm.Tag(0x0008, 0x001C)).strip() == "YES"
    assert texts.ToString(gdcm.Tag(0x0010, 0x0010)).strip() == "SYNTHETIC^SEED 5"


def paste(ds: Any, **changes: object) -> None:
    element = ds.private_block(0x0011, "cxrgan")[0x01]
    element.value = json.dumps(json.loads(element.value) | changes)


def dark(ds: Any) -> None:
    ds.PixelData = bytes(len(ds.PixelData))


@pytest.mark.parametrize(
    ("change", "outcome", "words"),
    [
        (lambda ds: None, "proven", "the same pixels"),
        (lambda ds: setattr(ds, "StudyDate", "20260101"), "proven", "the same pixels"),  # an archive may add dates
        (lambda ds: setattr(ds, "SyntheticData", "NO"), "differs", "it has another SyntheticData"),
        (lambda ds: setattr(ds, "PatientName", "Doe^Jane"), "differs", "it has another PatientName"),
        (without("PatientID"), "differs", "it has another PatientID"),
        (lambda ds: setattr(ds, "Modality", "CR"), "differs", "it has another Modality"),
        (
            lambda ds: setattr(ds, "PhotometricInterpretation", "MONOCHROME1"),
            "differs",
            "it has another PhotometricInterpretation",
        ),
        (
            lambda ds: ds.update({"WindowCenter": 10, "WindowWidth": 20}),
            "differs",
            "it has another WindowCenter, WindowWidth",
        ),
        (dark, "differs", "another image"),
        (lambda ds: paste(ds, seeds=[6]), "differs", "another image"),
        (lambda ds: paste(ds, labels=["NORMAL"]), "differs", "pixels differ"),
        (lambda ds: paste(ds, sha256="0" * 64), "unknown generator", "it says cxr-64"),
        (lambda ds: paste(ds, seeds="six"), "unreadable", "seeds is 'six'"),
        (lambda ds: ds.private_block(0x0011, "cxrgan").__delitem__(0x01), "no provenance", "does not say"),
        (lambda ds: ds.remove_private_tags(), "no provenance", "does not say"),
        (lambda ds: setattr(ds, "Rows", 60000), "unreadable", "cannot read"),
        (lambda ds: setattr(ds, "NumberOfFrames", 9), "unreadable", "in 9 frames"),
        (without("PixelData"), "unreadable", "cannot read"),
    ],
)
def test_lies_in_dicom_are_caught(change: Callable[[Any], None], outcome: str, words: str, file: Path) -> None:
    ds = pydicom.dcmread(file)
    change(ds)
    ds.save_as(file)
    (found,) = verify([file])
    assert (found.outcome, words in found.why) == (outcome, True), found
    assert "\n" not in found.why


def test_what_is_not_known_cannot_be_written(generator: TrainedGenerator, tmp_path: Path) -> None:
    samples = Samples(generator.sample(1).images, ("",), (0,))
    with pytest.raises(UserError, match="it is not known which generator made these images"):
        samples.save(tmp_path / "out", "dicom")
    assert not (tmp_path / "out").exists()


def test_long_names_fit_their_attributes(generator: TrainedGenerator) -> None:
    named = replace(generator, name="hf://lab/" + "x\\" * 80, licence="Ω" * 5000)
    label = "a class of " + "é" * 100
    ds = secondary_capture(generator.sample(1)[0], Provenance(named.origin(), "image", (5,), (label,)))
    assert max(len(str(ds[name].value)) for name in ("ManufacturerModelName", "SeriesDescription")) == 64
    assert faults(ds) == []


def test_without_pydicom_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert main(["generate", "cxr-64", "--format", "dicom", "--out", str(tmp_path / "out")]) == 2
    assert "pydicom is not installed: in the checkout, pip install '.[dicom]'" in capsys.readouterr().err
    (tmp_path / "a.dcm").write_bytes(b"")
    assert main(["verify", str(tmp_path / "a.dcm")]) == 2
    assert "pip install '.[dicom]'" in capsys.readouterr().out
