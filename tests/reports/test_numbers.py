"""The one formatter of numbers."""

import pytest

from cxrgan.reports.numbers import column, number, percent, setting


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([71.68, 238.7, 9.2], ["71.7", "238.7", "9.2"]),
        ([0.567, 0.0193, 0.0], ["0.567", "0.019", "0.000"]),
        ([0.567, 0.00077], ["0.567", "0.001"]),
        ([1.0403, 0.4905, 248.79, None], ["1.04", "0.49", "248.79", "—"]),
        ([4055.2, 20000.0], ["4,055", "20,000"]),
        ([None, None], ["—", "—"]),
        ([-0.0001, 0.5], ["0.000", "0.500"]),
    ],
)
def test_numbers_of_a_column_have_the_same_decimals(values: list[float | None], shown: list[str]) -> None:
    assert column(values) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(26.866, "26.9"), (0.0193, "0.0193"), (10, "10.0"), (1234.5, "1,234"), (0, "0"), (1e-9, "1e-09"), (1e30, "1e+30")],
)
def test_a_number_by_itself_has_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1e308, 5e-324, 10**300])
def test_no_number_is_too_odd_to_be_written(value: float) -> None:
    assert 0 < len(number(value)) < 12
    assert len(column([value, 1.0])) == 2


def test_little_is_not_nothing() -> None:
    assert [percent(share) for share in (0.794, 0.022, 0.0, 1.0)] == [
        "79\u00a0%",
        "2.2\u00a0%",
        "0\u00a0%",
        "100\u00a0%",
    ]


def test_settings_are_exact() -> None:
    assert [setting(value) for value in (5e-4, 50.0, 0.00012345, None, True, 64)] == [
        "0.0005",
        "50",
        "0.00012345",
        "not set",
        "yes",
        "64",
    ]
