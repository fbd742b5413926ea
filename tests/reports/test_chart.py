"""Lines as SVG: few points, round ticks, all within the frame."""

import itertools
import re

import pytest

from cxrgan.reports.chart import MOST_POINTS, NARROW, WIDE, Frame, Line, chart, comparison, log_ticks, thin, ticks


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
    assert all(0 <= float(x) <= Frame().width and 0 <= float(y) <= Frame().height for x, y in places)


def test_a_reader_hears_the_title_and_the_last_values() -> None:
    svg = chart("Losses <b>", [Line("generator", "one", [(0, 3.0), (10, 2.5)])], last_step=10)
    assert 'aria-label="Losses &lt;b&gt;, to step 10; at the end generator 2.50"' in svg


@pytest.mark.parametrize(("low", "high"), [(20, 500), (1e-3, 1e6), (0.5, 4)])
def test_ticks_of_a_logarithmic_scale_are_ones_twos_and_fives(low: float, high: float) -> None:
    places = log_ticks(low, high)
    assert 2 <= len(places) <= 10
    assert all(low <= place <= high and f"{place:e}"[0] in "125" for place in places)


@pytest.mark.parametrize("frame", [WIDE, NARROW])
@pytest.mark.parametrize("ends", [[5.0] * 8, [500.0] * 8, [10.0**n for n in range(8)], [0.0] * 8])
def test_the_names_of_eight_runs_do_not_touch_each_other(frame: Frame, ends: list[float]) -> None:
    lines = [Line(f"run {n} <b>", f"run-{n}", [(0, 500.0), (10, end)]) for n, end in enumerate(ends)]
    svg = comparison("Distances", lines, last_step=10, frame=frame)
    heights = sorted(float(y) for y in re.findall(r'y="(\S+)">run \d &lt;b&gt;', svg))
    assert len(heights) == 8
    assert all(after - before >= 13.9 for before, after in itertools.pairwise(heights))
    assert 0 < heights[0] < heights[-1] < frame.height


def test_the_curve_of_a_comparison_is_not_drawn_where_lines_are_missing() -> None:
    line = Line("run", "run-0", [(1, 5.0), (2, 4.0), (90, 3.0), (100, 2.0)], holes=[(2, 90)])
    (path,) = re.findall(r'class="run-0" d="([^"]*L[^"]*)"', comparison("Losses", [line], last_step=100))
    assert path.count("M") == 2
