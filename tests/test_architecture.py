"""The layout is the architecture: data flow one way, from room to room."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "cxrgan"

GROUND_FLOOR = {"errors", "fields", "files", "tensors", "lines", "signals", "console", "images", "device", "settings"}
"""Small leaves, each one file and one purpose; they know each other only."""

ORDER = (
    "data",
    "models",
    "recipes",
    "runs",
    "reports",
    "generation.provenance",
    "generation.latents",
    "generation.writers",
    "generation",
    "training.doctor",
    "training",
    "evaluation.roc",
    "evaluation.rulers",
    "evaluation",
    "api",
    "experiments",
    "web",
    "cli",
    "__main__",
)
"""A room imports only itself, the ground floor, and what stands before it here; a new room takes its place."""

BEFORE_TORCH = {"errors", "fields", "files", "lines", "signals", "settings", "recipes", "models.config"}
"""What help and bad arguments need: it must come at once."""


def modules() -> dict[str, Path]:
    """Name of each module, without the package's own, -> its file."""
    return {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file
        for file in sorted(PACKAGE.rglob("*.py"))
    }


def imports(source: str, known: set[str]) -> set[str]:
    """The modules of cxrgan that a source imports anywhere, as `import a.b`, `from a import b` and `from a.b import c`.

    `from cxrgan import __version__` is no import of a room.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("cxrgan.") for alias in node.names if alias.name.startswith("cxrgan.")}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            if node.module == "cxrgan":
                found |= {alias.name for alias in node.names} - {"__version__"}
            elif node.module and node.module.startswith("cxrgan."):
                module = node.module.removeprefix("cxrgan.")
                inner = {f"{module}.{alias.name}" for alias in node.names} & known
                found |= inner or {module}
    return found


def graph() -> dict[str, set[str]]:
    """Module -> the modules that it imports. The package's own `__init__`, the door to all, is left out."""
    files = modules()
    return {name: imports(file.read_text(), set(files)) for name, file in files.items() if name != "__init__"}


def room(module: str) -> str:
    """The innermost room of `ORDER` that a module lies in; the ground floor is ``."""
    if module in GROUND_FLOOR:
        return ""
    around = [name for name in ORDER if f"{module}.".startswith(f"{name}.")]
    assert around, f"{module} stands in no room: give it a place in ORDER"
    return max(around, key=len)


def test_every_import_names_a_module() -> None:
    found = graph()
    assert {module for names in found.values() for module in names} <= found.keys()


def test_rooms_import_only_what_stands_before_them() -> None:
    storeys = {"": 0, **{name: storey for storey, name in enumerate(ORDER, start=1)}}
    upward = [
        f"{name} imports {module}"
        for name, found in graph().items()
        for module in found
        if storeys[room(module)] > storeys[room(name)]
    ]
    assert upward == []


def test_imports_have_no_circle() -> None:
    edges = graph()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        for module in edges[name]:
            visit(module, (*path, name))

    for name in edges:
        visit(name, ())


def test_nobody_imports_the_command_line() -> None:
    assert [name for name, found in graph().items() if room(name) != "cli" for m in found if room(m) == "cli"] == [
        "__main__"
    ]


def test_training_knows_no_evaluation() -> None:
    """The loop takes a callback."""
    of_training = {m for name, found in graph().items() if room(name).startswith("training") for m in found}
    assert not {module for module in of_training if module.startswith("evaluation")}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import cxrgan.runs.log", {"runs.log"}),
        ("from cxrgan.runs import log", {"runs.log"}),
        ("from cxrgan.runs.log import Row", {"runs.log"}),
        ("from cxrgan import api, __version__", {"api"}),
        ("def f():\n    from cxrgan.runs.log import Row", {"runs.log"}),
        ("import os", set()),
    ],
)
def test_the_reader_of_imports_sees_each_way_to_write_one(source: str, found: set[str]) -> None:
    assert imports(source, {"runs", "runs.log", "api"}) == found


def test_nothing_loads_what_may_run_code_or_is_too_heavy() -> None:
    for name, file in modules().items():
        for node in ast.walk(ast.parse(file.read_text())):
            roots = {alias.name.split(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
            if isinstance(node, ast.ImportFrom):
                roots = {(node.module or "").split(".")[0]}
            assert not roots & {"torchvision", "pickle", "shelve"}, name


def test_what_help_needs_imports_no_torch_at_its_top() -> None:
    for name, file in modules().items():
        if not any(f"{name}.".startswith(f"{light}.") for light in BEFORE_TORCH):
            continue
        for node in ast.parse(file.read_text()).body:
            assert not (isinstance(node, ast.Import) and any(a.name.startswith("torch") for a in node.names)), name
            assert not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch")), name
