"""Runs as the page shows them, while they train."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from cxrgan.errors import UserError
from cxrgan.runs.folder import RunFolder
from cxrgan.web import watch as watching
from cxrgan.web.runs import NOTHING, shown
from cxrgan.web.state import State
from cxrgan.web.watch import MOST_LINES, Watch


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setattr(watching, "FRESH", 0.0)
    return RunFolder(root / "first")


def add(run: RunFolder, *steps: int) -> None:
    with run.metrics_file.open("a") as stream:
        for step in steps:
            stream.write(json.dumps({"step": step, "seconds": step / 2, "loss_d": 1.0, "loss_g": 1.0}) + "\n")


def test_new_lines_of_a_log_are_shown(run: RunFolder) -> None:
    watch = Watch()
    assert watch.view("first", run).record.done == 8
    add(run, 9, 10)
    assert watch.view("first", run).record.done == 10


def test_a_log_that_a_resume_cut_is_read_anew(run: RunFolder) -> None:
    watch = Watch()
    add(run, 9, 10, 11)
    assert watch.view("first", run).record.done == 11
    lines = run.metrics_file.read_text().splitlines(keepends=True)
    run.metrics_file.write_text("".join(lines[:-2]))
    assert watch.view("first", run).record.done == 9


def test_a_long_log_is_read_in_parts(run: RunFolder) -> None:
    add(run, *range(9, 9 + MOST_LINES))
    watch = Watch()
    first = watch.view("first", run)
    assert (0.9 < first.read < 1, first.record.done < MOST_LINES) == (True, True)
    second = watch.view("first", run)
    assert (second.read, second.record.done) == (1, MOST_LINES + 8)


def test_what_was_read_is_shown_to_others_without_reading(root: Path) -> None:
    watch, run = Watch(), RunFolder(root / "first")
    before = watch.view("first", run)
    add(run, 9)
    assert watch.view("first", run) is before


def test_a_run_trains_while_lines_come_and_time_left_is_by_its_pace(run: RunFolder) -> None:
    config = json.loads(run.config_file.read_text())
    config["config"]["steps"] = 1008
    run.config_file.write_text(json.dumps(config))
    add(run, *range(9, 309))
    view = Watch().view("first", run)
    assert view.going == "training"
    assert "about 5 min 50 s left" in view.progress  # 700 steps of half a second
    os.utime(run.metrics_file, times=(time.time() - 3600,) * 2)
    view = Watch().view("first", run)
    assert (view.going, "left" in view.progress) == ("stopped", False)


def test_a_finished_run_is_finished(run: RunFolder) -> None:
    assert Watch().view("first", run).going == "finished"


def test_a_broken_run_is_told_in_its_place_and_hides_no_other(root: Path) -> None:
    state = State.opened(root, ())
    (root / "broken").mkdir()
    (root / "broken" / "config.json").write_text("{")
    with pytest.raises(UserError):
        Watch().view("broken", RunFolder(root / "broken"))
    html = shown(state, Watch(), "broken", "first")
    assert "This run cannot be shown" in html
    assert "<h2>first</h2>" in html


@pytest.mark.parametrize("spoiled", ["config.json", "metrics.jsonl", "diagnosis.json", "evaluation.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[[[[", b'{"step": NaN}\n', b'{"a": "<script>"}\n'])
def test_half_written_and_broken_files_break_nothing(root: Path, spoiled: str, content: bytes) -> None:
    (root / "first" / spoiled).write_bytes(content)
    assert shown(State.opened(root, ()), Watch(), "first", NOTHING).count("<article>") == 1


def test_names_from_outside_are_texts(root: Path) -> None:
    name = "<script>alert(1)<" + "\u2215script>\x1b[31m"
    shutil.copytree(root / "first", root / name)
    config = json.loads((root / name / "config.json").read_text())
    config["recipe"] = "<img src=x onerror=alert(1)>"
    (root / name / "config.json").write_text(json.dumps(config))
    html = shown(State.opened(root, ()), Watch(), name, "first")
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;" in html


def test_two_runs_stand_side_by_side_with_what_differs(root: Path) -> None:
    shutil.copytree(root / "first", root / "second")
    config = json.loads((root / "second" / "config.json").read_text())
    config["config"]["lr"] = 0.125
    (root / "second" / "config.json").write_text(json.dumps(config))
    state = State.opened(root, ())
    html = shown(state, Watch(), "first", "second")
    assert '<th scope="row">lr</th><td>0.0002</td><td>0.125</td>' in html
    shutil.copytree(root / "first", root / "third")
    assert "Nothing: the two have the same settings" in shown(state, Watch(), "first", "third")
