"""A folder of run folders, with experiments.json or without -> what its page tells, as values for the template."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxrgan.errors import UserError
from cxrgan.reports.chart import NARROW, WIDE, Line, comparison
from cxrgan.reports.comparison import Column, distance, ranking, result_columns, settings_columns
from cxrgan.reports.numbers import count, number, setting
from cxrgan.reports.pictures import Picture, reading
from cxrgan.reports.record import RunRecord, read_run
from cxrgan.reports.run import RunPage, run_page, thumbnail
from cxrgan.reports.tables import UNEQUAL
from cxrgan.runs.folder import RunFolder
from cxrgan.runs.log import BEST_BY
from cxrgan.runs.results import FINISHED, Result, Values, read_sweep
from cxrgan.settings import differences

THUMBNAIL = 134  # pixels
NUM_STYLES = 8  # of lines, told apart by colour, dashes and their names
UNMEASURED = "trained, not measured"


@dataclass(frozen=True)
class Run:
    """A row of the results."""

    name: str
    href: str | None
    """Of its section; None where there is no run folder."""
    thumbnail: Picture | None
    state: str
    kind: str
    """`good` where it is finished, `bad` where it failed, else `unsure`."""
    is_best: bool


@dataclass(frozen=True)
class Table:
    """Columns of equally many cells; the first names the rows."""

    title: str
    columns: Sequence[Column]

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return list(zip(*(column.cells for column in self.columns), strict=True))


@dataclass(frozen=True)
class Pair:
    """Two runs side by side."""

    names: tuple[str, str]
    pictures: Sequence[Picture]
    differ: str
    """How many settings do."""
    results: Sequence[tuple[str, ...]]
    """(what, of the one, of the other)."""
    settings: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class ExperimentsPage:
    """All that is shown of a folder of runs. Texts are plain: the template escapes them."""

    name: str
    about: str
    best: str
    runs: Sequence[Run]
    results: Table
    curves_title: str
    curves: Mapping[str, str]
    """`wide` and `narrow`, an <svg> each for screens of that kind; empty where there is nothing to draw."""
    pairs: Sequence[Pair]
    settings: Table
    others: Sequence[Table]
    """More tables of experiments.json."""
    notes: Sequence[str]
    pages: Sequence[RunPage]

    @property
    def has_unequal(self) -> bool:
        """Whether a result is marked as one of unequal numbers of images."""
        return any(cell.endswith(UNEQUAL) for column in self.results.columns for cell in column.cells)

    @property
    def sections(self) -> list[tuple[str, str]]:
        """(id, title) of each section that has something to show."""
        found = [
            ("results", "Results", self.runs),
            ("curves", self.curves_title, self.curves),
            ("pairs", "Side by side", self.pairs),
            ("settings", "Settings", self.runs),
            *((f"table-{index}", table.title, True) for index, table in enumerate(self.others, start=1)),
            ("notes", "Notes", self.notes),
        ]
        return [(name, title) for name, title, shown in found if shown]


def experiments_page(target: Path, *, with_real: bool) -> ExperimentsPage:
    """UserError where there is neither a run folder in it nor an experiments.json."""
    records = {file.parent.name: read_run(RunFolder(file.parent)) for file in sorted(target.glob("*/config.json"))}
    page, results = read_sweep(target / "experiments.json")
    if not records and not page:
        raise UserError(f"{target} holds no run and no folders of runs; give a folder that `cxrgan train` made")
    known = {result.name for result in results}
    results += [_result(record) for name, record in records.items() if name not in known]
    anchors = {name: f"run-{index}" for index, name in enumerate(records)}
    pages = [run_page(record, anchor=f"{anchors[name]}-", with_real=with_real) for name, record in records.items()]
    ranked = ranking(results)
    pictures = {name: thumbnail(record, THUMBNAIL) for name, record in records.items()}
    runs = [_run(result, anchors, pictures, is_best=result in ranked[:1]) for result in results]
    curves_title, curves = _curves(results, records)
    return ExperimentsPage(
        name=target.resolve().name,
        about=page["about"] if page else f"{count(len(records))} runs: {', '.join(records)}.",
        best=_best(results, ranked),
        runs=runs,
        results=Table("Results", result_columns(results)),
        curves_title=curves_title,
        curves=curves,
        pairs=_pairs(results, ranked, pictures),
        settings=Table("Settings", [Column("run", [each.name for each in results], False), *settings_columns(results)])
        if results
        else Table("Settings", []),
        others=_others(page, has_results=bool(known)),
        notes=_notes(page),
        pages=pages,
    )


def _result(record: RunRecord) -> Result:
    """The result of a run that stands in no experiments.json."""
    num_steps = record.info.config.num_steps(record.info.num_images)
    state = f"step {count(record.done)} of {count(num_steps)}"
    if record.done >= num_steps:
        state = FINISHED if record.evaluation else UNMEASURED
    with reading(record.folder.metrics_file):
        seconds = float(record.history.last["seconds"]) if record.history.last else None
    return Result(
        name=record.folder.path.name,
        state=state,
        config=record.info.config,
        published=None,
        seconds=seconds,
        verdict=record.diagnosis.get("verdict"),
        evaluation=record.evaluation,
        measured=(),
    )


def _run(result: Result, anchors: Mapping[str, str], pictures: Mapping[str, Picture | None], *, is_best: bool) -> Run:
    kind = "good" if result.state == FINISHED else "bad" if result.state.startswith("failed") else "unsure"
    href = f"#{anchors[result.name]}" if result.name in anchors else None
    return Run(result.name, href, pictures.get(result.name), result.state, kind, is_best)


def _best(results: Sequence[Result], ranked: Sequence[Result]) -> str:
    """Which run is marked as the best and by what, or why none is."""
    if ranked:
        sizes = {result.config.model.image_size for result in ranked}
        return (
            f"{ranked[0].name} has the lowest Fréchet distance of the {count(len(ranked))} finished runs: "
            f"{number(distance(ranked[0]))}."
            + (" Each is measured against real images of its own size." if len(sizes) > 1 else "")
        )
    if any(distance(result) is not None for result in results):
        return "No run is marked as the best: they were measured with different networks or numbers of images."
    return "No run is marked as the best: none is measured yet."


def _curves(results: Sequence[Result], records: Mapping[str, RunRecord]) -> tuple[str, dict[str, str]]:
    """The Frechet distances of all runs in one chart, or where none were measured their losses."""
    for title, name in (("Fréchet distance of all runs", BEST_BY), ("Generator losses of all runs", "loss_g")):
        lines = [
            Line(result.name, f"run-{index % NUM_STYLES}", points, _holes(records, result))
            for index, result in enumerate(results)
            if (points := _points(result, records, name))
        ]
        if lines:
            last_step = max(int(line.points[-1][0]) for line in lines)
            frames = {"wide": WIDE, "narrow": NARROW}
            return title, {
                kind: comparison(title, lines, last_step=last_step, frame=frame) for kind, frame in frames.items()
            }
    return "Curves", {}


def _points(result: Result, records: Mapping[str, RunRecord], name: str) -> list[tuple[int, float]]:
    if result.name in records:
        return records[result.name].history.points(name)
    return [(row["step"], row[name]) for row in result.measured if row.get(name) is not None]


def _holes(records: Mapping[str, RunRecord], result: Result) -> list[tuple[int, int]]:
    return records[result.name].history.holes if result.name in records else []


def _pairs(results: Sequence[Result], ranked: Sequence[Result], pictures: Mapping[str, Picture | None]) -> list[Pair]:
    """The best run beside each other one, the runner-up first; without a best, the first run."""
    ordered = [*ranked, *(result for result in results if result not in ranked)]
    return [_pair(ordered[0], other, pictures) for other in ordered[1:]]


def _pair(first: Result, second: Result, pictures: Mapping[str, Picture | None]) -> Pair:
    changed = differences(first.config, second.config)
    changed.pop("model.num_classes", None)  # it follows from `conditional` and the data
    if first.config.steps and second.config.steps:
        changed.pop("epochs", None)  # they say nothing beside a length in steps
    found = [pictures.get(result.name) for result in (first, second)]
    return Pair(
        names=(first.name, second.name),
        pictures=[picture for picture in found if picture] if all(found) else (),
        differ=f"{len(changed)} setting{'' if len(changed) == 1 else 's'} differ{'s' if len(changed) == 1 else ''}",
        results=[(column.name, *column.cells) for column in result_columns([first, second])],
        settings=[
            (name.removeprefix("model."), *(setting(value) for value in values)) for name, values in changed.items()
        ],
    )


def _others(page: Values, *, has_results: bool) -> list[Table]:
    """The tables of experiments.json that the page does not make itself."""
    own = ("Results", "Settings") if has_results else ()
    return [
        Table(
            table["title"],
            [_column(name, [row[name] for row in table["rows"]]) for name in table["rows"][0]],
        )
        for table in page.get("tables", [])
        if table["title"] not in own
    ]


def _column(name: str, values: Sequence[object]) -> Column:
    cells = [number(value) if isinstance(value, float) else setting(value) for value in values]
    return Column(name, cells, all(re.fullmatch(rf"[-\d.,()—{UNEQUAL} ]*", cell) for cell in cells))


def _notes(page: Values) -> list[str]:
    """What a reader must know of the tables, each once."""
    return list(dict.fromkeys([*(table["note"] for table in page.get("tables", [])), *page.get("notes", [])]))
