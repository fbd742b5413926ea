"""The log: read on from where one was, checked line by line, and remembered in little space."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrgan.errors import UserError
from cxrgan.runs.log import (
    MAX_LINE,
    MOST_POINTS,
    Best,
    Curve,
    History,
    LogReader,
    Row,
    append_rows,
    cut_after,
    last_row,
)


def log(path: Path, *lines: str) -> Path:
    file = path / "metrics.jsonl"
    file.write_text("".join(lines))
    return file


def steps(*numbers: int) -> list[Row]:
    return [{"step": number, "loss_g": float(number)} for number in numbers]


def test_a_reader_goes_on_where_it_was_and_parses_no_line_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen, parsed = log(tmp_path), list[Row](), list[bytes]()
    original = json.loads

    def loads(text: bytes) -> object:
        parsed.append(text)
        return original(text)

    monkeypatch.setattr(json, "loads", loads)
    reader = LogReader(file, seen.append)
    append_rows(file, steps(1, 2))
    reader.read_on()
    append_rows(file, steps(3))
    reader.read_on()
    reader.read_on()
    assert seen == steps(1, 2, 3)
    assert len(parsed) == 3


def test_a_line_that_is_half_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    file, seen = log(tmp_path, '{"step": 1}\n{"st'), list[Row]()
    reader = LogReader(file, seen.append)
    reader.read_on()
    assert seen == [{"step": 1}]
    with file.open("a") as stream:
        stream.write('ep": 2}\n')
    reader.read_on()
    assert seen == [{"step": 1}, {"step": 2}]


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    assert list(LogReader(tmp_path / "metrics.jsonl").rows()) == []
    assert last_row(tmp_path / "metrics.jsonl") is None
    assert cut_after(tmp_path / "metrics.jsonl", 5) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no json", "line 2: not valid JSON"),
        ("", "line 2: not valid JSON"),
        ("\xff", "line 2"),
        ("[" * 100_000, "line 2: it is nested too deeply"),
        ("[1]", "line 2 is a list of 1, but must be a table"),
        ("{}", "line 2: step is missing"),
        ('{"step": "3"}', "line 2: step is '3'"),
        ('{"step": 1.5}', "line 2: step is 1.5"),
        ('{"step": true}', "line 2: step is True"),
        ('{"step": -1}', "line 2: step is -1"),
        ('{"step": null}', "line 2: step is None"),
        ('{"step": 1, "loss_g": "low"}', "line 2: loss_g is 'low', but must be a number below 1e\\+39, or null"),
        ('{"step": 1, "margin": [1]}', "line 2: margin is a list of 1"),
        ('{"step": 1, "loss_d": NaN}', "line 2: loss_d is nan"),
        ('{"step": 1, "loss_d": 1e999}', "line 2: loss_d is inf"),
        ('{"step": 1, "loss_d": ' + "9" * 4000 + "}", "line 2: loss_d is 999"),
        ('{"step": 1, "features": 3}', "line 2: features is 3, but must be text, or null"),
        ('{"step": 1, "others": [3]}', "line 2: others is a list of 1, but must be a list of tables"),
        ('{"step": 1, "x": "' + "y" * MAX_LINE + '"}', "line 2: it is longer than"),
    ],
)
def test_a_line_of_the_wrong_kind_is_named_with_its_number_field_and_value(
    line: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"step": 1}\n' + line.encode("latin-1") + b'\n{"step": 3}\n')
    with pytest.raises(UserError, match=said) as error:
        list(LogReader(file).rows())
    assert str(error.value).startswith(f"{file}, line 2")
    assert str(error.value).endswith("fix or delete the line")


def test_what_a_run_writes_passes_the_door(tmp_path: Path) -> None:
    others = [{"features": "inception", "tap": "2048", "frechet_distance": 120.5, "frechet_floor": None}]
    rows: list[dict[str, Any]] = [
        {"step": 1, "loss_g": float("nan"), "seconds": 0.5},
        {"step": 1, "frechet_distance": 20.1, "features": "domain", "n_real": 5190, "others": others},
    ]
    append_rows(tmp_path / "metrics.jsonl", rows)
    assert list(LogReader(tmp_path / "metrics.jsonl").rows()) == [{**rows[0], "loss_g": None}, rows[1]]


def test_a_log_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(UserError, match="is no regular file"):
        list(LogReader(tmp_path / "metrics.jsonl").rows())


def test_what_is_after_the_checkpoint_is_cut_off_and_the_rest_is_told(tmp_path: Path) -> None:
    file, seen = log(tmp_path), list[Row]()
    append_rows(file, steps(1, 2, 2, 3, 4))
    with file.open("a") as stream:
        stream.write('{"step": 5, "lo')
    assert cut_after(file, 2, seen.append) == 2
    assert seen == list(LogReader(file).rows()) == steps(1, 2, 2)
    assert cut_after(file, 9) == 2
    assert cut_after(file, 0) == 0
    assert file.read_bytes() == b""


def test_the_last_row_is_found_from_the_end(tmp_path: Path) -> None:
    file = log(tmp_path)
    append_rows(file, steps(*range(1, 60_000)))
    with file.open("a") as stream:
        stream.write('{"step": 60000')
    assert last_row(file) == {"step": 59_999, "loss_g": 59_999.0}


@given(st.integers(1, 12_000), st.sampled_from([1, 50]))
def test_a_curve_of_any_length_has_few_points_of_the_same_mean(num: int, window: int) -> None:
    curve = Curve(window)
    for step in range(1, num + 1):
        curve.add(step, float(step))
    points = curve.points
    assert len(points) <= MOST_POINTS
    assert points[-1][0] == num
    size = points[0][0]
    if len(curve.whole) > 1 and num % size == 0:  # equal windows: the mean of a straight line is in its middle
        assert abs(sum(value for _, value in points) / len(points) - (num + 1) / 2) < 1e-6 * num
    assert [step for step, _ in points] == sorted({step for step, _ in points})


def test_a_short_curve_is_as_it_was() -> None:
    curve = Curve()
    for step in range(MOST_POINTS - 1):
        curve.add(step, step % 7)
    assert curve.points == [(step, step % 7) for step in range(MOST_POINTS - 1)]


def test_a_window_is_its_median_so_that_one_odd_step_is_not_seen() -> None:
    curve = Curve(50)
    for step in range(1, 126):
        curve.add(step, 1e9 if step == 60 else 2.0)
    assert curve.whole == [(50, 2.0), (100, 2.0)]


def test_lines_that_are_missing_cut_a_curve() -> None:
    history = History(["loss_g"])
    for row in steps(*range(1, 100), *range(400, 450)):
        history.add(row)
    assert history.holes == [(99, 400)]
    first, second = history.stretches("loss_g")
    assert (first[0], first[-1], second[0], second[-1]) == ((1, 1.0), (99, 99.0), (400, 400.0), (449, 449.0))


def test_every_eighth_line_is_a_log_without_holes() -> None:
    history = History(["loss_g"])
    for row in steps(*range(8, 4000, 8)):
        history.add(row)
    assert history.holes == []


def measured(step: int, distance: float | None, **kind: object) -> Row:
    return {"step": step, "frechet_distance": distance, "features": "domain", "n_real": 100, "n_fake": 50, **kind}


def best(*rows: Row) -> int | None:
    found = Best()
    for row in rows:
        found.add(row)
    return found.step


def test_the_best_step_is_the_lowest_of_those_that_compare_with_the_newest() -> None:
    assert best() is None
    assert best(measured(1, 9.0), measured(2, 5.0), *steps(3), measured(4, 6.0)) == 2
    assert best(measured(1, 9.0), measured(2, None), measured(3, float("nan"))) == 1
    for other in ({"features": "inception"}, {"n_real": 90}, {"n_fake": 10}):
        assert best(measured(1, 1.0), measured(2, 8.0, **other), measured(3, 7.0, **other)) == 3
