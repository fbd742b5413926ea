"""`cxrgan push`."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cxrgan.files import check_free
from cxrgan.lines import say


@dataclass(frozen=True)
class Push:
    """Share a run's generator on Hugging Face: weights, card and generated samples, to a private repository."""

    run_folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """A run folder."""
    repo: Annotated[str, tyro.conf.arg(metavar="OWNER/NAME")]
    """The repository; created if there is none."""
    public: bool = False
    """Let everybody see it; a new repository is private otherwise."""
    best: bool = False
    """Take the best checkpoint that `train --evaluate-every` found, not the newest."""
    weights: Literal["float16", "float32"] = "float16"
    """How the weights are stored: float16 is half as large, float32 gives the images bit for bit."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Write what would be sent to this new folder, and send nothing."""

    def run(self) -> int:
        from cxrgan.generation.hub import check_repo, require_hub, upload
        from cxrgan.generation.pack import pack, said_of_copies

        check_repo(self.repo)
        half = self.weights == "float16"
        if self.out is not None:
            check_free(self.out, "what would be sent")
            files = pack(self.run_folder, self.out, name=self.repo, best=self.best, half=half)
            say(f"{', '.join(file.name for file in files)} in {self.out}; nothing was sent")
            return 0
        require_hub()
        with tempfile.TemporaryDirectory() as place:
            files = pack(self.run_folder, Path(place) / "packed", name=self.repo, best=self.best, half=half)
            seen = "public" if self.public else "private"
            say(f"to the {seen} repository {self.repo} on Hugging Face:")
            for file in files:
                say(f"  {file.name}, {file.stat().st_size:,} bytes")
            say(said_of_copies(files[0].parent))
            address = upload(files[0].parent, self.repo, public=self.public)
        say(f"pushed to {address}; load it: cxrgan.load_generator('hf://{self.repo}')")
        return 0
