"""What evaluation.json, diagnosis.json, failure.json and experiments.json say, every value of its kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrgan.fields import Fields, read_json

MEND = "delete the file, and run the command that wrote it again"
TOO_EARLY = "too early to say"
"""The doctor's verdict where there is too little to look at."""
Values = Mapping[str, Any]


def read_evaluation(file: Path) -> Values:
    """`target`, `data`, `n_real`, `n_fake` and `rows` of what `cxrgan evaluate` measured; nothing where it did not.

    A row that has a value has all that is said of one, None where it is not known; any other has a `note`.
    """
    table = _read(file)
    if table is None:
        return {}
    return {
        "target": table.text("target"),
        "data": table.text("data"),
        "n_real": _whole(table, "n_real"),
        "n_fake": _whole(table, "n_fake"),
        "rows": [_row(row) for row in table.tables("rows")],
    }


def _row(row: Fields) -> Values:
    named = {name: row.text(name) for name in ("metric", "features")}
    labelled = {name: row.optional_text(name) for name in ("label", "split")}
    value = row.optional_number("value")
    if value is None:
        return {**named, **labelled, "value": None, "note": row.text("note")}
    numbers = {name: row.optional_number(name) for name in ("std", "floor", "floor_std", "ratio")}
    counts = {name: row.whole(name) for name in ("n_real", "n_fake", "seed")}
    texts = {name: row.text(name) for name in ("tap", "resize")}
    return {**named, **labelled, "value": value, **numbers, **counts, **texts, **_floor(row)}


def _floor(row: Fields) -> Values:
    """How the floor was drawn: from `n_floor` images, of both halves alike or [of one side, of the other]."""
    if row.values.get("floor_std") is None:
        return {"n_floor": _whole(row, "n_floor"), "floor_draws": None, "floor_corrected": None}
    sides = row.values.get("n_floor")
    if not isinstance(sides, list) or [type(side) for side in sides] != [int, int]:
        row.refuse("n_floor", "two whole numbers")
    if not isinstance(row.values.get("floor_corrected"), bool):
        row.refuse("floor_corrected", "true or false")
    corrected = row.values["floor_corrected"]
    return {"n_floor": sides, "floor_draws": row.whole("floor_draws", 1), "floor_corrected": corrected}


def read_diagnosis(file: Path) -> Values:
    """`step`, `verdict` and `findings` (`name`, `since`, `evidence`, `advice`) of the doctor; nothing where none is."""
    table = _read(file)
    if table is None:
        return {}
    findings = [
        {"since": finding.whole("since"), **{name: finding.text(name) for name in ("name", "evidence", "advice")}}
        for finding in table.tables("findings")
    ]
    return {"step": table.whole("step"), "verdict": table.text("verdict"), "findings": findings}


def read_failure(file: Path) -> str | None:
    """Why an experiment could not go on; None where it could."""
    table = _read(file)
    return None if table is None else table.text("reason")


def read_sweep_page(file: Path) -> Values:
    """`about`, `tables` (`title`, `rows` of the same columns, `note`) and `notes` of experiments.json."""
    table = _read(file)
    if table is None:
        return {}
    page = table.table("page")
    notes = page.values.get("notes")
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        page.refuse("notes", "a list of texts")
    tables = [
        {"title": part.text("title"), "rows": _cells(part), "note": part.text("note")} for part in page.tables("tables")
    ]
    return {"about": page.text("about"), "tables": tables, "notes": notes}


def _cells(part: Fields) -> list[Values]:
    rows: list[Values] = [row.values for row in part.tables("rows")]
    if not rows or any(row.keys() != rows[0].keys() for row in rows) or not rows[0]:
        part.refuse("rows", "a list of tables that all have the same columns, one or more")
    for row in rows:
        for column, cell in row.items():
            if not isinstance(cell, str | int | float | None):
                part.refuse("rows", f"tables of texts and numbers, and {column!r} holds another thing")
    return rows


def _whole(table: Fields, name: str) -> int | None:
    """A whole number, or None where the field is null or absent."""
    return None if table.values.get(name) is None else table.whole(name)


def _read(file: Path) -> Fields | None:
    try:
        return read_json(file, mend=MEND)
    except FileNotFoundError:
        return None
