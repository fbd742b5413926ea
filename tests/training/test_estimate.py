"""--dry-run: what it says is what a run does, and it leaves nothing behind."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tiny import TINY, write_tiny_dataset

from cxrgan.cli.main import main
from cxrgan.data.dataset import Dataset, load_dataset
from cxrgan.models.config import ModelConfig, halvings
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import RECIPES
from cxrgan.training import budget
from cxrgan.training.budget import Timing
from cxrgan.training.estimate import estimate
from cxrgan.training.flops import _count, _Counter, step_flops
from cxrgan.training.step import Step, new_players

STABLE = replace(
    RECIPES["fast-64"],
    model=ModelConfig(image_size=32, latent_channels=8, ngf=4, ndf=4, networks="stable"),
    batch_size=16,
    penalty_images=8,
    device="cpu",
    precision="fp32",
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_tiny_dataset(tmp_path_factory.mktemp("estimate") / "data", classes=("A", "B")))


def expected_flops(config: TrainConfig) -> float:
    """Closed form of a DCGAN's step: G forward and backward; D forward three times, backward twice, once for inputs."""
    model = config.model
    num_halvings, last = halvings(model.image_size)
    g = [model.ngf << k for k in reversed(range(model.num_doublings))]
    d = [model.ndf << k for k in range(num_halvings)]
    first_g, side = 16 * model.latent_channels * g[0], 4
    rest_g = 0
    for width_in, width_out in pairwise([*g, model.channels]):  # each pixel that comes in meets 16 weights
        rest_g, side = rest_g + side**2 * 16 * width_in * width_out, 2 * side
    rest_d, side = last**2 * d[-1], model.image_size
    for width_in, width_out in pairwise(d):
        rest_d += (side // 4) ** 2 * 16 * width_in * width_out
        side //= 2
    first_d = (model.image_size // 2) ** 2 * 16 * model.channels * d[0]
    generator = 3 * (first_g + rest_g) - first_g  # latents need no gradient
    discriminator = 8 * (first_d + rest_d) - 2 * first_d  # nor do images in D's turn
    return 2.0 * config.batch_size * (generator + discriminator)


@pytest.mark.parametrize("name", ["dcgan", "exp3", "exp6"])
def test_a_dcgans_step_has_the_flops_of_its_layers(name: str) -> None:
    assert step_flops(RECIPES[name]) == expected_flops(RECIPES[name])


def test_flops_are_those_of_a_step_that_is_made() -> None:
    players, device = new_players(STABLE, torch.device("cpu")), torch.device("cpu")
    step = Step(STABLE, players, device, num_steps=100)
    for number in (1, STABLE.penalty_every):
        with _Counter() as counter:
            step(number, torch.zeros(16, 32, 32, dtype=torch.uint8), torch.zeros(16, dtype=torch.int64))
        assert counter.flops == _count(STABLE, number) > 0


def test_the_penalty_counts_for_every_so_many_steps() -> None:
    plain = step_flops(replace(STABLE, gradient_penalty=0.0))
    rare, often = (step_flops(replace(STABLE, penalty_every=every)) for every in (8, 4))
    assert plain < rare < often
    assert often - plain == pytest.approx(2 * (rare - plain))
    assert step_flops(replace(STABLE, penalty_every=1)) - plain == pytest.approx(8 * (rare - plain))


def test_an_estimate_says_what_the_run_has(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxrgan.training.estimate.time_run", lambda *_: Timing(0.5, 0.6, 10**6))
    config = replace(TINY, steps=1000, sample_every=100)
    found = estimate(config, dataset)
    networks = new_players(config, torch.device("cpu")).networks.values()
    assert [found.num_generator, found.num_discriminator] == [
        sum(weight.numel() for weight in network.parameters()) for network in networks
    ]
    assert found.seconds == pytest.approx(600)
    assert found.disk == 3 * 10**6 + 11 * 4 * 32**2 // 2 + 250 * 1000
    assert 10**7 < found.memory < 10**12
    assert f"{found.flops / 1e9:,.1f} GFLOP a step" in str(found)
    assert "held in memory: at most a quarter" in str(found)
    assert "0.500 s a step in fp32 on cpu" in str(found)
    assert "10 min 00 s with all" in str(found)


def everything(path: Path) -> set[Path]:
    return set(path.rglob("*"))


def test_a_dry_run_leaves_nothing_behind(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = everything(dataset.path)
    small = ["--recipe", "dcgan", "--image-size", "32", "--ngf", "4", "--ndf", "4", "--batch-size", "8"]
    command = ["train", "--data", str(dataset.path), "--dry-run", "--device", "cpu", "--conditional", *small]
    assert main([*command, "--steps", "30", "--run", "run"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == [
        *("length", "networks", "compute", "memory", "images", "disk", "time")
    ]
    assert "30 steps of 8 of 40 images, 32 x 32 pixels" in said
    assert main(command) == 0  # without a name for the run
    assert everything(tmp_path) == set()
    assert everything(dataset.path) == before


def test_a_dry_run_refuses_what_a_run_would(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(budget, "_timed_steps", lambda *_: pytest.fail("timed"))
    data = ["train", "--data", str(dataset.path), "--dry-run"]
    assert main(["train", "--dry-run"]) == 2
    assert "--dry-run is about a new run" in capsys.readouterr().err
    assert main(["train", "--dry-run", "--data", str(dataset.path), "--resume", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err  # no run to resume
    assert main([*data, "--recipe", "exp3"]) == 2
    assert "32-pixel images, but the networks are for 64" in capsys.readouterr().err
    assert main([*data, "--batch-size", "8", "--image-size", "32", "--start-from", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
