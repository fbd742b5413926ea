"""What the JSON files beside a run, and experiments.json, say: every value of its kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrgan.fields import Fields, is_number, read_json
from cxrgan.recipes.config import TrainConfig
from cxrgan.settings import from_dict

MEND = "delete the file, and run the command that wrote it again"
TOO_EARLY = "too early to say"
"""The doctor's verdict if there is too little evidence."""
FINISHED = "finished"
"""The state of an experiment that is trained and measured."""
FID_SCORE_TAP = "logits_unbiased"
"""Of the FID's network, for an Inception Score; other networks have logits that are for none."""
REAL, SYNTHETIC, BOTH, REPEATED = "real", "synthetic", "both", "repeated"
ARMS = (REAL, SYNTHETIC, BOTH, REPEATED)
"""What the classifiers of utility.json learnt from; repeated are real images, up to the number of both."""
COMPARISONS = ((SYNTHETIC, REAL), (BOTH, REAL), (BOTH, REPEATED), (REPEATED, REAL))
"""Which arm is compared with which."""
MEASURED = ("frechet_distance", "frechet_floor", "precision", "recall")
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Published:
    """What a report printed; it names neither the tap nor the number of images behind its FID."""

    inception_score: float
    fid: float
    note: str = ""


@dataclass(frozen=True)
class Result:
    """All that the files say of an experiment."""

    name: str
    state: str
    """`finished`, or how far it is and why no further."""
    config: TrainConfig
    published: Published | None
    seconds: float | None
    """Of training."""
    verdict: str | None
    """The doctor's."""
    evaluation: Values
    """The content of evaluation.json; empty for a run that is not finished."""
    measured: Sequence[Values]
    """The measurements during training, from metrics.jsonl."""

    def row(self, metric: str, tap: str, features: str | None = None) -> Values:
        """The row of a metric for images of all classes, by the network `features`, or by any that has such a tap.

        Empty where it was not measured.
        """
        wanted = {"metric": metric, "tap": tap, "label": None} | ({"features": features} if features else {})
        rows = self.evaluation.get("rows", [])
        return next((row for row in rows if {key: row.get(key) for key in wanted} == wanted), {})


def read_evaluation(file: Path) -> Values:
    """`target`, `data`, `n_real`, `n_fake` and `rows` of what `cxrgan evaluate` measured; nothing where it did not.

    A row that has a value has all that is said of one, None where it is not known; any other has a `note`.
    """
    table = _read(file)
    return {} if table is None else _evaluation(table)


def _evaluation(table: Fields) -> Values:
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


def read_audit(file: Path) -> Values:
    """What `cxrgan audit` found, as `evaluation.audit.Audit` has it; nothing where it did not look."""
    table = _read(file)
    return {} if table is None else audit_values(table)


def audit_values(table: Fields) -> Values:
    """The same of a table; without `pairs` where it has none, as on a model card."""
    texts = {name: table.text(name) for name in ("target", "data", "held_out", "features")}
    counts = {name: table.whole(name, 1) for name in ("n", "n_train", "n_held_out")}
    found = {name: table.whole(name) for name in ("seed", "copies", "exact")}
    return {
        **texts,
        **counts,
        **found,
        "copies_interval": _interval(table, "copies_interval"),
        "false_alarm": table.number("false_alarm", 0, 1),
        "chance": _interval(table, "chance"),
        "searches": [_search(part) for part in table.tables("searches")],
        "planted": [_planted(part) for part in table.tables("planted")],
        "nearness": [_nearness(part) for part in table.tables("nearness")],
        "pairs": [_pair(part) for part in table.tables("pairs")] if "pairs" in table else [],
    }


def _search(part: Fields) -> Values:
    numbers = {name: part.number(name) for name in ("threshold", "highest", "highest_held_out")}
    counts = {name: part.whole(name) for name in ("found", "found_held_out")}
    return {"name": part.text("name"), **numbers, **counts}


def _planted(part: Fields) -> Values:
    counts = {"num": part.whole("num", 1), "found": part.whole("found"), "needed": _whole(part, "needed")}
    return {"kind": part.text("kind"), **counts, "interval": _interval(part, "interval")}


def _nearness(part: Fields) -> Values:
    shares = {name: part.number(name, 0, 1) for name in ("too_near", "authentic")}
    control: dict[str, float | None] = dict.fromkeys(("nearer_to_train", "nearer_to_train_std"))
    if part.values.get("nearer_to_train") is not None:
        control = {name: part.number(name, 0, 1) for name in control}
    named = {"who": part.text("who"), "n": part.whole("n", 1), "median": part.number("median", 0)}
    return {**named, **shares, **control, "too_near_interval": _interval(part, "too_near_interval")}


def _pair(part: Fields) -> Values:
    if not isinstance(part.values.get("copy"), bool):
        part.refuse("copy", "true or false")
    texts = {name: part.text(name) for name in ("image", "train", "search")}
    numbers = {name: part.number(name) for name in ("evidence", "correlation", "row", "column")}
    return {**texts, **numbers, "copy": part.values["copy"]}


def _interval(part: Fields, name: str) -> list[float]:
    """[low, high], both from 0 to 1."""
    limits = part.values.get(name)
    if not isinstance(limits, list) or len(limits) != 2 or not all(is_number(x) and 0 <= x <= 1 for x in limits):
        part.refuse(name, "two numbers from 0 to 1")
    return [float(limit) for limit in limits]


def read_utility(file: Path) -> Values:
    """What `evaluation.utility.Utility` says, arms and comparisons as tables; nothing where it was not measured."""
    table = _read(file)
    if table is None:
        return {}
    if not isinstance(table.values.get("patients_named"), bool):
        table.refuse("patients_named", "true or false")
    arms = [_arm(arm) for arm in table.tables("arms")]
    if tuple(arm["name"] for arm in arms) != ARMS:
        table.refuse("arms", "those of " + "; ".join(ARMS))
    comparisons = [_comparison(each) for each in table.tables("comparisons")]
    if tuple((each["of"], each["against"]) for each in comparisons) != COMPARISONS:
        table.refuse("comparisons", "those of " + "; ".join(" against ".join(pair) for pair in COMPARISONS))
    texts = ("target", "data", "precision")
    sizes = ("num_real", "num_synthetic", "num_test", "num_test_patients", "image_size")
    lengths = ("num_seeds", "num_steps", "batch_size", "num_resamples")
    return {
        **{name: table.text(name) for name in texts},
        **{name: table.whole(name) for name in (*sizes, *lengths)},
        "classes": table.names("classes"),
        "patients_named": table.values["patients_named"],
        "coverage": table.number("coverage", 0, 1),
        "seconds": table.number("seconds", 0),
        "arms": arms,
        "comparisons": comparisons,
    }


def _arm(arm: Fields) -> Values:
    return {
        "name": arm.text("name"),
        "num_images": arm.whole("num_images"),
        "auc": _estimate(arm, "auc"),
        "std": arm.optional_number("std", 0),
    }


def _comparison(each: Fields) -> Values:
    return {
        **{name: each.text(name) for name in ("of", "against")},
        **{name: _estimate(each, name) for name in ("difference", "ratio")},
    }


def _estimate(table: Fields, name: str) -> Values:
    estimate = table.table(name)
    return {part: estimate.number(part) for part in ("value", "low", "high")}


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


def read_sweep(file: Path) -> tuple[Values, list[Result]]:
    """The page of experiments.json (`about`, `tables` of `title`, `rows` of the same columns and `note`, and `notes`).

    And its experiments. Both are empty where there is no such file.
    """
    table = _read(file)
    if table is None:
        return {}, []
    return _sweep_page(table), [_result(part) for part in table.tables("experiments")] if "experiments" in table else []


def _result(part: Fields) -> Result:
    """An experiment; of its measurements, what is drawn."""
    published, evaluation = None, part.table("evaluation")
    if part.values.get("published") is not None:
        printed = part.table("published")
        published = Published(printed.number("inception_score"), printed.number("fid", 0), printed.text("note"))
    return Result(
        name=part.text("name"),
        state=part.text("state"),
        config=from_dict(part.table("config").values, TrainConfig(), where=f"{part.where}, config"),
        published=published,
        seconds=part.optional_number("seconds"),
        verdict=part.optional_text("verdict"),
        evaluation=_evaluation(evaluation) if evaluation.values else {},
        measured=[
            {"step": row.whole("step"), **{name: row.optional_number(name) for name in MEASURED}}
            for row in part.tables("measured")
        ],
    )


def _sweep_page(table: Fields) -> Values:
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
