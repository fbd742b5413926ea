"""`cxrgan export`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cxrgan.errors import UserError
from cxrgan.files import check_free, write_bytes
from cxrgan.lines import say


@dataclass(frozen=True)
class Export:
    """Write a run's generator for other programs: as an ONNX file, or as a web page that runs it in the browser."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run folder, a shipped generator (cxr-64, cxr-128, cxr-256), or one on Hugging Face (hf://OWNER/NAME)."""
    onnx: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A new .onnx file: latents, class and truncation in, images out."""
    browser: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """A new folder for any web server: a page that makes images and moves in latent space, in the visitor's browser."""
    runtime: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """With --browser, the folder of the npm package onnxruntime-web, which is copied so that the page works offline; if
    left out, node_modules/onnxruntime-web, and where there is none, the page loads it from a public CDN."""
    best: bool = False
    """Take the best checkpoint that `train --evaluate-every` found, not the newest."""

    def run(self) -> int:
        from cxrgan.generation.generator import load_generator
        from cxrgan.generation.writers.browser import find_runtime, write_browser
        from cxrgan.generation.writers.onnx import require_onnx, to_onnx

        if self.onnx is None and self.browser is None:
            raise UserError("there is nothing to write; give --onnx FILE, --browser DIR or both")
        if self.onnx is not None and (self.onnx.suffix != ".onnx" or os.path.lexists(self.onnx)):
            raise UserError(f"--onnx {self.onnx}: name a new file that ends in .onnx; nothing is overwritten")
        if self.runtime is not None and self.browser is None:
            raise UserError("--runtime is what a page runs on; give --browser DIR with it")
        require_onnx()
        if self.browser is not None:
            check_free(self.browser, "the page")
            runtime = find_runtime(self.runtime)
        generator = load_generator(self.run_folder, best=self.best)
        classes, origin = tuple(generator.classes), generator.origin()
        graph = to_onnx(generator.network, generator.config, classes, origin)
        say(f"the graph's images differ from PyTorch's by at most {graph.difference:.1g} of values in [-1, 1]")
        if self.onnx is not None:
            write_bytes(self.onnx, graph.content)
            say(f"the generator of step {generator.step} in {self.onnx}, {len(graph.content) / 1e6:.1f} MB")
        if self.browser is not None:
            write_browser(graph, generator.config, classes, origin, self.browser, runtime)
            where = (
                "without a network" if runtime.contents else f"with onnxruntime-web {runtime.version} from a public CDN"
            )
            say(f"the page in {self.browser}, which runs {where}; look at it: python -m http.server -d {self.browser}")
        return 0
