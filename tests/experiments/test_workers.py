"""Experiments in processes of their own: what they are told, how they end, and what is said of one that died."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY, write_tiny_dataset

from cxrgan.errors import RunError
from cxrgan.experiments import sweep as sweeps
from cxrgan.experiments.published import EXPERIMENTS, Experiment
from cxrgan.experiments.sweep import Sweep, run_experiment, run_sweep
from cxrgan.experiments.worker import _share
from cxrgan.experiments.workers import Processes
from cxrgan.runs.folder import RunFolder

WORKER = [sys.executable, "-m", "cxrgan.experiments.worker", "1", "0"]
ENDLESS = Experiment("endless", replace(TINY, steps=1_000_000, checkpoint_every=10))


def endless(tmp_path: Path) -> Sweep:
    return Sweep((ENDLESS,), tmp_path / "out", {32: write_tiny_dataset(tmp_path / "data")}, num=10)


def in_thread(workers: Processes, order: dict[str, Any]) -> tuple[threading.Thread, list[str]]:
    """A thread in which `order` is done, and what it says when it failed; the process is started."""
    said: list[str] = []

    def run() -> None:
        try:
            workers.run(order)
        except RunError as error:
            said.append(str(error))

    before = len(workers._running)
    thread = threading.Thread(target=run)
    thread.start()
    while len(workers._running) == before and thread.is_alive():
        time.sleep(0.001)
    return thread, said


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python that only notes its arguments, TERM and PYTHONPATH, a line each, and reads its stdin to the end."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\necho "$4 $5 $TERM $PYTHONPATH" >> {tmp_path}/noted\ncat >> {tmp_path}/read\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return tmp_path / "noted"


@pytest.mark.parametrize("experiment", [*EXPERIMENTS, ENDLESS], ids=lambda experiment: experiment.name)
def test_an_order_makes_the_same_experiment_elsewhere(experiment: Experiment, tmp_path: Path) -> None:
    size = experiment.config.model.image_size
    sweep = Sweep((*EXPERIMENTS, ENDLESS), tmp_path / "out \udcff", {size: tmp_path / "data"}, scale=0.1 + 0.2, num=7)
    arrived = Sweep.of_order(json.loads(json.dumps(sweep.order(experiment))))
    assert arrived == replace(sweep, experiments=(replace(experiment, published=None),))
    assert arrived.config(arrived.experiments[0]) == sweep.config(experiment)


@pytest.mark.parametrize("written", [b"", b'{"name": "end'])
def test_who_began_it_died_before_the_order_was_whole(written: bytes, tmp_path: Path) -> None:
    ended = subprocess.run(WORKER, input=written, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


@pytest.mark.parametrize("seconds", [0.02, 0.4, 1.2, None])
def test_one_that_is_to_end_while_it_loads_ends_quietly_with_nothing_half_written(
    seconds: float | None, tmp_path: Path
) -> None:
    """By SIGTERM after some seconds, or by the end of its stdin."""
    order = json.dumps(endless(tmp_path).order(ENDLESS)).encode() + b"\n"
    process = subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(order)
    process.stdin.flush()
    if seconds is not None:
        time.sleep(seconds)
        process.terminate()
    out, errors = process.communicate(timeout=120)
    run = RunFolder(tmp_path / "out" / "endless")
    assert b"Traceback" not in errors
    assert not (run.path / "failure.json").exists()
    if process.returncode == 0:  # it had come as far as the first step, and saved it
        assert run.steps()
    else:
        assert process.returncode in (130, -signal.SIGTERM)  # the latter: Python itself was not there yet
        assert (out, errors) == (b"", b"")
        assert not list(tmp_path.rglob("*.tmp*"))


def test_to_stop_is_to_save_and_end_on_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a signal from here: the pipe alone tells it."""
    for name in ("kill", "killpg"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("a signal was sent"))
    sweep, workers = endless(tmp_path), Processes(1)
    thread, said = in_thread(workers, sweep.order(ENDLESS))
    run = sweep.folder(ENDLESS)
    wait_for(lambda: run.steps())
    workers.stop()
    workers.stop()  # once more does not hurt
    thread.join(60)
    assert not thread.is_alive()
    assert said == []
    assert list(run.rows())[-1]["step"] == run.steps()[-1]
    assert not (run.path / "failure.json").exists()


def test_what_is_stopped_before_it_starts_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    workers = Processes(1)
    workers.stop()
    workers.run({})  # would raise that there is no such program
    assert workers._running == {}


def test_a_killed_process_and_one_that_fails_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Processes(1)
    thread, said = in_thread(workers, endless(tmp_path).order(ENDLESS))
    workers._running[0].kill()
    thread.join(60)
    assert said == ["its process was killed by signal 9, often for want of memory"]
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(RunError, match=r"its process ended with status 1$"):
        workers.run({})
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    with pytest.raises(RunError, match=r"its process did not start: No such file or directory"):
        workers.run({})
    assert workers._running == {}


def test_processes_at_once_take_places_in_turn_and_the_terminal_is_dumb(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.syspath_prepend("/where/a/script/lies")
    workers = Processes(3)
    threads = [in_thread(workers, {})[0] for _ in range(3)]
    wait_for(lambda: stand_in.exists() and len(stand_in.read_text().splitlines()) == 3)
    workers._running[1].kill()
    threads[1].join(60)
    threads.append(in_thread(workers, {})[0])
    wait_for(lambda: len(stand_in.read_text().splitlines()) == 4)
    workers.stop()
    for thread in threads:
        thread.join(60)
    noted = [line.split() for line in stand_in.read_text().splitlines()]
    assert sorted(place for _, place, *_ in noted) == ["0", "1", "1", "2"]
    assert {(jobs, term) for jobs, _, term, *_ in noted} == {("3", "dumb")}
    assert all(line[3].startswith("/where/a/script/lies") for line in noted)


def test_one_process_leaves_the_terminal_alone(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    workers = Processes(1)
    thread, _ = in_thread(workers, {})
    wait_for(lambda: stand_in.exists() and stand_in.read_text())
    workers.stop()
    thread.join(60)
    assert stand_in.read_text().split()[:3] == ["1", "0", "xterm"]


def test_an_error_between_two_experiments_stops_those_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\n[ "$5" = 0 ] || cat > /dev/null\n')  # the first is done at once, the others wait
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))

    def full_disk() -> None:
        raise OSError(28, "No space left on device")

    chosen = [ENDLESS, replace(ENDLESS, name="another"), replace(ENDLESS, name="third")]
    with pytest.raises(OSError, match="No space left"):
        run_sweep(endless(tmp_path), chosen, Processes(2), 2, on_end=full_disk)


@pytest.mark.parametrize(("place", "gpu"), [(0, 0), (1, 1), (2, 0)])
def test_of_the_cores_each_has_its_share_and_of_the_gpus_one(
    place: int, gpu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: dict[str, int] = {}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", lambda num: taken.update(threads=num))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: taken.update(gpu=device))
    _share(3, place)
    assert taken == {"threads": 2, "gpu": gpu}
    _share(20, place)
    assert taken["threads"] == 1


def test_what_becomes_of_an_interrupt_in_compiled_code_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("numpy._core.multiarray failed to import") from None

    monkeypatch.setattr(sweeps, "_train_and_measure", work)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(endless(tmp_path), ENDLESS)
    assert not (tmp_path / "out").exists()


def test_a_script_needs_no_main_guard_and_its_folder_shadows_nothing(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "random.py").write_text("raise SystemExit('the wrong random')")
    (tmp_path / "script.py").write_text(
        textwrap.dedent(
            f"""
            from pathlib import Path
            from cxrgan.experiments.published import EXPERIMENTS
            from cxrgan.experiments.sweep import Sweep, run_sweep
            from cxrgan.experiments.workers import Processes
            print("the script runs")
            sweep = Sweep(EXPERIMENTS, Path({str(tmp_path / "out")!r}), {{64: Path("absent")}})
            run_sweep(sweep, EXPERIMENTS[:1], Processes(1), 1, on_end=lambda: print("the end"))
            """
        )
    )
    (tmp_path / "out" / "exp1").mkdir(parents=True)
    command = [sys.executable, str(tmp_path / "script.py")]
    ended = subprocess.run(command, cwd=tmp_path / "here", capture_output=True, text=True, timeout=240)
    assert (ended.returncode, ended.stdout) == (0, "the script runs\nthe end\n")
    assert "the wrong random" not in ended.stderr
    failure = json.loads((tmp_path / "out" / "exp1" / "failure.json").read_text())
    assert "absent is not a dataset folder" in failure["reason"]  # the child came as far as that
