"""Which files of a folder a name in a table means: a path, a name, or a name without its suffix."""

from collections import defaultdict
from collections.abc import Sequence

PICTURES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".bmp", ".gif", ".webp")

Parts = tuple[str, ...]  # of a path inside the folder


class Finder:
    """Finds files, or folders, by the end of their path.

    `a/b.png` means each file `b.png` in a folder `a`; `all/of/a/b.png` means the file `a/b.png` of the folder too,
    since tables often begin their paths further up, but no file `b.png` elsewhere.
    """

    def __init__(self, paths: Sequence[Parts]) -> None:
        self.paths = paths
        self.depth = max(map(len, paths), default=0)
        self._by_end: dict[tuple[int, bool], dict[Parts, list[int]]] = {}

    def find(self, name: str) -> list[int]:
        """The places in `paths` of what a name means."""
        parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
        if not parts:
            return []
        bare = _without_suffix(parts)
        for wanted, is_bare in ((parts, False), (parts, True), (bare, True)):
            found = self._ending(wanted, is_bare=is_bare)
            if found:
                return found
        return []

    def _ending(self, parts: Parts, *, is_bare: bool) -> list[int]:
        if len(parts) <= self.depth and (found := self._index(len(parts), is_bare).get(parts)):
            return found
        for length in range(min(len(parts) - 1, self.depth), 0, -1):
            ends = self._index(length, is_bare).get(parts[-length:], [])
            whole = [place for place in ends if len(self.paths[place]) == length]
            if whole:
                return whole
        return []

    def _index(self, length: int, is_bare: bool) -> dict[Parts, list[int]]:
        """The last `length` parts -> places; with `is_bare`, the file's name without its suffix."""
        if (length, is_bare) not in self._by_end:
            index = self._by_end[length, is_bare] = defaultdict(list)
            for place, path in enumerate(self.paths):
                if len(path) >= length:
                    end = path[-length:]
                    index[_without_suffix(end) if is_bare else end].append(place)
        return self._by_end[length, is_bare]


def _without_suffix(parts: Parts) -> Parts:
    """A dot alone makes no suffix: UIDs are full of them."""
    name = parts[-1]
    suffix = next((suffix for suffix in PICTURES if name.lower().endswith(suffix)), "")
    return (*parts[:-1], name.removesuffix(name[len(name) - len(suffix) :]) if suffix else name)
