"""The JSON files beside a run: read with every value of its kind, or refused with the file's name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mutations import check_mutations, check_no_file
from written import AUDIT, DRAWN, EXPERIMENT, FINDING, ROW, UNMEASURED, UTILITY, sweep_page

from cxrgan.errors import UserError
from cxrgan.runs.results import read_audit, read_diagnosis, read_evaluation, read_failure, read_sweep, read_utility


def read_sweep_alone(file: Path) -> object:
    page, results = read_sweep(file)
    return (page, results) if page else None


VALID = [
    (read_evaluation, {"target": "run", "data": "tiny", "n_real": 40, "n_fake": 40, "rows": [ROW, DRAWN, UNMEASURED]}),
    (read_evaluation, {"target": "run", "data": "tiny", "rows": [DRAWN]}),
    (read_audit, AUDIT),
    (read_utility, UTILITY),
    (read_diagnosis, {"step": 6, "verdict": "noise", "findings": [FINDING]}),
    (read_failure, {"reason": "no room"}),
    (read_sweep_alone, sweep_page([{"name": "exp2", "fid": 12.3, "note": None}], "of eight")),
    (read_sweep_alone, sweep_page([{"name": "exp2"}], "of eight") | {"experiments": [EXPERIMENT]}),
]


@pytest.mark.parametrize(("read", "content"), VALID)
def test_no_results_are_too_hostile_to_be_read_or_refused(
    read: Callable[[Path], object], content: object, tmp_path: Path
) -> None:
    file = tmp_path / "results.json"
    assert not read(file)
    file.write_text(json.dumps(content))
    assert check_mutations(file, lambda: read(file))
    check_no_file(file, lambda: read(file) or pytest.fail("read as nothing"))


def test_a_row_has_all_that_may_be_asked_of_it(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    bare = {name: ROW[name] for name in ("metric", "features", "value", "tap", "resize", "n_real", "n_fake", "seed")}
    file.write_text(json.dumps({"target": "run", "data": "tiny", "rows": [bare, UNMEASURED]}))
    row, missing = read_evaluation(file)["rows"]
    assert row == bare | dict.fromkeys(
        ("label", "split", "std", "floor", "floor_std", "ratio", "n_floor")
    ) | dict.fromkeys(("floor_draws", "floor_corrected"))
    assert (missing["value"], missing["note"], missing["label"]) == (None, "no network", None)


def test_cells_of_a_table_have_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "experiments.json"
    hostile: list[list[dict[str, object]]] = [[], [{}], [{"a": 1}, {"b": 1}], [{"a": [1]}]]
    for rows in hostile:
        file.write_text(json.dumps(sweep_page(rows, "words")))
        with pytest.raises(UserError, match=r"experiments\.json, page, tables\[0\]: rows is"):
            read_sweep(file)
