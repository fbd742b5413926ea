"""Pieces of the page from their templates; Jinja2 escapes every text, whoever named the run."""

from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from cxrgan.fields import printable
from cxrgan.reports.numbers import count, number, percent


def fragment(template: str, **values: Any) -> str:
    """The HTML of a template with these values."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("cxrgan.web"), PackageLoader("cxrgan.reports")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, number=number, percent=percent, printable=printable)
    return environment
