"""A run folder -> what its page tells, as values for the template; reads what was written, computes nothing anew."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxrgan.console import duration
from cxrgan.data.dataset import Manifest, read_manifest
from cxrgan.errors import UserError
from cxrgan.recipes.config import OUTSIDE
from cxrgan.recipes.named import RECIPES
from cxrgan.reports.audit import AuditTable, audit_limits, audit_tables, audit_verdict
from cxrgan.reports.chart import Line, chart
from cxrgan.reports.command import command
from cxrgan.reports.numbers import count, number, setting
from cxrgan.reports.panels import DISTANCE, panels
from cxrgan.reports.pictures import Picture, generated, reading, real
from cxrgan.reports.record import Missing, RunRecord
from cxrgan.reports.tables import (
    EVALUATION_COLUMNS,
    evaluation_cells,
    evaluation_groups,
    evaluation_notes,
    evaluation_remarks,
)
from cxrgan.reports.utility import (
    ARM_COLUMNS,
    COMPARISON_COLUMNS,
    arm_cells,
    comparison_cells,
    utility_answers,
    utility_remarks,
)
from cxrgan.reports.verdict import Finding, Verdict, findings, verdict
from cxrgan.runs.folder import RunFolder, RunInfo
from cxrgan.runs.grids import find_grids
from cxrgan.runs.log import BEST_BY, Row
from cxrgan.settings import differences

MOMENTS = (1 / 4, 1 / 2, 3 / 4, 1)  # of the run, at which samples over time are shown
LARGE, QUARTER = 530, 260  # pixels of a picture over half and over a quarter of the page

NOT_FOR = (
    "For research and teaching only, no clinical use: not for diagnosis, not as images of patients, not for testing "
    "clinical software without real data. Every generated image here is synthetic. The generator knows the patients, "
    "the devices and the diseases of its training images, and no others."
)


@dataclass(frozen=True)
class Chart:
    """A panel as the page shows it."""

    title: str
    keys: Sequence[tuple[str, str]]
    """(label, CSS class) of each line."""
    svg: str
    hint: str


@dataclass(frozen=True)
class Metrics:
    """What was measured of one class with one network."""

    title: str
    about: str
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Audited:
    """What an audit found; numbers alone, no image and no name of one."""

    kind: str
    """`good` or `bad`."""
    target: str
    text: str
    limits: str
    tables: Sequence[AuditTable]


@dataclass(frozen=True)
class Utility:
    """Of what use the images are to a classifier."""

    target: str
    answers: Sequence[str]
    tables: Sequence[tuple[Sequence[str], Sequence[Sequence[str]]]]
    """(columns, rows) of each."""
    remarks: Sequence[str]


@dataclass(frozen=True)
class Setting:
    """A setting, and that of the recipe where it is another."""

    name: str
    value: str
    recipe: str | None


@dataclass(frozen=True)
class RunPage:
    """All that is shown of a run. Texts are plain, what they hold of files too: the template escapes them."""

    anchor: str
    """Put before the ids of its sections."""
    name: str
    lead: str
    dates: str
    command: str
    data: str
    """What DATASET stands for in the command."""
    verdict: Verdict
    samples: Picture | Missing
    findings: Sequence[Finding] | Missing
    charts: Sequence[Chart] | Missing
    unmeasured: Missing | None
    target: str
    """What the metrics are of."""
    columns: Sequence[str]
    metrics: Sequence[Metrics] | Missing
    remarks: Sequence[str]
    audit: Audited | Missing
    utility: Utility | None
    over_time: Sequence[Picture]
    beside_real: Sequence[Picture]
    settings: Mapping[str, Sequence[Setting]]
    compared: str
    card: Mapping[str, str]

    @property
    def sections(self) -> list[tuple[str, str]]:
        """(id, title) of each section that has something to show."""
        found = [
            ("diagnosis", "Diagnosis", True),
            ("metrics", "Metrics", True),
            ("audit", "Audit for copies", True),
            ("utility", "Utility", self.utility),
            ("curves", "Curves", True),
            ("time", "Samples over time", self.over_time),
            ("real", "Real beside generated", self.beside_real),
            ("settings", "Settings", True),
            ("card", "Model card", True),
        ]
        return [(self.anchor + name, title) for name, title, shown in found if shown]


def run_page(record: RunRecord, *, anchor: str = "", with_real: bool) -> RunPage:
    """What the page tells of a run; `with_real` says whether it shows training images."""
    folder, info = record.folder, record.info
    with reading(folder.metrics_file):
        judged, shown = verdict(record), charts(record)
    manifest, samples = _manifest(info), _samples(record)
    metrics, remarks = _metrics(record)
    base = RECIPES.get(info.recipe)
    return RunPage(
        anchor=anchor,
        name=record.name,
        lead=_lead(record),
        dates=_dates(folder),
        command=command(info, record.name),
        data=f"{manifest.name if manifest else Path(info.data).name}, {count(info.num_images)} training images",
        verdict=judged,
        samples=samples,
        findings=findings(record.diagnosis),
        charts=shown,
        unmeasured=None
        if record.history.best.row
        else Missing("No metrics were taken while it trained. A run takes them with", "--evaluate-every 500"),
        target=f"{record.evaluation['target']}, against {record.evaluation['data']}" if record.evaluation else "",
        columns=EVALUATION_COLUMNS,
        metrics=metrics,
        remarks=remarks,
        audit=_audit(record),
        utility=_utility(record.utility) if record.utility else None,
        over_time=_over_time(record),
        beside_real=_beside_real(record, samples) if with_real else (),
        settings=_settings(info),
        compared=f"Bold: not as in the recipe {info.recipe}." if base else "This run follows no named recipe.",
        card=_card(folder, info, manifest),
    )


def _lead(record: RunRecord) -> str:
    """The run in one line."""
    info, last = record.info, record.history.last
    config, num_steps = info.config, info.config.num_steps(info.num_images)
    steps = f"{count(num_steps)} steps"
    if record.done != num_steps:
        steps = f"{count(record.done)} of {steps} so far"
    kind = f"{config.model.image_size} pixels a side{', by class' if config.conditional else ''}"
    with reading(record.folder.metrics_file):
        time = f" in {duration(last['seconds'])}" if last else ""
    began = info.started_from
    after = f"; began with the weights of {began.run} after {duration(began.seconds)} of training" if began else ""
    return (
        f"Recipe {info.recipe}: {kind}; "
        f"{count(info.num_images)} training images; {steps}{time}, on {config.device} in {config.precision}{after}"
    )


def _dates(folder: RunFolder) -> str:
    """When the log and the evaluation were last written."""
    dates = []
    for what, file in (
        ("Trained until", folder.metrics_file),
        ("measured", folder.evaluation_file),
        ("audited", folder.audit_file),
    ):
        if file.exists():
            with reading(file):  # a time may be beyond the calendar
                date = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            dates.append(f"{what} {date.day} {date:%B %Y}")
    return ", ".join(dates)


def _samples(record: RunRecord) -> Picture | Missing:
    sheets = find_grids(record.folder)
    if not sheets:
        return Missing("There are no samples yet; training makes them", "cxrgan train --resume RUN")
    step, file = list(sheets.items())[-1]
    caption = f"Generated after step {count(step)}, from the first seeds; none was cherry-picked."
    alt = f"Generated chest X-rays after step {step}"
    return generated(file, record.info.config, wide=LARGE, alt=alt, caption=caption)


def thumbnail(record: RunRecord, wide: int) -> Picture | None:
    """The first few of the newest samples."""
    sheets = find_grids(record.folder)
    if not sheets:
        return None
    step, file = list(sheets.items())[-1]
    alt = f"Generated by {record.name} after step {step}"
    return generated(file, record.info.config, wide=wide, alt=alt, caption=f"step {count(step)}")


def _metrics(record: RunRecord) -> tuple[Sequence[Metrics] | Missing, list[str]]:
    """A table for each network and class, and what a reader must know of them, each once."""
    rows = record.evaluation.get("rows")
    if not rows:
        return Missing("Not measured yet", "cxrgan evaluate RUN --data DATASET"), []
    tables, remarks = [], []
    for group in evaluation_groups(rows):
        row = group[0]
        split = f" ({row['split']})" if row["split"] else ""  # a plain folder has none
        about = (
            f"by {row['features']}: {count(row['n_fake'])} generated against {count(row['n_real'])} real{split}, "
            f"resized: {row['resize']}, seed {row['seed']}"
        )
        title = row["label"] or "All images"
        tables.append(Metrics(title, about, [evaluation_cells(each) for each in group]))
        remarks += [f"{title}, {row['features']}: {remark}" for remark in evaluation_remarks(group)]
    return tables, [*remarks, *(f"Not measured: {note}" for note in evaluation_notes(rows))]


def _audit(record: RunRecord) -> Audited | Missing:
    found = record.audit
    if not found:
        return Missing("Not audited for copies of training images yet", "cxrgan audit RUN --data DATASET")
    return Audited(
        kind="bad" if found["copies"] else "good",
        target=found["target"],
        text=audit_verdict(found),
        limits=audit_limits(found),
        tables=audit_tables(found),
    )


def _utility(found: Mapping[str, Any]) -> Utility:
    arms = [arm_cells(arm) for arm in found["arms"]]
    comparisons = [comparison_cells(each) for each in found["comparisons"]]
    tables = [(ARM_COLUMNS, arms), (COMPARISON_COLUMNS, comparisons)]
    return Utility(found["target"], utility_answers(found), tables, utility_remarks(found))


def charts(record: RunRecord) -> Sequence[Chart] | Missing:
    """Each panel that has numbers."""
    history = record.history
    found = []
    for panel in panels(relativistic=record.relativistic):
        lines = [
            Line(series.label, series.role, history.points(series.name), history.holes)
            for series in panel.series
            if history.points(series.name)
        ]
        if lines and history.last:
            svg = chart(panel.title, lines, last_step=history.last["step"], top=panel.top)
            best = _best(history.best.row) if panel is DISTANCE and history.best.row else ""
            found.append(Chart(panel.title, [(line.label, line.style) for line in lines], svg, panel.hint + best))
    return found or Missing("Nothing is logged yet; training does it", "cxrgan train --resume RUN")


def _best(best: Row) -> str:
    """The lowest Frechet distance in words, with what it was measured by."""
    by = f"{count(best['n_fake'])} generated images against {count(best['n_real'])} real ones by {best['features']}"
    return (
        f" The lowest is {number(best[BEST_BY])} at step {count(best['step'])}, {by}; the floor is "
        f"{number(best['frechet_floor'])}."
    )


def _over_time(record: RunRecord) -> list[Picture]:
    """The same few images at a quarter of the run, half-way, three quarters and the end."""
    sheets = find_grids(record.folder)
    if len(sheets) < 2:
        return []
    chosen = sorted({min(sheets, key=lambda step: abs(step - share * max(sheets))) for share in MOMENTS})
    return [
        generated(
            sheets[step],
            record.info.config,
            wide=QUARTER,
            alt=f"The same generated images at step {step}",
            caption=f"Step {count(step)}",
        )
        for step in chosen
    ]


def _beside_real(record: RunRecord, samples: Picture | Missing) -> list[Picture]:
    """The real half of `real-and-fake-*.png`, the same at start and end, beside the newest samples."""
    files = sorted(record.folder.samples.glob("real-and-fake-*.png"))
    if not files or isinstance(samples, Missing):
        return []
    real_ones = real(files[0], record.info.config, wide=LARGE, alt="Real chest X-rays", caption="Real, drawn at random")
    return [real_ones, replace(samples, caption="Generated, the samples from above")]


def _settings(info: RunInfo) -> dict[str, list[Setting]]:
    """Every setting, by kind."""
    base = RECIPES.get(info.recipe)
    changed = differences(base, info.config) if base else {}
    settings = asdict(info.config)
    model = {f"model.{name}": value for name, value in settings.pop("model").items()}

    def shown(values: Mapping[str, Any]) -> Iterator[Setting]:
        for name, value in values.items():
            # what `auto` became, and the classes that the data have, are no departure from the recipe
            own = name in changed and changed[name][0] != "auto" and name != "model.num_classes"
            recipe = setting(changed[name][0]) if own else None
            yield Setting(name.removeprefix("model."), setting(value), recipe)

    return {
        "Networks": list(shown(model)),
        "Training": list(shown({name: value for name, value in settings.items() if name not in OUTSIDE})),
        "Length, place and files": list(shown({name: value for name, value in settings.items() if name in OUTSIDE})),
    }


def _card(folder: RunFolder, info: RunInfo, manifest: Manifest | None) -> dict[str, str]:
    """What somebody must know who is given the generator."""
    written_by = folder.read_config()
    counts = ", ".join(f"{count(num)} {name}" for name, num in info.classes.items())
    halflife = info.config.ema_halflife
    facts = {
        "What": f"A generator of synthetic chest X-rays, {info.config.model.image_size} pixels a side, grey",
        "Weights": f"moving average over {count(halflife)} images seen"
        if halflife
        else "of the last step, not averaged",
        "Checkpoints": ", ".join(f"step {count(step)}" for step in folder.steps()) or "none",
        "Data": manifest.name if manifest else Path(info.data).name,
        "Training images": count(info.num_images) + (f": {counts}" if counts else ""),
        "SHA-256 of the data": info.data_sha256,
        "Licence of the data": (manifest and manifest.license) or "not known here; ask where the images come from",
        "Citation": (manifest and manifest.citation) or "",
        "Made with": f"cxrgan {written_by.optional_text('cxrgan')}, PyTorch {written_by.optional_text('torch')}",
        "Not for": NOT_FOR,
    }
    return {name: value for name, value in facts.items() if value}


def _manifest(info: RunInfo) -> Manifest | None:
    """What the dataset folder says of itself, where it still lies and holds the images of the run."""
    try:
        manifest = read_manifest(Path(info.data))
    except UserError:
        return None
    return manifest if manifest.images_sha256 == info.data_sha256 else None
