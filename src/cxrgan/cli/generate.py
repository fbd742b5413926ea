"""`cxrgan generate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cxrgan.files import check_free
from cxrgan.lines import say


@dataclass(frozen=True)
class Generate:
    """Make images with a trained run."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run folder, a shipped generator (cxr-64, cxr-128), or one on Hugging Face (hf://OWNER/NAME)."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """A new folder for the images, or an empty one."""
    num: int = 64
    """How many images; image i is that of seed + i. With --interpolate it is --frames that counts."""
    seed: int = 0
    """The first seed."""
    label: str | None = None
    """The class of the images, of a run by class or a shipped generator; left out, as often as in its data."""
    format: Literal["png", "npz"] = "png"
    """A PNG for each image and one grid, or one npz file with all."""
    interpolate: tuple[int, int] | None = None
    """Two seeds: make instead the way from one to the other, as a strip and a GIF."""
    frames: int = 12
    """Images on that way."""
    best: bool = False
    """Take the best checkpoint that `train --evaluate-every` found, not the newest."""

    def run(self) -> int:
        from cxrgan.generation.generator import load_generator
        from cxrgan.generation.writers.gif import write_interpolation

        check_free(self.out, "the images")
        generator = load_generator(self.run_folder, best=self.best)
        if self.interpolate is not None:
            images = generator.interpolate(self.interpolate, self.frames, self.label)
            write_interpolation(images, self.interpolate, self.out)
        else:
            samples = generator.sample(self.num, self.seed, self.label)
            images = samples.images
            samples.save(self.out, self.format)
        say(f"{len(images)} synthetic images of step {generator.step} in {self.out}")
        return 0
