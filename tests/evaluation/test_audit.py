"""Planted copies are found at every share, honest images pass: ten seeds of each, on the phantom."""

import hashlib
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tiny import TINY, write_tiny_dataset

import cxrgan
from cxrgan.cli.main import main
from cxrgan.data.phantom import CLASSES, phantom
from cxrgan.data.prepare import prepare
from cxrgan.errors import UserError
from cxrgan.evaluation.audit import FALSE_ALARM, NOTE, SEARCHES, Audit, Searches, check_pairs_file
from cxrgan.evaluation.chance import tail_threshold
from cxrgan.evaluation.copies import PATCHES
from cxrgan.evaluation.planted import KINDS, PART_KINDS, WHOLE_KINDS, plant
from cxrgan.evaluation.sets import ImageSet, dataset_set
from cxrgan.files import write_json
from cxrgan.generation.generator import load_generator
from cxrgan.runs.results import read_audit

SEEDS, SHARES = range(10), (0.01, 0.05, 0.2)
NUM_COPIES = 10  # of each kind and seed, among so many images that they are each of the shares
NUM_TRAIN, NUM_HELD_OUT, NUM_FRESH = 500, 200, 300


def image_set(images: NDArray[np.uint8], name: str) -> ImageSet:
    names = [f"{name} {i}" for i in range(len(images))]
    return ImageSet(images, np.array([""] * len(images)), name, None, origins=names, patients=names)


class Phantoms(NamedTuple):
    train: ImageSet
    held_out: ImageSet
    fresh: NDArray[np.uint8]


@pytest.fixture(scope="module")
def phantoms() -> Phantoms:
    num = NUM_TRAIN + NUM_HELD_OUT + NUM_FRESH
    images = np.stack([phantom(0, index, 64, CLASSES[index % 2]) for index in range(num)])
    train, held_out, fresh = np.split(images, [NUM_TRAIN, NUM_TRAIN + NUM_HELD_OUT])
    return Phantoms(image_set(train, "train"), image_set(held_out, "held out"), fresh)


@pytest.fixture(scope="module")
def searches(phantoms: Phantoms) -> Searches:
    return Searches(phantoms.train, phantoms.held_out, num=1000)


@pytest.fixture(scope="module")
def evidence(phantoms: Phantoms, searches: Searches) -> NDArray[np.float32]:
    """(searches, held-out and fresh images)."""
    unseen = np.concatenate([phantoms.held_out.images, phantoms.fresh])
    return np.stack([searches.look(unseen, window).evidence for window in SEARCHES.values()])


def thresholds(searches: Searches, num: int) -> list[float]:
    each = FALSE_ALARM / len(SEARCHES) / num
    return [tail_threshold(evidence, each) for evidence in searches.of_held_out]


@pytest.mark.parametrize("kind", WHOLE_KINDS)
def test_replayed_training_images_are_found_at_every_share(kind: str, phantoms: Phantoms, searches: Searches) -> None:
    made = []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        chosen = phantoms.train.images[random.choice(NUM_TRAIN, NUM_COPIES, replace=False)]
        made.append(
            plant(WHOLE_KINDS[kind], phantoms.fresh[random.integers(NUM_FRESH, size=NUM_COPIES)], chosen, random)
        )
    found = [searches.look(np.concatenate(made), window) for window in SEARCHES.values()]
    for share in SHARES:
        limits = thresholds(searches, round(NUM_COPIES / share))
        beyond = np.any([each.evidence > limit for each, limit in zip(found, limits, strict=True)], axis=0)
        caught = beyond.reshape(len(SEEDS), NUM_COPIES).sum(1)
        assert caught.min() >= 1, (share, caught)
        if kind != "blended":
            assert caught.min() >= 8, (share, caught)


def test_parts_that_were_copied_are_found(phantoms: Phantoms, searches: Searches) -> None:
    random = np.random.default_rng(0)
    lungs = plant(PART_KINDS["a lung field"], phantoms.fresh[:40], phantoms.train.images[:40], random)
    parts = searches.look(lungs, PATCHES)
    limit = thresholds(searches, num=40)[list(SEARCHES.values()).index(PATCHES)]
    found = parts.evidence > limit
    assert found.sum() >= 10
    np.testing.assert_array_equal(parts.train[found], np.arange(40)[found])


@pytest.mark.parametrize("seed", SEEDS)
def test_held_out_and_fresh_images_pass(seed: int, evidence: NDArray[np.float32]) -> None:
    """Any of them as held out, the others as generated ones of a perfect generator."""
    order = np.random.default_rng(seed).permutation(evidence.shape[1])
    held_out, audited = evidence[:, order[:NUM_HELD_OUT]], evidence[:, order[NUM_HELD_OUT:]]
    for calibration, values in zip(held_out, audited, strict=True):
        assert values.max() < tail_threshold(calibration, FALSE_ALARM / len(SEARCHES) / len(values))


def test_an_honest_generator_of_typical_images_passes(phantoms: Phantoms, searches: Searches) -> None:
    """Means of two fresh phantoms: smoother than real ones, and nearer to the training images."""
    for seed in SEEDS:
        first, second = np.random.default_rng(seed).permutation(NUM_FRESH)[:40].reshape(2, 20)
        typical = (phantoms.fresh[first] / 2 + phantoms.fresh[second] / 2).astype(np.uint8)
        assert not searches.is_copy(typical).any()


@pytest.fixture(scope="module")
def data(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of 150 training and 60 test images."""
    images = np.concatenate([phantoms.train.images[:150], phantoms.held_out.images[:60]])
    path = write_tiny_dataset(tmp_path_factory.mktemp("audit") / "data", num=len(images), size=64)
    np.save(path / "images.npy", images)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["images_sha256"] = hashlib.sha256((path / "images.npy").read_bytes()).hexdigest()
    for row, entry in enumerate(manifest["images"]):
        entry |= {"split": "train" if row < 150 else "test", "patient": f"patient {row}"}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def write_folder(path: Path, images: NDArray[np.uint8]) -> Path:
    path.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(path / f"{index:03}.png")
    return path


@pytest.fixture(scope="module")
def with_copies(phantoms: Phantoms, data: Path) -> Path:
    images = phantoms.fresh[:24].copy()
    images[3], images[7] = phantoms.train.images[11], np.roll(phantoms.train.images[12], 1, 0)
    return write_folder(data.parent / "copies", images)


@pytest.fixture(scope="module")
def audited(with_copies: Path, data: Path) -> Audit:
    return cxrgan.audit(with_copies, data, pairs=data.parent / "audit-pairs.png")


def test_an_audit_counts_and_names_the_copies(audited: Audit, data: Path) -> None:
    assert (audited.copies, audited.exact, audited.n, audited.n_train, audited.n_held_out) == (2, 1, 24, 150, 60)
    assert audited.found
    copies = {(pair.image, pair.train) for pair in audited.pairs if pair.copy}
    assert copies == {("003.png", "11"), ("007.png", "12")}
    low, high = audited.copies_interval
    assert low < 2 / 24 < high


def test_an_audit_says_what_it_would_have_found(audited: Audit) -> None:
    found = {each.kind: each.found / each.num for each in audited.planted}
    assert found.keys() == KINDS.keys()
    assert min(found[kind] for kind in ("exact", "brightened", "noised")) > 0.9
    assert found["a detail"] < 0.5  # what it cannot do is measured too
    needed = {each.kind: each.needed for each in audited.planted}
    assert needed["exact"] == 2


def test_the_picture_of_pairs_says_that_it_shows_patients_and_replaces_nothing_else(
    audited: Audit, data: Path, with_copies: Path
) -> None:
    file = data.parent / "audit-pairs.png"
    assert Image.open(file).info["Description"] == NOTE
    with pytest.raises(UserError, match="no picture of pairs"):
        cxrgan.audit(with_copies, data, pairs=with_copies / "000.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
@pytest.mark.filterwarnings("error")
def test_the_picture_of_pairs_replaces_no_fifo_and_no_damaged_picture(tmp_path: Path) -> None:
    fifo, damaged, info = tmp_path / "a.png", tmp_path / "b.png", PngInfo()
    os.mkfifo(fifo)
    info.add_text("Description", "a" * 2**21, zip=True)
    Image.new("L", (32, 32)).save(damaged, pnginfo=info)
    Image.new("1", (10_000, 10_000)).save(huge := tmp_path / "c.png")
    for file in (fifo, damaged, huge):
        with pytest.raises(UserError, match="no picture of pairs"):
            check_pairs_file(file)


def test_the_command_tells_copies_by_its_exit_status(
    with_copies: Path, data: Path, phantoms: Phantoms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(with_copies), "--data", str(data)]) == 3
    shown = capsys.readouterr().out
    assert "Copies found: 2 of 24 images" in shown
    assert "003.png and 11" in shown
    honest = write_folder(tmp_path / "honest", phantoms.fresh[30:50])
    assert main(["audit", str(honest), "--data", str(data)]) == 0
    assert "No copies found in 20 images" in capsys.readouterr().out


def test_a_run_keeps_its_audit_and_is_audited_against_its_own_images(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = cxrgan.train(data, tmp_path / "run", recipe=replace(TINY, model=replace(TINY.model, image_size=64), steps=1))
    found = cxrgan.audit(run, data)
    kept = read_audit(run.folder.audit_file)
    assert (found.n, found.target, kept["target"]) == (60, "run, step 1", "run, step 1")
    assert kept == json.loads(json.dumps(asdict(found)))
    assert main(["audit", str(run.path), "--data", str(data), "--num", "30"]) == 0
    assert read_audit(run.folder.audit_file)["n"] == 30
    assert "audit in" in capsys.readouterr().out
    other = write_tiny_dataset(tmp_path / "other", num=80, size=64)
    with pytest.raises(UserError, match="was not trained on the images of"):
        cxrgan.audit(run, other, held_out=data)


def test_held_out_images_are_of_other_patients(
    with_copies: Path, data: Path, phantoms: Phantoms, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"60 images of .* are training images too"):
        cxrgan.audit(with_copies, data, held_out=write_folder(tmp_path / "same", phantoms.train.images[:60]))
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["images"][200]["patient"] = "patient 7"
    leaking = tmp_path / "leaking"
    shutil.copytree(data, leaking)
    (leaking / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"1 patients are in the training images and in .*: patient 7"):
        cxrgan.audit(with_copies, leaking)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"held_out": "few"}, "needs at least 50 held-out"),
        ({"held_out": "nowhere"}, "nowhere is not a folder"),
        ({"data": "kermany-64"}, "has no images, only features"),
        ({"data": "few"}, "--held-out DIR"),
    ],
)
def test_what_cannot_be_audited_is_refused(
    arguments: dict[str, str],
    error: str,
    with_copies: Path,
    data: Path,
    phantoms: Phantoms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "few", phantoms.fresh[:20])
    with pytest.raises(UserError, match=error):
        cxrgan.audit(with_copies, arguments.get("data", data), held_out=arguments.get("held_out"))


def test_the_file_of_an_audit_is_read_back_whole(audited: Audit, tmp_path: Path) -> None:
    file = tmp_path / "audit.json"
    write_json(file, asdict(audited))
    assert read_audit(file) == json.loads(file.read_text())


@pytest.mark.real
def test_on_real_images_copies_are_found_and_held_out_and_training_patients_pass(
    real_data: Path, tmp_path: Path
) -> None:
    prepare(str(real_data / "chest_xray"), tmp_path / "data", 64)
    train, held_out = dataset_set(tmp_path / "data", "train"), dataset_set(tmp_path / "data", "test")
    searches = Searches(train, held_out, num=600)
    shipped = load_generator("cxr-64").sample(600).images
    assert not searches.is_copy(shipped).any()  # ten times 60
    made = []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        chosen = train.images[random.choice(train.num, 6, replace=False)]  # 1 %
        made += [plant(kind, shipped[:6], chosen, random) for kind in WHOLE_KINDS.values()]
    caught = searches.is_copy(np.concatenate(made)).reshape(len(SEEDS), len(WHOLE_KINDS), 6).sum(2)
    least = {"blended": 2}
    for name, counts in zip(WHOLE_KINDS, caught.T, strict=True):
        assert counts.min() >= least.get(name, 5), (name, counts)
    for part, limit in zip(searches.of_held_out, searches.thresholds, strict=True):
        assert part.max() < limit
