"""What utility.json says, as tables and sentences for people; `runs.results.read_utility` reads it."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from cxrgan.reports.numbers import count, fixed, percent
from cxrgan.runs.results import BOTH, REAL, REPEATED, SYNTHETIC

PLACES = 3  # of an AUC: the fourth is noise
ENOUGH = 0.98
"""Of the AUC of real images, from which on generated ones may stand in for them."""
ARM_COLUMNS = ("learnt from", "images", "AUC", "± over seeds")
COMPARISON_COLUMNS = ("compared", "AUC difference", "AUC ratio")

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
    return arm["name"], count(arm["num_images"]), _estimate(arm["auc"]), fixed(arm["std"], PLACES)


def comparison_cells(each: Values) -> tuple[str, ...]:
    """A comparison as text, in the order of `COMPARISON_COLUMNS`."""
    return f"{each['of']} against {each['against']}", _estimate(each["difference"], sign="+"), _estimate(each["ratio"])


def utility_answers(found: Values) -> list[str]:
    """Whether the generated images may stand in for the real ones, and whether they help beside them, a line each."""
    ratio = _comparison(found, SYNTHETIC, REAL)["ratio"]
    gain = _comparison(found, BOTH, REPEATED)["difference"]
    alone = "enough" if ratio["low"] >= ENOUGH else "too little" if ratio["high"] < ENOUGH else "undecided"
    beside = "it helps" if gain["low"] > 0 else "it harms" if gain["high"] < 0 else "no difference that shows"
    return [
        f"In place of the real images: {_estimate(ratio)} of their AUC; "
        f"{alone} to stand in for them, which asks for {ENOUGH}",
        f"Beside {count(found['num_real'])} real images: {_estimate(gain, sign='+')} AUC over repeating them; {beside}",
    ]


def utility_remarks(found: Values) -> list[str]:
    """How it was measured, as a reader must know it."""
    patients = "whole patients" if found["patients_named"] else "whole patients (an unnamed image is one of its own)"
    return [
        "Both are real and synthetic images; repeated are the real ones, up to the number of both.",
        f"Tested on {count(found['num_test'])} real images of {count(found['num_test_patients'])} patients that no "
        f"training saw; each classifier makes {count(found['num_steps'])} steps of {found['batch_size']} images, "
        f"{found['num_seeds']} of each kind, in {found['precision']}.",
        f"In brackets, intervals of {percent(found['coverage'])}: {count(found['num_resamples'])} draws of {patients} "
        "and of seeds; they do not cover another training of the generator.",
    ]


def _comparison(found: Values, of: str, against: str) -> Values:
    return next(each for each in found["comparisons"] if (each["of"], each["against"]) == (of, against))


def _estimate(estimate: Values, sign: str = "") -> str:
    value, low, high = (f"{estimate[part]:{sign}.{PLACES}f}" for part in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
