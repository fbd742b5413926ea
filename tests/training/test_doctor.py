"""The doctor names what is wrong on runs made for it, and leaves healthy ones alone."""

import errno
import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tiny import TINY, write_tiny_dataset

from cxrgan import api
from cxrgan.cli.main import main
from cxrgan.data.dataset import load_dataset
from cxrgan.errors import RunError
from cxrgan.recipes.config import TrainConfig
from cxrgan.runs.log import append_rows
from cxrgan.training import loop
from cxrgan.training.doctor.diagnose import Diagnosis, diagnose
from cxrgan.training.doctor.readings import Finding, Measured, Readings
from cxrgan.training.loop import start, train

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


def test_a_run_is_healthy_only_where_there_is_enough_to_see_it() -> None:
    steps, probes = run(1000), [row for row in run(1000) if "diversity" in row]
    assert diagnosed(steps).verdict == "healthy"
    for too_little in ([], run(2), run(149), run(299), [row for row in steps if "diversity" not in row], probes):
        assert diagnosed(too_little).verdict == "too early to say"
    assert diagnosed(run(200, loss_g=lambda step: None)).verdict == "a loss is not finite"


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
    assert finding.name == "the discriminator is overfitting"
    assert finding.since == 700  # three probes, of which two show it
    assert "88%" in finding.evidence


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_overfitting_is_found_whatever_the_scale_of_the_logits(scale: float) -> None:
    """Under a gradient penalty they lie within 0.2 of each other, without one within 10."""
    overfitted = run(
        d_train=lambda step: 2.0 * scale, d_samples=lambda step: -2.0 * scale, d_held_out=lambda step: -1.5 * scale
    )
    assert names(overfitted) == ["the discriminator is overfitting"]
    healthy = run(
        d_train=lambda step: 2.0 * scale, d_samples=lambda step: -2.0 * scale, d_held_out=lambda step: 1.8 * scale
    )
    assert names(healthy) == []


def test_a_difference_that_chance_makes_is_no_overfitting() -> None:
    def judged(error: float) -> list[Row]:
        """Held-out images 0.7 below training images, fakes 1.0, each mean known to `error`."""
        rows = run(d_train=lambda step: 0.5, d_held_out=lambda step: -0.2, d_samples=lambda step: -0.5)
        return [row | {"d_train_error": error, "d_held_out_error": error, "d_samples_error": error} for row in rows]

    assert names(judged(0.1)) == ["the discriminator is overfitting"]
    assert names(judged(0.3)) == []


def test_one_probe_that_falls_short_does_not_hide_overfitting() -> None:
    """As `few-100-s1` had it: 0.75, 0.61, 0.49, 1.08, 0.65 of the way."""
    shares = [0.75, 0.61, 0.49, 1.08, 0.65]
    rows = run(d_train=lambda step: 0.0, d_samples=lambda step: -1.0, d_held_out=lambda step: -shares[step // 100 % 5])
    assert names(rows) == ["the discriminator is overfitting"]


def test_held_out_images_below_the_fakes_are_overfitting_too() -> None:
    rows = run(d_train=lambda step: 0.1, d_held_out=lambda step: -0.9, d_samples=lambda step: 0.2)
    (finding,) = found([row | {"d_train_error": 0.1, "d_held_out_error": 0.1} for row in rows])
    assert "1 below those for training images, lower even than for generated images" in finding.evidence


def test_a_loss_that_is_no_number_comes_first() -> None:
    findings = found(run(loss_g=lambda step: None if step == 700 else 1.5, margin=lambda step: 40.0))
    assert [finding.name for finding in findings] == ["a loss is not finite", "the discriminator has won"]
    assert findings[0].since == 700


def test_a_metric_that_turned_is_told_with_its_best_step() -> None:
    worse = run(frechet_distance=lambda step: 100 - step / 10 if step <= 500 else 20.0 + step / 4)
    (finding,) = found(worse)
    assert (finding.name, finding.since) == ("the images are getting worse", 600)
    assert finding.evidence == "the Frechet distance is 270; at its best it was 50, at step 500"


def test_a_distance_is_told_with_its_network_since_it_is_no_fid() -> None:
    def evidence(distance: Callable[[int], float]) -> str:
        (finding,) = found(
            measured(frechet_distance=distance, frechet_floor=lambda step: 1.8, features=lambda step: "cxr-domain-v1")
        )
        return finding.evidence

    assert "Frechet distance (cxr-domain-v1) is 80" in evidence(lambda step: 20.0 if step < 300 else 80.0)
    assert "the best Frechet distance (cxr-domain-v1) was 40" in evidence(lambda step: 40.0)


def measured(num: int = 8, **columns: Callable[[int], float | str | None]) -> list[Row]:
    """A healthy run with `num` measurements of these columns."""
    steps = [100 * (index + 1) for index in range(num)]
    return sorted(
        [*run(100 * num), *({"step": step} | {name: value(step) for name, value in columns.items()} for step in steps)],
        key=lambda row: row["step"],
    )


def test_recall_far_below_its_floor_is_lost_variety() -> None:
    def with_recall(recall: float, floor: float | None) -> list[Row]:
        return measured(
            frechet_distance=lambda step: 9000 / step, recall=lambda step: recall, recall_floor=lambda step: floor
        )

    (finding,) = found(with_recall(0.34, 0.85))
    assert (finding.name, finding.since) == ("lost variety", 100)
    assert finding.evidence == "recall is 0.34 (between real images: 0.85)"
    assert names(with_recall(0.5, 0.85)) == []
    assert names(with_recall(0.34, None)) == []  # of an older version: only what is low for any data is said
    assert names(with_recall(0.12, None)) == ["lost variety"]


def test_an_evaluation_tells_lost_variety_of_all_images_and_of_a_class() -> None:
    evaluated = [
        Measured(900, "cxr-domain-v1", "precision", None, 0.1, 0.8),
        Measured(900, "cxr-domain-v1", "recall", None, 0.34, 0.85),
        Measured(900, "cxr-domain-v1", "coverage", None, 0.6, 0.97),
        Measured(900, "cxr-domain-v2", "coverage", "NORMAL", 0.2, 0.9),
    ]
    (finding,) = found(run(), evaluated)
    assert (finding.name, finding.since) == ("lost variety", 900)
    assert finding.evidence == (
        "recall by cxr-domain-v1 is 0.34 (between real images: 0.85), "
        "coverage of NORMAL by cxr-domain-v2 is 0.2 (between real images: 0.9)"
    )
    assert names(run(), evaluated[::2]) == []


def test_collapse_and_noise_are_not_also_called_lost_variety() -> None:
    evaluated = [Measured(1000, "cxr-domain-v1", "recall", None, 0.0, 0.85)]
    assert names(run(repeats=lambda step: 0.9), evaluated) == ["mode collapse"]
    assert names(run(grain=lambda step: 3.0), evaluated) == ["the samples are noise"]


def test_a_distance_that_no_longer_falls_is_told_where_it_is_far_from_the_floor() -> None:
    def with_distance(distance: Callable[[int], float], floor: float | None = 1.8) -> list[str]:
        return names(measured(frechet_distance=distance, frechet_floor=lambda step: floor))

    assert with_distance(lambda step: 40.0 + step % 3) == ["the distance has plateaued"]
    assert with_distance(lambda step: 40.0 - step / 100) == []
    assert with_distance(lambda step: 4.0) == []
    assert with_distance(lambda step: 40.0, None) == []
    assert names(measured(5, frechet_distance=lambda step: 40.0, frechet_floor=lambda step: 1.8)) == []
    assert with_distance(lambda step: 20.0 if step < 300 else 80.0) == ["the images are getting worse"]


def test_measurements_by_another_ruler_are_not_compared() -> None:
    def ruler(step: int) -> str:
        return "inception" if step > 400 else "domain"

    assert names(measured(frechet_distance=lambda step: 10.0 if step <= 400 else 90.0, features=ruler)) == []


def test_a_discriminator_under_too_strong_a_penalty_is_blind() -> None:
    rows = [row | {"r1": 0.001} for row in run(margin=lambda step: 0.001)]
    assert names(rows) == ["the discriminator learns nothing"]


def test_a_long_run_costs_the_doctor_no_more_than_a_short_one() -> None:
    """Its memory: what it keeps of 400,000 lines is no more than of 100,000."""
    readings, sizes = Readings(), []
    for step in range(1, 400_001):
        readings.add({"step": step, "margin": 2.0, "grad_g": 0.5, "grad_d": 0.8})
        if step % 20 == 0:
            readings.add({"step": step, "diversity": 0.85, "repeats": 0.0, "grain": 1.0, "d_train": 1.0})
            readings.add({"step": step, "frechet_distance": 20.0})
        if step % 100_000 == 0:
            kept = [len(readings.windows("margin")), len(readings.probes()), len(readings.measurements())]
            sizes.append(sum(kept))
    assert max(sizes) < 4000
    assert diagnose(readings).verdict == "healthy"
    assert readings.probes()[-1][0] == 400_000


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
    return names(list(folder.rows()))


def test_a_live_run_of_a_generator_that_makes_one_image_is_mode_collapse(tmp_path: Path) -> None:
    assert live(LIVE, tmp_path) == ["mode collapse", "the discriminator has won"]


def test_a_live_run_at_a_hundred_times_the_learning_rate_makes_noise(tmp_path: Path) -> None:
    assert live(replace(LIVE, lr=2e-2), tmp_path) == ["the samples are noise"]


def test_a_live_run_with_the_saturating_loss_loses_to_its_discriminator(tmp_path: Path) -> None:
    config = replace(LIVE, loss="saturating", lr=2e-3, model=replace(LIVE.model, ndf=16))
    assert "the discriminator has won" in live(config, tmp_path)


def test_a_live_run_of_the_stable_recipe_is_healthy(tmp_path: Path) -> None:
    assert live(STABLE, tmp_path) == []


def test_the_doctor_examines_an_old_run_from_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_tiny_dataset(tmp_path / "data")
    folder = start(TINY, load_dataset(data), tmp_path / "run", recipe="tiny", data=str(data))

    command = shlex.join(["cxrgan", "evaluate", str(folder.path), "--data", str(data)])

    def said() -> tuple[int, str, str]:
        status = main(["doctor", str(folder.path)])
        return status, capsys.readouterr().out, json.loads(folder.diagnosis_file.read_text())["verdict"]

    not_measured = f"; the variety of the images has not been measured\nmeasure how varied its images are: {command}\n"
    assert said() == (0, f"at step 0:\ntoo early to say{not_measured}", "too early to say")
    append_rows(folder.metrics_file, run())
    assert said() == (0, f"at step 1000:\nhealthy{not_measured}", "healthy")
    measured = {"features": "cxr-domain-v1", "tap": "features", "resize": "none", "seed": 0}
    numbers = {"n_real": 1000, "n_fake": 1000, "n_floor": 500}
    row = {"metric": "recall", "value": 0.34, "floor": 0.85, "label": None, **measured, **numbers}
    missing = {"metric": "all", "value": None, "note": "-", "features": "inception"}
    evaluation = {"target": "run, step 900", "data": "tiny", "rows": [row, missing]}
    (folder.path / "evaluation.json").write_text(json.dumps(evaluation))
    status, printed, verdict = said()
    assert (status, verdict) == (0, "lost variety")
    assert "lost variety since step 900: recall by cxr-domain-v1 is 0.34" in printed
    row["n_fake"] = 100  # fewer than the halves of the floor: they cannot have its variety
    (folder.path / "evaluation.json").write_text(json.dumps(evaluation))
    assert said()[2] == "healthy"
    row |= {"n_fake": 500, "value": 0.8}
    (folder.path / "evaluation.json").write_text(json.dumps(evaluation))
    assert said() == (0, "at step 1000:\nhealthy\n", "healthy")


def test_the_doctor_says_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_says_why_even_where_the_diagnosis_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    data = write_tiny_dataset(tmp_path / "data")
    folder = start(TINY, load_dataset(data), tmp_path / "run", recipe="tiny", data=str(data))
    monkeypatch.setattr(loop, "save_checkpoint", fail)
    monkeypatch.setattr(api, "write_diagnosis", fail)
    with pytest.raises(RunError, match="make room or fix the permissions, then run: cxrgan train --resume"):
        api.carry_on(folder, folder.read_info().config, load_dataset(data))
