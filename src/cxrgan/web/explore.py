"""The tab Explore: a map of the latent space to move in, a walk between seeds, and sliders found from images."""

import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from cxrgan.generation.attributes import EXPLAINED
from cxrgan.generation.directions import Direction
from cxrgan.generation.explore import MAX_UNITS
from cxrgan.generation.latents import MAX_SEED
from cxrgan.generation.shipped import GENERATORS
from cxrgan.web.pieces import fragment
from cxrgan.web.state import State
from cxrgan.web.telling import on, told

PATIENCE = 120.0  # seconds that a visitor waits for the sliders, which take some seconds to find
STILL = "The sliders take long to find; choose the generator again in a minute."
OWN = "as the seed"


def explore_tab(state: State, page: gr.Blocks) -> None:
    """Put the components into the tab that is open."""
    with gr.Row():
        of = gr.Dropdown(list(GENERATORS), value=GENERATORS[0], label="Generator", elem_id="explore-of")
        label = gr.Radio([OWN], value=OWN, label="Class", visible=False)
        seed = gr.Number(0, label="Seed in the middle", precision=0, minimum=0, maximum=MAX_SEED)
        right = gr.Number(1, label="Seed at the right", precision=0, minimum=0, maximum=MAX_SEED)
        up = gr.Number(2, label="Seed above", precision=0, minimum=0, maximum=MAX_SEED)
        other = gr.Button("Other seeds", variant="primary", min_width=120)
    stage = gr.HTML(padding=False, apply_default_css=False)
    sliders = gr.HTML(padding=False, apply_default_css=False)

    @told
    def choose(of: str) -> Any:
        classes = list(state.catalogue.generator(of).classes)
        return gr.Radio([OWN, *classes], value=classes[0] if classes else OWN, visible=bool(classes))

    @told
    def show(of: str, label: str, seed: float, right: float, up: float) -> str:
        generator = state.catalogue.generator(of)
        values = {"of": of, "seed": int(seed), "right": int(right), "up": int(up)}
        values |= {} if label == OWN else {"label": label}
        return fragment(
            "explore.html",
            address=urlencode(values, errors="surrogateescape"),
            seeds=[int(seed), int(right), int(up)],
            label="" if label == OWN else label,
            others=[] if label == OWN else [name for name in generator.classes if name != label],
            size=generator.config.image_size,
        )

    @told
    def find(of: str) -> str:
        found = state.directions.of(of, PATIENCE)
        if not isinstance(found, tuple):
            return fragment(
                "status.html", kind="bad", text=found or "The sliders take long to find; try again.", line=""
            )
        return sliders_of(found)

    def draw_seeds() -> list[int]:
        return random.sample(range(1_000_000), 3)

    inputs = [of, label, seed, right, up]
    on([page.load], lambda: gr.Dropdown(state.catalogue.generators()), None, of)
    chosen = on([page.load, of.input], choose, of, label)
    shown = chosen.then(show, inputs, stage, api_visibility="private", show_progress="hidden")
    shown.then(find, of, sliders, api_visibility="private", show_progress="minimal")
    on([label.input, seed.change, right.change, up.change], show, inputs, stage)
    on([other.click], draw_seeds, None, [seed, right, up])


def sliders_of(found: Sequence[Direction]) -> str:
    """A slider for each direction that does what it says, with how well it does, and the names of the others."""
    return fragment(
        "sliders.html",
        directions=[each for each in found if each.works],
        useless=[each for each in found if not each.works],
        explained=EXPLAINED,
        most=MAX_UNITS,
    )
