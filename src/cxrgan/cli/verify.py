"""`cxrgan verify`."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cxrgan.lines import say


@dataclass(frozen=True)
class Verify:
    """Prove that images are what they say: make each again from its generator and seed, and compare.

    The exit status is 0 if all are proven, 3 if one is not, 2 if one cannot be read.
    """

    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE")]
    """PNG, DICOM (extra dicom) or npz files of `cxrgan generate`, or folders of them."""
    generator: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Where their generator is: a run folder, of which every checkpoint is tried, one on Hugging Face, or a folder that
    push wrote. The shipped generators are tried too."""

    def run(self) -> int:
        from cxrgan.generation.readers import find_files
        from cxrgan.generation.verify import verify

        found: Counter[str] = Counter()
        for verdict in verify(find_files(self.files), self.generator):
            found[verdict.outcome] += 1
            say(f"{verdict.file}: {verdict.outcome}: {verdict.why}")
        say(", ".join(f"{num} {outcome}" for outcome, num in found.most_common()))
        if found["unreadable"]:
            return 2
        return 0 if found.keys() == {"proven"} else 3
