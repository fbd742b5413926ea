"""The layout is the architecture: imports point downwards only."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "cxrgan"

LEAVES = {
    "errors",
    "fields",
    "files",
    "tensors",
    "results",
    "lines",
    "signals",
    "console",
    "images",
    "device",
    "chart",
    "data.phantom",
    "data.decode",
    "data.dataset",
    "models.config",
    "models.convolution",
    "training.losses",
    "training.augment",
    "training.doctor",
    "training.doctor_game",
    "training.doctor_images",
    "training.log",
    "training.readings",
    "training.recipes",
    "training.device",
    "evaluation.metrics",
    "evaluation.memorisation",
}
"""Import nothing of cxrgan but other leaves."""


def imports() -> dict[str, set[str]]:
    """Module -> the cxrgan modules it imports, anywhere in its file; names without the package's own."""
    found: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        modules = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cxrgan."):
                modules.add(node.module.removeprefix("cxrgan."))
            elif isinstance(node, ast.ImportFrom) and node.module == "cxrgan":
                modules |= {alias.name for alias in node.names if alias.name != "__version__"}
            elif isinstance(node, ast.Import):
                modules |= {a.name.removeprefix("cxrgan.") for a in node.names if a.name.startswith("cxrgan.")}
        found[name] = modules
    return found


def test_leaves_import_only_leaves() -> None:
    graph = imports()
    assert graph.keys() >= LEAVES
    assert {name: graph[name] - LEAVES for name in LEAVES if graph[name] - LEAVES} == {}


def test_nobody_imports_the_command_line() -> None:
    assert [name for name, modules in imports().items() if "cli" in modules] == ["__main__"]


ROOMS = {
    **dict.fromkeys(
        ("errors", "fields", "files", "tensors", "results", "lines", "signals", "console", "images", "device", "chart"),
        0,
    ),
    **{"data": 1, "models": 1, "report": 1, "shipped": 1, "workers": 1},
    **{"training": 2, "page": 3, "generate": 3, "evaluation": 4},
    **{"runs": 5, "experiments": 6, "experiment_table": 7, "__init__": 8, "cli": 8, "__main__": 9},
}
"""The storey of each room; a new one must be given its own."""


def test_lower_rooms_know_nothing_of_higher_ones() -> None:
    for name, modules in imports().items():
        for module in modules - LEAVES:
            assert ROOMS[module.split(".")[0]] <= ROOMS[name.split(".")[0]], f"{name} imports {module}"


def test_imports_have_no_cycle() -> None:
    graph = imports()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        for module in graph.get(name, set()):
            visit(module, (*path, name))

    for name in graph:
        visit(name, ())


def test_heavy_libraries_load_nothing_forbidden() -> None:
    for file in PACKAGE.rglob("*.py"):
        names = {
            part
            for node in ast.walk(ast.parse(file.read_text()))
            for part in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not {name.split(".")[0] for name in names} & {"torchvision", "pickle", "shelve"}, file
