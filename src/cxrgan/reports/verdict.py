"""A run in a few words and numbers: what the doctor says, and how real and how varied its images are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cxrgan.reports.numbers import count, number, percent
from cxrgan.reports.record import Missing, RunRecord
from cxrgan.reports.tables import evaluation_groups
from cxrgan.runs.log import BEST_BY, Row
from cxrgan.runs.results import TOO_EARLY, Values


@dataclass(frozen=True)
class Stat:
    """One number that everybody should see, and what it says."""

    title: str
    value: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """The run in a few words and numbers."""

    kind: str
    """`good`, `bad` or `unsure`."""
    title: str
    text: str
    stats: Sequence[Stat]
    measured: str
    """By what the numbers were measured; empty where there are none."""


@dataclass(frozen=True)
class Finding:
    """What the doctor found, and what to do."""

    name: str
    since: str
    evidence: str
    advice: Sequence[tuple[str, bool]]
    """Parts of the sentence; True for a flag of the command line."""


def verdict(record: RunRecord) -> Verdict:
    found = record.diagnosis
    stats, measured = _stats(record)
    if not found:
        return Verdict("unsure", "Not examined yet", "The doctor examines a run while it trains.", stats, measured)
    step = f"at step {count(found['step'])}"
    if found["findings"]:
        title = ", ".join(finding["name"] for finding in found["findings"])
        return Verdict("bad", title[:1].upper() + title[1:], f"Found {step}; see what to do below.", stats, measured)
    if found["verdict"] == TOO_EARLY:
        text = "The doctor finds nothing wrong, but has seen too little to call the run healthy."
        return Verdict("unsure", f"Too early to say {step}", text, stats, measured)
    return Verdict("good", f"Healthy {step}", "The doctor finds nothing wrong.", stats, measured)


def _stats(record: RunRecord) -> tuple[list[Stat], str]:
    """Precision and recall relative to what real images get, and the distance; and by what they were measured."""
    rows, measured = _evaluated(record.evaluation)
    if not rows and record.measured:
        rows, measured = _while_training(record.measured)
    shares = (
        ("precision", "Looks real", "of the generated images lie among the real ones", "of other real images, {} do"),
        ("recall", "Variety", "of the real images lie among the generated ones", "among other real images, {} do"),
    )
    found = [
        Stat(
            title,
            _relative(rows[name]),
            f"{percent(rows[name]['value'])} {text}"
            + (f"; {others.format(percent(rows[name]['floor']))}." if rows[name]["floor"] else "."),
        )
        for name, title, text, others in shares
        if name in rows
    ]
    if BEST_BY in rows:
        value, floor = rows[BEST_BY]["value"], rows[BEST_BY]["floor"]
        text = "Lower is better."
        if floor:
            times = f"{number(value / floor)} times the floor, {number(floor)}"
            text = f"{times}: the distance between real images and other real ones."
        found.append(Stat("Fréchet distance", number(value), text))
    return found, measured


def _relative(row: Values) -> str:
    """A share as a share of what other real images get."""
    return percent(row["value"] / row["floor"] if row["floor"] else row["value"])


def _evaluated(evaluation: Values) -> tuple[dict[str, Values], str]:
    """Metric -> its row for all images, by the first network that has a precision, at the tap of that."""
    for group in evaluation_groups(evaluation.get("rows", [])):
        row = next((row for row in group if row["metric"] == "precision"), None)
        if row and row["label"] is None:
            split = f" ({row['split']})" if row["split"] else ""
            return {each["metric"]: each for each in group if each["tap"] == row["tap"]}, (
                f"{evaluation['target']}: measured with {row['features']} on {count(row['n_fake'])} generated and "
                f"{count(row['n_real'])} real images{split}"
            )
    return {}, ""


def _while_training(row: Row) -> tuple[dict[str, Values], str]:
    """The same of a measurement in the log; old ones do not say what other real images get."""
    names = {BEST_BY: "frechet_floor", "precision": "precision_floor", "recall": "recall_floor"}
    rows: dict[str, Values] = {
        name: {"value": row[name], "floor": row.get(floor)}
        for name, floor in names.items()
        if row.get(name) is not None
    }
    by = ""
    if row.get("features"):
        by = f", with {row['features']} on {count(row['n_fake'])} generated and {count(row['n_real'])} real images"
    return rows, f"Measured after step {count(row['step'])}, while it trained{by}"


def findings(found: Values) -> Sequence[Finding] | Missing:
    if not found:
        return Missing("The doctor has not looked yet; it does while a run trains", "cxrgan train --resume RUN")
    return [
        Finding(
            name=finding["name"][:1].upper() + finding["name"][1:],
            since=count(finding["since"]),
            evidence=finding["evidence"],
            advice=[(part, part.startswith("--")) for part in re.split(r"(--[a-z][a-z-]*)", finding["advice"]) if part],
        )
        for finding in found["findings"]
    ]
