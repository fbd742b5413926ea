"""The doctor on the numbers of real runs, thinned out to every eighth or fourth step (`docs/doctor.md`)."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cxrgan.runs.log import LogReader, Row
from cxrgan.training.doctor.diagnose import Diagnosis, diagnose
from cxrgan.training.doctor.readings import Measured, Readings

RUNS = Path(__file__).parent / "recorded"


def diagnosed(run: str, change: Callable[[Row], Row] = dict, evaluated: Sequence[Measured] = ()) -> Diagnosis:
    """The diagnosis of a recorded run, whose lines are changed before."""
    readings = Readings()
    LogReader(RUNS / f"{run}.jsonl", lambda row: readings.add(change(row))).read_on()
    return diagnose(readings, evaluated)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("exp3", []),
        ("fast-64", []),
        ("stable-128", []),
        ("exp5", ["the samples are noise", "the discriminator has won"]),
        ("exp6", ["the samples are noise", "the discriminator is too weak"]),
        ("few-images", ["the discriminator is overfitting"]),
        ("quick", ["lost variety"]),
        ("quick-100-images", ["the discriminator is overfitting"]),
        ("exp6-ndf-64", []),
        ("exp6-lr-1e-2", ["mode collapse", "the samples are noise", "the discriminator has won"]),
    ],
)
def test_a_real_run_is_named_rightly(run: str, expected: list[str]) -> None:
    assert [finding.name for finding in diagnosed(run).findings] == expected


@pytest.mark.parametrize("run", ["fast-64", "stable-128"])
def test_overfitting_planted_into_a_run_under_a_gradient_penalty_is_found(run: str) -> None:
    def plant(row: Row) -> Row:
        return {**row, "d_held_out": row["d_samples"]} if "d_samples" in row else row

    found = diagnosed(run, plant).findings
    assert [finding.name for finding in found] == ["the discriminator is overfitting"]


@pytest.mark.parametrize(("run", "recall"), [("fast-64", 0.34), ("stable-128", 0.12)])
def test_a_run_whose_evaluation_shows_a_low_recall_is_not_called_healthy(run: str, recall: float) -> None:
    """`docs/stable-recipe.md`: real images have 0.85 among each other."""
    assert (
        diagnosed(run, evaluated=[Measured(3244, "cxr-domain-v1", "recall", None, recall, 0.85)]).verdict
        == "lost variety"
    )
