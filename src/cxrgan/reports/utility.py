"""What utility.json says, as tables and sentences for people; `runs.results.read_utility` reads it."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from cxrgan.reports.numbers import NONE, count, fixed, percent
from cxrgan.runs.results import BOTH, REAL, REPEATED, SYNTHETIC

PLACES = 3  # of an AUC: the fourth is noise
ENOUGH = 0.98
"""Of the AUC of real images, from which on generated ones may stand in for them."""
ARM_COLUMNS = ("learnt from", "images", "AUC", "interval", "± over seeds")
COMPARISON_COLUMNS = ("compared", "AUC difference", "interval", "ratio", "interval")

Values = Mapping[str, Any]


def utility_tables(found: Values) -> list[Table]:
    """The arms, and the comparisons, for the terminal."""
    title = f"{found['target']}: of what use its images are"
    arms = _table(title, ARM_COLUMNS, [arm_cells(arm) for arm in found["arms"]])
    compared = _table("", COMPARISON_COLUMNS, [comparison_cells(each) for each in found["comparisons"]])
    compared.caption, compared.caption_justify = "\n".join(utility_remarks(found)), "left"
    return [arms, compared]


def arm_cells(arm: Values) -> tuple[str, ...]:
    """An arm as text, in the order of `ARM_COLUMNS`."""
    auc, std = arm["auc"], arm["std"]
    spread = NONE if std is None else fixed(std, PLACES)
    return arm["name"], count(arm["num_images"]), fixed(auc["value"], PLACES), _interval(auc), spread


def comparison_cells(each: Values) -> tuple[str, ...]:
    """A comparison as text, in the order of `COMPARISON_COLUMNS`."""
    difference, ratio = each["difference"], each["ratio"]
    name = f"{each['of']} against {each['against']}"
    return (
        name,
        f"{difference['value']:+.{PLACES}f}",
        _interval(difference, sign="+"),
        fixed(ratio["value"], PLACES),
        _interval(ratio),
    )


def utility_answers(found: Values) -> list[str]:
    """Whether the generated images may stand in for the real ones, and whether they help beside them, a line each."""
    ratio = _comparison(found, SYNTHETIC, REAL)["ratio"]
    gain = _comparison(found, BOTH, REPEATED)["difference"]
    alone = "enough" if ratio["low"] >= ENOUGH else "too little" if ratio["high"] < ENOUGH else "undecided"
    beside = "it helps" if gain["low"] > 0 else "it harms" if gain["high"] < 0 else "no difference that shows"
    return [
        f"In place of the real images: {fixed(ratio['value'], PLACES)} of their AUC, {_interval(ratio)}; "
        f"{alone} to stand in for them, which asks for {ENOUGH}",
        f"Beside {count(found['num_real'])} real images: {gain['value']:+.{PLACES}f} AUC over as many repeated real "
        f"ones, {_interval(gain, sign='+')}; {beside}",
    ]


def utility_remarks(found: Values) -> list[str]:
    """How it was measured, as a reader must know it."""
    patients = "whole patients" if found["patients_named"] else "whole patients (an unnamed image is one of its own)"
    return [
        f"Tested on {count(found['num_test'])} real images of {count(found['num_test_patients'])} patients that no "
        f"training saw; each classifier makes {count(found['num_steps'])} steps of {found['batch_size']} images, "
        f"{found['num_seeds']} of each kind, in {found['precision']}.",
        f"Intervals of {percent(found['coverage'])}: {count(found['num_resamples'])} draws of {patients} and of seeds; "
        "they do not cover another training of the generator.",
    ]


def _comparison(found: Values, of: str, against: str) -> Values:
    return next(each for each in found["comparisons"] if (each["of"], each["against"]) == (of, against))


def _interval(estimate: Values, sign: str = "") -> str:
    return f"[{estimate['low']:{sign}.{PLACES}f}, {estimate['high']:{sign}.{PLACES}f}]"


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
