"""Where the images of a run are: by the memory that is free, and without any difference to what is learnt."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import TINY, write_tiny_dataset

import cxrgan
from cxrgan import device as device_module
from cxrgan.data.dataset import Dataset, batch_indices, load_dataset
from cxrgan.device import free_memory
from cxrgan.runs.folder import RunFolder
from cxrgan.training import feed as feed_module
from cxrgan.training.feed import Feed, Residency, residency

CONFIG = replace(TINY, steps=12, checkpoint_every=4, sample_every=6)
HELD, READ = Residency("cpu", 1, 4), Residency("cpu", 2, 4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_tiny_dataset(tmp_path_factory.mktemp("feed") / "data", num=37))


def test_images_are_held_where_they_take_a_quarter_of_the_free_memory(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "free_memory", lambda device: 4 * dataset.images.nbytes)
    assert residency(dataset, "cpu").is_held
    monkeypatch.setattr(feed_module, "free_memory", lambda device: 4 * dataset.images.nbytes - 1)
    assert not residency(dataset, "cpu").is_held
    assert not Residency("cpu", 5, 0).is_held  # a machine that does not say what it has


@pytest.mark.parametrize("where", [HELD, READ])
def test_a_feed_gives_the_images_of_each_step_in_any_order(dataset: Dataset, where: Residency) -> None:
    feed = Feed(CONFIG, dataset, where)
    for step in (1, 2, 3, 9, 3, 4, 200):
        rows = batch_indices(step - 1, num_images=37, batch_size=8, seed=0)
        images, labels = feed(step)
        assert images.dtype == torch.uint8
        assert torch.equal(images, torch.tensor(dataset.images[rows]))
        assert labels.tolist() == dataset.labels[rows].tolist()


def weights(run: Path) -> dict[str, torch.Tensor]:
    folder = RunFolder(run)
    files = sorted(folder.checkpoint(folder.steps()[-1]).glob("*.safetensors"))
    return {f"{file.name} {name}": value for file in files for name, value in load_file(file).items()}


def test_a_run_is_the_same_bit_for_bit_whether_its_images_are_held_or_read_and_when_it_resumes(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cxrgan.train(dataset, tmp_path / "held", recipe=CONFIG)
    monkeypatch.setattr(feed_module, "free_memory", lambda device: 0)
    cxrgan.train(dataset, tmp_path / "read", recipe=CONFIG)
    part = cxrgan.train(dataset, tmp_path / "part", recipe=replace(CONFIG, steps=5))
    part.resume(settings={"steps": 12})
    held, read, resumed = (weights(tmp_path / name) for name in ("held", "read", "part"))
    assert held.keys() == read.keys() == resumed.keys()
    assert len(held) > 10
    for name, value in held.items():
        assert torch.equal(value, read[name]), name
        assert torch.equal(value, resumed[name]), name


def test_the_rule_is_said_once_as_a_run_starts(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "free_memory", lambda device: 10**9)
    cxrgan.train(dataset, tmp_path / "run", recipe=CONFIG, progress=True)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("Images: 0 MB, held in memory: at most a quarter of the 1.0 GB that are free on cpu") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says what is free")
def test_free_memory_is_what_the_tightest_limit_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    assert 2**20 < free_memory("cpu") < 2**50
    used = device_module._counts(Path("/proc/self/status"), "VmData:")[0]
    limits = {resource.RLIMIT_DATA: 1024 * used + 2**20, resource.RLIMIT_AS: resource.RLIM_INFINITY}
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (limits[limit], resource.RLIM_INFINITY))
    assert free_memory("cpu") == pytest.approx(2**20, abs=2**20)
    monkeypatch.undo()
    monkeypatch.setattr(device_module, "_of_container", lambda: [12345])
    assert free_memory("cpu") == 12345
    monkeypatch.setattr(device_module, "_of_container", lambda: [-1])
    assert free_memory("cpu") == 0


def test_a_container_gives_up_pages_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "memory.max": "1000\n",
        "memory.current": "700\n",
        "memory.stat": "anon 300\ninactive_file 250\nactive_file 9\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(device_module, "CONTROL_GROUPS", (replace(device_module.CONTROL_GROUPS[0], folder=tmp_path),))
    assert device_module._of_container() == [550]
    (tmp_path / "memory.max").write_text("max\n")
    assert device_module._of_container() == []
