"""A run that starts from another one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import TINY, write_tiny_dataset

import cxrgan
from cxrgan.cli.main import main
from cxrgan.data.dataset import load_dataset
from cxrgan.errors import UserError
from cxrgan.recipes.config import TrainConfig
from cxrgan.reports.command import command
from cxrgan.runs.folder import Ancestor, RunFolder
from cxrgan.training.loop import start, train

SMALL = replace(
    TINY,
    model=replace(TINY.model, networks="stable", ngf=8, ndf=8),
    loss="relativistic",
    ema_halflife=100,
    conditional=True,
    steps=6,
    lr=1e-3,
)
LARGE = replace(SMALL, checkpoint_every=6, keep_checkpoints=3, model=replace(SMALL.model, image_size=64, ngf=4, ndf=4))
BOTH = ("NORMAL", "PNEUMONIA")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data32`, `data64`, and the finished run `small` on the first."""
    path = tmp_path_factory.mktemp("inherit")
    for size in (32, 64):
        write_tiny_dataset(path / f"data{size}", size=size, classes=BOTH)
    _run(path, SMALL, "small")
    return path


def _start(path: Path, config: TrainConfig, name: str, start_from: str | None = None) -> RunFolder:
    data = path / f"data{config.model.image_size}"
    source = path / start_from if start_from else None
    return start(config, load_dataset(data), path / name, recipe="custom", data=str(data), start_from=source)


def _run(path: Path, config: TrainConfig, name: str, start_from: str | None = None) -> RunFolder:
    folder = _start(path, config, name, start_from)
    train(folder, folder.read_info().config, load_dataset(Path(folder.read_info().data)))
    return folder


def _weights(folder: RunFolder, step: int, name: str) -> dict[str, torch.Tensor]:
    return load_file(folder.checkpoint(step) / f"{name}.safetensors")


@pytest.mark.parametrize("name", ["generator", "discriminator", "average"])
def test_a_run_of_the_same_networks_begins_with_the_others_weights(places: Path, name: str) -> None:
    folder = _start(places, replace(SMALL, seed=7), f"again-{name}", "small")
    before, after = _weights(RunFolder(places / "small"), 6, name), _weights(folder, 0, name)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_run_of_twice_the_size_grows_and_learns(places: Path) -> None:
    folder = _run(places, LARGE, "grown", "small")
    before, after = _weights(RunFolder(places / "small"), 6, "average"), _weights(folder, 0, "average")
    assert torch.equal(before["doubles.0.weight"], after["doubles.0.weight"])
    assert not torch.equal(after["doubles.0.weight"], _weights(folder, 6, "average")["doubles.0.weight"])


def test_a_run_that_comes_to_see_detail_keeps_the_rest_of_its_weights(places: Path) -> None:
    detailed = replace(SMALL, model=replace(SMALL.model, detail=8.0), checkpoint_every=6, keep_checkpoints=3)
    _run(places, detailed, "detailed", "small")
    before, after, end = (
        _weights(RunFolder(places / run), step, "discriminator")
        for run, step in (("small", 6), ("detailed", 0), ("detailed", 6))
    )
    assert torch.equal(after["0.weight"][:, :1], before["0.weight"])
    assert all(torch.equal(before[key], after[key]) for key in before.keys() - {"0.weight"})
    assert not after["0.weight"][:, 1:].any()
    assert end["0.weight"][:, 1:].any()


def test_a_run_of_256_pixels_grows_to_512_and_draws(tmp_path: Path) -> None:
    few = replace(LARGE, batch_size=8, steps=2, num_samples=2)
    small = replace(few, model=replace(LARGE.model, image_size=256, latent_channels=4))
    for size in (256, 512):
        write_tiny_dataset(tmp_path / f"data{size}", num=12, size=size, classes=BOTH)
    _run(tmp_path, small, "small")
    large = replace(small, model=replace(small.model, image_size=512, ngf=2, ndf=2))
    _run(tmp_path, large, "grown", "small")
    images = cxrgan.load_generator(tmp_path / "grown").sample(2, seed=0).images
    assert images.shape == (2, 512, 512)


def test_the_run_knows_what_it_started_from_and_for_how_long_that_had_trained(places: Path) -> None:
    first = RunFolder(places / "small").last_row()
    assert first is not None
    folder = _run(places, SMALL, "second", "small")
    assert folder.read_info().started_from == Ancestor("small", 6, first["seconds"])
    assert command(folder.read_info(), "second").endswith("--start-from runs/small --run runs/second-again")
    last = folder.last_row()
    assert last is not None
    third = _start(places, SMALL, "third", "second").read_info().started_from
    assert third is not None
    assert third.seconds == pytest.approx(first["seconds"] + last["seconds"], abs=0.002)


def test_what_was_logged_after_the_checkpoint_does_not_count(places: Path) -> None:
    folder = _run(places, SMALL, "crashed")
    before = _start(places, SMALL, "before-it", "crashed").read_info().started_from
    with folder.metrics_file.open("a") as log:
        log.write('{"step": 7, "images_seen": 56, "seconds": 9999.0}\n')
    assert _start(places, SMALL, "after-it", "crashed").read_info().started_from == before


def test_it_resumes_exactly(places: Path) -> None:
    whole = _run(places, LARGE, "whole", "small")
    part = _start(places, LARGE, "part", "small")
    for steps in (2, 6):
        train(part, replace(part.read_info().config, steps=steps), load_dataset(places / "data64"))
    for name in ("generator", "discriminator", "average", "optimizer_g", "optimizer_d"):
        once, twice = _weights(whole, 6, name), _weights(part, 6, name)
        assert all(torch.equal(once[key], twice[key]) for key in once)


def test_deep_layers_stay_and_those_next_to_the_image_learn(places: Path) -> None:
    config = replace(SMALL, learning_layers=1, checkpoint_every=3, keep_checkpoints=2)
    whole, part = _run(places, config, "top", "small"), _start(places, config, "top-in-parts", "small")
    for steps in (3, 6):
        train(part, replace(part.read_info().config, steps=steps), load_dataset(places / "data32"))
    before, after = _weights(RunFolder(places / "small"), 6, "generator"), _weights(whole, 6, "generator")
    learnt = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {name for name in before if "running" in name or "tracked" in name}
    assert learnt - statistics == {"last.weight", "doubles.1.weight", "norms.2.style.weight", "norms.2.style.bias"}
    for name in ("generator", "discriminator", "average", "optimizer_g", "optimizer_d"):
        once, twice = _weights(whole, 6, name), _weights(part, 6, name)
        assert all(torch.equal(once[key], twice[key]) for key in once)


def test_a_run_that_was_stopped_before_the_weights_were_copied_does_not_begin_at_random(places: Path) -> None:
    folder = _start(places, SMALL, "cut", "small")
    folder.checkpoint(0).rename(places / "elsewhere")
    with pytest.raises(UserError, match="was to start from small"):
        train(folder, folder.read_info().config, load_dataset(places / "data32"))


def test_what_does_not_fit_is_refused_and_leaves_no_folder(places: Path) -> None:
    unconditional = replace(SMALL, conditional=False)
    with pytest.raises(UserError, match="the classes NORMAL, PNEUMONIA, this run has none"):
        _start(places, unconditional, "other", "small")
    with pytest.raises(UserError, match="--ngf 4 --ndf 4"):
        _start(places, replace(LARGE, model=replace(LARGE.model, ngf=8)), "other", "small")
    with pytest.raises(UserError, match="say with --start-from whose they are"):
        _start(places, replace(SMALL, learning_layers=1), "other")
    with pytest.raises(UserError, match="no checkpoint yet"):
        _start(places, SMALL, "untrained")
        _start(places, SMALL, "other", "untrained")
    assert not (places / "other").exists()


def test_the_command_and_the_api_start_from_a_run(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--image-size", "32", "--ngf", "8", "--ndf", "8", "--latent-channels", "8", "--steps", "2"]
    base = ["train", "--data", str(places / "data32"), "--recipe", "quick", "--batch-size", "8", *flags]
    begun = [*base, "--penalty-images", "8", "--device", "cpu", "--conditional", "--start-from", str(places / "small")]
    assert main([*begun, "--run", str(places / "by-command")]) == 0
    assert main(["train", "--resume", str(places / "small"), "--start-from", str(places / "grown")]) == 2
    assert "leave out --start-from" in capsys.readouterr().err
    run = cxrgan.train(places / "data32", places / "by-api", recipe=SMALL, start_from=places / "small")
    for name in ("by-command", "by-api"):
        began = RunFolder(places / name).read_info().started_from
        assert began is not None
        assert began.run == "small"
    assert run.step == 6
