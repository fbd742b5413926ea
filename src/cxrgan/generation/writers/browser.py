"""A generator as a folder that any web server can serve: a page that runs it in the visitor's browser.

The page's own files lie in static/; onnxruntime-web is taken from an installed npm package, or left to a public CDN.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from cxrgan.errors import UserError
from cxrgan.fields import read_bytes, read_json
from cxrgan.files import check_free, remove_leftovers, replacing, write_json
from cxrgan.generation.provenance import Origin
from cxrgan.generation.writers.onnx import Graph
from cxrgan.images import SYNTHETIC
from cxrgan.models.config import ModelConfig

STATIC = Path(__file__).with_name("static")
SCRIPT, PROGRAM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
"""What of onnxruntime-web runs on a processor alone: its script, and its program in WebAssembly."""
INSTALLED = Path("node_modules", "onnxruntime-web")
MAX_RUNTIME_BYTES = 2**27  # of a file; the larger one has 14 MB
MEND = "install it: npm install onnxruntime-web"


@dataclass(frozen=True)
class File:
    """A file that the page fetches, and refuses where it is another."""

    url: str
    """Relative to the page, or absolute for one that lies elsewhere."""
    integrity: str
    """Of its content, as https://www.w3.org/TR/sri-2/ has it."""
    bytes: int


@dataclass(frozen=True)
class Runtime:
    """The files of onnxruntime-web that the page needs."""

    version: str
    script: File
    program: File
    contents: tuple[bytes, bytes] | None
    """Of the two, where they are to lie beside the page."""


CDN = "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/"
ON_CDN = Runtime(
    "1.30.0",
    File(CDN + SCRIPT, "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG", 73_054),
    File(CDN + PROGRAM, "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM", 14_239_897),
    None,
)
"""The public copy; the hashes are those of the npm package of this version."""


def find_runtime(package: Path | None) -> Runtime:
    """onnxruntime-web from the folder of the npm package; where none is named, from `INSTALLED` or the CDN.

    UserError where a named folder is no such package.
    """
    if package is None and not INSTALLED.is_dir():
        return ON_CDN
    package = package or INSTALLED
    try:
        version = read_json(package / "package.json", mend=MEND).text("version")
        script, program = (
            read_bytes(package / "dist" / name, MAX_RUNTIME_BYTES, mend=MEND) for name in (SCRIPT, PROGRAM)
        )
    except FileNotFoundError as error:
        raise UserError(f"{package} is no onnxruntime-web, it has no {error.filename}; {MEND}") from error
    return Runtime(version, _file(f"ort/{SCRIPT}", script), _file(f"ort/{PROGRAM}", program), (script, program))


def write_browser(
    graph: Graph, config: ModelConfig, classes: Sequence[str], origin: Origin, out: Path, runtime: Runtime
) -> None:
    """Write the folder `out`: the page, the model, and the runtime if it is not on the CDN. UserError where it exists.

    All its addresses are relative but those of the CDN. It needs no header of the server, and one thread.
    """
    check_free(out, "the page")
    model = _file("model.onnx", graph.content)
    files = {"runtime": runtime.script, "program": runtime.program, "model": model}
    about = {
        "description": SYNTHETIC,
        "origin": json.loads(origin.text),
        "classes": list(classes),
        "image_size": config.image_size,
        "latent_shape": config.latent_shape,
        "truncates": "truncation" in graph.inputs,
        "files": {name: vars(file) for name, file in files.items()},
    }
    page = (
        _templates()
        .get_template("index.html")
        .render(
            **about | {"origin": origin},
            elsewhere=f" {CDN}" if runtime.contents is None else "",
            megabytes=round(sum(file.bytes for file in files.values()) / 1e6),
            version=runtime.version,
        )
    )
    remove_leftovers(out)
    with replacing(out) as folder:
        folder.mkdir()
        for file in STATIC.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "index.html").write_text(page, encoding="utf-8", errors="backslashreplace")
        (folder / model.url).write_bytes(graph.content)
        write_json(folder / "model.json", about)
        if runtime.contents is not None:
            (folder / "ort").mkdir()
            for each, content in zip((runtime.script, runtime.program), runtime.contents, strict=True):
                (folder / each.url).write_bytes(content)


def _file(url: str, content: bytes) -> File:
    digest = base64.b64encode(hashlib.sha384(content).digest()).decode("ascii")
    return File(url, f"sha384-{digest}", len(content))


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("cxrgan.generation.writers", "static"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
