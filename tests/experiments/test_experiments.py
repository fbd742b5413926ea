"""`cxrgan experiments`: what is finished is skipped, what was broken off goes on, the table is that of its files."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image
from tiny import TINY, write_tiny_dataset

from cxrgan.cli.main import main
from cxrgan.data.dataset import load_dataset
from cxrgan.errors import UserError
from cxrgan.experiments.published import EXPERIMENTS, Experiment
from cxrgan.experiments.sweep import Sweep, check, prepare_data, read_experiments
from cxrgan.experiments.table import _csv, by_iteration, iteration_columns
from cxrgan.recipes.named import DCGAN, RECIPES
from cxrgan.reports.comparison import Column, nearest_tap, ranking, result_columns
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.results import Published, Result
from cxrgan.training.loop import start

SETTINGS = """
recipe = "exp3"
batch_size = 8
steps = {steps}
device = "cpu"
precision = "fp32"
num_samples = 4
log_every = 5
checkpoint_every = 20
sample_every = 100
evaluate_every = 100
num_evaluated = 10
[{name}.model]
image_size = 32
latent_channels = 8
ngf = 4
ndf = 4
"""


def write_sweep(file: Path, **steps: int) -> Path:
    """Tiny experiments of these names and steps as a TOML file."""
    file.write_text("".join(f"[{name}]{SETTINGS.format(name=name, steps=num)}" for name, num in steps.items()))
    return file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "data", classes=("NORMAL", "PNEUMONIA"))


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Inception weights here or in other processes: an empty cache, and a proxy that is not there."""
    monkeypatch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())  # its fonts take long to be found anew
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def arguments(data: Path, out: Path, file: Path, *more: str) -> list[str]:
    return ["experiments", "--data", str(data), "--out", str(out), "--experiments", str(file), *more]


def results(out: Path) -> dict[str, dict[str, Any]]:
    """Name -> what experiments.json says, but for the time, which no two runs share."""
    listed = json.loads((out / "experiments.json").read_text())["experiments"]
    for result in listed:
        for row in [result, *result["measured"]]:
            del row["seconds"]
    return {result["name"]: result for result in listed}


def test_two_experiments_killed_in_between_end_in_the_same_table(data: Path, tmp_path: Path) -> None:
    file = write_sweep(tmp_path / "sweep.toml", short=20, long=200)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(arguments(data, whole, file, "--jobs", "2")) == 0

    process = begin(arguments(data, broken, file), RunFolder(broken / "long"))
    process.kill()
    process.communicate()
    wait_until_free(RunFolder(broken / "long"))
    assert not (broken / "long" / "evaluation.json").exists()
    measured_at = (broken / "short" / "evaluation.json").stat().st_mtime_ns

    assert main(arguments(data, broken, file)) == 0
    assert results(broken) == results(whole)
    assert [result["state"] for result in results(whole).values()] == ["finished", "finished"]
    assert main(["report", str(whole)]) == 0
    assert '<a href="#run-1">short</a>' in (whole / "report.html").read_text(encoding="utf-8")
    assert (broken / "short" / "evaluation.json").stat().st_mtime_ns == measured_at  # skipped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_group_saves_and_says_how_to_go_on(number: int, data: Path, tmp_path: Path) -> None:
    file, out = write_sweep(tmp_path / "sweep.toml", endless=1_000_000, waiting=20), tmp_path / "out"
    process = begin(arguments(data, out, file), RunFolder(out / "endless"), start_new_session=True)
    os.killpg(process.pid, number)  # as a terminal does: to parent and child
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "stopped; the same command continues from what is saved" in errors
    assert "Traceback" not in errors
    last = RunFolder(out / "endless").steps()[-1]
    assert list(RunFolder(out / "endless").rows())[-1]["step"] == last
    assert results(out)["endless"]["state"] == f"step {last} of 1000000"
    assert results(out)["waiting"]["state"] == "not started"


def test_a_second_command_leaves_a_running_experiment_alone(data: Path, tmp_path: Path) -> None:
    file, out = write_sweep(tmp_path / "sweep.toml", one=5), tmp_path / "out"
    assert main(arguments(data, out, file, "--scale", "0.4")) == 0
    with RunFolder(out / "one").locked():
        assert main(arguments(data, out, file)) == 1
    assert results(out)["one"]["state"] == "step 2 of 5"
    assert main(arguments(data, out, file)) == 0


def test_what_another_sweep_made_in_the_same_place_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write_sweep(tmp_path / "sweep.toml", one=5, two=5), tmp_path / "out"
    assert main(arguments(data, out, file)) == 0
    table = (out / "experiments.json").read_bytes()
    others = write_tiny_dataset(tmp_path / "others", num=48)
    assert main(arguments(others, out, file)) == 2
    assert "one was trained on other images" in capsys.readouterr().err
    relabelled = copytree(data, tmp_path / "relabelled")
    manifest = (relabelled / "manifest.json").read_text()
    (relabelled / "manifest.json").write_text(manifest.replace('"patient": null', '"patient": "one"', 1))
    assert main(arguments(relabelled, out, file)) == 2
    assert "one was trained on other labels, splits or patients" in capsys.readouterr().err
    assert main(arguments(data, out, file, "--only", "two", "--scale", "0.4")) == 2
    assert "one is already at step 5" in capsys.readouterr().err
    file.write_text(file.read_text().replace("batch_size = 8", "batch_size = 4", 1))
    assert main(arguments(data, out, file, "--only", "two")) == 2
    assert "batch_size was 8, is now 4" in capsys.readouterr().err
    assert (out / "experiments.json").read_bytes() == table


def test_an_experiment_that_fails_is_noted_and_the_others_go_on(data: Path, tmp_path: Path) -> None:
    file, out = write_sweep(tmp_path / "sweep.toml", wild=20, good=5), tmp_path / "out"
    file.write_text(file.read_text().replace("steps = 20", "steps = 20\nlr = 1e30"))
    assert main(arguments(data, out, file)) == 1
    states = {name: result["state"] for name, result in results(out).items()}
    assert states["wild"].startswith("failed: step ")
    assert states["good"] == "finished"
    assert f"| wild | {states['wild']} |" in (out / "experiments.md").read_text()
    lines = list(csv.DictReader((out / "experiments.csv").open()))
    assert [line["experiment"] for line in lines] == ["wild", "good"]
    assert float(lines[1]["frechet_distance_domain"]) == pytest.approx(
        next(
            row["value"]
            for row in results(out)["good"]["evaluation"]["rows"]
            if (row["metric"], row.get("label")) == ("frechet_distance", None)
        )
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("lr = 1e-3", "lr is outside a table"),
        ("[a]\nrecipe = 'exp7'", "there is no recipe 'exp7'"),
        ("[a]\nlearning_rate = 1", "[a]: there is no setting 'learning_rate'"),
        ("['a/b']\nlr = 1e-3", "'a/b' cannot be the name of a run folder"),
        ("[data-64]\nlr = 1e-3", "'data-64' cannot be the name of a run folder"),
        ("", "contains no experiment"),
        ("[a", "cannot read"),
        ("[a]\nlr = 1e-3", "has 32-pixel images, but a need another size"),
    ],
)
def test_a_sweep_that_is_not_understood_is_one_clear_line_and_status_2(
    content: str, message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(content)
    assert main(arguments(data, tmp_path / "out", file)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--only", "exp1,exp9"], "there is no experiment 'exp9'; the experiments are exp1, exp2"),
        (["--scale", "2"], "--scale is 2"),
        (["--jobs", "0"], "--jobs and --num must be at least 1"),
    ],
)
def test_bad_flags_are_one_clear_line_and_status_2(
    more: list[str], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["experiments", "--data", str(data), "--out", str(tmp_path / "out"), *more]) == 2
    assert message in capsys.readouterr().err


def test_a_file_of_experiments_starts_from_recipes(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text("[a]\nrecipe = 'exp2'\nlr = 5e-4\n[b]\nrecipe = 'quick'\nepochs = 3\n[b.model]\nngf = 8\n")
    a, b = read_experiments(file)
    assert (a.name, a.config) == ("a", replace(RECIPES["exp2"], lr=5e-4))
    assert (b.config.num_steps(320), b.config.model.ngf, b.published) == (30, 8, None)


def test_the_scale_shortens_every_run_and_its_measurements(tmp_path: Path) -> None:
    sweep = Sweep(EXPERIMENTS, tmp_path, {}, scale=0.1)
    configs = {experiment.name: sweep.config(experiment) for experiment in EXPERIMENTS}
    assert list(configs) == ["exp1", "exp2", "exp3", "exp4", "exp5", "exp6", "fast-64", "stable-128"]
    assert [config.epochs for config in configs.values()] == [5, 5, 5, 5, 2, 2, 4, 2]
    assert {config.evaluate_every for config in configs.values()} == {50}
    steps = Experiment("steps", replace(DCGAN, steps=1234, evaluate_every=3))
    assert (sweep.config(steps).steps, sweep.config(steps).evaluate_every) == (123, 1)


def test_a_longer_run_is_not_cut_to_a_quick_look(tmp_path: Path, data: Path) -> None:
    experiment = Experiment("run", replace(TINY, steps=20))
    folder = start(replace(TINY, steps=20), load_dataset(data), tmp_path / "run", recipe="run", data=str(data))
    folder.checkpoint(20).mkdir(parents=True)
    check(Sweep((experiment,), tmp_path, {}), experiment)
    with pytest.raises(UserError, match=r"already at step 20, but with --scale 0.5 would end at 10"):
        check(Sweep((experiment,), tmp_path, {}, scale=0.5), experiment)
    with pytest.raises(UserError, match=r"lr was 0.0002, is now 0.1"):
        check(Sweep((experiment,), tmp_path, {}), replace(experiment, config=replace(TINY, steps=20, lr=0.1)))


def test_each_image_size_is_prepared_once(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for index in range(12):
        (tmp_path / "xrays").mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / "xrays" / f"{index}.png")
    chosen = [
        Experiment(f"of-{size}", replace(DCGAN, model=replace(DCGAN.model, image_size=size))) for size in (32, 64)
    ]
    folders = prepare_data(str(tmp_path / "xrays"), tmp_path / "out", chosen)
    assert {size: load_dataset(folder).image_size for size, folder in folders.items()} == {32: 32, 64: 64}
    made_at = (tmp_path / "out" / "data-32" / "images.npy").stat().st_mtime_ns
    assert prepare_data(str(tmp_path / "xrays"), tmp_path / "out", chosen) == folders
    assert (tmp_path / "out" / "data-32" / "images.npy").stat().st_mtime_ns == made_at


def result(values: dict[str, float], published: Published | None) -> Result:
    """A finished exp3 with these Frechet distances at Inception's taps, measured at step 100 and 200 of scale 0.2."""
    rows = [{"metric": "frechet_distance", "tap": tap, "label": None, "value": v} for tap, v in values.items()]
    measured = [{"step": 100, "frechet_distance": 7.0}, {"step": 200, "frechet_distance": 4.0}]
    config = replace(DCGAN, evaluate_every=100)
    return Result("exp3", "finished", config, published, 1.0, "healthy", {"rows": rows}, measured)


def test_the_nearest_tap_is_that_of_the_smallest_ratio() -> None:
    distances = {"64": 0.2, "192": 1.5, "768": 0.9, "2048": 90.0}
    assert (
        nearest_tap(result(distances, Published(1.5, 0.55))) == "768"
    )  # 192 is 2.7 times, 64 is 2.75 times, 768 is 1.6
    assert nearest_tap(result(distances, Published(1.5, 0.3))) == "64"
    assert nearest_tap(result(distances, None)) is None
    assert nearest_tap(result({}, Published(1.5, 0.3))) is None


def test_published_iterations_meet_the_scaled_steps() -> None:
    found = by_iteration([result({}, Published(1.5, 0.5))])
    assert [(row["iteration"], row["step"]) for row in found] == [(500, 100), (1000, 200), (2000, 400)]
    assert [row["measured"] and row["measured"]["frechet_distance"] for row in found] == [7.0, 4.0, None]
    assert by_iteration([result({}, None)]) == []


def test_the_taps_of_inception_stand_by_iteration_where_they_were_measured() -> None:
    others = [{"features": "inception", "tap": "64", "frechet_distance": 3.5, "frechet_floor": 0.1}]
    of_two_networks = replace(result({}, Published(1.5, 0.5)), measured=[{"step": 100, "others": others}])
    shown = cells(iteration_columns(by_iteration([of_two_networks])))
    assert shown["Fréchet distance, tap 64"] == ["3.50 (0.10)", "—", "—"]
    assert "Fréchet distance, tap 2048" not in shown  # nowhere measured


def test_the_published_score_stands_beside_that_of_imagenets_classes() -> None:
    scores = [
        {"metric": "inception_score", "tap": tap, "label": None, "value": value, "floor": 2.5}
        for tap, value in (("logits_unbiased", 1.9), ("logits", 1.4))
    ]
    measured = replace(result({}, Published(1.5632, 0.49)), evaluation={"rows": scores})
    shown = cells(result_columns([measured]))
    names = list(shown)
    assert names.index("IS, published") == names.index("IS") + 1
    assert [shown[name] for name in ("IS", "IS, published", "IS of FID's network")] == [
        ["1.40 (2.50)"],
        ["1.56"],
        ["1.90 (2.50)"],
    ]
    (line,) = csv.DictReader(_csv([measured], 1.0).splitlines())
    found = [
        line[f"{name}inception_score{end}"]
        for name, end in (("", "_imagenet"), ("published_", ""), ("", "_fid_network"))
    ]
    assert found == ["1.4", "1.5632", "1.9"]
    only_old = replace(measured, evaluation={"rows": scores[:1]})
    assert "IS" not in cells(result_columns([only_old]))


def test_numbers_of_a_column_have_the_same_decimals() -> None:
    fids = (1.0403, 0.4905, 248.79)
    shown = cells(result_columns([result({"64": fid / 3}, Published(1.5, fid)) for fid in fids]))
    assert shown["FID, published"] == ["1.04", "0.49", "248.79"]
    assert shown["Fréchet distance, tap 64"] == ["0.35", "0.16", "82.93"]


def of_distance(name: str, distance: float | None, *, n_fake: int = 40, state: str = "finished") -> Result:
    what = {"metric": "frechet_distance", "features": "cxr-domain-v1", "tap": "features", "label": None}
    rows = [{**what, "value": distance, "n_fake": n_fake}]
    return replace(result({}, None), name=name, state=state, evaluation={"rows": rows})


def test_the_best_is_the_nearest_to_the_real_images_of_the_finished_ones() -> None:
    runs = [of_distance("far", 9.0), of_distance("near", 2.0), of_distance("failed", 1.0, state="failed: no room")]
    assert [run.name for run in ranking([*runs, of_distance("unknown", None)])] == ["near", "far"]


def test_distances_of_other_numbers_of_images_make_no_best() -> None:
    assert ranking([of_distance("many", 2.0), of_distance("few", 1.0, n_fake=10)]) == []


def test_runs_are_ranked_by_the_first_domain_network_and_the_second_stands_beside_it() -> None:
    def of_both(name: str, first: float, second: float) -> Result:
        what = {"metric": "frechet_distance", "tap": "features", "label": None, "floor": 0.5}
        rows = [
            {**what, "features": network, "value": value}
            for network, value in (("cxr-domain-v2", second), ("cxr-domain-v1", first))
        ]
        return replace(result({}, None), name=name, evaluation={"rows": rows})

    runs = [of_both("by the second", 9.0, 1.0), of_both("by the first", 2.0, 3.0)]
    assert [run.name for run in ranking(runs)] == ["by the first", "by the second"]
    shown = cells(result_columns(runs))
    assert shown["Fréchet distance, domain"] == ["9.00 (0.50)", "2.00 (0.50)"]
    assert shown["Fréchet distance, domain-v2"] == ["1.00 (0.50)", "3.00 (0.50)"]
    lines = list(csv.DictReader(_csv(runs, 1.0).splitlines()))
    assert [line["frechet_distance_domain"] for line in lines] == ["9.0", "2.0"]
    assert [line["frechet_distance_domain_v2"] for line in lines] == ["1.0", "3.0"]


def cells(columns: list[Column]) -> dict[str, list[str]]:
    return {column.name: list(column.cells) for column in columns}


def begin(command: list[str], folder: RunFolder, start_new_session: bool = False) -> "subprocess.Popen[str]":
    """`cxrgan` in a process of its own, once `folder` has a checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cxrgan", *command],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )
    deadline = time.monotonic() + 240
    while not folder.steps():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def wait_until_free(folder: RunFolder) -> None:
    """Until the process that lost its parent has saved."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(UserError), folder.locked():
            return
        time.sleep(0.05)
    raise AssertionError("the orphan goes on")
