"""Errors and waiting, as a visitor of the page is told of them. Gradio shows HTML: what names a file is escaped."""

import functools
from collections.abc import Callable
from html import escape
from typing import ParamSpec, TypeVar

import gradio as gr

from cxrgan.errors import UserError
from cxrgan.files import trouble
from cxrgan.web.pictures import Busy

on = functools.partial(gr.on, api_visibility="private", show_progress="hidden")
"""An event of this page alone: no API for programs, and no shade over what it changes."""

Inputs = ParamSpec("Inputs")
Answer = TypeVar("Answer")


def told(handler: Callable[Inputs, Answer]) -> Callable[Inputs, Answer]:
    """An event's handler whose errors appear as a line on the page, in our words."""

    @functools.wraps(handler)
    def telling(*args: Inputs.args, **kwargs: Inputs.kwargs) -> Answer:
        try:
            return handler(*args, **kwargs)
        except Busy:
            raise gr.Error("Too many ask at once: again in a second", print_exception=False) from None
        except UserError as error:
            raise gr.Error(escape(str(error)), print_exception=False) from None
        except OSError as error:
            raise gr.Error(escape(trouble(error)), print_exception=False) from None

    return telling
