"""The tab Real or synthetic?: a reader study with the visitor's own dataset."""

from pathlib import Path
from typing import Any, cast, get_args

import gradio as gr

from cxrgan.data.dataset import read_manifest
from cxrgan.errors import UserError
from cxrgan.evaluation.reader_study import MOST_IMAGES, Kind
from cxrgan.evaluation.sets import image_size
from cxrgan.generation.shipped import GENERATORS
from cxrgan.web.pieces import fragment
from cxrgan.web.state import State
from cxrgan.web.studies import Study
from cxrgan.web.telling import on, told


def quiz_tab(state: State, page: gr.Blocks) -> None:
    """Put the components into the tab that is open."""
    key = gr.State("")
    gr.HTML(fragment("quiz_about.html"), padding=False, apply_default_css=False)
    with gr.Row():
        reader = gr.Textbox(label="Reader", placeholder="your name or a letter", max_length=40)
        data = gr.Dropdown([], label="Real images: prepared dataset")
        of = gr.Dropdown(list(GENERATORS), value=GENERATORS[0], label="Synthetic images: generator")
        num = gr.Number(20, label="Images", precision=0, minimum=2, maximum=MOST_IMAGES, step=2)
        seed = gr.Number(0, label="Seed of the order", precision=0, minimum=0, maximum=2**31)
    begin = gr.Button("Begin, or go on", variant="primary")
    view = gr.HTML(padding=False, apply_default_css=False, js_on_load=ANSWER)

    @told
    def start(reader: str, data: str | None, of: str, num: float, seed: float) -> tuple[str, str]:
        if not data:
            raise UserError("choose a prepared dataset; cxrgan prepare makes one, and --data DIR shows it here")
        opened = state.studies.open(Study(reader.strip(), data, of, int(num), int(seed)))
        return opened, shown(state, opened)

    @told
    def answer(key: str, event: gr.EventData) -> str:
        kind, place = event._data.get("answer"), event._data.get("place")
        if kind in get_args(Kind) and type(place) is int:
            state.studies.session(key).answer(place, cast(Kind, kind))
        return shown(state, key)

    def lists() -> tuple[Any, Any]:
        names = list(state.catalogue.datasets())
        first = next(iter(names), None)
        generators = state.catalogue.generators()
        return gr.Dropdown(names, value=first), gr.Dropdown(generators, value=_fitting(state, first) or generators[0])

    on([page.load], lists, None, [data, of])
    on([data.input], lambda name: _fitting(state, name) or gr.skip(), data, of)
    begin.click(start, [reader, data, of, num, seed], [key, view], api_visibility="private")
    view.click(answer, key, view, api_visibility="private", show_progress="hidden")


def _fitting(state: State, dataset: str | None) -> str | None:
    """The shipped generator that makes images of the dataset's size, if there is one."""
    try:
        size = read_manifest(state.catalogue.dataset(dataset)).size if dataset else 0
    except UserError:
        return None
    return next((name for name in GENERATORS if image_size(Path(name)) == size), None)


ANSWER = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-answer]');
  if (button) trigger('click', {answer: button.dataset.answer, place: Number(button.dataset.place)});
});
"""


def shown(state: State, key: str) -> str:
    """The image that is to be judged, or the result."""
    session = state.studies.session(key)
    if session.place is not None:
        size = session.items[0].image.shape[0]
        return fragment("quiz.html", key=key, place=session.place, num=len(session.items), size=size)
    items = [(place, item, session.answers[place]) for place, item in enumerate(session.items)]
    return fragment("quiz_end.html", key=key, score=session.score(), items=items, file=session.file.name)
