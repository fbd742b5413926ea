"""Run folders of a sweep -> experiments.md, .csv and .json; reads what the runs wrote, computes no metric anew."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cxrgan import __version__
from cxrgan.console import duration
from cxrgan.evaluation.compare import FID_SCORE_TAP
from cxrgan.experiments.published import MEASURED_EVERY, Experiment, Published
from cxrgan.experiments.sweep import Sweep
from cxrgan.files import write_bytes, write_json
from cxrgan.recipes.config import FREE_TO_CHANGE, TrainConfig
from cxrgan.recipes.named import DCGAN
from cxrgan.reports.tables import UNEQUAL, evaluation_notes, is_unequal
from cxrgan.runs.results import read_diagnosis, read_failure
from cxrgan.settings import differences

TAPS = ("64", "192", "768", "2048")
DOMAIN_TAP = "features"
IMAGENET_SCORE_TAP = "logits"
"""Of the 1000 classes that the reports' Inception Score is over; the FID's network has 1008 others."""

FID_BY_ITERATION = {500: 7.0850, 1000: 3.8293, 2000: 3.3745}
"""The second report's figures, of the settings of exp3; its Inception Score is 1.14, of 4096 images."""

SHOWN = {"model.image_size", "model.latent_channels", "model.latent_size", "model.ngf", "model.ndf"}
SHOWN |= {"batch_size", "epochs", "steps", "lr", "model.num_classes"}
"""Settings with columns of their own, and the number of classes, which follows from `conditional` and the data."""
NONE = "—"


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
    evaluation: Mapping[str, Any]
    """The content of evaluation.json; empty for a run that is not finished."""
    measured: Sequence[Mapping[str, Any]]
    """The measurements during training, from metrics.jsonl."""

    def row(self, metric: str, tap: str) -> Mapping[str, Any]:
        """The row of a metric for images of all classes; empty where it was not measured."""
        wanted = {"metric": metric, "tap": tap, "label": None}
        rows = self.evaluation.get("rows", [])
        return next((row for row in rows if {key: row.get(key) for key in wanted} == wanted), {})


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
        verdict=read_diagnosis(folder.path / "diagnosis.json").get("verdict"),
        evaluation=evaluation,
        measured=[row for row in folder.rows() if "frechet_distance" in row],
    )


def _state(sweep: Sweep, experiment: Experiment) -> str:
    if sweep.evaluation(experiment):
        return "finished"
    failure = read_failure(sweep.failure_file(experiment))
    if failure is not None:
        return f"failed: {failure}"
    folder = sweep.folder(experiment)
    if not folder.config_file.exists():
        return "not started"
    return f"step {(folder.steps() or [0])[-1]} of {sweep.num_steps(experiment)}"


def nearest_tap(result: Result) -> str | None:
    """The Inception tap whose Frechet distance is nearest to the published FID, as a ratio; None where either lacks."""
    if result.published is None:
        return None
    distances = {tap: result.row("frechet_distance", tap).get("value") for tap in TAPS}
    ratios = {tap: abs(math.log(value / result.published.fid)) for tap, value in distances.items() if value}
    return min(ratios, key=ratios.__getitem__) if ratios else None


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
        for tap in (DOMAIN_TAP, *TAPS):
            row = result.row("frechet_distance", tap)
            name = f"frechet_distance_{'domain' if tap == DOMAIN_TAP else f'inception_{tap}'}"
            measured |= {name: row.get("value"), f"{name}_floor": row.get("floor")}
        for metric in ("precision", "recall"):
            row = result.row(metric, DOMAIN_TAP)
            measured |= {metric: row.get("value"), f"{metric}_floor": row.get("floor")}
        lines.append(
            {
                "scale": scale,
                "experiment": result.name,
                "state": result.state,
                **_settings(result.config),
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


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The settings with columns of their own, and the others that decide a result and are not those of the DCGAN."""
    model = config.model
    changed = {name: new for name, (_, new) in differences(DCGAN, config).items() if name not in SHOWN | FREE_TO_CHANGE}
    return {
        "pixels": model.image_size,
        "latent": f"{model.latent_channels}x{model.latent_size}x{model.latent_size}",
        "ngf": model.ngf,
        "ndf": model.ndf,
        "length": f"{config.steps} steps" if config.steps else f"{config.epochs:g} epochs",
        "batch": config.batch_size,
        "lr": config.lr,
        "otherwise": ", ".join(f"{name.removeprefix('model.')} {value}" for name, value in changed.items()),
    }


def _page(results: Sequence[Result], iterations: Sequence[Mapping[str, Any]], scale: float) -> Page:
    tables = [
        Table(
            "Settings",
            [{"experiment": result.name, **_settings(result.config)} for result in results],
            "otherwise: what else differs from the recipe dcgan.",
        ),
        Table(
            "Results",
            _without_empty([_results_row(result) for result in results]),
            "Frechet distance with the domain network and, where its weights are at hand, at four taps of Inception; "
            "precision and recall with the domain network. In brackets the floor: the same between real and other real "
            "images. nearest tap: the one whose Frechet distance comes nearest to the published FID, as a ratio. "
            "IS: over the 1000 classes of ImageNet, as the reports have it; that of the FID's network is over 1008 "
            "others, and not to be held against theirs." + _mark_explained(results),
        ),
    ]
    if iterations:
        tables.append(
            Table(
                "By iteration: the second report, settings of exp3",
                _without_empty([_iteration_row(row) for row in iterations]),
                "Published beside it: an Inception Score of 1.14 of 4096 images.",
            )
        )
    title = "Experiments" if scale == 1 else f"Experiments: a quick look, at scale {scale:g}"
    return Page(title, _about(results, scale), tables, _notes(results))


def _markdown(page: Page) -> str:
    parts = [f"# {page.title}", page.about]
    for table in page.tables:
        parts += [f"## {table.title}", _table(table.rows), table.note]
    parts += ["## Notes", "\n".join(f"- {note}" for note in page.notes)] if page.notes else []
    return "\n\n".join(parts) + "\n"


def _without_empty(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the columns in which none has a value."""
    empty = {name for name in rows[0] if all(row[name] == NONE for row in rows)}
    return [{name: value for name, value in row.items() if name not in empty} for row in rows]


def _about(results: Sequence[Result], scale: float) -> str:
    """Length, images and machine, in a paragraph."""
    measured = [result.evaluation for result in results if result.evaluation]
    images = sorted({f"{each['n_fake']} generated against {each['n_real']} real ({each['data']})" for each in measured})
    machines = sorted({f"{r.config.device} in {r.config.precision}" for r in results if r.state != "not started"})
    length = "Every run has its full length." if scale == 1 else f"Every run has {scale:g} of its length: no result."
    return (
        f"{length} Images measured: {'; '.join(images) or 'none yet'}. "
        f"Trained on {', '.join(machines) or 'nothing yet'}, with cxrgan {__version__}."
    )


def _notes(results: Sequence[Result]) -> list[str]:
    """What was not measured and why, and what the report says of its figures; each once."""
    missing = [note for result in results for note in evaluation_notes(result.evaluation.get("rows", []))]
    remarks = [f"{r.name}, as published: {r.published.note}" for r in results if r.published and r.published.note]
    return list(dict.fromkeys(missing + remarks))


def _results_row(result: Result) -> dict[str, Any]:
    published = result.published
    return {
        "experiment": result.name,
        "state": result.state,
        "IS": _with_floor(result.row("inception_score", IMAGENET_SCORE_TAP)),
        "IS, published": _number(published.inception_score if published else None),
        "domain": _with_floor(result.row("frechet_distance", DOMAIN_TAP)),
        **{f"tap {tap}": _with_floor(result.row("frechet_distance", tap)) for tap in TAPS},
        "FID, published": _number(published.fid if published else None),
        "nearest tap": nearest_tap(result) or NONE,
        "IS of FID's network": _with_floor(result.row("inception_score", FID_SCORE_TAP)),
        "precision": _with_floor(result.row("precision", DOMAIN_TAP)),
        "recall": _with_floor(result.row("recall", DOMAIN_TAP)),
        "training": NONE if result.seconds is None else duration(result.seconds),
        "doctor": result.verdict or NONE,
    }


def _iteration_row(row: Mapping[str, Any]) -> dict[str, Any]:
    measured = row["measured"] or {}
    at_taps = {each["tap"]: each for each in measured.get("others", [])}
    return {
        "iteration": row["iteration"],
        "measured after step": row["step"],
        "FID, published": _number(row["published_fid"]),
        "domain": _measured(measured),
        **{f"tap {tap}": _measured(at_taps.get(tap, {})) for tap in TAPS},
        "precision": _number(measured.get("precision")),
        "recall": _number(measured.get("recall")),
        "generated images": measured.get("n_fake", NONE),
    }


def _measured(row: Mapping[str, Any]) -> str:
    """The Frechet distance of a measurement during training, with its floor."""
    return _with_floor({"value": row.get("frechet_distance"), "floor": row.get("frechet_floor")})


def _with_floor(row: Mapping[str, Any]) -> str:
    floor = row.get("floor")
    mark = UNEQUAL if "n_floor" in row and is_unequal(row) else ""
    return _number(row.get("value")) + (f" ({_number(floor)}){mark}" if floor is not None else "")


def _mark_explained(results: Sequence[Result]) -> str:
    """What the mark means, where a row carries it."""
    rows = [row for result in results for row in result.evaluation.get("rows", []) if row.get("label") is None]
    if not any("n_floor" in row and is_unequal(row) for row in rows):
        return ""
    return f" {UNEQUAL} unequal numbers of images, real and generated or value and floor: compare only with such."


def _number(value: float | None) -> str:
    """Four significant digits; a distance of thousands without an exponent."""
    if value is None:
        return NONE
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same keys, in Markdown."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + " --- |" * len(rows[0])]
    lines += ["| " + " | ".join(str(value).replace("|", "\\|") for value in row.values()) + " |" for row in rows]
    return "\n".join(lines)
