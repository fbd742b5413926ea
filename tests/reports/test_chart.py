"""Lines as SVG: few points, round ticks, all within the frame."""

import re

import pytest

from cxrgan.reports.chart import HEIGHT, MOST_POINTS, WIDTH, Line, chart, thin, ticks


def test_thousands_of_steps_become_few_points_and_one_odd_step_is_not_seen() -> None:
    points = [(step, 1000.0 if step == 777 else 1.0) for step in range(1, 8001)]
    few = thin(points)
    assert len(few) == MOST_POINTS
    assert {value for _, value in few} == {1.0}
    assert few[0][0] == 20.5


def test_few_points_stay_as_they_are() -> None:
    points = [(1, 2.0), (5, 3.0), (6, -1.0)]
    assert list(thin(points)) == points


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 4055), (-3.2, 7.7), (0, 1e-9), (0, 2e7)])
def test_ticks_are_round_and_lie_within(low: float, high: float) -> None:
    places = ticks(low, high)
    assert 2 <= len(places) <= 6
    assert low <= places[0] < places[-1] <= high * 1.0001


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-2.0, 3.0], [1e6, 1e-6]])
def test_lines_stay_within_the_frame(values: list[float]) -> None:
    svg = chart("Losses", [Line("generator", "one", list(enumerate(values)))], last_step=len(values) - 1)
    places = re.findall(r"[ML](\S+) (\S+?)(?=[LMh\"])", "".join(re.findall(r'class="one[^>]*', svg)))
    assert places
    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in places)


def test_a_reader_hears_the_title_and_the_last_values() -> None:
    svg = chart("Losses <b>", [Line("generator", "one", [(0, 3.0), (10, 2.5)])], last_step=10)
    assert 'aria-label="Losses &lt;b&gt;, to step 10; at the end generator 2.5"' in svg
