"""The page in Gradio: its tabs, its looks, and what it may not do; each tab stands in a file of its own."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import: it would tell others that it runs
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr

from cxrgan.reports.page import STYLES
from cxrgan.web.explore import explore_tab
from cxrgan.web.generate import generate_tab
from cxrgan.web.pieces import fragment
from cxrgan.web.quiz import quiz_tab
from cxrgan.web.runs import runs_tab
from cxrgan.web.state import State

if TYPE_CHECKING:
    from fastapi import FastAPI

TITLE = "cxrgan"
HERE = Path(__file__).parent
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
MOST_QUEUED = 100  # visitors of whom one waits for an answer; the next are told to come again
AT_ONCE = 4  # answers that are computed; images are made in turn (`pictures.Darkroom`)


def build(state: State) -> gr.Blocks:
    """The page with its tabs."""
    page: gr.Blocks
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(fragment("head.html"), padding=False, apply_default_css=False)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Runs", id="runs"):
                runs_tab(state, page)
            with gr.Tab("Generate", id="generate"):
                generate_tab(state, page)
            with gr.Tab("Explore", id="explore"):
                explore_tab(state, page)
            if not state.visitors:
                with gr.Tab("Real or synthetic?", id="quiz"):
                    quiz_tab(state, page)
    page.queue(max_size=MOST_QUEUED, default_concurrency_limit=AT_ONCE, api_open=False)
    return page


def mount(app: "FastAPI", state: State) -> "FastAPI":
    """The page at the root of `app`."""
    shared = STYLES[0].read_text("utf-8").replace(":root", "&")
    style = f".cx {{ {shared} }}\n" + (HERE / "page.css").read_text("utf-8")
    script = (HERE / "page.js").read_text("utf-8")
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        build(state),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=True,
        ssr_mode=False,
        enable_monitoring=False,
        max_file_size=1,
        theme=gr.themes.Base(
            primary_hue="blue",
            neutral_hue="slate",
            font=SANS,
            font_mono=MONO,
            radius_size="sm",
        ),
        head=f"<style>{style}</style><script>{script}</script>",
    )
    return mounted
