"""The tab Generate: images of a generator as a grid; of the one that is clicked its seed, its nearest training image's
distance, and its files.
"""

from typing import Any
from urllib.parse import urlencode

import gradio as gr

from cxrgan.errors import UserError
from cxrgan.evaluation.neighbours import NETWORK, Neighbours
from cxrgan.generation.generator import TrainedGenerator
from cxrgan.generation.latents import MAX_SEED
from cxrgan.generation.provenance import MAX_TRUNCATION
from cxrgan.generation.shipped import GENERATORS
from cxrgan.models import stable
from cxrgan.web.pieces import fragment
from cxrgan.web.state import State
from cxrgan.web.telling import on, told

MOST = 64
EVERY_CLASS = "as in training"
PATIENCE = 8.0  # seconds that a click waits for the training images of its generator


def generate_tab(state: State, page: gr.Blocks) -> None:
    """Put the components into the tab that is open."""
    with gr.Row():
        with gr.Column(scale=1, min_width=260):
            of = gr.Dropdown(list(GENERATORS), value=GENERATORS[0], label="Generator")
            label = gr.Radio([EVERY_CLASS], value=EVERY_CLASS, label="Class")
            seed = gr.Number(0, label="First seed", precision=0, minimum=0, maximum=MAX_SEED)
            num = gr.Slider(1, MOST, 24, step=1, label="Images")
            truncation = gr.Slider(0, MAX_TRUNCATION, 1, step=0.05, label="Truncation", info=TRUNCATION)
            with gr.Row():
                back = gr.Button("Back", min_width=80)
                ahead = gr.Button("Next", variant="primary", min_width=80)
        with gr.Column(scale=3, min_width=320):
            grid = gr.HTML(padding=False, js_on_load=CHOOSE, apply_default_css=False)
            detail = gr.HTML(padding=False, apply_default_css=False)

    @told
    def choose(of: str) -> tuple[Any, Any]:
        generator = state.catalogue.generator(of)
        has_styles = isinstance(generator.network, stable.Generator)
        return (
            gr.Radio([EVERY_CLASS, *generator.classes], value=EVERY_CLASS, visible=bool(generator.classes)),
            gr.Slider(value=1, visible=has_styles),
        )

    @told
    def make(of: str, label: str, seed: float, num: float, truncation: float) -> tuple[str, str]:
        generator = state.catalogue.generator(of)
        return grid_of(generator, of, _label(label), int(seed), int(num), truncation), ""

    @told
    def show(of: str, label: str, truncation: float, event: gr.EventData) -> str:
        generator, seed = state.catalogue.generator(of), event._data["seed"]
        if type(seed) is not int:
            raise UserError("choose an image of the grid")
        image, own = state.darkroom.image(generator, seed, _label(label), truncation)
        address = _address(of, own or None, seed, truncation)
        known = state.neighbours.of(of, PATIENCE)
        nearest = known.of(image) if isinstance(known, Neighbours) else None
        why = f"The nearest training image is not known: {known}." if isinstance(known, str) else STILL
        size = generator.config.image_size
        return fragment(
            "detail.html",
            address=address,
            seed=seed,
            label=own,
            size=size,
            nearest=nearest,
            why=why,
            network=NETWORK,
            command=f"cxrgan generate {of} --num 1 --seed {seed}" + (f" --label {own}" if own else ""),
        )

    def step(by: int) -> Any:
        return lambda seed, num: max(0, min(MAX_SEED - MOST, int(seed) + by * int(num)))

    inputs = [of, label, seed, num, truncation]
    on([page.load], lambda: gr.Dropdown(state.catalogue.generators()), None, of)
    on([page.load, of.input], choose, of, [label, truncation]).then(
        make, inputs, [grid, detail], api_visibility="private", show_progress="hidden"
    )
    on([label.input, seed.change, num.release, truncation.release], make, inputs, [grid, detail])
    on([back.click], step(-1), [seed, num], seed)
    on([ahead.click], step(1), [seed, num], seed)
    grid.click(show, [of, label, truncation], detail, api_visibility="private", show_progress="minimal").then(
        None, js=APPEAR
    )


STILL = "The training images are still being looked at; choose the image again in a minute."
TRUNCATION = "Below 1: more typical, less varied."
APPEAR = "() => document.querySelector('.detail')?.scrollIntoView({behavior: 'smooth', block: 'nearest'})"
CHOOSE = """
element.addEventListener('click', event => {
  const tile = event.target.closest('button[data-seed]');
  if (tile) trigger('click', {seed: Number(tile.dataset.seed)});
});
"""


def grid_of(generator: TrainedGenerator, of: str, label: str | None, seed: int, num: int, truncation: float) -> str:
    """A grid of buttons, each an image, in order of their seeds."""
    if not 0 <= seed <= MAX_SEED - num + 1 or not 1 <= num <= MOST:
        raise UserError(f"1 to {MOST} images, of seeds from 0 to {MAX_SEED}")
    labels = generator.labels(num, seed, label)
    tiles = [
        (each, own, _address(of, own or None, each, truncation))
        for each, own in zip(range(seed, seed + num), labels, strict=True)
    ]
    sheet = _address(of, label, seed, truncation) + f"&num={num}"
    return fragment("grid.html", tiles=tiles, size=generator.config.image_size, sheet=sheet, name=of)


def _label(choice: str) -> str | None:
    return None if choice == EVERY_CLASS else choice


def _address(of: str, label: str | None, seed: int, truncation: float) -> str:
    values: dict[str, Any] = {"of": of, "seed": seed, "truncation": f"{truncation:g}"}
    return urlencode(values | ({"label": label} if label else {}), errors="surrogateescape")
