"""Tables of labels: each known layout gives its classes, patients and splits; what does not fit is named or refused."""

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import cxrgan
from cxrgan.cli.main import main
from cxrgan.console import speaking
from cxrgan.data.prepare import prepare
from cxrgan.data.sources import labels as labels_module
from cxrgan.data.sources import table as table_module
from cxrgan.data.sources.folder import folder_source
from cxrgan.data.sources.labels import LabelTable, read_labels
from cxrgan.data.sources.matching import Finder
from cxrgan.data.sources.record import Source
from cxrgan.errors import UserError

Seen = dict[str, tuple[str | None, str | None, str | None]]  # origin -> label, patient, split


@pytest.fixture(autouse=True)
def spoken() -> Iterator[None]:
    """As on a terminal: what is said is no Python warning."""
    with speaking():
        yield


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def table(file: Path, *lines: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def opened(root: Path, *files: Path, label: str = "", **columns: str) -> Source:
    """The folder with the labels of these tables."""
    chosen = tuple(label.split(",")) if label else ()
    return folder_source(root, read_labels(LabelTable(files, label_columns=chosen, **columns)))


def seen(source: Source) -> Seen:
    return {record.origin: (record.label, record.patient, record.split) for record in source.records}


def set_aside(source: Source) -> dict[str, str]:
    return {item.origin: item.reason for item in source.rejected}


NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
FINDINGS = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
CHEXPERT = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{FINDINGS}"
MIMIC = (
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)


def nih(root: Path) -> tuple[Path, Path]:
    """A folder as NIH's archives unpack, with Data_Entry_2017.csv in it."""
    names = ["00000001_000.png", "00000001_001.png", "00000002_000.png", "00000003_000.png"]
    touch(root, *(f"images_00{1 + index // 2}/images/{name}" for index, name in enumerate(names)))
    labels = ["Cardiomegaly", "Effusion|Cardiomegaly", "No Finding", "Cardiomegaly|Effusion"]
    rows = [
        f"{name},{label},0,{int(name[:8])},58,M,PA,2682,2749,0.143,0.143,"
        for name, label in zip(names, labels, strict=True)
    ]
    return root, table(root / "Data_Entry_2017.csv", NIH, *rows)


def test_nih_gives_combinations_and_patients(tmp_path: Path) -> None:
    root, file = nih(tmp_path)
    source = opened(root, file)
    assert seen(source) == {
        "images_001/images/00000001_000.png": ("Cardiomegaly", "1", None),
        "images_001/images/00000001_001.png": ("Cardiomegaly|Effusion", "1", None),
        "images_002/images/00000002_000.png": ("No Finding", "2", None),
        "images_002/images/00000003_000.png": ("Cardiomegaly|Effusion", "3", None),
    }
    assert source.rejected == ()  # the table itself is no image without a row


def test_a_combination_has_one_name_whatever_the_order_of_its_findings(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    words = ["Nodule", "Mass", "Edema", "Hernia", "Fibrosis", "Effusion"]
    rows = [f"a.png,{'|'.join(words)},1", f"b.png,{'|'.join(words[::-1])},2"]
    file = table(tmp_path / "t.csv", "Image Index,Finding Labels,Patient ID", *rows)
    labels = {label for label, _, _ in seen(opened(tmp_path, file)).values()}
    assert labels == {"Edema|Effusion|Fibrosis|Hernia|Mass|Nodule"}


def test_nih_by_one_finding_with_the_official_split(tmp_path: Path) -> None:
    root, file = nih(tmp_path)
    table(root / "train_val_list.txt", "00000001_000.png", "00000001_001.png")
    table(root / "test_list.txt", "00000002_000.png")
    source = opened(root, file, label="Effusion")
    assert sorted(seen(source).values(), key=str) == [
        ("Effusion", "1", "train"),
        ("no Effusion", "1", "train"),
        ("no Effusion", "2", "test"),
    ]
    assert set_aside(source) == {
        "images_002/images/00000003_000.png": "no split for it in or beside Data_Entry_2017.csv"
    }


def chexpert(root: Path) -> tuple[Path, Path, Path]:
    """CheXpert-v1.0-small: paths in the tables begin above the folder."""
    rows: dict[str, list[str]] = {"train": [], "valid": []}
    for split, patient, view, cells in [
        ("train", 1, "1_frontal", ",,,,,,,1.0,,,,,,"),
        ("train", 2, "1_frontal", "1.0,,,,,,,,,,,,,0.0"),
        ("train", 2, "2_lateral", "1.0,,,,,,,,,,,,,0.0"),
        ("train", 3, "1_frontal", ",,,,,1.0,,-1.0,,,,,,"),
        ("valid", 4, "1_frontal", "0.0,0.0,0.0,0.0,0.0,1.0,0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0"),
    ]:
        name = f"{split}/patient{patient:05d}/study1/view{view}.jpg"
        touch(root, name)
        view = "Frontal" if "frontal" in view else "Lateral"
        rows[split].append(f"CheXpert-v1.0-small/{name},Female,68,{view},AP,{cells}")
    train, valid = (table(root / f"{split}.csv", CHEXPERT, *lines) for split, lines in rows.items())
    return root, train, valid


def test_chexpert_by_one_finding_sets_uncertain_and_lateral_ones_aside(tmp_path: Path) -> None:
    root, train, valid = chexpert(tmp_path / "CheXpert-v1.0-small")
    source = opened(root, train, valid, label="Pneumonia")
    assert seen(source) == {
        "train/patient00001/study1/view1_frontal.jpg": ("Pneumonia", "patient00001", "train"),
        "train/patient00002/study1/view1_frontal.jpg": ("no Pneumonia", "patient00002", "train"),
        "valid/patient00004/study1/view1_frontal.jpg": ("Pneumonia", "patient00004", "val"),
    }
    assert set_aside(source) == {
        "train/patient00002/study1/view2_lateral.jpg": "a lateral view",
        "train/patient00003/study1/view1_frontal.jpg": "uncertain: Pneumonia",
    }


def test_chexpert_by_combination_of_chosen_findings(tmp_path: Path) -> None:
    root, train, valid = chexpert(tmp_path / "CheXpert-v1.0-small")
    source = opened(root, train, valid, label="Pneumonia,Edema")
    assert {name.split("/")[1]: label for name, (label, _, _) in seen(source).items()} == {
        "patient00001": "Pneumonia",
        "patient00002": "No Finding",
        "patient00004": "Edema|Pneumonia",
    }


def test_chexperts_training_table_alone_is_split_by_patient(tmp_path: Path) -> None:
    root, train, _ = chexpert(tmp_path / "CheXpert-v1.0-small")
    source = opened(root, train, label="Pneumonia")
    assert {split for _, _, split in seen(source).values()} == {None}
    assert set_aside(source)["valid/patient00004/study1/view1_frontal.jpg"] == "no row in train.csv"


def test_chexpert_must_be_told_which_findings(tmp_path: Path) -> None:
    root, train, _ = chexpert(tmp_path)
    with pytest.raises(
        UserError, match=r"a column for each finding: choose one or several with --label-column, from 'Path', 'Sex"
    ):
        opened(root, train)


def test_vindr_rows_are_decided_by_most_readers(tmp_path: Path) -> None:
    touch(tmp_path, "train/a1.png", "train/b2.png", "train/c3.png")
    file = table(
        tmp_path / "annotations_train.csv",
        "image_id,rad_id,class_name,x_min,y_min,x_max,y_max",
        "a1,R1,Nodule/Mass,1,1,2,2",
        "a1,R1,Cardiomegaly,1,1,2,2",
        "a1,R1,Cardiomegaly,5,5,6,6",
        "a1,R2,Cardiomegaly,1,1,2,2",
        "a1,R3,Nodule/Mass,1,1,2,2",
        "b2,R1,No finding,,,,",
        "b2,R2,No finding,,,,",
        "b2,R3,Cardiomegaly,1,1,2,2",
        "c3,R1,No finding,,,,",
        "c3,R2,ILD,1,1,2,2",
    )
    source = opened(tmp_path, file)
    assert {name: label for name, (label, _, _) in seen(source).items()} == {
        "train/a1.png": "Cardiomegaly|Nodule-Mass",
        "train/b2.png": "No finding",
    }
    assert set_aside(source) == {"train/c3.png": "no finding that most of its readers share"}
    one = opened(tmp_path, file, label="Nodule/Mass")
    assert {name: label for name, (label, _, _) in seen(one).items()} == {
        "train/a1.png": "Nodule-Mass",
        "train/b2.png": "no Nodule-Mass",
        "train/c3.png": "no Nodule-Mass",
    }


def test_vindr_columns_are_decided_by_most_readers(tmp_path: Path) -> None:
    touch(tmp_path, "train/a1.png", "train/b2.png", "test/t1.png")
    header = "image_id,rad_id,Aortic enlargement,Nodule/Mass,No finding"
    train = table(
        tmp_path / "image_labels_train.csv", header, "a1,R1,1,0,0", "a1,R2,1,1,0", "a1,R3,0,0,1", "b2,R1,0,0,1"
    )
    test = table(tmp_path / "image_labels_test.csv", header.replace("rad_id,", ""), "t1,0,1,0")
    source = opened(tmp_path, train, test, label="Aortic enlargement,Nodule/Mass")
    assert seen(source) == {
        "train/a1.png": ("Aortic enlargement", None, "train"),
        "train/b2.png": ("No Finding", None, "train"),
        "test/t1.png": ("Nodule-Mass", None, "test"),
    }


def test_rsna_has_boxes_or_classes(tmp_path: Path) -> None:
    touch(tmp_path, "stage_2_train_images/p-1.png", "stage_2_train_images/p-2.png")
    boxes = table(
        tmp_path / "stage_2_train_labels.csv",
        "patientId,x,y,width,height,Target",
        "p-1,,,,,0",
        "p-2,1,2,3,4,1",
        "p-2,5,6,7,8,1",
    )
    assert sorted(seen(opened(tmp_path, boxes)).values(), key=lambda place: str(place[1])) == [
        ("no Lung Opacity", "p-1", None),
        ("Lung Opacity", "p-2", None),
    ]
    boxes.unlink()
    classes = table(
        tmp_path / "stage_2_detailed_class_info.csv",
        "patientId,class",
        "p-1,No Lung Opacity / Not Normal",
        "p-2,Lung Opacity",
        "p-2,Lung Opacity",
    )
    assert sorted(seen(opened(tmp_path, classes)).values(), key=lambda place: str(place[1])) == [
        ("No Lung Opacity - Not Normal", "p-1", None),
        ("Lung Opacity", "p-2", None),
    ]


def test_mimic_joins_studies_splits_and_views(tmp_path: Path) -> None:
    names = {f"files/p10/p1000003{patient}/s5{patient}/{patient}{view}-d.jpg" for patient in "12" for view in "ab"}
    touch(tmp_path, *names)
    blank = "," * 9
    rows = ["10000031,51,,,,,,,,,,,,1.0,,", "10000032,52,,,,,,,,,1.0,,,,,", f"10000039,59{blank},,,,,"]
    packed = gzip.compress("\n".join([MIMIC, *rows]).encode())
    file = tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz"
    file.write_bytes(packed)
    unsplit = opened(tmp_path, file, label="Pneumonia")
    assert {split for _, _, split in seen(unsplit).values()} == {None}
    splits = [f"1{view}-d,51,10000031,train" for view in "ab"] + [f"2{view}-d,52,10000032,validate" for view in "ab"]
    (tmp_path / "mimic-cxr-2.0.0-split.csv.gz").write_bytes(
        gzip.compress("\n".join(["dicom_id,study_id,subject_id,split", *splits]).encode())
    )
    views = ["1a-d,10000031,51,PA", "1b-d,10000031,51,LATERAL", "2a-d,10000032,52,AP", "2b-d,10000032,52,"]
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(
        gzip.compress("\n".join(["dicom_id,subject_id,study_id,ViewPosition", *views]).encode())
    )
    source = opened(tmp_path, file, label="Pneumonia")
    assert seen(source) == {
        "files/p10/p10000031/s51/1a-d.jpg": ("Pneumonia", "10000031", "train"),
        "files/p10/p10000032/s52/2a-d.jpg": ("no Pneumonia", "10000032", "val"),
        "files/p10/p10000032/s52/2b-d.jpg": ("no Pneumonia", "10000032", "val"),
    }
    assert set_aside(source) == {
        "files/p10/p10000031/s51/1b-d.jpg": "a lateral view",
        "p10000039/s59": f"a row of {file.name} without a file",
    }


def test_any_table_is_read_by_its_named_columns(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "sub/b.png", "c.jpg")
    file = tmp_path / "mine.csv"
    file.write_bytes("\ufefffile;diagnosis;who;part\na.png;TB;7;training\nb;healthy;8;dev\nc;TB;7;testing\n".encode())
    names = {"image_column": "file", "patient_column": "who", "split_column": "part"}
    source = opened(tmp_path, file, label="diagnosis", **names)
    assert seen(source) == {
        "a.png": ("TB", "7", "train"),
        "sub/b.png": ("healthy", "8", "val"),
        "c.jpg": ("TB", "7", "test"),
    }


def test_folders_give_the_split_where_the_table_has_none_and_never_the_class(tmp_path: Path) -> None:
    touch(tmp_path, "train/OLD/a.png", "test/OLD/b.png")
    file = table(tmp_path / "t.csv", "f,l", "a,x", "b,y")
    assert seen(opened(tmp_path, file, label="l", image_column="f")) == {
        "train/OLD/a.png": ("x", None, "train"),
        "test/OLD/b.png": ("y", None, "test"),
    }


def test_a_column_with_a_comma_in_its_name_can_be_chosen(tmp_path: Path) -> None:
    root = touch(tmp_path / "source", "1.png", "2.png")
    file = table(tmp_path / "t.csv", 'f,"state, main",a,b', "1.png,ill,1,0", "2.png,well,0,1")
    for asked, labels in {"state, main": ["ill", "well"], "a, b": ["a", "b"], "a": ["a", "no a"]}.items():
        source = folder_source(root, read_labels(LabelTable((file,), image_column="f", label_columns=(asked,))))
        assert sorted(record.label or "" for record in source.records) == labels


def test_rows_without_files_and_files_without_rows_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "source"
    for index in range(8):
        (root).mkdir(exist_ok=True)
        noise = np.random.default_rng(index).integers(0, 256, (64, 64), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"{index}.png")
    table(root / "notes.txt", "hello")
    file = table(tmp_path / "t.csv", "f,l", *(f"{index}.png,{'ab'[index % 2]}" for index in range(3, 10)))
    arguments = ["prepare", str(root), "--out", str(tmp_path / "out"), "--size", "32", "--labels", str(file)]
    assert main([*arguments, "--image-column", "f", "--label-column", "l"]) == 0
    captured = capsys.readouterr()
    said = " ".join((captured.out + captured.err).split())
    assert "rows of t.csv without a file: 2 (8.png, 9.png)" in said
    assert "files without a row in t.csv: 4 (0.png, 1.png, 2.png and 1 more)" in said
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert {item["origin"]: item["reason"] for item in manifest["rejected"]} == {
        "8.png": "a row of t.csv without a file",
        "9.png": "a row of t.csv without a file",
        **dict.fromkeys(("0.png", "1.png", "2.png", "notes.txt"), "no row in t.csv"),
    }
    assert len(manifest["images"]) == 5
    assert cxrgan.prepare(root, tmp_path / "api", size=32, labels=LabelTable((file,), "f", ("l",))).classes == (
        "a",
        "b",
    )


def test_nothing_outside_the_folder_is_read(tmp_path: Path) -> None:
    root = touch(tmp_path / "source", "a.png")
    touch(tmp_path, "secret.png")
    outside = ["../secret.png", str(tmp_path / "secret.png"), "a/../../secret.png", "/etc/passwd", "..", "."]
    file = table(tmp_path / "t.csv", "f,l", "a.png,x", *(f"{name},y" for name in outside))
    source = opened(root, file, label="l", image_column="f")
    assert seen(source) == {"a.png": ("x", None, None)}
    assert set(set_aside(source)) == set(outside)


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "source"
    root.mkdir()
    rng = random.Random(0)
    rows = []
    for index in range(24):
        noise = np.random.default_rng(index).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"{index}.png")
        words = rng.sample(["Edema", "Mass", "Hernia", "ILD"], rng.randint(1, 2))
        rows += [f"{index},R{reader},{word}" for reader in range(3) for word in words]
    rows += ["missing,R1,Edema", "0.png,R1,Mass", "1,R2,Hernia"]
    results = []
    for number in range(3):
        file = table(tmp_path / "t.csv", "image_id,rad_id,class_name", *rows)
        manifest = prepare(str(root), tmp_path / f"out{number}", 32, labels=LabelTable((file,)))
        results.append(json.dumps(manifest))
        rng.shuffle(rows)
    assert results[0] == results[1] == results[2]


def test_rare_combinations_are_named_and_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(labels_module, "MOST_CLASSES", 2)
    names = [f"{index}.png" for index in range(7)]
    labels = ["a", "a", "a", "a|b", "b|a", "b", "c"]
    file = table(tmp_path / "t.csv", "f,l", *(f"{n},{label}" for n, label in zip(names, labels, strict=True)))
    source = opened(touch(tmp_path, *names), file, label="l", image_column="f")
    assert sorted(str(label) for label, _, _ in seen(source).values()) == ["a", "a", "a", "a|b", "a|b"]
    assert set_aside(source) == {
        "5.png": "b is not among the 2 most common labels",
        "6.png": "c is not among the 2 most common labels",
    }
    captured = capsys.readouterr()
    assert "labels left out with their 2 images" in " ".join((captured.out + captured.err).split())


def test_a_row_that_fits_several_files_labels_none(tmp_path: Path) -> None:
    root = touch(tmp_path / "source", "one/a.png", "two/a.png", "b.png")
    file = table(tmp_path / "t.csv", "f,l", "a.png,x", "b.png,y")
    source = opened(root, file, label="l", image_column="f")
    assert list(seen(source)) == ["b.png"]
    assert set(set_aside(source).values()) == {"a row of t.csv fits other files as well; give their paths"}
    file = table(tmp_path / "t.csv", "f,l", "one/a.png,x", "data\\two\\a.png,z")
    assert {name: label for name, (label, _, _) in seen(opened(root, file, label="l", image_column="f")).items()} == {
        "one/a.png": "x",
        "two/a.png": "z",
    }


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "has no header"),
    "no such column": (b"file,l\na.png,x\n", "has no column 'f'; choose --image-column from 'file', 'l'"),
    "no UTF-8": (b"f,l\na.png,caf\xe9\n", "is not UTF-8 (at byte 13); save it as UTF-8"),
    "short line": (b"f,l,m\na.png,x,\nb.png,y\n", "line 3: 2 cells, but the header has 3 columns"),
    "long line": (b"f,l\na.png,x,what\n", "line 2: 3 cells, but the header has 2 columns"),
    "huge field": (b'f,l\na.png,"' + b"x" * 200_000 + b'"\n', "line 2: field larger than field limit"),
    "open quote": (b'f,l\na.png,"x\n', "unexpected end of data"),
    "column twice": (b"f,l,l\na.png,x,y\n", "has more than one column 'l'"),
    "no name": (b"f,l\na.png,..\n", "line 2: the label '..' cannot be the name of a class"),
    "control character": (b"f,l\na.png,x\x1b[2J\n", "cannot be the name of a class"),
    "long name": (b"f,l\na.png," + b"x" * 200 + b"\n", "cannot be the name of a class"),
    "disagreement": (b"f,l\na.png,x\na.png,y\n", "line 2 and "),
    "too many values": (
        b"f,l\n" + b"".join(b"%d.png,%d\n" % (index, index) for index in range(300)),
        "the column 'l' has 300 different values, more than 200; choose --label-column from 'f', 'l'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_one_clear_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = BAD[name]
    touch(tmp_path / "source", "a.png")
    (tmp_path / "t.csv").write_bytes(content)
    arguments = [
        "prepare",
        str(tmp_path / "source"),
        "--out",
        str(tmp_path / "out"),
        "--labels",
        str(tmp_path / "t.csv"),
    ]
    assert main([*arguments, "--image-column", "f", "--label-column", "l"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "t.csv" in error
    assert error.startswith("cxrgan: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "nowhere.csv"], "there is no table nowhere.csv"),
        (["--label-column", "l"], "columns are named, but no table; give one with --labels FILE.csv"),
        (
            ["--labels", "t.csv"],
            "has no layout that is known by name; choose --image-column and --label-column from 'f', 'l'",
        ),
        (["--labels", "t.csv", "--image-column", "f", "--label-column", "m"], "has no column 'm'"),
        (
            ["--labels", "t.csv", "--image-column", "f", "--label-column", "l", "--split-column", "l"],
            "the split is 'x'",
        ),
        (
            ["--labels", "nih.csv", "--label-column", "Gout"],
            "has neither a column nor a finding 'Gout'; its findings are 'Mass'",
        ),
        (["--labels", "nih.csv", "t.csv"], "are tables of different kinds"),
        (["--labels", "bomb.csv.gz"], "unpacks to more than 1,000 bytes"),
        (["--labels", "cut.csv.gz"], "cannot unpack cut.csv.gz"),
    ],
)
def test_wrong_options_are_one_clear_line(
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(table_module, "MAX_TABLE_BYTES", 1000)
    touch(tmp_path / "source", "a.png")
    table(tmp_path / "t.csv", "f,l", "a.png,x")
    table(tmp_path / "nih.csv", "Image Index,Finding Labels,Patient ID", "a.png,Mass,1")
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(bytes(100_000)))
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(random.Random(0).randbytes(500))[:200])
    assert main(["prepare", "source", "--out", "out", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_rows_that_disagree_about_patient_or_split_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    file = table(tmp_path / "t.csv", "f,l,p,s", "a.png,x,1,train", "a,x,2,test")
    names = {"image_column": "f", "label": "l"}
    with pytest.raises(UserError, match=r"line 2 and .*line 3 have different patients for the image 'a\.png'"):
        opened(tmp_path, file, **names, patient_column="p")
    with pytest.raises(UserError, match="different splits"):
        opened(tmp_path, file, **names, split_column="s")
    assert list(seen(opened(tmp_path, file, **names)).values()) == [("x", None, None)]  # agreeing rows are one


def test_labels_are_for_folders_only(tmp_path: Path) -> None:
    file = table(tmp_path / "t.csv", "f,l", "a.png,x")
    with pytest.raises(UserError, match="tables of labels are for a folder of images, and phantom is none"):
        prepare("phantom", tmp_path / "out", 32, labels=LabelTable((file,), "f", ("l",)))


parts = st.lists(st.sampled_from(["a", "b", "c.1", "x.png"]), min_size=1, max_size=4).map(tuple)


@given(st.lists(parts, max_size=12, unique=True), parts)
def test_a_name_means_the_files_that_end_in_it_or_that_it_ends_in(
    paths: list[tuple[str, ...]], wanted: tuple[str, ...]
) -> None:
    def ends(path: tuple[str, ...], end: tuple[str, ...]) -> bool:
        return path[-len(end) :] == end

    whole = [index for index, path in enumerate(paths) if ends(path, wanted)]
    inside = [path for path in paths if len(path) < len(wanted) and ends(wanted, path)]
    expected = whole or [paths.index(max(inside, key=len))] if whole or inside else []
    if expected or not any(name.endswith(".png") for path in (*paths, wanted) for name in path[-1:]):
        assert Finder(paths).find("/".join(wanted)) == expected


def test_112_000_rows_are_joined_at_once(tmp_path: Path) -> None:
    """No file is sought by looking at all others: this ends."""
    names = [f"{index:08d}_000" for index in range(112_000)]
    finder = Finder([("images", f"{index % 12}", f"{name}.png") for index, name in enumerate(names)])
    assert all(finder.find(f"{name}.png") == [index] for index, name in enumerate(names))
    assert all(finder.find(name) == [index] for index, name in enumerate(names[:1000]))
    assert finder.find("nothing.png") == []
