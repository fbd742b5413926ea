"""What the page can open: the runs below one folder, the shipped generators, and prepared datasets.

A visitor names one of what is listed here, and nothing else: no name is ever made into a path.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cxrgan.errors import UserError
from cxrgan.fields import shown
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.shipped import GENERATORS
from cxrgan.runs.folder import RunFolder

DEPTH = 2  # folders below the root: runs, and those of a sweep
MOST_FOLDERS = 2000  # that are looked at
MOST_LOADED = 4  # generators in memory


@dataclass(frozen=True)
class Catalogue:
    """A folder of runs, and beside it where prepared datasets are."""

    root: Path
    """The folder of runs, or a run's own; it may not exist yet."""
    datasets_in: Sequence[Path] = ()
    """Dataset folders, or folders of them."""
    _loaded: "OrderedDict[tuple[str, int], TrainedGenerator]" = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def runs(self) -> dict[str, RunFolder]:
        """Name, as its path below the root -> the run, the one that changed last first.

        A link that leads out of the root is no run.
        """
        root = self.root.resolve()
        found = {name: RunFolder(path) for name, path in _folders(root) if RunFolder(path).config_file.is_file()}
        return dict(sorted(found.items(), key=lambda item: _changed(item[1]), reverse=True))

    def run(self, name: str) -> RunFolder:
        """One of `runs`; UserError for another name."""
        try:
            return self.runs()[name]
        except KeyError:
            raise UserError(f"there is no run {shown(name)} here; choose one of the list") from None

    def generators(self) -> list[str]:
        """What images can be made with: the shipped generators and the runs that have a checkpoint."""
        return [*GENERATORS, *(name for name, run in self.runs().items() if run.steps())]

    def generator(self, name: str) -> TrainedGenerator:
        """One of `generators`, of its newest checkpoint; the last few stay in memory."""
        if name in GENERATORS:
            source: str | Path = name
            step = 0
        else:
            folder = self.run(name)
            source, step = folder.path, (folder.steps() or [0])[-1]
        with self._lock:
            key = (name, step)
            if key not in self._loaded:
                self._loaded[key] = load_generator(source)
            self._loaded.move_to_end(key)
            while len(self._loaded) > MOST_LOADED:
                self._loaded.popitem(last=False)
            return self._loaded[key]

    def datasets(self) -> dict[str, Path]:
        """Name -> dataset folder: those below `datasets_in`, and those that the runs were trained on."""
        places = [path.resolve() for place in self.datasets_in for _, path in _folders(place.resolve(), depth=1)]
        for run in self.runs().values():
            try:
                places.append(Path(run.read_info().data))
            except (UserError, OSError):
                continue
        found: dict[str, Path] = {}
        for path in dict.fromkeys(places):
            if (path / "manifest.json").is_file():
                name = path.name if path.name not in found else str(path)
                found[name] = path
        return found

    def dataset(self, name: str) -> Path:
        """One of `datasets`; UserError for another name."""
        try:
            return self.datasets()[name]
        except KeyError:
            raise UserError(f"there is no prepared dataset {shown(name)} here; choose one of the list") from None


def _folders(root: Path, *, depth: int = DEPTH) -> Iterator[tuple[str, Path]]:
    """The root itself and the folders below it, a few levels deep, by name relative to it; no link is followed."""
    waiting, seen = [(root.name, root, 0)], 0
    while waiting and seen < MOST_FOLDERS:
        name, path, level = waiting.pop(0)
        seen += 1
        yield name, path
        if level == depth or RunFolder(path).config_file.is_file():
            continue
        try:
            with os.scandir(path) as entries:
                below = sorted(each.name for each in entries if each.is_dir(follow_symlinks=False))
        except OSError:
            continue
        prefix = f"{name}/" if level else ""
        waiting += [(prefix + each, path / each, level + 1) for each in below if not each.startswith(".")]


def _changed(run: RunFolder) -> float:
    for file in (run.metrics_file, run.config_file):
        try:
            return file.stat().st_mtime
        except OSError:
            continue
    return 0.0
