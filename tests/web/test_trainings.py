"""Trainings that are started from the page."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import write_tiny_dataset

from cxrgan.errors import UserError
from cxrgan.runs.folder import RunFolder
from cxrgan.web.trainings import SAVED, Trainings


@pytest.fixture
def trainings(tmp_path: Path) -> Iterator[Trainings]:
    kept = Trainings(tmp_path / "runs")
    yield kept
    kept.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "data", size=64)


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def start(trainings: Trainings, data: Path, name: str = "new") -> RunFolder:
    trainings.start(name, data, recipe="quick", conditional=False, time="10h")
    return RunFolder(trainings._root / name)


def test_a_training_is_started_stopped_with_a_checkpoint_and_resumed(trainings: Trainings, data: Path) -> None:
    run = start(trainings, data)
    until(lambda: run.metrics_file.exists() and bool(run.last_row()))
    with pytest.raises(UserError, match="new is training; stop it first"):
        start(trainings, data, "second")
    trainings.stop()
    until(lambda: (state := trainings.state()) is not None and state.status is not None)
    state = trainings.state()
    assert state is not None
    assert (state.run, state.status) == ("new", SAVED)
    assert "stopped and saved" in state.line
    done = run.steps()[-1]
    assert done > 0
    trainings.resume("new", run)
    until(lambda: (run.last_row() or {}).get("step", 0) > done)
    ended = trainings.close()
    assert ended is not None
    assert ended.status == SAVED
    assert run.steps()[-1] > done


def test_a_training_that_fails_says_why(trainings: Trainings, tmp_path: Path) -> None:
    trainings.start("new", tmp_path / "nothing", recipe=None, conditional=False, time="1h")
    until(lambda: (state := trainings.state()) is not None and state.status is not None)
    state = trainings.state()
    assert state is not None
    assert state.status == 2
    assert "is not a dataset folder" in state.line


def test_nothing_to_stop_is_told(trainings: Trainings) -> None:
    assert trainings.state() is None
    with pytest.raises(UserError, match="nothing that was started on this page"):
        trainings.stop()


def test_a_run_at_its_end_is_not_resumed(trainings: Trainings, tiny_run: Path) -> None:
    with pytest.raises(UserError, match=r"at its end, step 8; make it longer on the command line: .*--steps 16"):
        trainings.resume("first", RunFolder(tiny_run))


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", ".hidden", "a\nb", "--resume" + "\0"])
def test_a_name_makes_no_path(trainings: Trainings, data: Path, name: str) -> None:
    with pytest.raises(UserError, match="name of a run"):
        start(trainings, data, name)
    assert trainings.state() is None


def test_a_run_is_not_written_over(trainings: Trainings, data: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "taken").mkdir(parents=True)
    (tmp_path / "runs" / "taken" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        start(trainings, data, "taken")
