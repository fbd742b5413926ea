"""audit.json as sentences and tables for people: the terminal's, the report's and the model card's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from cxrgan.reports.numbers import NONE, count, number, percent

Values = Mapping[str, Any]


@dataclass(frozen=True)
class AuditTable:
    """The first column names the rows; the others are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str


def audit_verdict(audit: Values) -> str:
    """What was found, in a sentence."""
    among = f"{count(audit['n'])} images, compared with {count(audit['n_train'])} training images"
    low, high = map(percent, audit["copies_interval"])
    if audit["copies"]:
        share = f"{percent(audit['copies'] / audit['n'])} (95 %: {low} to {high})"
        return f"Copies found: {count(audit['copies'])} of {among}, {share}; {count(audit['exact'])} of them exact."
    return f"No copies found in {among}; at most {high} of such images are copies of a kind that is found (95 %)."


def audit_limits(audit: Values) -> str:
    """How the verdict came about, and what it does not say."""
    return (
        f"The thresholds are set by {count(audit['n_held_out'])} held-out images of {audit['held_out']}, so that real "
        f"images of other patients, as many as these, are taken for copies with a probability of "
        f"{percent(audit['false_alarm'])} in all. An audit finds the kinds of copies that its planted ones stand for; "
        "it is no proof of privacy."
    )


def audit_tables(audit: Values) -> list[AuditTable]:
    """The evidence, the planted copies, and how near the images lie."""
    return [_searches(audit), _planted(audit), _nearness(audit)]


def terminal_tables(audit: Values) -> list[Table]:
    """`audit_tables` for the terminal."""
    tables = []
    for each in audit_tables(audit):
        table = Table(title=each.title, title_justify="left", caption=each.note, caption_justify="left")
        for place, column in enumerate(each.columns):
            table.add_column(column, justify="right" if place else "left")
        for row in each.rows:
            table.add_row(*row)
        tables.append(table)
    return tables


def audit_pairs(audit: Values, most: int) -> list[str]:
    """The strongest pairs, a line each; they name files of patients."""
    return [
        f"{pair['image']} and {pair['train']}: {pair['search']}, evidence {number(pair['evidence'])}, correlation "
        f"{number(pair['correlation'])}" + (", a copy" if pair["copy"] else "")
        for pair in audit["pairs"][:most]
    ]


def _searches(audit: Values) -> AuditTable:
    rows = [
        (
            search["name"],
            number(search["threshold"]),
            count(search["found"]),
            number(search["highest"]),
            count(search["found_held_out"]),
            number(search["highest_held_out"]),
        )
        for search in audit["searches"]
    ]
    columns = ("search", "threshold", "images beyond", "highest", "held-out beyond", "highest held-out")
    note = (
        "Evidence: the logarithm of how many times nearer the nearest training image is than the tenth nearest of "
        "other patients, in pixels after small shifts."
    )
    return AuditTable("Evidence for copies", columns, rows, note)


def _planted(audit: Values) -> AuditTable:
    rows = [
        (
            each["kind"],
            f"{each['found']} of {each['num']}",
            _range(each["interval"]),
            NONE if each["needed"] is None else count(each["needed"]),
        )
        for each in audit["planted"]
    ]
    note = "Needed: so many copies among the images that one at least is found, with 95 %."
    return AuditTable("Copies planted among these images", ("kind", "found", "95 %", "needed"), rows, note)


def _nearness(audit: Values) -> AuditTable:
    rows = [
        (
            f"{each['who']} ({count(each['n'])})",
            number(each["median"]),
            f"{percent(each['too_near'])} ({_range(each['too_near_interval'])})",
            percent(each["authentic"]),
            NONE
            if each["nearer_to_train"] is None
            else f"{percent(each['nearer_to_train'])} ± {percent(each['nearer_to_train_std'])}",
        )
        for each in audit["nearness"]
    ]
    columns = ("images", "median distance", "too near (95 %)", "authentic", "nearer to training than held-out")
    note = (
        f"Too near: nearer to a training image than all but 1 % of the held-out images; by chance "
        f"{_range(audit['chance'])} are. This is no sign of copies where training images are as near to those of other "
        "patients: then it is the held-out images that are unlike."
    )
    return AuditTable(f"How near they lie, by {audit['features']}", columns, rows, note)


def _range(interval: Sequence[float]) -> str:
    return " to ".join(map(percent, interval))
