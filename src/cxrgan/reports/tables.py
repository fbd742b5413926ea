"""Rows of evaluation.json as tables for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from cxrgan.reports.numbers import count, decimals, number, with_deviation

HIGHER_IS_BETTER = {"inception_score", "precision", "recall", "density", "coverage"}
DEPENDS_ON_NUMBERS = {"frechet_distance", "inception_score"}
"""Metrics that change with the number of images, not only with the proportion of real and generated ones."""
UNEQUAL = "*"
"""Marks a ratio between unequal numbers of images."""
EVALUATION_COLUMNS = ("metric", "tap", "value", "floor", "ratio")


def evaluation_tables(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Rows of evaluation.json that have a value -> a table for the terminal for each network and class."""
    tables = []
    for group in evaluation_groups(rows):
        table = Table(title=f"{group[0]['features']}, {group[0]['label'] or 'all images'}", title_justify="left")
        for column in EVALUATION_COLUMNS[:2]:
            table.add_column(column, no_wrap=True)
        for column in EVALUATION_COLUMNS[2:]:
            table.add_column(column, justify="right", no_wrap=True)
        for row in group:
            table.add_row(*evaluation_cells(row))
        table.caption, table.caption_justify = "\n".join(evaluation_remarks(group)), "left"
        tables.append(table)
    return tables


def evaluation_groups(rows: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Rows of evaluation.json that have a value, by network and class."""
    groups: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["value"] is not None:
            groups.setdefault((row["features"], row["label"]), []).append(row)
    return list(groups.values())


def evaluation_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of evaluation.json as text, in the order of `EVALUATION_COLUMNS`."""
    spread = [std for std in (row["std"], row.get("floor_std")) if std]
    places = decimals([row["value"], *spread] if spread else [row["value"], row["floor"]])
    ratio = "" if row["ratio"] is None else number(row["ratio"]) + (UNEQUAL if is_unequal(row) else "")
    return (
        f"{row['metric'].replace('_', ' ')} {'↑' if row['metric'] in HIGHER_IS_BETTER else '↓'}",
        row["tap"],
        with_deviation(row["value"], row["std"], places),
        "" if row["floor"] is None else with_deviation(row["floor"], row.get("floor_std"), places),
        ratio,
    )


def is_unequal(row: Mapping[str, Any]) -> bool:
    """Whether a row of evaluation.json compares unequal numbers: real with generated images, or a value with its floor.

    A floor at other numbers tells nothing wrong where it is corrected, or where the metric depends on their proportion.
    """
    if row["n_real"] != row["n_fake"]:
        return True
    as_fake = row["n_floor"][1] if isinstance(row["n_floor"], list) else row["n_floor"]  # one number: halves, before
    depends = row["metric"] in DEPENDS_ON_NUMBERS and not row.get("floor_corrected")
    return row["floor"] is not None and depends and as_fake != row["n_fake"]


def evaluation_remarks(group: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know of a table of `evaluation_groups`: how its floors were drawn, and what its mark means."""
    remarks = []
    drawn = [row for row in group if row.get("floor_std") is not None]
    if drawn:
        counts = " or ".join(dict.fromkeys(str(row["floor_draws"]) for row in drawn))
        sizes = " or ".join(dict.fromkeys(_sides(*row["n_floor"]) for row in drawn))
        remarks.append(f"Floor: real against other real images, mean ± deviation of {counts} draws of {sizes}.")
    corrected = next((row for row in drawn if row["floor_corrected"]), None)
    if corrected:
        numbers = _sides(corrected["n_real"], corrected["n_fake"])
        remarks.append(f"The Frechet distance's floor is corrected from there to {numbers}.")
    if any(row["ratio"] is not None and is_unequal(row) for row in group):
        unequal = dict.fromkeys(_numbers(row) for row in group if is_unequal(row))
        remarks.append(f"{UNEQUAL} {'; '.join(unequal)}: compare such a ratio only with one at the same numbers.")
    return remarks


def evaluation_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was not computed, and why, in a line each."""
    missing = [row for row in rows if row["value"] is None]
    images = [f", {row['label']}" if row.get("label") else "" for row in missing]
    return [f"{row['features']}{of}, {row['metric']}: {row['note']}" for row, of in zip(missing, images, strict=True)]


def _sides(as_real: int, as_fake: int) -> str:
    return f"{count(as_real)} against {count(as_fake)}" if as_real else count(as_fake)


def _numbers(row: Mapping[str, Any]) -> str:
    if row["n_real"] != row["n_fake"]:
        return f"{count(row['n_fake'])} generated images against {count(row['n_real'])} real ones"
    return f"a value of {count(row['n_fake'])} images against a floor of fewer"
