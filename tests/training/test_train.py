"""The training loop: exact resume, signals, full disks, bad numbers, refused checkpoints."""

import errno
import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tiny import TINY, write_tiny_dataset

from cxrgan.console import ProgressBar, speaking
from cxrgan.data.dataset import Dataset, load_dataset
from cxrgan.errors import RunError, UserError
from cxrgan.recipes.config import Loss, TrainConfig
from cxrgan.recipes.named import FAST_64
from cxrgan.reports.figures import PLOTTED
from cxrgan.runs import log
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.log import History, LogReader, Row
from cxrgan.training.doctor.readings import Readings
from cxrgan.training.loop import Observer, start, train
from cxrgan.training.losses import generator_loss
from cxrgan.training.observers import Doctor, LiveLine, Plots, TensorBoard
from cxrgan.training.step import LOSSES, Step


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "data")


@pytest.fixture
def dataset(data: Path) -> Dataset:
    return load_dataset(data)


def new_run(path: Path, config: TrainConfig, dataset: Dataset) -> RunFolder:
    folder = start(config, dataset, path, recipe="tiny", data="data")
    train(folder, folder.read_info().config, dataset)
    return folder


def resume(folder: RunFolder, dataset: Dataset, **changes: int) -> int:
    return train(folder, replace(folder.read_info().config, **changes), dataset)  # type: ignore[arg-type]


def without_seconds(folder: RunFolder) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in folder.rows()]


def assert_same_run(one: RunFolder, two: RunFolder, step: int) -> None:
    """Bit for bit: weights, optimisers' state, log and samples."""
    files = sorted(path.name for path in one.checkpoint(step).glob("*.safetensors"))
    assert len(files) >= 4
    for name in files:
        assert (one.checkpoint(step) / name).read_bytes() == (two.checkpoint(step) / name).read_bytes(), name
    assert without_seconds(one) == without_seconds(two)
    for path in one.samples.iterdir():
        assert path.read_bytes() == (two.samples / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY, ema_halflife=50, loss="saturating"),
        replace(TINY, precision="bf16", model=replace(TINY.model, channels=3)),
        replace(
            TINY,
            model=replace(TINY.model, networks="stable"),
            loss="relativistic",
            gradient_penalty=0.1,
            penalty_every=4,
            augment=0.7,
        ),
    ],
    ids=["plain", "average", "bf16", "stable"],
)
def test_n_steps_then_m_equal_n_plus_m_bit_for_bit(config: TrainConfig, dataset: Dataset, tmp_path: Path) -> None:
    whole = new_run(tmp_path / "whole", replace(config, steps=17), dataset)
    parts = new_run(tmp_path / "parts", replace(config, steps=7), dataset)
    assert resume(parts, dataset, steps=17) == 17
    for leftover in (parts.samples / "step-000007.png",):  # the first part's own last grid
        leftover.unlink()
    (whole.samples / "step-000007.png").unlink(missing_ok=True)
    assert_same_run(parts, whole, 17)


def test_the_recommended_setting_resumes_bit_for_bit(tmp_path: Path) -> None:
    """`fast-64 --conditional` with bf16, penalties, average, measurements and unseen images; small networks."""
    classes = ("NORMAL", "PNEUMONIA")
    dataset = load_dataset(write_tiny_dataset(tmp_path / "data", classes=classes))
    held_out = load_dataset(write_tiny_dataset(tmp_path / "held-out", num=24, seed=1, classes=classes))
    config = replace(
        FAST_64,
        model=replace(FAST_64.model, image_size=32, ngf=8, ndf=8),
        conditional=True,
        batch_size=8,
        device="cpu",
        precision="bf16",
        num_samples=4,
        evaluate_every=5,
        num_evaluated=10,
    )

    def evaluator(images: NDArray[np.uint8]) -> Row:
        return {"frechet_distance": abs(float(images.mean()) - 60.0)}

    def run(name: str, *lengths: int) -> RunFolder:
        folder = start(config, dataset, tmp_path / name, recipe="fast-64", data="data")
        for steps in lengths:
            train(folder, replace(folder.read_info().config, steps=steps), dataset, (), evaluator, held_out)
        return folder

    whole, parts = run("whole", 27), run("parts", 11, 27)  # penalties at 8, and 16 and 24
    for folder in (whole, parts):
        (folder.samples / "step-000011.png").unlink(missing_ok=True)  # the first part's own last grid
    assert_same_run(parts, whole, 27)
    rows = list(whole.rows())
    assert [row["step"] for row in rows if "r1" in row] == [8, 16, 24]
    assert [row["step"] for row in rows if "frechet_distance" in row] == [5, 10, 15, 20, 25]
    assert all("d_held_out" in row for row in rows if "diversity" in row)
    assert (whole.checkpoint(27) / "average.safetensors").exists()
    assert parts.best_step() == whole.best_step() in whole.steps()


def test_seconds_are_those_of_the_steps_alone(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, original = [0.0], Step.__call__

    def step(self: Step, number: int, real: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        clock[0] += 1
        return original(self, number, real, labels)

    def evaluator(images: NDArray[np.uint8]) -> Row:
        clock[0] += 100
        return {"frechet_distance": 1.0}

    class Watcher:
        def on_rows(self, rows: Sequence[Row]) -> None:
            clock[0] += 1000

        def on_samples(self, step: int, images: NDArray[np.uint8]) -> None:
            clock[0] += 10_000

    monkeypatch.setattr("cxrgan.training.loop.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(Step, "__call__", step)
    config = replace(TINY, evaluate_every=2, log_every=4, sample_every=6)
    folder = start(config, dataset, tmp_path / "run", recipe="tiny", data="data")
    for steps in (7, 12):
        train(folder, replace(folder.read_info().config, steps=steps), dataset, [Watcher()], evaluator)
    seconds = {row["step"]: row["seconds"] for row in folder.rows() if "loss_d" in row}
    assert seconds == {1: 2, 2: 2, 3: 4, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 10, 10: 10, 11: 12, 12: 12}
    assert json.loads((folder.checkpoint(12) / "state.json").read_text())["progress"]["seconds"] == 12


def test_a_run_knows_its_threads_and_warns_before_it_goes_on_with_others(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    info, threads = folder.read_info(), torch.get_num_threads()
    assert info.threads == threads
    with speaking():
        resume(folder, dataset, steps=3)
    assert "threads" not in capsys.readouterr().err
    folder.write_info(replace(info, threads=threads + 5))
    with speaking():
        assert resume(folder, dataset, steps=4) == 4
    warning = " ".join(capsys.readouterr().err.split())
    assert f"started with {threads + 5} threads and continues with {threads}" in warning
    assert folder.read_info().threads == threads + 5


def test_float32_is_float32_while_a_run_trains(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matmul, cudnn, original = torch.backends.cuda.matmul, torch.backends.cudnn, Step.__call__
    seen = []

    def step(self: Step, number: int, real: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append((matmul.allow_tf32, cudnn.allow_tf32))
        return original(self, number, real, labels)

    monkeypatch.setattr(Step, "__call__", step)
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = True
        new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
        assert seen == [(False, False)] * 2
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (True, True)
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def test_tensorboard_has_every_point_once_after_a_crash_and_a_resume(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(TINY, steps=9, checkpoint_every=5, sample_every=3)
    folder = start(config, dataset, tmp_path / "run", recipe="tiny", data="data")
    train(folder, folder.read_info().config, dataset, [TensorBoard(folder)])
    shutil.rmtree(folder.checkpoint(9))  # as if it had crashed after step 9 and before the checkpoint
    train(folder, folder.read_info().config, dataset, [TensorBoard(folder)])
    assert len(list((folder.path / "tensorboard").iterdir())) == 2
    events = EventAccumulator(str(folder.path / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("loss_g")] == list(range(1, 10))
    assert [event.step for event in events.Scalars("diversity")] == [3, 6, 9]
    assert [event.step for event in events.Images("samples")] == [0, 3, 6, 9]


def test_a_run_without_a_checkpoint_resumes_from_the_start(dataset: Dataset, tmp_path: Path) -> None:
    config = replace(TINY, steps=9, checkpoint_every=5)
    whole = new_run(tmp_path / "whole", config, dataset)
    killed = RunFolder(tmp_path / "killed")
    shutil.copytree(whole.path, killed.path)
    shutil.rmtree(killed.checkpoints)
    assert resume(killed, dataset) == 9
    assert_same_run(killed, whole, 9)


def test_another_seed_gives_another_run(dataset: Dataset, tmp_path: Path) -> None:
    one = new_run(tmp_path / "one", replace(TINY, steps=3), dataset)
    two = new_run(tmp_path / "two", replace(TINY, steps=3, seed=1), dataset)
    assert without_seconds(one) != without_seconds(two)


def test_the_run_folder_holds_what_it_promises(dataset: Dataset, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, epochs=3, keep_checkpoints=2), dataset)
    probes = [row for row in folder.rows() if "diversity" in row]
    assert [row["step"] for row in probes] == [5, 10, 15]
    assert {"diversity", "repeats", "grain", "d_samples", "d_train"} <= set(probes[0])
    rows = [row for row in folder.rows() if "loss_d" in row]
    assert [row["step"] for row in rows] == list(range(1, 16))  # 3 epochs of 40 images in batches of 8
    assert set(rows[0]) == {"step", "images_seen", "seconds", *LOSSES}
    assert rows[-1]["images_seen"] == 120
    names = {path.name for path in folder.samples.iterdir()}
    steps = {f"step-{step:06d}.png" for step in (0, 5, 10, 15)}
    assert names == steps | {"real-and-fake-start.png", "real-and-fake-end.png"}
    assert folder.steps() == [10, 15]
    info = json.loads(folder.config_file.read_text())
    assert (info["recipe"], info["num_images"], info["config"]["model"]["ngf"]) == ("tiny", 40, 4)


def test_observers_see_every_row_and_grid(dataset: Dataset, tmp_path: Path) -> None:
    class Watcher:
        def __init__(self) -> None:
            self.rows: list[Row] = []
            self.steps: list[int] = []

        def on_rows(self, rows: Sequence[Row]) -> None:
            self.rows.extend(rows)

        def on_samples(self, step: int, images: NDArray[np.uint8]) -> None:
            self.steps.append(step)
            assert images.shape == (4, 32, 32)

    watcher = Watcher()
    folder = start(replace(TINY, steps=10), dataset, tmp_path / "run", recipe="tiny", data="data")
    train(folder, folder.read_info().config, dataset, [watcher])
    assert [row["step"] for row in watcher.rows if "loss_d" in row] == list(range(1, 11))
    assert [row["step"] for row in watcher.rows if "diversity" in row] == [5, 10]
    assert watcher.steps == [0, 5, 10]


def test_watching_and_cadence_do_not_change_the_weights(dataset: Dataset, tmp_path: Path) -> None:
    often = new_run(
        tmp_path / "often", replace(TINY, steps=9, log_every=1, sample_every=2, checkpoint_every=1), dataset
    )
    rarely = new_run(tmp_path / "rarely", replace(TINY, steps=9, log_every=100), dataset)
    for name in ("generator", "discriminator"):
        file = f"{name}.safetensors"
        assert (often.checkpoint(9) / file).read_bytes() == (rarely.checkpoint(9) / file).read_bytes()
    steps = [[row for row in without_seconds(folder) if "loss_d" in row] for folder in (often, rarely)]
    assert steps[0] == steps[1]


COMMAND = [sys.executable, "-m", "cxrgan", "train"]
ENDLESS = ["--image-size", "32", "--ngf", "4", "--ndf", "4", "--batch-size", "8", "--device", "cpu"]
ENDLESS += ["--precision", "fp32", "--steps", "1000000", "--log-every", "1", "--checkpoint-every", "10"]
ENDLESS += ["--sample-every", "1000000", "--num-samples", "4"]


def start_endless(data: Path, run: Path) -> "subprocess.Popen[str]":
    """`cxrgan train` in a process of its own, once its second checkpoint is there."""
    process = subprocess.Popen(
        [*COMMAND, "--data", str(data), "--run", str(run), *ENDLESS], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(RunFolder(run).steps()) < 2:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


HUNG_UP = pytest.mark.skipif(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="under nohup it is ignored")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=HUNG_UP)])
def test_a_signal_saves_and_exits_with_a_clear_line(number: signal.Signals, data: Path, tmp_path: Path) -> None:
    process = start_endless(data, tmp_path / "run")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    folder = RunFolder(tmp_path / "run")
    last = folder.steps()[-1]
    assert f"stopped and saved at step {last}; continue with: cxrgan train --resume" in errors
    assert "Traceback" not in errors
    assert list(folder.rows())[-1]["step"] == last


def test_a_killed_run_resumes_to_the_same_weights(data: Path, dataset: Dataset, tmp_path: Path) -> None:
    process = start_endless(data, tmp_path / "killed")
    process.kill()
    process.communicate()
    killed = RunFolder(tmp_path / "killed")
    steps = killed.steps()[-1] + 25
    subprocess.run([*COMMAND, "--resume", str(killed.path), "--steps", str(steps)], check=True, capture_output=True)
    config = replace(killed.read_info().config, steps=steps)
    whole = start(config, dataset, tmp_path / "whole", recipe="tiny", data="data")
    train(whole, config, dataset)
    assert_same_run(killed, whole, steps)
    assert not list(killed.checkpoints.glob(".*"))


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=5), dataset)
    before = {path.name: path.read_bytes() for path in folder.checkpoint(5).iterdir()}

    write_bytes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name != "discriminator.safetensors":
            return write_bytes(path, content)
        write_bytes(path, content[:10])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(RunError, match=r"No space left on device; the checkpoint of step 5 is intact; .*--resume"):
            resume(folder, dataset, steps=9, sample_every=100)
    assert folder.steps() == [5]
    assert {path.name: path.read_bytes() for path in folder.checkpoint(5).iterdir()} == before
    assert not list(folder.checkpoints.glob(".*"))
    assert resume(folder, dataset, steps=9) == 9


def test_an_unwritable_place_is_one_clear_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = str(tmp_path / "file" / "run")
    done = subprocess.run([*COMMAND, "--data", str(data), "--run", run, *ENDLESS], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_good_checkpoint(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=5), dataset)

    calls: list[int] = []

    def poisoned(*, fake: torch.Tensor, real: torch.Tensor, kind: Loss) -> torch.Tensor:
        calls.append(1)
        return generator_loss(fake=fake, real=real, kind=kind) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr("cxrgan.training.step.generator_loss", poisoned)
    message = r"step 8: loss_g is nan, so training has stopped; the last good checkpoint is that of step 5"
    with pytest.raises(RunError, match=message):
        resume(folder, dataset, steps=20)
    assert folder.steps() == [5]
    for value in load_file(folder.checkpoint(5) / "generator.safetensors").values():
        assert value.isfinite().all()
    assert next(row for row in folder.rows() if row["step"] == 8)["loss_g"] is None


def test_weights_that_are_no_numbers_are_never_saved(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Step.__call__

    def poisoned(self: Step, number: int, real: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logged = original(self, number, real, labels)
        with torch.no_grad():
            next(self.players.generator.parameters()).fill_(float("inf"))
        return logged

    monkeypatch.setattr(Step, "__call__", poisoned)
    folder = start(replace(TINY, steps=1), dataset, tmp_path / "run", recipe="tiny", data="data")
    with pytest.raises(RunError, match="step 1: a weight of the generator is not finite"):
        train(folder, folder.read_info().config, dataset)
    assert folder.steps() == []


def test_another_configuration_is_refused_with_the_difference_named(dataset: Dataset, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    config = folder.read_info().config
    other = replace(config, lr=1e-3, steps=5, model=replace(config.model, ngf=8))
    with pytest.raises(UserError, match=r"another configuration: model.ngf was 4, is now 8, lr was 0.0002, is now 0.0"):
        train(folder, other, dataset)


def test_other_images_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    other = load_dataset(write_tiny_dataset(tmp_path / "other", seed=1))
    with pytest.raises(UserError, match="trained on other images"):
        train(folder, folder.read_info().config, other)


def changed(data: Path, path: Path, **values: object) -> Dataset:
    """The dataset in `data` with these values in its second image's line of the manifest."""
    shutil.copytree(data, path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["images"][1] |= values
    (path / "manifest.json").write_text(json.dumps(manifest))
    return load_dataset(path)


@pytest.mark.parametrize("values", [{"label": None}, {"split": "val"}, {"patient": "another"}])
def test_the_same_images_with_other_labels_splits_or_patients_are_refused(
    values: dict[str, object], data: Path, dataset: Dataset, tmp_path: Path
) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    other = changed(data, tmp_path / "other", **values)
    assert other.sha256 == dataset.sha256
    with pytest.raises(UserError, match="trained on other labels, splits or patients than those of tiny"):
        train(folder, folder.read_info().config, other)


def test_what_a_manifest_says_beside_does_not_matter(data: Path, dataset: Dataset, tmp_path: Path) -> None:
    assert changed(data, tmp_path / "other", origin="elsewhere").identity == dataset.identity


def test_a_run_from_before_the_identity_goes_on_and_knows_it_from_then_on(
    data: Path, dataset: Dataset, tmp_path: Path
) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    old = json.loads(folder.config_file.read_text())
    del old["data_identity"], old["threads"]
    folder.config_file.write_text(json.dumps(old))
    assert resume(folder, dataset, steps=3) == 3
    assert (folder.read_info().data_identity, folder.read_info().threads) == (dataset.identity, None)
    with pytest.raises(UserError, match="other labels"):
        resume(folder, changed(data, tmp_path / "other", patient="another"), steps=4)


@pytest.mark.parametrize("name", ["generator", "optimizer_d"])
def test_a_damaged_checkpoint_is_refused(name: str, dataset: Dataset, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    file = folder.checkpoint(2) / f"{name}.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"step-000002/{name}.safetensors is damaged or incomplete"):
        resume(folder, dataset, steps=4)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("state.json", '{"config": [1]}'),
        ("state.json", '{"progress": {}}'),
        ("optimizer_g.safetensors", "08000000000000007b7d202020202020"),  # valid, and empty
    ],
)
def test_a_checkpoint_that_lacks_something_is_refused_not_guessed(
    file: str, content: str, dataset: Dataset, tmp_path: Path
) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    raw = content.encode() if file.endswith("json") else bytes.fromhex(content)
    (folder.checkpoint(2) / file).write_bytes(raw)
    with pytest.raises(UserError, match="step-000002"):
        resume(folder, dataset, steps=4)


def test_a_resume_that_fails_leaves_the_settings_as_they_were(dataset: Dataset, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=4), dataset)
    before = folder.config_file.read_bytes()
    with pytest.raises(UserError, match="is already at step 4; give --steps a higher number"):
        resume(folder, dataset, steps=3)
    assert folder.config_file.read_bytes() == before
    assert [row["step"] for row in folder.rows()] == [1, 2, 3, 4]


def test_a_resumed_run_settles_automatic_choices(dataset: Dataset, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    train(folder, replace(TINY, steps=3, device="auto", precision="auto"), dataset)
    assert "auto" not in (folder.read_info().config.device, folder.read_info().config.precision)


def test_a_log_that_ends_before_the_checkpoint_is_mentioned_and_gone_on_with(dataset: Dataset, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=6), dataset)
    lines = folder.metrics_file.read_text().splitlines(keepends=True)
    assert resume(folder, dataset, steps=7) == 7
    folder.metrics_file.write_text("".join(lines[:3]))
    with pytest.warns(UserWarning, match="metrics.jsonl ends at step 3, before the checkpoint of step 7"):
        assert resume(folder, dataset, steps=8) == 8
    assert [row["step"] for row in folder.rows() if "loss_g" in row] == [1, 2, 3, 8]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 20}, "batch_size is 20.*groups of 8.*--batch-size 24"),
        ({"penalty_images": 6}, "penalty_images is 6"),
    ],
)
def test_the_stable_networks_are_trained_in_whole_groups(
    changes: dict[str, int], said: str, dataset: Dataset, tmp_path: Path
) -> None:
    stable = replace(TINY, model=replace(TINY.model, networks="stable"), gradient_penalty=0.1)
    with pytest.raises(UserError, match=said):
        start(replace(stable, **changes), dataset, tmp_path / "run", recipe="tiny", data="data")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
    start(replace(TINY, batch_size=20), dataset, tmp_path / "dcgan", recipe="tiny", data="data")


def test_the_log_is_not_read_again_while_a_run_trains(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line is parsed once by those who watch, not at each of 20 grids, measurements and checkpoints."""
    parsed: list[bytes] = []
    original = log._checked

    def checked(line: bytes, where: str) -> Row:
        parsed.append(line)
        return original(line, where)

    monkeypatch.setattr(log, "_checked", checked)
    config = replace(TINY, steps=40, sample_every=2, checkpoint_every=2, evaluate_every=2)
    folder = start(config, dataset, tmp_path / "run", recipe="tiny", data="data")
    readings, history = Readings(), History(PLOTTED)
    reader = LogReader(folder.metrics_file, readings.add, history.add)
    line = LiveLine(ProgressBar("tiny", 40), relativistic=False)
    plots = Plots(folder, reader, history, relativistic=False)
    watching: list[Observer] = [Doctor(folder, reader, readings, line), plots]
    train(folder, folder.read_info().config, dataset, watching, lambda images: {"frechet_distance": 3.0, "n_fake": 1})
    written = folder.metrics_file.read_bytes().count(b"\n")
    assert written == 40 + 20 + 20  # steps, measurements, probes
    assert len(parsed) <= written


def test_two_processes_cannot_train_one_run(dataset: Dataset, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    with folder.locked(), pytest.raises(UserError, match="another process is training"):
        resume(folder, dataset, steps=4)
    assert resume(folder, dataset, steps=4) == 4


def test_a_damaged_log_or_config_is_one_clear_error(dataset: Dataset, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    folder.metrics_file.write_text("no json\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 1: not valid JSON"):
        resume(folder, dataset, steps=4)
    folder.config_file.write_text('{"recipe": "", "config": 3}')
    with pytest.raises(UserError, match=r"config\.json: config is 3, but must be a table"):
        folder.read_info()


def test_a_signal_in_the_last_step_still_ends_the_run(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = Step.__call__, []

    def interrupted(self: Step, number: int, real: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return original(self, number, real, labels)

    monkeypatch.setattr(Step, "__call__", interrupted)
    folder = new_run(tmp_path / "run", replace(TINY, steps=4), dataset)
    assert folder.steps() == [4]
    assert (folder.samples / "real-and-fake-end.png").exists()


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (Path.write_text, (Path("trap-was-sprung"), "code ran"))  # type: ignore[return-value]


def test_loading_never_runs_code(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    monkeypatch.chdir(tmp_path)
    for file in folder.checkpoint(2).glob("*.safetensors"):
        file.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="damaged"):
        resume(folder, dataset, steps=4)
    assert not Path("trap-was-sprung").exists()


def test_a_folder_that_is_taken_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run", replace(TINY, steps=2), dataset)
    with pytest.raises(UserError, match="already holds a run; resume it with cxrgan train --resume"):
        start(TINY, dataset, folder.path, recipe="tiny", data="data")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not lose me")
    with pytest.raises(UserError, match="is not empty"):
        start(TINY, dataset, tmp_path / "mine", recipe="tiny", data="data")


def test_data_that_do_not_fit_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    bigger = replace(TINY, model=replace(TINY.model, image_size=64))
    with pytest.raises(UserError, match="32-pixel images, but the networks are for 64"):
        start(bigger, dataset, tmp_path / "run", recipe="tiny", data="data")
    with pytest.raises(UserError, match="has 40 training images, fewer than a batch of 64"):
        start(replace(TINY, batch_size=64), dataset, tmp_path / "run", recipe="tiny", data="data")
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_here_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    with pytest.raises(UserError, match="device is 'cuda', but this machine has none"):
        start(replace(TINY, device="cuda"), dataset, tmp_path / "run", recipe="tiny", data="data")


def test_compiling_without_a_compiler_goes_on_and_says_so(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxrgan.training.loop.can_compile", lambda device: False)
    with pytest.warns(UserWarning, match="continuing without it"):
        folder = start(replace(TINY, compile=True), dataset, tmp_path / "run", recipe="tiny", data="data")
    assert folder.read_info().config.compile is False
