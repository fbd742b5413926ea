"""A run folder -> one HTML file that tells all that is known of the run, and needs no network and no script.

It reads what was written and computes nothing anew. Whatever comes from a file is escaped.
"""

import base64
import contextlib
import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cxrgan.console import duration
from cxrgan.data.dataset import Manifest, read_manifest
from cxrgan.data.decode import MAX_BYTES, Unusable, check_sides
from cxrgan.errors import UserError
from cxrgan.fields import check_regular, read_bytes
from cxrgan.files import write_bytes
from cxrgan.images import GAP, SYNTHETIC, encode_png
from cxrgan.recipes.config import FREE_TO_CHANGE
from cxrgan.recipes.named import RECIPES
from cxrgan.reports.chart import Line, chart
from cxrgan.reports.tables import (
    EVALUATION_COLUMNS,
    evaluation_cells,
    evaluation_groups,
    evaluation_notes,
    evaluation_remarks,
)
from cxrgan.runs.folder import RunFolder, RunInfo
from cxrgan.runs.log import BEST_BY, History, LogReader, Row
from cxrgan.runs.results import TOO_EARLY, read_diagnosis, read_evaluation, read_sweep_page
from cxrgan.settings import differences

if TYPE_CHECKING:
    from numpy.typing import NDArray

TITLE_END = ": report of cxrgan</title>"  # by which a report is known again
HEAD_BYTES = 4096  # of a report, with its title
MAX_REPORT_BYTES = 2**40
LONG_CELL = 40  # characters, tags included, of a cell that may break into lines
MOMENTS = (1 / 4, 1 / 2, 3 / 4, 1)  # of the run, at which samples over time are shown
WIDEST, HALF, QUARTER = 1060, 540, 270  # pixels of a picture over the whole page, over half and a quarter of it

CSS = """
:root { color-scheme: light dark; --back: #fff; --soft: #f3f5f7; --text: #1c2127; --dim: #59626d; --rule: #d5dae0;
  --one: #c2410c; --two: #1d4ed8; --three: #047857; --good: #047857; --bad: #b45309; }
@media screen and (prefers-color-scheme: dark) { :root { --back: #14171a; --soft: #1f2429; --text: #e6e9ec;
  --dim: #a3adb8; --rule: #39414a; --one: #fb923c; --two: #93c5fd; --three: #6ee7b7;
  --good: #6ee7b7; --bad: #fbbf24; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1108px; padding: 1.5rem 1rem 4rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1, h2, h3, h4 { line-height: 1.25; margin: 2.2rem 0 .6rem; break-after: avoid; }
h1 { margin-top: 0; font-size: 2rem; } h2 { font-size: 1.35rem; } h3 { font-size: 1.1rem; } h4 { font-size: 1rem; }
p { margin: .5rem 0; max-width: 75ch; } a { color: var(--two); }
.lead { font-size: 1.1rem; } .dim, figcaption { color: var(--dim); font-size: .9rem; }
.box { background: var(--soft); border-left: 4px solid var(--rule); padding: .6rem 1rem; margin: 1rem 0; }
.good { border-color: var(--good); } .bad { border-color: var(--bad); }
.run { border-top: 2px solid var(--rule); margin-top: 3rem; }
.pair, .three { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.top { display: flex; flex-wrap: wrap; gap: 0 1.5rem; } .top > * { flex: 0 1 auto; min-width: 0; }
.top > :last-child { flex: 1 1 20rem; }
.grids { display: grid; gap: 1.2rem .8rem; grid-template-columns: repeat(4, 1fr); }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figure img, svg { display: block; max-width: 100%; height: auto; }
.grids img { width: 100%; } svg { width: 100%; } figcaption { margin-top: .3rem; }
figcaption b { color: var(--text); margin-right: .6rem; }
svg text { fill: var(--dim); font-size: 12px; } svg path { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
svg .rule { stroke: var(--rule); stroke-width: .7; } svg .dots { stroke-width: 5; stroke-linecap: round; }
svg .one { stroke: var(--one); } svg .two { stroke: var(--two); } svg .three-line { stroke: var(--three); }
svg .floor { stroke: var(--dim); stroke-dasharray: 6 4; } svg .floor.dots { stroke: none; }
.key { display: inline-block; margin-right: .9rem; }
.key::before { content: ""; display: inline-block; width: 1.4em; margin-right: .4em; vertical-align: .25em;
  border-top: 3px solid; }
.key.one::before { border-color: var(--one); } .key.two::before { border-color: var(--two); }
.key.three-line::before { border-color: var(--three); } .key.floor::before { border-top: 2px dashed var(--dim); }
.scroll { overflow-x: auto; break-inside: avoid; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--dim); padding-bottom: .3rem; } caption b { color: var(--text); }
th, td { text-align: left; vertical-align: top; padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--rule); }
th:last-child, td:last-child { padding-right: 0; } tr { break-inside: avoid; }
thead th { color: var(--dim); font-weight: 600; vertical-align: bottom; }
.scroll thead th { white-space: normal; overflow-wrap: normal; }
tbody th { font-weight: 400; } .own th, .own td { font-weight: 700; } .own .dim { font-weight: 400; font-size: 1em; }
.facts th { width: 42%; white-space: nowrap; } .card th { width: 26%; }
.number { text-align: right; white-space: nowrap; } .tight { white-space: nowrap; } .long { min-width: 13rem; }
code { font-family: ui-monospace, monospace; font-size: .92em; }
@media screen and (max-width: 640px) { .grids { grid-template-columns: repeat(2, 1fr); } h1 { font-size: 1.6rem; }
  .scroll table { font-size: .78rem; } .scroll th, .scroll td { padding-right: .35rem; }
  .scroll .tight { white-space: normal; overflow-wrap: normal; } }
@media print { body { max-width: none; padding: 0; font-size: 10.5pt; } .pair { grid-template-columns: 1fr 1fr; }
  .tables { grid-template-columns: 1fr; } .scroll { overflow: visible; } .facts { font-size: 8.5pt; }
  .three { grid-template-columns: repeat(3, 1fr); break-inside: avoid; }
  .top { flex-wrap: nowrap; } .top > :first-child { flex: 0 0 9cm; }
  .run { break-before: page; } .box { break-inside: avoid; } * { print-color-adjust: exact; } }
"""

NOT_FOR = (
    "For research and teaching only, no clinical use: not for diagnosis, not as images of patients, not for testing "
    "clinical software without real data. Every generated image here is synthetic. The generator knows the patients, "
    "the devices and the diseases of its training images, and no others."
)

FLAG = r'<code class="tight">\g<0></code>'  # lines break within a flag where nothing forbids it


@dataclass(frozen=True)
class Panel:
    """What one chart shows."""

    title: str
    lines: tuple[tuple[str, str, str], ...]
    """(name in metrics.jsonl, label, CSS class)."""
    hint: str
    """How to read it."""
    top: float | None = None
    """The highest value there can be."""


PROBABILITY = Panel(
    "Probability of being real",
    (("d_real", "D(x), real", "two"), ("d_fake", "D(G(z)), generated", "one")),
    "At 0.5 the discriminator cannot tell them apart.",
    top=1,
)
MARGIN = Panel(  # of a relativistic game, which knows differences only: its D(x) alone says nothing
    "Margin",
    (("margin", "D(x) - D(G(z)), logits", "two"),),
    "How far the discriminator puts real images above generated ones; at 0 it cannot tell them apart.",
)

PANELS = (
    Panel(
        "Losses",
        (("loss_g", "generator", "one"), ("loss_d", "discriminator", "two")),
        "Their levels depend on the kind of loss; in a healthy game neither runs away.",
    ),
    PROBABILITY,
    MARGIN,
    Panel(
        "Fréchet distance",
        (("frechet_distance", "generated", "one"), ("frechet_floor", "floor", "floor")),
        "Lower is better. The floor is the distance of other real images.",
    ),
    Panel(
        "Precision and recall",
        (("precision", "precision", "one"), ("recall", "recall", "two")),
        "Precision: the share of generated images that lie among the real ones. Recall: the share of the real images "
        "that lie among the generated ones.",
        top=1,
    ),
    Panel(
        "Samples against real images",
        (("diversity", "diversity", "one"), ("grain", "grain", "three-line"), ("repeats", "repeats", "two")),
        "Diversity and grain are 1 when samples vary, and are as rough, as real images. Repeats: the share of samples "
        "with a near copy.",
    ),
    Panel(
        "What the discriminator makes of images",
        (
            ("d_train", "training images", "two"),
            ("d_held_out", "unseen real ones", "three-line"),
            ("d_samples", "samples", "one"),
        ),
        "Mean logits. Unseen real images far below training images mean that it learns these by heart.",
    ),
)


def write_report(target: Path, out: Path, *, without_real: bool) -> None:
    """The report of a run folder, or of a folder of runs, as the HTML file `out`.

    `without_real` leaves out the picture of training images. UserError where there is no run or a file is damaged.
    """
    name = target.resolve().name
    if (target / "config.json").exists():
        body = _run(RunFolder(target), level=1, with_real=not without_real)
    else:
        body = _runs(target, name, with_real=not without_real)
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # the page may load nothing, whatever a name in it says
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(name)}{TITLE_END}\n<style>{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
    write_bytes(out, page.encode("utf-8", "backslashreplace"))


def check_report_file(file: Path) -> None:
    """UserError unless `file` is a .html that is new, or an earlier report that may be replaced."""
    mend = "it is not overwritten, name another file"
    if file.suffix.lower() not in (".html", ".htm") or file.is_dir():
        raise UserError(f"--out {file} does not name an .html file; give one such as report.html")
    if os.path.lexists(file):
        check_regular(file, file.stat(), MAX_REPORT_BYTES, mend=mend)
        with file.open("rb") as stream:
            if TITLE_END.encode() not in stream.read(HEAD_BYTES):
                raise UserError(f"--out {file} holds something else than a report of cxrgan; {mend}")


def _runs(target: Path, name: str, *, with_real: bool) -> str:
    """The table of experiments.json, where it is there, and a section for each run folder."""
    folders = [RunFolder(file.parent) for file in sorted(target.glob("*/config.json"))]
    table = target / "experiments.json"
    if not folders and not table.exists():
        raise UserError(f"{target} holds no run and no folders of runs; give a folder that `cxrgan train` made")
    parts = [f"<h1>{escape(name)}</h1>", _not_for()]
    if table.exists():
        parts.append(_experiments(read_sweep_page(table), folders))
    else:
        parts.append(f"<p>{len(folders)} runs: {', '.join(_links(folders).values())}</p>")
    for index, folder in enumerate(folders):
        parts.append(
            f'<section class="run" id="run-{index}">\n{_run(folder, level=2, with_real=with_real)}\n</section>'
        )
    return "\n".join(parts)


def _experiments(page: Mapping[str, Any], folders: Sequence[RunFolder]) -> str:
    """The tables of experiments.json; the name of a run leads to its section."""
    links = _links(folders)
    parts = [f'<p class="lead">{escape(page["about"])}</p>']
    for table in page["tables"]:
        columns = list(table["rows"][0])
        cells = [[escape(_shown(row[column])) for column in columns] for row in table["rows"]]
        for row in cells:
            row[0] = links.get(row[0], row[0])
        parts.append(_table(f"<b>{escape(table['title'])}</b>", columns, cells, set()))
        parts.append(f'<p class="dim">{escape(table["note"])}</p>')
    parts += [f'<p class="dim">{escape(note)}</p>' for note in page["notes"]]
    return "\n".join(parts)


def _links(folders: Sequence[RunFolder]) -> dict[str, str]:
    """Name of a run, escaped -> a link to its section."""
    names = [escape(folder.path.name) for folder in folders]
    return {name: f'<a href="#run-{index}">{name}</a>' for index, name in enumerate(names)}


def _run(folder: RunFolder, *, level: int, with_real: bool) -> str:
    """Everything of one run, under a heading of `level`."""
    info, history = folder.read_info(), History(name for panel in PANELS for name, _, _ in panel.lines)
    LogReader(folder.metrics_file, history.add).read_on()
    name, inner = folder.path.resolve().name, level + 1
    with _reading(folder.metrics_file):
        lead = _lead(info, history.last)
        curves = _curves(history, relativistic=info.config.loss == "relativistic")
    sections = (
        ("The last samples", _last_samples(folder, info, WIDEST if level == 1 else HALF)),
        ("Diagnosis", _diagnosis(folder)),
        ("Evaluation", _evaluation(folder)),
        ("Curves", curves),
        ("Samples over time", _samples_over_time(folder, info)),
        ("Real beside generated", _real_beside_generated(folder, info) if with_real else ""),
        ("Settings", _settings(info, inner + 1)),
        ("Model card", _card(folder, info)),
    )
    samples, diagnosis, *others = (
        f"<section>\n<h{inner}>{title}</h{inner}>\n{content}\n</section>" for title, content in sections if content
    )
    top = f'<div class="top">\n{samples}\n{diagnosis}\n</div>'
    return "\n".join([f"<h{level}>{escape(name)}</h{level}>", lead, _not_for() if level == 1 else "", top, *others])


def _lead(info: RunInfo, last: Row | None) -> str:
    """The run in one line, `last` being that of its log."""
    config = info.config
    done, num_steps = (last["step"] if last else 0), config.num_steps(info.num_images)
    steps = f"{done:,} steps" if done == num_steps else f"{done:,} of {num_steps:,} steps so far"
    time = f" in {duration(last['seconds'])}" if last else ""
    by_class = " by class" if config.conditional else ""
    return (
        f'<p class="lead">Recipe <b>{escape(info.recipe)}</b>{by_class}, {config.model.image_size} pixels a side: '
        f"{info.num_images:,} training images, {steps}{time}, on {config.device} in {config.precision}.</p>"
    )


def _not_for() -> str:
    return f'<p class="box bad"><b>What this is not for.</b> {NOT_FOR}</p>'


def _last_samples(folder: RunFolder, info: RunInfo, width: int) -> str:
    grids = _grids(folder)
    if not grids:
        return _missing("There are no samples yet; training makes them", "cxrgan train --resume RUN")
    step, file = list(grids.items())[-1]
    across = max(1, width // (info.config.model.image_size + GAP))
    with _reading(file):
        sheet = _first(_pixels(file), info, across)
        text = f"Generated, after step {step:,}: the images of the first seeds, none picked out."
        return _figure(sheet, f"Generated chest X-rays after step {step}", text)


def _diagnosis(folder: RunFolder) -> str:
    found = read_diagnosis(folder.path / "diagnosis.json")
    if not found:
        return _missing("The doctor has not looked yet; it does while a run trains", "cxrgan train --resume RUN")
    if not found["findings"] and found["verdict"] == TOO_EARLY:
        needs = "the doctor finds nothing wrong, and has seen too little to call the run healthy"
        return f'<p class="box"><b>Too early to say</b> at step {found["step"]:,}: {needs}.</p>'
    if not found["findings"]:
        return f'<p class="box good"><b>Healthy</b> at step {found["step"]:,}: the doctor finds nothing wrong.</p>'
    return "\n".join(
        f'<div class="box bad"><p><b>{escape(finding["name"].capitalize())}</b> since step {finding["since"]:,}</p>'
        f"<p>Evidence: {escape(finding['evidence'])}.</p>"
        f"<p>What to do: {re.sub('--[a-z-]+', FLAG, escape(finding['advice']))}.</p></div>"
        for finding in found["findings"]
    )


def _evaluation(folder: RunFolder) -> str:
    """A table for each network and class, each saying what was measured on what."""
    found = read_evaluation(folder.path / "evaluation.json")
    if not found:
        return _missing("Not measured yet", "cxrgan evaluate RUN --data DIR")
    tables = []
    for group in evaluation_groups(found["rows"]):
        row = group[0]
        split = f" ({row['split']})" if row["split"] else ""  # a plain folder has none
        measured = (
            f", by {row['features']}: {row['n_fake']:,} generated against {row['n_real']:,} real{split}, resized: "
            f"{row['resize']}, seed {row['seed']}"
        )
        caption = f"<b>{escape(row['label'] or 'All images')}</b>{escape(measured)}"
        cells = [[escape(cell) for cell in evaluation_cells(row)] for row in group]
        remarks = "".join(f'<p class="dim">{escape(remark)}</p>' for remark in evaluation_remarks(group))
        tables.append(f"<div>{_table(caption, EVALUATION_COLUMNS, cells, {2, 3, 4})}{remarks}</div>")
    notes = "".join(f'<p class="dim">{escape(note)}</p>' for note in evaluation_notes(found["rows"]))
    target = escape(f"{found['target']}, against {found['data']}.")
    return (
        f"<p>{target} An arrow tells the better direction. The floor is the same metric between real and other "
        "real images: what a generator would get whose images cannot be told from the data. The ratio is that of "
        f'the value to it.</p>\n<div class="pair tables">{"".join(tables)}</div>\n{notes}'
    )


def _curves(history: History, *, relativistic: bool) -> str:
    """A chart for each panel that has numbers."""
    figures = []
    for panel in PANELS:
        if panel is (PROBABILITY if relativistic else MARGIN):
            continue
        curves = [(Line(label, style, history.points(name))) for name, label, style in panel.lines]
        lines = [line for line in curves if line.points]
        if lines and history.last:
            last_step = history.last["step"]
            svg = chart(panel.title, lines, last_step=last_step, top=panel.top, holes=history.holes)
            keys = " ".join(f'<span class="key {line.style}">{line.label}</span>' for line in lines)
            best = _best(history.best.row) if panel.lines[0][0] == BEST_BY and history.best.row else ""
            head = f"<figcaption><b>{panel.title}</b> {keys}</figcaption>"
            figures.append(f'<figure>{head}{svg}<p class="dim">{panel.hint}{best}</p></figure>')
    if not figures:
        return _missing("Nothing is logged yet; training does it", "cxrgan train --resume RUN")
    measured = history.best.row is not None
    note = "" if measured else _missing("No metrics over time were taken", "cxrgan train --evaluate-every 500")
    return f'<div class="pair">{"".join(figures)}</div>\n{note}'


def _best(best: Row) -> str:
    """The lowest Frechet distance in words, with what it was measured by."""
    return (
        f" The lowest is {best[BEST_BY]:.3g} at step {best['step']:,}, {best['n_fake']:,} generated images against "
        f"{best['n_real']:,} real ones by {escape(best['features'])}; the floor is {best['frechet_floor']:.3g}."
    )


def _samples_over_time(folder: RunFolder, info: RunInfo) -> str:
    """The same few images at a quarter of the run, half-way, three quarters and the end."""
    grids = _grids(folder)
    if len(grids) < 2:
        return ""
    last = max(grids)
    chosen = sorted({min(grids, key=lambda step: abs(step - share * last)) for share in MOMENTS})
    across = max(1, QUARTER // (info.config.model.image_size + GAP))
    figures = []
    for step in chosen:
        with _reading(grids[step]):
            sheet = _first(_pixels(grids[step]), info, across)
            figures.append(_figure(sheet, f"The same generated images at step {step}", f"Step {step:,}"))
    return f'<div class="grids">{"".join(figures)}</div>'


def _real_beside_generated(folder: RunFolder, info: RunInfo) -> str:
    """The real half of `real-and-fake-*.png`, the same at start and end, beside the newest samples."""
    files, grids = sorted(folder.samples.glob("real-and-fake-*.png")), _grids(folder)
    if not files or not grids:
        return ""
    size = info.config.model.image_size
    step, newest = list(grids.items())[-1]
    across = max(1, HALF // (size + GAP))
    with _reading(files[0]):
        both = _pixels(files[0])
        real = _first(both[:, : (both.shape[1] - size // 4) // 2], info, across)
    with _reading(newest):
        fake = _first(_pixels(newest), info, across)
    return (
        '<p class="box bad"><b>The first picture shows training images</b>, of patients if the data are. Keep this '
        "report private where the data are private; <code>cxrgan report --without-real</code> leaves it out.</p>\n"
        f'<div class="pair">{_figure(real, "Real chest X-rays", "Real, drawn by chance", note="Real, not synthetic.")}'
        f"{_figure(fake, f'Generated chest X-rays after step {step}', f'Generated, after step {step:,}')}</div>"
    )


def _settings(info: RunInfo, level: int) -> str:
    """Every setting in three tables; those that are not the recipe's are bold."""
    base = RECIPES.get(info.recipe)
    changed = differences(base, info.config) if base else {}
    settings = asdict(info.config)
    model = {f"model.{name}": value for name, value in settings.pop("model").items()}
    groups = {
        "Networks": model,
        "Training": {name: value for name, value in settings.items() if name not in FREE_TO_CHANGE},
        "Length, place and files": {name: value for name, value in settings.items() if name in FREE_TO_CHANGE},
    }
    tables = []
    for title, values in groups.items():
        lines = []
        for name, value in values.items():
            # what `auto` became, and the classes that the data have, are no departure from the recipe
            own = name in changed and changed[name][0] != "auto" and name != "model.num_classes"
            note = f' <span class="dim">recipe: {escape(_shown(changed[name][0]))}</span>' if own else ""
            lines.append(
                f'<tr{" class=own" if own else ""}><th scope="row">{name.removeprefix("model.")}</th>'
                f"<td>{escape(_shown(value))}{note}</td></tr>"
            )
        table = f'<table class="facts"><tbody>{"".join(lines)}</tbody></table>'
        tables.append(f"<div><h{level}>{title}</h{level}>{table}</div>")
    compared = f"Bold: not as in the recipe {escape(info.recipe)}." if base else "This run follows no named recipe."
    return f'<p class="dim">{compared}</p><div class="three">{"".join(tables)}</div>'


def _card(folder: RunFolder, info: RunInfo) -> str:
    """What somebody must know who is given the generator."""
    written_by, manifest = folder.read_config(), _manifest(info)
    counts = ", ".join(f"{count:,} {name}" for name, count in info.classes.items())
    halflife = info.config.ema_halflife
    facts = {
        "What": f"A generator of synthetic chest X-rays, {info.config.model.image_size} pixels a side, grey",
        "Weights": f"moving average over {halflife:,} images seen" if halflife else "of the last step, not averaged",
        "Checkpoints": ", ".join(f"step {step:,}" for step in folder.steps()) or "none",
        "Data": manifest.name if manifest else Path(info.data).name,
        "Training images": f"{info.num_images:,}" + (f": {counts}" if counts else ""),
        "SHA-256 of the data": info.data_sha256,
        "Licence of the data": (manifest and manifest.license) or "not known here; ask where the images come from",
        "Citation": (manifest and manifest.citation) or "",
        "Made with": f"cxrgan {written_by.optional_text('cxrgan')}, PyTorch {written_by.optional_text('torch')}",
        "Not for": NOT_FOR,
    }
    lines = "".join(
        f'<tr><th scope="row">{name}</th><td>{escape(value)}</td></tr>' for name, value in facts.items() if value
    )
    return f'<table class="card"><tbody>{lines}</tbody></table>'


def _manifest(info: RunInfo) -> Manifest | None:
    """What the dataset folder says of itself, where it still lies and holds the images of the run."""
    try:
        manifest = read_manifest(Path(info.data))
    except UserError:
        return None
    return manifest if manifest.images_sha256 == info.data_sha256 else None


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    """What is not as cxrgan writes it becomes a UserError that names the file."""
    try:
        yield
    except Unusable as reason:
        raise UserError(f"cannot read {file}: {reason}; remove it") from reason
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SyntaxError) as error:  # Syntax: a bad PNG
        raise UserError(f"cannot read {file}: {error!r}; mend it, or move it away") from error


def _grids(folder: RunFolder) -> dict[int, Path]:
    """Step -> grid of samples, ascending."""
    files = {file.stem.removeprefix("step-"): file for file in folder.samples.glob("step-*.png")}
    return {int(step): files[step] for step in sorted(filter(str.isdecimal, files), key=int)}


def _pixels(file: Path) -> "NDArray[np.uint8]":
    """The grey values of a sheet that cxrgan wrote, (H, W); what its header claims is bounded before it is decoded."""
    content = read_bytes(file, MAX_BYTES, mend="remove it")
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
        check_sides(*picture.size)
        return np.asarray(picture.convert("L"))


def _first(sheet: "NDArray[np.uint8]", info: RunInfo, across: int) -> "NDArray[np.uint8]":
    """The first `across` rows and columns of a sheet laid by `images.grid`."""
    side = across * (info.config.model.image_size + GAP) + GAP
    return sheet[:side, :side]


def _figure(sheet: "NDArray[np.uint8]", alt: str, text: str, note: str = SYNTHETIC) -> str:
    content = base64.b64encode(encode_png(sheet, note)).decode()
    height, width = sheet.shape
    return (
        f'<figure><img src="data:image/png;base64,{content}" width="{width}" height="{height}" alt="{alt}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: set[int]) -> str:
    """Cells of HTML as a table that scrolls in its own box; the columns `numeric` stand to the right."""
    long = {index for index in range(len(columns)) if any(len(row[index]) > LONG_CELL for row in rows)}
    kinds = ["number" if i in numeric else "long" if i in long else "tight" for i in range(len(columns))]
    style = [f'class="{kind}"' for kind in kinds]
    head = "".join(f'<th scope="col" {style[i]}>{escape(column)}</th>' for i, column in enumerate(columns))
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row" {style[i]}>{cell}</th>' if i == 0 else f"<td {style[i]}>{cell}</td>"
            for i, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _missing(text: str, command: str) -> str:
    """One line on what is not here, and the command that makes it."""
    return f'<p class="dim">{text}: <code>{command}</code></p>'


def _shown(value: object) -> str:
    """A value of JSON as people read it."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
