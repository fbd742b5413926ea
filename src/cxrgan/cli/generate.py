"""`cxrgan generate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cxrgan.errors import UserError
from cxrgan.files import check_free
from cxrgan.lines import say


@dataclass(frozen=True)
class Generate:
    """Make images with a trained run."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run folder, a shipped generator (cxr-64, cxr-128, cxr-256), or one on Hugging Face (hf://OWNER/NAME)."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """A new folder for the images, or an empty one."""
    num: int = 64
    """How many images; image i has the seed `seed + i`. With --interpolate, --frames counts instead."""
    seed: int = 0
    """The first seed."""
    label: str | None = None
    """The class of the images, for a conditional run or a shipped generator; if left out, classes come as often as in
    the training data."""
    format: Literal["png", "npz", "dicom"] = "png"
    """A PNG for each image and one grid; one npz file with everything; or a DICOM file for each image (extra dicom)."""
    interpolate: tuple[int, int] | None = None
    """Two seeds: interpolate between them instead, as a strip and a GIF."""
    frames: int = 12
    """Images of the interpolation, both ends included."""
    mp4: bool = False
    """With --interpolate, write a film too, 24 images a second; needs the extra video."""
    mix: tuple[int, ...] | None = None
    """Two to 16 seeds: a sheet; row i has the layout of the i-th of them, column j the style of the j-th."""
    truncation: float = 1.0
    """Below 1, more typical and less varied images; above 1, up to 2, more varied and less typical ones."""
    best: bool = False
    """Take the best checkpoint that `train --evaluate-every` found, not the newest."""

    def run(self) -> int:
        from cxrgan.generation.generator import load_generator
        from cxrgan.generation.provenance import Provenance
        from cxrgan.generation.writers.dicom import require_pydicom
        from cxrgan.generation.writers.gif import write_interpolation
        from cxrgan.generation.writers.mixture import write_mixture
        from cxrgan.generation.writers.mp4 import require_video

        if self.mp4 and self.interpolate is None:
            raise UserError("--mp4 makes a film of an interpolation; give --interpolate A B with it")
        if self.mix is not None and (self.interpolate is not None or self.format != "png"):
            raise UserError("--mix makes one PNG; leave out --interpolate and --format")
        if self.mp4:
            require_video()
        check_free(self.out, "the images")
        if self.format == "dicom":
            require_pydicom()
        generator = load_generator(self.run_folder, best=self.best)
        if self.interpolate is not None:
            images = generator.interpolate(self.interpolate, self.frames, self.label, truncation=self.truncation)
            origin, labels = generator.origin(self.truncation), generator.labels(1, self.interpolate[0], self.label)
            provenance = Provenance(origin, "interpolation", self.interpolate, labels)
            write_interpolation(images, self.interpolate, self.out, provenance, mp4=self.mp4)
        elif self.mix is not None:
            images = generator.mix(self.mix, self.label, truncation=self.truncation)
            origin, labels = generator.origin(self.truncation), generator.labels(1, self.mix[0], self.label)
            write_mixture(images, Provenance(origin, "mixture", self.mix, labels), self.out)
        else:
            samples = generator.sample(self.num, self.seed, self.label, truncation=self.truncation)
            images = samples.images
            samples.save(self.out, self.format)
        say(f"{len(images)} synthetic images of step {generator.step} in {self.out}")
        return 0
