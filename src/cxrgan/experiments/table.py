"""Run folders of a sweep -> experiments.md, .csv and .json; reads what the runs wrote, computes no metric anew."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cxrgan import __version__
from cxrgan.experiments.published import MEASURED_EVERY, Experiment
from cxrgan.experiments.sweep import Sweep
from cxrgan.files import write_bytes, write_json
from cxrgan.reports.comparison import (
    CHOOSES,
    DOMAIN_TAP,
    IMAGENET_SCORE_TAP,
    REPORTS,
    TAPS,
    Column,
    best,
    nearest_tap,
    result_columns,
    settings_columns,
    settings_row,
    with_floors,
    without_empty,
)
from cxrgan.reports.numbers import NONE, column, count
from cxrgan.reports.tables import UNEQUAL, evaluation_notes, is_unequal
from cxrgan.runs.results import FID_SCORE_TAP, FINISHED, Result, read_diagnosis, read_failure

FID_BY_ITERATION = {500: 7.0850, 1000: 3.8293, 2000: 3.3745}
"""The second report's figures, of the settings of exp3; its Inception Score is 1.14, of 4096 images."""


@dataclass(frozen=True)
class Table:
    """Rows of the same keys for people, numbers rounded."""

    title: str
    rows: Sequence[Mapping[str, Any]]
    note: str


@dataclass(frozen=True)
class Page:
    """What people are told of a sweep, in Markdown here and in HTML by `cxrgan report`."""

    title: str
    about: str
    tables: Sequence[Table]
    notes: Sequence[str]


def read_result(sweep: Sweep, experiment: Experiment) -> Result:
    """What became of an experiment so far."""
    folder = sweep.folder(experiment)
    last = folder.last_row()
    evaluation = sweep.evaluation(experiment) or {}
    return Result(
        name=experiment.name,
        state=_state(sweep, experiment),
        config=sweep.config(experiment),
        published=experiment.published,
        seconds=last["seconds"] if last else None,
        verdict=read_diagnosis(folder.diagnosis_file).get("verdict"),
        evaluation=evaluation,
        measured=[row for row in folder.rows() if "frechet_distance" in row],
    )


def _state(sweep: Sweep, experiment: Experiment) -> str:
    if sweep.evaluation(experiment):
        return FINISHED
    failure = read_failure(sweep.failure_file(experiment))
    if failure is not None:
        return f"failed: {failure}"
    folder = sweep.folder(experiment)
    if not folder.config_file.exists():
        return "not started"
    return f"step {(folder.steps() or [0])[-1]} of {sweep.num_steps(experiment)}"


def by_iteration(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The second report's iterations: what it published, and the measurement of exp3 there, if it was made."""
    found = []
    for result in results:
        if result.name == "exp3" and result.published:
            measured = {row["step"]: row for row in result.measured}
            for iteration, fid in FID_BY_ITERATION.items():
                step = iteration // MEASURED_EVERY * (result.config.evaluate_every or MEASURED_EVERY)
                row = {"iteration": iteration, "step": step, "published_fid": fid}
                found.append({**row, "measured": measured.get(step)})
    return found


def write_table(sweep: Sweep) -> None:
    """experiments.md, .csv and .json in the sweep's folder, from what its run folders hold now."""
    results = [read_result(sweep, experiment) for experiment in sweep.experiments]
    iterations = by_iteration(results)
    page = _page(results, iterations, sweep.scale)
    values = {
        "cxrgan": __version__,
        "scale": sweep.scale,
        "page": asdict(page),
        "experiments": [{**asdict(result), "nearest_tap": nearest_tap(result)} for result in results],
        "fid_by_iteration": iterations,
    }
    write_json(sweep.out / "experiments.json", values)
    write_bytes(sweep.out / "experiments.csv", _csv(results, sweep.scale).encode("utf-8", "backslashreplace"))
    write_bytes(sweep.out / "experiments.md", _markdown(page).encode("utf-8", "backslashreplace"))


def _csv(results: Sequence[Result], scale: float) -> str:
    """A line an experiment, every number in full."""
    lines = []
    for result in results:
        measured: dict[str, Any] = {}
        rows = {"frechet_distance_domain": result.row("frechet_distance", DOMAIN_TAP, CHOOSES)}
        rows |= {f"frechet_distance_inception_{tap}": result.row("frechet_distance", tap) for tap in TAPS}
        rows |= {metric: result.row(metric, DOMAIN_TAP, CHOOSES) for metric in ("precision", "recall")}
        for metric in ("frechet_distance", "precision", "recall"):
            rows[f"{metric}_domain_v2"] = result.row(metric, DOMAIN_TAP, REPORTS)
        for name, row in rows.items():
            measured |= {name: row.get("value"), f"{name}_floor": row.get("floor")}
        lines.append(
            {
                "scale": scale,
                "experiment": result.name,
                "state": result.state,
                **settings_row(result.config),
                "device": result.config.device,
                "precision_of_training": result.config.precision,
                "inception_score_imagenet": result.row("inception_score", IMAGENET_SCORE_TAP).get("value"),
                "published_inception_score": result.published and result.published.inception_score,
                **measured,
                "inception_score_fid_network": result.row("inception_score", FID_SCORE_TAP).get("value"),
                "published_fid": result.published and result.published.fid,
                "nearest_tap": nearest_tap(result),
                "n_real": result.evaluation.get("n_real"),
                "n_fake": result.evaluation.get("n_fake"),
                "seconds": result.seconds,
                "doctor": result.verdict,
            }
        )
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def _page(results: Sequence[Result], iterations: Sequence[Mapping[str, Any]], scale: float) -> Page:
    names = Column("experiment", [result.name for result in results])
    tables = [
        Table(
            "Results",
            _rows([names, Column("state", [result.state for result in results]), *result_columns(results)]),
            _best_named(results) + "Fréchet distance with the domain networks, which is no FID, and where its weights "
            "are at hand at four taps of Inception; precision and recall with the domain networks: cxr-domain-v1, by "
            "which the best is named, and cxr-domain-v2, by which nothing is chosen. In brackets the "
            "floor: the score of real images against real images. Nearest tap: the one whose Fréchet distance is "
            "nearest to the published FID, as a ratio. IS: over the 1000 classes of ImageNet, as in the reports; the "
            "IS of the FID's network is over 1008 other classes and does not compare with theirs."
            + _mark_explained(results),
        ),
        Table(
            "Settings",
            _rows([names, *settings_columns(results)]),
            "otherwise: what else differs from the recipe dcgan.",
        ),
    ]
    if iterations:
        tables.append(
            Table(
                "By iteration: the second report, settings of exp3",
                _rows(iteration_columns(iterations)),
                "The second report also printed an Inception Score of 1.14, of 4096 images.",
            )
        )
    title = "Experiments" if scale == 1 else f"Experiments: a quick look, at scale {scale:g}"
    return Page(title, _about(results, scale), tables, _notes(results))


def _rows(columns: Sequence[Column]) -> list[dict[str, str]]:
    """The same table, row by row."""
    names = [each.name for each in columns]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*(each.cells for each in columns), strict=True)]


def _best_named(results: Sequence[Result]) -> str:
    first = best(results)
    return f"Best of the finished by this distance: {first.name}. " if first else ""


def _markdown(page: Page) -> str:
    parts = [f"# {page.title}", page.about]
    for table in page.tables:
        parts += [f"## {table.title}", _table(table.rows), table.note]
    parts += ["## Notes", "\n".join(f"- {note}" for note in page.notes)] if page.notes else []
    return "\n\n".join(parts) + "\n"


def _about(results: Sequence[Result], scale: float) -> str:
    """Length, images and machine, in a paragraph."""
    measured = [result.evaluation for result in results if result.evaluation]
    images = sorted(
        {
            f"{count(each['n_fake'])} generated against {count(each['n_real'])} real ({each['data']})"
            for each in measured
        }
    )
    machines = sorted({f"{r.config.device} in {r.config.precision}" for r in results if r.state != "not started"})
    length = (
        "Every run has its full length."
        if scale == 1
        else f"Every run has {scale:g} of its length: a quick look, not a result."
    )
    return (
        f"{length} Images measured: {'; '.join(images) or 'none yet'}. "
        f"Trained on {', '.join(machines) or 'nothing yet'}, with cxrgan {__version__}."
    )


def _notes(results: Sequence[Result]) -> list[str]:
    """What was not measured and why, and what the report says of its figures; each once."""
    missing = [note for result in results for note in evaluation_notes(result.evaluation.get("rows", []))]
    remarks = [f"{r.name}, as published: {r.published.note}" for r in results if r.published and r.published.note]
    return list(dict.fromkeys(missing + remarks))


def iteration_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The rows of `by_iteration` for people."""
    measured = [row["measured"] or {} for row in rows]
    at_tap: dict[str, list[Mapping[str, Any]]] = {
        tap: [next((other for other in each.get("others", []) if other["tap"] == tap), {}) for each in measured]
        for tap in TAPS
    }
    columns = [
        Column("iteration", [count(row["iteration"]) for row in rows]),
        Column("measured after step", [count(row["step"]) for row in rows]),
        Column("FID, published", column([row["published_fid"] for row in rows])),
        Column("Fréchet distance, domain", _distances(measured)),
        *(Column(f"Fréchet distance, tap {tap}", _distances(found)) for tap, found in at_tap.items()),
        Column("precision", column([each.get("precision") for each in measured])),
        Column("recall", column([each.get("recall") for each in measured])),
        Column("generated images", [str(each.get("n_fake", NONE)) for each in measured]),
    ]
    return without_empty(columns)


def _distances(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    """Frechet distances of measurements during training, with their floors."""
    return with_floors([{"value": row.get("frechet_distance"), "floor": row.get("frechet_floor")} for row in measured])


def _mark_explained(results: Sequence[Result]) -> str:
    """What the mark means, where a row carries it."""
    rows = [row for result in results for row in result.evaluation.get("rows", []) if row.get("label") is None]
    if not any("n_floor" in row and is_unequal(row) for row in rows):
        return ""
    return f" {UNEQUAL} unequal numbers of images, real and generated or value and floor: compare only with such."


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same keys, in Markdown."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + " --- |" * len(rows[0])]
    lines += ["| " + " | ".join(str(value).replace("|", "\\|") for value in row.values()) + " |" for row in rows]
    return "\n".join(lines)
