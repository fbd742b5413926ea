"""The run folder at the door: hostile files are refused, and nothing that was broken off blocks a folder."""

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from mutations import check_mutations, check_no_file
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from tiny import TINY, write_tiny_dataset

from cxrgan.data.dataset import Dataset, load_dataset
from cxrgan.errors import RunLocked, UserError
from cxrgan.generation.generator import load_generator
from cxrgan.recipes.config import TrainConfig
from cxrgan.runs.checkpoint import load_checkpoint
from cxrgan.runs.folder import RunFolder
from cxrgan.training.loop import start, train
from cxrgan.training.step import Players, new_players

CONFIG = replace(TINY, steps=2, conditional=True, model=replace(TINY.model, networks="stable"), ema_halflife=50)
Arrays = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of 2 steps by class, with an average; read only."""
    path = tmp_path_factory.mktemp("run")
    dataset = load_dataset(write_tiny_dataset(path / "data", classes=("NORMAL", "PNEUMONIA")))
    folder = start(CONFIG, dataset, path / "run", recipe="tiny", data=str(path / "data"))
    train(folder, folder.read_info().config, dataset)
    return folder


@pytest.fixture
def folder(trained: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(copytree(trained.path, tmp_path / "run"))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load_dataset(write_tiny_dataset(tmp_path / "data"))


def load(folder: RunFolder) -> Players:
    """The players of the last checkpoint, as a resumed run gets them."""
    config = folder.read_info().config
    players = new_players(config, torch.device("cpu"))
    load_checkpoint(folder.checkpoint(2), networks=players.networks, optimizers=players.optimizers, config=config)
    return players


def test_no_config_is_too_hostile_to_be_read_or_refused(folder: RunFolder) -> None:
    refused = check_mutations(folder.config_file, folder.read_info)
    for mutation in ("classes.NORMAL: -1", "config.model.ngf: 1e+308", "config.lr: 'x'", "config: gone"):
        assert mutation in refused
    assert "data: 'x'" not in refused  # it may have been anywhere
    assert "config.augment: gone" not in refused  # an older run does not know it
    check_no_file(folder.config_file, folder.read_info)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "..", "a\x1b[31m"])
def test_a_class_that_leaves_its_folder_is_refused(name: str, folder: RunFolder) -> None:
    rewrite(folder.config_file, lambda values: values.update(classes={name: 20, "PNEUMONIA": 20}))
    with pytest.raises(UserError, match=r"config\.json: classes .* is no name without /"):
        load_generator(folder.path)


@pytest.mark.parametrize("classes", [{}, {"a": 40}, {"a": 40, "b": 0}, {"a": 20, "b": 21}, {"a": 20, "b": 10, "c": 10}])
def test_classes_that_are_not_those_of_the_networks_are_refused(classes: dict[str, int], folder: RunFolder) -> None:
    rewrite(folder.config_file, lambda values: values.update(classes=classes))
    with pytest.raises(UserError, match=r"config\.json: classes is"):
        folder.read_info()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"ngf": 10**12}}, "have more than 1,073,741,824 weights"),
        ({"model": {"latent_channels": 10**9}}, "have more than 1,073,741,824 weights"),
        ({"model": {"num_classes": 10**9}, "conditional": True}, "have more than 1,073,741,824 weights"),
        ({"num_samples": 10**12}, "num_samples is 1000000000000, but so many images"),
        ({"num_evaluated": 10**12}, "num_evaluated is 1000000000000, but so many images"),
        ({"batch_size": 10**12}, "batch_size is 1000000000000, but so many images"),
        ({"steps": 10**12}, "steps is 1000000000000, but must be at most 10000000000"),
        ({"epochs": 1e300}, r"epochs is 1e\+300, but must be above 0 and at most"),
        ({"penalty_images": 10**30}, "penalty_images is .* but must be at most"),
    ],
)
def test_sizes_that_no_machine_holds_are_refused_before_anything_is_made(
    change: dict[str, Any], message: str, folder: RunFolder
) -> None:
    def enlarge(values: dict[str, Any]) -> None:
        model = {**asdict(CONFIG.model), **change.get("model", {})}
        values["config"] |= {**change, "model": model}

    rewrite(folder.config_file, enlarge)
    with pytest.raises(UserError, match=rf"config\.json, config.*: .*{message}"):
        folder.read_info()


def test_no_state_is_too_hostile_to_be_read_or_refused(folder: RunFolder) -> None:
    file = folder.checkpoint(2) / "state.json"
    refused = check_mutations(file, lambda: load(folder), named="step-000002")
    for mutation in ("progress.step: -1", "progress.seconds: 'x'", "progress: []", "config.batch_size: 'x'"):
        assert mutation in refused
    check_no_file(file, lambda: load(folder))


def test_a_checkpoint_of_another_step_than_its_folder_is_refused(folder: RunFolder) -> None:
    rewrite(folder.checkpoint(2) / "state.json", lambda values: values["progress"].update(step=10**6))
    with pytest.raises(
        UserError, match=r"state\.json, progress: step is 1000000, but must be a whole number from 2 to 2"
    ):
        load(folder)


def reshaped(arrays: Arrays, name: str) -> Arrays:
    return arrays | {name: arrays[name].reshape(-1)[:1].copy()}


@pytest.mark.parametrize("file", ["generator", "discriminator", "average", "optimizer_g", "optimizer_d"])
@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: reshaped(arrays, max(arrays, key=lambda name: arrays[name].size)),
        lambda arrays: {name: array[None] for name, array in arrays.items()},
        lambda arrays: {name: array.astype(np.float16) for name, array in arrays.items()},
        lambda arrays: dict(list(arrays.items())[1:]),
        lambda arrays: arrays | {"999999.exp_avg": np.zeros(3, np.float32)},
        lambda arrays: arrays | {"no number": np.zeros(3, np.float32)},
        lambda arrays: arrays | {"large": np.zeros(2**20, np.float32)},
        lambda arrays: {},
    ],
    ids=["one of another shape", "all of other shapes", "kind", "one less", "index", "name", "too large", "empty"],
)
def test_tensors_of_another_network_are_refused_and_change_nothing(
    file: str, change: Callable[[Arrays], Arrays], folder: RunFolder
) -> None:
    path = folder.checkpoint(2) / f"{file}.safetensors"
    path.write_bytes(save(change(load_file(path))))
    with pytest.raises(UserError, match=rf"{file}\.safetensors (is damaged or incomplete|has .* more than)"):
        load(folder)


def header(shape: list[int], num_bytes: int, kind: str = "F32") -> bytes:
    content = json.dumps({"0.step": {"dtype": kind, "shape": shape, "data_offsets": [0, num_bytes]}}).encode()
    return struct.pack("<Q", len(content)) + content + bytes(num_bytes)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        bytes(7),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**8) + b"{}",
        header([10**12], 4),
        header([2**62, 4], 4),
        header([10**12, 0], 0),
        header([2**63, 0], 0),
        header([4], 2, "F4"),
        header([1], 8, "C64"),
    ],
)
def test_headers_that_lie_are_refused(content: bytes, folder: RunFolder) -> None:
    (folder.checkpoint(2) / "optimizer_d.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"optimizer_d\.safetensors is damaged or incomplete"):
        load(folder)


def test_a_file_far_larger_than_the_network_is_not_read(folder: RunFolder) -> None:
    path = folder.checkpoint(2) / "average.safetensors"
    with path.open("r+b") as stream:
        stream.truncate(2**42)  # a hole
    with pytest.raises(UserError, match=r"average\.safetensors has 4,398,046,511,104 bytes, more than the"):
        load_generator(folder.path)


def test_a_fifo_in_place_of_weights_is_not_waited_for(folder: RunFolder) -> None:
    check_no_file(folder.checkpoint(2) / "optimizer_g.safetensors", lambda: load(folder))
    check_no_file(folder.checkpoint(2) / "average.safetensors", lambda: load_generator(folder.path))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_make_no_images_and_are_not_trained_on(value: float, folder: RunFolder) -> None:
    path = folder.checkpoint(2) / "average.safetensors"
    arrays = load_file(path)
    arrays["first.weight"][0, 0, 0, 0] = value
    path.write_bytes(save(arrays))
    for use in (lambda: load_generator(folder.path), lambda: load(folder)):
        with pytest.raises(
            UserError, match=r"step-000002 is damaged .*average\.safetensors has weights that are not finite"
        ):
            use()


def test_a_generator_is_what_was_saved(folder: RunFolder) -> None:
    generator, players = load_generator(folder.path), load(folder)
    assert players.average is not None
    for name, value in players.average.state_dict().items():
        assert torch.equal(generator.network.state_dict()[name], value), name


def test_a_checkpoint_that_lacks_a_file_is_refused(folder: RunFolder) -> None:
    for name in ("optimizer_g.safetensors", "generator.safetensors", "state.json"):
        (folder.checkpoint(2) / name).unlink()
        with pytest.raises(UserError, match=rf"step-000002 is damaged or incomplete: it lacks {name}"):
            load(folder)


def test_names_that_are_no_steps_are_no_checkpoints(folder: RunFolder) -> None:
    before = folder.steps()
    for name in (
        "step-1",
        "step-0000005",
        "step-\u0660\u0660\u0660\u0660\u0660\u0661",
        "step-000009.old",
        "step-1000000000000000000000",
    ):
        (folder.checkpoints / name).mkdir()
    assert folder.steps() == [*before, 10**21]


def test_a_start_that_was_killed_while_it_wrote_its_settings_blocks_nothing(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    for name in (".config.4194305.tmp.json", ".lock"):
        (path / name).write_text('{"half')
    folder = start(replace(TINY, steps=1), dataset, path, recipe="tiny", data="data")
    assert sorted(file.name for file in path.iterdir()) == [".lock", "config.json"]
    assert train(folder, folder.read_info().config, dataset) == 1


def test_other_hidden_files_are_not_taken_for_leftovers(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.mine.tmp.json").write_text("do not lose me")
    with pytest.raises(UserError, match="is not empty"):
        start(TINY, dataset, tmp_path / "run", recipe="tiny", data="data")
    assert [file.name for file in (tmp_path / "run").iterdir()] == [".config.mine.tmp.json"]


def test_a_machine_without_the_memory_leaves_no_folder(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: TrainConfig, device: torch.device) -> Players:
        raise RuntimeError("can't allocate memory: you tried to allocate 17179869184 bytes\nat alloc_cpu.cpp")

    monkeypatch.setattr("cxrgan.training.loop.new_players", fail)
    with pytest.raises(
        UserError, match=r"cannot build the networks of [\d,]+ weights on cpu: can't allocate .* bytes; "
    ):
        start(TINY, dataset, tmp_path / "run", recipe="tiny", data="data")
    assert not (tmp_path / "run").exists()


def test_of_two_starts_at_once_one_is_locked_out(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, other = RunFolder.write_info, replace(TINY, seed=1)
    met: list[bool] = []

    def slow(folder: RunFolder, info: object) -> None:
        if not met:
            met.append(True)
            with pytest.raises(RunLocked, match="another process is training"):
                start(other, dataset, folder.path, recipe="other", data="data")
        write(folder, info)  # type: ignore[arg-type]

    monkeypatch.setattr(RunFolder, "write_info", slow)
    folder = start(TINY, dataset, tmp_path / "run", recipe="tiny", data="data")
    assert met
    assert (folder.read_info().recipe, folder.read_info().config.seed) == ("tiny", 0)


def test_of_two_starts_the_later_never_takes_the_folder_of_the_first(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = RunFolder.locked
    met: list[bool] = []

    @contextmanager
    def late(folder: RunFolder) -> Iterator[None]:
        if not met:  # the other one passes all checks, writes and lets go before this one has the lock
            met.append(True)
            start(replace(TINY, seed=1), dataset, folder.path, recipe="other", data="data")
        with locked(folder):
            yield

    monkeypatch.setattr(RunFolder, "locked", late)
    with pytest.raises(UserError, match="already holds a run; resume it"):
        start(TINY, dataset, tmp_path / "run", recipe="tiny", data="data")
    assert RunFolder(tmp_path / "run").read_info().config.seed == 1


def test_settings_that_do_not_fit_the_data_end_in_words_on_resume_too(folder: RunFolder, trained: RunFolder) -> None:
    rewrite(folder.config_file, lambda values: values["config"].update(batch_size=64))
    rewrite(folder.checkpoint(2) / "state.json", lambda values: values["config"].update(batch_size=64))
    info = folder.read_info()
    with pytest.raises(UserError, match="has 40 training images, fewer than a batch of 64"):
        train(folder, replace(info.config, steps=4), load_dataset(Path(info.data)))


def rewrite(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a file of JSON."""
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
