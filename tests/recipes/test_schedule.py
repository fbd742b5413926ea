"""Scheduled settings: a closed form, the same under resume, and nothing where there is none."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tiny import TINY, write_tiny_dataset

from cxrgan.data.dataset import Dataset, load_dataset
from cxrgan.errors import UserError
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import FAST_64, RECIPES
from cxrgan.recipes.schedule import Rates, rates
from cxrgan.runs.folder import RunFolder
from cxrgan.training.loop import start, train
from cxrgan.training.step import Step, new_players

CPU = torch.device("cpu")
FINAL = ("final_lr", "final_gradient_penalty", "final_beta2", "final_ema_halflife")
SCHEDULED = replace(
    FAST_64, final_lr=1.25e-4, final_gradient_penalty=0.0025, final_beta2=0.999, final_ema_halflife=40_000
)
SMALL = replace(
    TINY,
    model=replace(TINY.model, networks="stable"),
    loss="relativistic",
    gradient_penalty=0.1,
    penalty_every=2,
    penalty_images=8,
    augment=1.0,
    beta1=0.0,
    ema_halflife=100,
    final_lr=1e-5,
    final_gradient_penalty=0.01,
    final_beta2=0.9,
    final_ema_halflife=1000,
    steps=12,
)


def without_schedule(config: TrainConfig) -> TrainConfig:
    return replace(config, final_lr=None, final_gradient_penalty=None, final_beta2=None, final_ema_halflife=None)


def test_half_a_cosine_leads_from_the_first_to_the_final_values() -> None:
    first, half, last = (rates(SCHEDULED, step, 1000) for step in (0, 500, 1000))
    assert first == Rates(5e-4, 0.025, 0.99, 10_000)
    assert last == pytest.approx(Rates(1.25e-4, 0.0025, 0.999, 40_000))
    assert half == pytest.approx([(a + b) / 2 for a, b in zip(first, last, strict=True)])
    quarter = 5e-4 + (1.25e-4 - 5e-4) * (1 - 2**-0.5) / 2  # cos(pi / 4) is sqrt(1 / 2)
    assert rates(SCHEDULED, 250, 1000).lr == pytest.approx(quarter)
    assert rates(SCHEDULED, 2000, 1000) == last


@pytest.mark.parametrize("name", RECIPES)
def test_without_final_values_nothing_changes(name: str) -> None:
    config = without_schedule(RECIPES[name])
    fixed = Rates(config.lr, config.gradient_penalty, config.beta2, config.ema_halflife)
    assert {rates(config, step, 100) for step in (0, 1, 50, 100)} == {fixed}


@pytest.mark.parametrize("number", [2, 7, 12])
def test_a_step_is_that_of_the_rates_at_its_place(number: int) -> None:
    """Bit for bit: what a schedule says is what the step does."""
    now = rates(SMALL, number, 12)
    fixed = replace(without_schedule(SMALL), lr=now.lr, gradient_penalty=now.gradient_penalty, beta2=now.beta2)
    real = torch.randint(0, 256, (8, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = []
    for config, num_steps in ((SMALL, 12), (fixed, 99)):
        players = new_players(config, CPU)
        Step(config, players, CPU, num_steps)(number, real, torch.zeros(8, dtype=torch.int64))
        made.append({name: network.state_dict() for name, network in players.networks.items() if name != "average"})
    for name in made[0]:
        assert all(torch.equal(made[0][name][key], made[1][name][key]) for key in made[0][name])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_tiny_dataset(tmp_path_factory.mktemp("schedule") / "data"))


def trained(path: Path, dataset: Dataset, config: TrainConfig, *stops: int) -> RunFolder:
    """A run that is trained to each of these steps in turn, by a limit on what it does at a time."""
    folder = start(config, dataset, path, recipe="tiny", data="data")
    for stop in stops:
        train(folder, replace(folder.read_info().config, steps=stop), dataset)
    return folder


def weights(folder: RunFolder, step: int) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.checkpoint(step).glob("*.safetensors")}


def test_a_scheduled_run_that_was_stopped_is_the_run_without_a_break(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(tmp_path / "whole", dataset, SMALL, 12)
    broken = start(SMALL, dataset, tmp_path / "broken", recipe="tiny", data="data")

    class Stop:
        def is_set(self) -> bool:
            return True

    import contextlib

    @contextlib.contextmanager
    def stopping(_processes):  # type: ignore[no-untyped-def]
        yield Stop()

    with monkeypatch.context() as patch:
        patch.setattr("cxrgan.training.loop._stop_requests", stopping)
        for _ in range(5):
            train(broken, broken.read_info().config, dataset)
    assert broken.steps()[-1] == 5
    train(broken, broken.read_info().config, dataset)
    assert weights(broken, 12) == weights(whole, 12)


def test_a_run_that_is_made_longer_follows_the_longer_schedule_from_then_on(dataset: Dataset, tmp_path: Path) -> None:
    longer = trained(tmp_path / "longer", dataset, SMALL, 6, 12)
    whole = trained(tmp_path / "whole", dataset, SMALL, 12)
    assert weights(longer, 12) != weights(whole, 12)
    assert longer.read_info().config.steps == 12


def test_a_run_without_a_schedule_may_be_given_one_for_its_rest(dataset: Dataset, tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", dataset, without_schedule(SMALL), 6)
    train(folder, replace(folder.read_info().config, steps=12, final_lr=1e-6), dataset)
    assert folder.read_info().config.final_lr == 1e-6
    plain = trained(tmp_path / "plain", dataset, without_schedule(SMALL), 6, 12)
    assert weights(folder, 6) == weights(plain, 6)
    assert weights(folder, 12) != weights(plain, 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"final_lr": 0.0}, "final_lr is 0.0, but must be above 0"),
        ({"final_beta2": 1.0}, r"final_beta2 is 1.0, but must lie in \[0, 1\)"),
        ({"final_gradient_penalty": -1.0}, "final_gradient_penalty is -1.0, but must be 0 or more"),
        ({"final_ema_halflife": 0}, "final_ema_halflife is 0, but must be at least 1"),
        ({"final_ema_halflife": 100}, "final_ema_halflife is given, but ema_halflife is 0, which turns it off"),
        ({"final_gradient_penalty": 0.1}, "final_gradient_penalty is given, but gradient_penalty is 0"),
    ],
)
def test_a_final_value_that_cannot_be_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(TrainConfig(), **changes)  # type: ignore[arg-type]


def test_a_config_of_before_there_were_schedules_has_none() -> None:
    assert {name: asdict(TrainConfig())[name] for name in FINAL} == dict.fromkeys(FINAL, None)
