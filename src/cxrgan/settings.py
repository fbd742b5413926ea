"""The one door for settings, from TOML, from JSON and from flags: checked values into a frozen dataclass and back."""

import ast
import difflib
import inspect
import tomllib
import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cxrgan.errors import UserError
from cxrgan.fields import is_number, read_bytes, shown

Config = TypeVar("Config")
MAX_TOML_BYTES = 2**20


def from_dict(values: Mapping[str, Any], base: Config, *, where: str) -> Config:
    """`base` with the fields named in `values` (from JSON or TOML) put in; nested tables for nested configs.

    A name that is no field and a value of another type or out of its range are a UserError that names `where`.
    """
    hints = get_type_hints(type(base))
    names = [f.name for f in fields(base)]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the names are {', '.join(names)}"
            raise UserError(f"{where}: there is no setting {shown(name)}; {hint}")
        current = getattr(base, name)
        if is_dataclass(current) and isinstance(value, Mapping):
            changes[name] = from_dict(value, current, where=f"{where}, {name}")
        elif _is_of(value, hints[name]):
            changes[name] = value
        else:
            raise UserError(f"{where}: {name} is {shown(value)}, but must be {_describe(hints[name])}")
    try:
        return replace(base, **changes)  # type: ignore[type-var]
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def read_toml(file: Path) -> dict[str, Any]:
    """The values of a TOML file; UserError when it cannot be read."""
    mend = "give a TOML file of settings"
    try:
        return tomllib.loads(read_bytes(file, MAX_TOML_BYTES, mend=mend).decode())
    except FileNotFoundError:
        raise UserError(f"cannot read {file}: there is no such file; {mend}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read {file}: {error}; {mend}") from error


def documentation(config: type) -> dict[str, str]:
    """What a config says of each of its fields: the text below it in its source."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(config)).body if isinstance(node, ast.ClassDef))
    texts: dict[str, str] = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            texts[field.target.id] = inspect.cleandoc(ast.literal_eval(text.value))
    return texts


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Fields in which two configs differ, by name, such as `lr` or `model.ngf`: (old, new)."""
    flat_old, flat_new = _flat(asdict(old)), _flat(asdict(new))  # type: ignore[call-overload]
    return {name: (flat_old[name], flat_new[name]) for name in flat_old if flat_old[name] != flat_new[name]}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _is_of(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return any(_is_of(value, part) for part in get_args(hint))
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    return is_number(value) if hint is float else isinstance(value, hint)


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(value) for value in get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_describe(part) for part in get_args(hint) if part is not types.NoneType)
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, str(hint))
