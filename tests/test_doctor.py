"""The doctor names what is wrong on runs made for it, and leaves healthy ones alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY, write_tiny_dataset

from cxrgan.data.dataset import load_dataset
from cxrgan.training.doctor import Diagnosis, diagnose
from cxrgan.training.loop import start, train
from cxrgan.training.readings import Finding, Measured, Readings
from cxrgan.training.recipes import TrainConfig

Row = dict[str, Any]


def run(num: int = 1000, **columns: Callable[[int], float | None]) -> list[Row]:
    """Lines of a healthy run, a probe every 100 steps, with some columns made otherwise."""
    healthy: dict[str, Callable[[int], float | None]] = {
        "loss_d": lambda step: 0.6 + 0.01 * (step % 7),
        "loss_g": lambda step: 1.5 + 0.1 * (step % 5),
        "margin": lambda step: 2.0 + 0.1 * (step % 3),
        "grad_d": lambda step: 0.8 + 0.1 * (step % 3),
        "grad_g": lambda step: 0.5 + 0.1 * (step % 4),
    }
    probed: dict[str, Callable[[int], float | None]] = {
        "diversity": lambda step: 0.85,
        "repeats": lambda step: 0.02,
        "grain": lambda step: 1.1,
        "d_train": lambda step: 2.0,
        "d_held_out": lambda step: 1.8,
        "d_samples": lambda step: -2.0,
    }
    rows: list[Row] = []
    for step in range(1, num + 1):
        rows.append({"step": step} | {name: columns.get(name, value)(step) for name, value in healthy.items()})
        if step % 100 == 0:
            rows.append({"step": step} | {name: columns.get(name, value)(step) for name, value in probed.items()})
            if "frechet_distance" in columns:
                rows.append({"step": step, "frechet_distance": columns["frechet_distance"](step)})
    return rows


def diagnosed(rows: Iterable[Mapping[str, Any]], evaluated: Sequence[Measured] = ()) -> Diagnosis:
    readings = Readings()
    for row in rows:
        readings.add(row)
    return diagnose(readings, evaluated)


def found(rows: Iterable[Mapping[str, Any]], evaluated: Sequence[Measured] = ()) -> list[Finding]:
    return list(diagnosed(rows, evaluated).findings)


def names(rows: Iterable[Mapping[str, Any]], evaluated: Sequence[Measured] = ()) -> list[str]:
    return [finding.name for finding in found(rows, evaluated)]


def test_a_healthy_run_has_no_findings() -> None:
    assert found(run()) == []


def test_nothing_is_said_of_nothing() -> None:
    assert found([]) == []
    assert found(run(10)) == []


def test_a_discriminator_that_has_won_is_named_since_it_won() -> None:
    (finding,) = found(run(margin=lambda step: 30.0 if step > 400 else 3.0))
    assert finding.name == "the discriminator has won"
    assert finding.since == 450  # the end of the first window of 50 steps that shows it
    assert "30 apart" in finding.evidence


def test_a_short_victory_that_passed_is_no_finding() -> None:
    assert found(run(margin=lambda step: 30.0 if 300 < step <= 600 else 3.0)) == []


def test_a_smaller_lead_is_a_victory_where_the_samples_stay_poor() -> None:
    assert found(run(margin=lambda step: 6.0)) == []
    poor = found(run(margin=lambda step: 6.0, grain=lambda step: 4.0 if step > 350 else 1.0))
    assert [(finding.name, finding.since) for finding in poor] == [
        ("the samples are noise", 400),
        ("the discriminator has won", 400),
    ]
    assert "6.0 apart" in poor[1].evidence


def test_a_discriminator_that_cannot_tell_poor_samples_is_too_weak() -> None:
    assert found(run(margin=lambda step: 0.3)) == []
    noise = run(margin=lambda step: 0.3, grain=lambda step: 3.0)
    assert names(noise) == ["the samples are noise", "the discriminator is too weak"]
    under_penalty = [row | {"r1": 0.001} for row in noise]
    assert names(under_penalty) == ["the samples are noise"]


@pytest.mark.parametrize(("column", "value"), [("diversity", 0.1), ("repeats", 0.9)])
def test_few_different_images_are_mode_collapse(column: str, value: float) -> None:
    healthy = {"diversity": 0.85, "repeats": 0.02}[column]
    columns: dict[str, Callable[[int], float | None]] = {column: lambda step: value if step > 550 else healthy}
    (finding,) = found(run(1000, **columns))
    assert (finding.name, finding.since) == ("mode collapse", 600)


@pytest.mark.parametrize(("grain", "name"), [(6.0, "the samples are noise"), (0.1, "the samples are flat")])
def test_pixels_without_an_image_are_named(grain: float, name: str) -> None:
    assert names(run(grain=lambda step: grain if step > 200 else 1.0)) == [name]


def test_monotony_in_the_first_steps_is_not_collapse() -> None:
    assert found(run(diversity=lambda step: 0.05 if step <= 300 else 0.8)) == []


def test_vanishing_and_exploding_gradients_are_told_apart() -> None:
    assert names(run(grad_g=lambda step: 0.5 if step <= 600 else 1e-4)) == ["vanishing gradients"]
    assert names(run(grad_d=lambda step: 0.8 if step <= 600 else 900.0)) == ["exploding gradients"]


def test_held_out_images_taken_for_fakes_are_overfitting() -> None:
    (finding,) = found(run(d_held_out=lambda step: -1.5 if step > 500 else 1.8))
    assert finding.name == "the discriminator learns the training images by heart"
    assert finding.since == 600
    assert "88%" in finding.evidence


def test_a_loss_that_is_no_number_comes_first() -> None:
    findings = found(run(loss_g=lambda step: None if step == 700 else 1.5, margin=lambda step: 40.0))
    assert [finding.name for finding in findings] == ["a loss is not finite", "the discriminator has won"]
    assert findings[0].since == 700


def test_a_metric_that_turned_is_told_with_its_best_step() -> None:
    worse = run(frechet_distance=lambda step: 100 - step / 10 if step <= 500 else 20.0 + step / 4)
    (finding,) = found(worse)
    assert (finding.name, finding.since) == ("the images get worse", 600)
    assert "was 50 at step 500" in finding.evidence


def test_a_discriminator_under_too_strong_a_penalty_is_blind() -> None:
    rows = [row | {"r1": 0.001} for row in run(margin=lambda step: 0.001)]
    assert names(rows) == ["the discriminator learns nothing"]


LIVE = replace(TINY, batch_size=16, steps=240, sample_every=40, num_samples=16)
STABLE = replace(
    LIVE,
    model=replace(LIVE.model, networks="stable"),
    loss="relativistic",
    gradient_penalty=0.01,
    lr=5e-4,
    beta1=0.0,
    beta2=0.99,
    steps=320,
)


def live(config: TrainConfig, path: Path) -> list[str]:
    """The findings of a run on 40 small pictures."""
    dataset = load_dataset(write_tiny_dataset(path / "data"))
    folder = start(config, dataset, path / "run", recipe="tiny", data="data")
    train(folder, folder.read_info().config, dataset)
    return names(folder.read_rows())


def test_a_live_run_of_a_generator_that_makes_one_image_is_mode_collapse(tmp_path: Path) -> None:
    assert live(LIVE, tmp_path) == ["mode collapse", "the discriminator has won"]


def test_a_live_run_at_a_hundred_times_the_learning_rate_makes_noise(tmp_path: Path) -> None:
    assert live(replace(LIVE, lr=2e-2), tmp_path) == ["the samples are noise"]


def test_a_live_run_with_the_saturating_loss_loses_to_its_discriminator(tmp_path: Path) -> None:
    config = replace(LIVE, loss="saturating", lr=2e-3, model=replace(LIVE.model, ndf=16))
    assert "the discriminator has won" in live(config, tmp_path)


def test_a_live_run_of_the_stable_recipe_is_healthy(tmp_path: Path) -> None:
    assert live(STABLE, tmp_path) == []
