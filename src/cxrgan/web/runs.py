"""The tab Runs: every run while it trains, two side by side, and starting, stopping and resuming one."""

import hashlib
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cxrgan.errors import UserError
from cxrgan.files import trouble
from cxrgan.recipes.named import RECIPES
from cxrgan.training.budget import seconds_of
from cxrgan.web.pieces import fragment
from cxrgan.web.state import State
from cxrgan.web.telling import on, told
from cxrgan.web.trainings import SAVED
from cxrgan.web.watch import RunView, Watch, changed_settings

EVERY = 2.0  # seconds
NOTHING = "nothing"
RECOMMENDED = "recommended for the image size"


@dataclass(frozen=True)
class Seen:
    """What a visitor's page shows already, so that what did not change is not sent again."""

    names: tuple[str, ...] = ()
    digest: str = ""


def runs_tab(state: State, page: gr.Blocks) -> None:
    """Put the components into the tab that is open."""
    watch, seen = Watch(), gr.State(Seen())
    with gr.Row(equal_height=True):
        chosen = gr.Dropdown([], label="Run", scale=2)
        beside = gr.Dropdown([NOTHING], value=NOTHING, label="Compare with", scale=2)
    if not state.visitors:
        _training(state, page, chosen)
    view = gr.HTML(padding=False, apply_default_css=False)
    timer = gr.Timer(EVERY)

    def look(name: str | None, other: str, seen: Seen) -> tuple[Any, Any, Any, Seen]:
        """The lists and the view, as far as they changed."""
        names = tuple(state.catalogue.runs())
        name = name if name in names else next(iter(names), None)
        html = shown(state, watch, name, other)
        now = Seen(names, hashlib.sha256(html.encode("utf-8", "replace")).hexdigest())
        lists = now.names != seen.names
        return (
            gr.Dropdown(list(names), value=name) if lists else gr.skip(),
            gr.Dropdown([NOTHING, *names]) if lists else gr.skip(),
            html if now.digest != seen.digest else gr.skip(),
            now,
        )

    on(
        [page.load, timer.tick, chosen.input, beside.input],
        look,
        [chosen, beside, seen],
        [chosen, beside, view, seen],
    )


def shown(state: State, watch: Watch, name: str | None, other: str) -> str:
    """The runs of these names as HTML; what is broken is told in its place."""
    if name is None:
        return fragment("empty.html", root=str(state.catalogue.root))
    views: list[RunView] = []
    broken: list[tuple[str, str]] = []
    for each in dict.fromkeys([name, *([] if other == NOTHING else [other])]):
        try:
            views.append(watch.view(each, state.catalogue.run(each)))
        except UserError as error:
            broken.append((each, str(error)))
        except OSError as error:
            broken.append((each, trouble(error)))
    changed = changed_settings(views[0].record, views[1].record) if len(views) == 2 else None
    return fragment("live.html", views=views, broken=broken, changed=changed)


def _training(state: State, page: gr.Blocks, chosen: gr.Dropdown) -> None:
    """Start, stop, resume."""
    with gr.Accordion("Train", open=False):
        said = gr.HTML(padding=False, apply_default_css=False)
        with gr.Row():
            resume = gr.Button("Resume the run above")
            stop = gr.Button("Stop and save", variant="stop")
        gr.HTML('<h3 class="cx">A new run</h3>', padding=False, apply_default_css=False)
        with gr.Row():
            name = gr.Textbox(label="Name", placeholder="first", max_length=80)
            data = gr.Dropdown([], label="Prepared dataset")
            recipe = gr.Dropdown([RECOMMENDED, *RECIPES], value=RECOMMENDED, label="Recipe")
            time = gr.Textbox("1h", label="For how long", placeholder="2h or 90min", max_length=20)
        by_class = gr.Checkbox(True, label="Learn the classes, to make images of a chosen one")
        start = gr.Button("Start", variant="primary")
    timer = gr.Timer(EVERY)

    @told
    def begin(name: str, data: str | None, recipe: str, by_class: bool, time: str) -> str:
        seconds_of(time)
        if not data:
            raise UserError("choose a prepared dataset; cxrgan prepare makes one, and --data DIR shows it here")
        named = None if recipe == RECOMMENDED else recipe
        path = state.catalogue.dataset(data)
        state.trainings.start(name.strip(), path, recipe=named, conditional=by_class, time=time)
        return status(state)

    @told
    def go_on(run: str | None) -> str:
        if run is None:
            raise UserError("choose a run first")
        state.trainings.resume(run, state.catalogue.run(run))
        return status(state)

    @told
    def end() -> str:
        state.trainings.stop()
        return status(state)

    start.click(begin, [name, data, recipe, by_class, time], said, api_visibility="private")
    resume.click(go_on, chosen, said, api_visibility="private")
    stop.click(end, None, said, api_visibility="private")
    on([page.load, timer.tick], lambda: status(state), None, said)
    on([page.load], lambda: gr.Dropdown(list(state.catalogue.datasets())), None, data)


def status(state: State) -> str:
    """What became of the training of this page, in a line."""
    now = state.trainings.state()
    if now is None:
        return fragment("status.html", kind="", text="Nothing was started here yet.", line="")
    ends = {None: "is training", 0: "is trained to its end", SAVED: "was stopped and is saved"}
    text = f"{now.run} {ends.get(now.status, 'could not be trained')}"
    bad = now.status not in ends
    return fragment("status.html", kind="bad" if bad else "", text=text, line=now.line)
