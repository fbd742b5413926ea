"""prepare in shares: merged, they are byte for byte the dataset of one command."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from dicoms import write_dicom
from mutations import check_mutations, check_no_file
from PIL import Image

from cxrgan.cli.main import main
from cxrgan.data.dataset import load_dataset
from cxrgan.data.phantom import phantom
from cxrgan.data.prepare import prepare
from cxrgan.data.shares import Share, merge, prepare_share, read_part
from cxrgan.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Only .* training images")

PICTURES = [phantom(0, index, 40, "NORMAL") for index in range(12)]


def encoded(index: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURES[index]).save(buffer, format="PNG")
    return buffer.getvalue()


def mixed_folder(root: Path, *, with_splits: bool, seed: int) -> Path:
    """Files of which many have the same bytes, in other classes and splits and of other patients; some are bad."""
    random = np.random.default_rng(seed)
    contents = [*map(encoded, range(12)), b"", b"no image", encoded(0)[:60]]
    for number in range(60):
        folders = [random.choice(["train", "val", "test"])] * with_splits + [random.choice(["A", "B"])]
        name = f"person{random.integers(9)}_virus_{number}.png" if number % 2 else f"{number}.png"
        path = root.joinpath(*folders, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[random.integers(len(contents))])
    (root / "grid.png").write_bytes(encoded(3))  # the source itself refuses this name
    return root


def folder_bytes(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize("with_splits", [True, False])
@pytest.mark.parametrize("num_shares", [2, 3, 100])
def test_merged_shares_are_the_dataset_of_one_command(tmp_path: Path, num_shares: int, with_splits: bool) -> None:
    source = str(mixed_folder(tmp_path / "source", with_splits=with_splits, seed=num_shares))
    whole = prepare(source, tmp_path / "whole", 32, "pad", seed=3)
    assert len(whole["duplicates"]) > 10
    assert len(whole["rejected"]) > 3
    assert any(each["differs"] for each in whole["duplicates"])
    parts = [tmp_path / f"part-{number}" for number in range(1, num_shares + 1)]
    for number, part in enumerate(parts, start=1):
        prepare_share(source, part, Share(number, num_shares), 32, "pad", seed=3)
    assert merge(parts[::-1], tmp_path / "merged") == whole
    assert folder_bytes(tmp_path / "merged") == folder_bytes(tmp_path / "whole")


def dicom_folder(root: Path) -> Path:
    root.mkdir()
    for index, picture in enumerate(PICTURES):
        write_dicom(root / f"{index}.dcm", picture, PatientID=f"MRN-{index // 3}")
    write_dicom(root / "again.dcm", PICTURES[0], PatientID="MRN-0")
    (root / "bad.dcm").write_bytes(b"nothing")
    return root


def test_patients_of_dicom_need_the_same_key_in_every_share(tmp_path: Path) -> None:
    source = str(dicom_folder(tmp_path / "source"))
    ours, other = tmp_path / "ours.key", tmp_path / "other.key"
    whole = prepare(source, tmp_path / "whole", 32, patient_key=ours)
    parts = [tmp_path / f"part-{number}" for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        prepare_share(source, part, Share(number, 3), 32, patient_key=ours)
        assert b"MRN" not in (part / "part.json").read_bytes()
        assert b"again" not in (part / "part.json").read_bytes()
    assert merge(parts, tmp_path / "merged") == whole
    assert folder_bytes(tmp_path / "merged") == folder_bytes(tmp_path / "whole")
    prepare_share(source, tmp_path / "foreign", Share(2, 3), 32, patient_key=other)
    with pytest.raises(UserError, match=r"not of the same whole.*--patient-key must be the same"):
        merge([parts[0], tmp_path / "foreign", parts[2]], tmp_path / "no")


def test_parts_that_make_no_whole_are_refused(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    prepare_share("phantom", one, Share(1, 2), 32, num=20)
    prepare_share("phantom", two, Share(2, 2), 32, num=20)
    prepare_share("phantom", other, Share(2, 2), 32, seed=1, num=20)
    out = tmp_path / "out"
    with pytest.raises(UserError, match="the shares 2 of 2 are missing"):
        merge([one], out)
    with pytest.raises(UserError, match="the shares 2 of 2 are missing"):
        merge([one, one], out)
    with pytest.raises(UserError, match="3 parts are named, but there are 2 shares"):
        merge([one, two, two], out)
    with pytest.raises(UserError, match="not of the same whole"):
        merge([one, other], out)
    with pytest.raises(UserError, match="is no part of a dataset"):
        merge([one, tmp_path], out)
    content = bytearray((two / "images.npy").read_bytes())
    content[-1] ^= 1
    (two / "images.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"is not the file its manifest describes; prepare this share again"):
        merge([one, two], out)
    assert not out.exists()


def test_a_part_is_no_dataset_to_train_on(tmp_path: Path) -> None:
    prepare_share("phantom", tmp_path / "part", Share(1, 2), 32, num=8)
    with pytest.raises(UserError, match="is not a dataset folder"):
        load_dataset(tmp_path / "part")


def test_shares_may_be_empty_but_not_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.png").write_bytes(b"")
    for number in (1, 2):
        prepare_share(str(tmp_path / "source"), tmp_path / f"{number}", Share(number, 2), 32)
    with pytest.raises(UserError, match=r"no usable image among 1 files.*a\.png: the file is empty"):
        merge([tmp_path / "1", tmp_path / "2"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_part_is_too_hostile_to_be_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "part"
    prepare_share("phantom", path, Share(1, 2), 32, num=5)
    refused = check_mutations(path / "part.json", lambda: read_part(path), named=path.name)
    for mutation in ("share: -1", "records.0.split: 'x'", "records.0.label: '../../x'", "records: []", "fit: 'x'"):
        assert mutation in refused
    check_no_file(path / "part.json", lambda: read_part(path))


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "-1/2", "1/2/3", "a/b", "1/99999", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="the share is"):
        Share.parse(text)


def test_a_share_is_one_command_each_and_the_merge_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phantoms = ["prepare", "phantom", "--num", "9", "--size", "32"]
    a, b, out = (str(tmp_path / name) for name in ("a", "b", "out"))
    assert main([*phantoms, "--share", "1/2", "--out", a]) == 0
    assert f"cxrgan prepare --merge {a} PART-2 --out DIR" in capsys.readouterr().out
    assert main([*phantoms, "--share", "2/2", "--out", b]) == 0
    assert main(["prepare", "--merge", a, b, "--out", out]) == 0
    assert "phantom: 9 images" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out" / "manifest.json").read_text())["images"]) == 9
    assert main(["prepare", "--merge", a, b, "--size", "32", "--out", out]) == 2
    assert "leave the other options out" in capsys.readouterr().err
    assert main(["prepare", "phantom", "--share", "1/2", "--merge", a, b, "--out", out]) == 2
    assert "give one of them" in capsys.readouterr().err
