"""The doctor on the numbers of real runs, thinned out to every eighth or fourth step (`docs/doctor.md`)."""

import json
from pathlib import Path

import pytest

from cxrgan.training.doctor import diagnose

RUNS = Path(__file__).parent / "runs"


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("exp3", []),
        ("fast-64", []),
        ("stable-128", []),
        ("exp5", ["the samples are noise", "the discriminator has won"]),
        ("exp6", ["the samples are noise", "the discriminator is too weak"]),
        ("few-images", ["the discriminator learns the training images by heart"]),
        ("exp6-ndf-64", []),
        ("exp6-lr-1e-2", ["mode collapse", "the samples are noise", "the discriminator has won"]),
    ],
)
def test_a_real_run_is_named_rightly(run: str, expected: list[str]) -> None:
    rows = [json.loads(line) for line in (RUNS / f"{run}.jsonl").read_text().splitlines()]
    assert [finding.name for finding in diagnose(rows)] == expected
