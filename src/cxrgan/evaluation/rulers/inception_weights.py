"""Files of weights that others publish: one the user names, one in the cache, or a download with its checksum."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cxrgan.console import ProgressBar, note, warn
from cxrgan.errors import UserError

TIMEOUT = (10, 30)  # seconds for a connection, and without a byte
MIB = 2**20
COUNTERS = "num_batches_tracked"  # BatchNorm's, of use in training alone


class WeightsUnavailable(UserError):
    """No weights here and none to be had; whoever can do without them goes on and passes this message on."""


@dataclass(frozen=True)
class PublishedWeights:
    """A file that everyone's numbers are computed with."""

    url: str
    sha256: str
    num_bytes: int
    flag: str
    """The option of `cxrgan evaluate` that names such a file."""
    name: str
    """What a metric's row calls the network with these weights."""
    other_name: str
    """What it calls the network with others, before their checksum."""
    left_out: str | None = None
    """How the names of tensors begin that are not needed."""

    @property
    def cached(self) -> Path:
        """Where the downloaded file lies, in the user's cache folder."""
        import pooch

        return Path(pooch.os_cache("cxrgan")) / self.url.rpartition("/")[2]

    @property
    def is_cached(self) -> bool:
        """Whether the file lies there, whole."""
        return self.cached.is_file() and file_hash(self.cached) == self.sha256


@dataclass(frozen=True)
class Weights:
    """The tensors of a file, and which file it is."""

    tensors: Mapping[str, Tensor]
    sha256: str
    name: str
    """What a metric's row calls the network: only numbers of one name can be compared."""


def find_weights(published: PublishedWeights, path: Path | None) -> Path:
    """`path` if it is given, else the file in the cache, downloaded if it is not there whole."""
    if path is not None:
        if not path.is_file():
            raise UserError(f"there is no file of Inception weights at {path}; check the path, or leave the option out")
        return path
    if not published.is_cached:
        download(published)
    return published.cached


def download(published: PublishedWeights) -> None:
    """Bring the file into the cache, whole and with its checksum, or not at all; of two processes the second waits."""
    target, url = published.cached, published.url
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone_at(target):
            if not published.is_cached:
                _fetch(published)
    except ValueError as error:  # pooch's, for a checksum
        raise _unavailable(published, f"the file from {url} has the wrong checksum") from error
    except OSError as error:
        raise _unavailable(published, f"cannot download {url} ({_root_of(error)})") from error


def read_weights(published: PublishedWeights, path: Path, layout: Mapping[str, torch.Size]) -> Weights:
    """The tensors of a .pth or .safetensors file, float32, which must have the names and shapes of `layout`."""
    tensors = {
        name: tensor
        for name, tensor in _read_tensors(published, path).items()
        if not name.endswith(COUNTERS) and not (published.left_out and name.startswith(published.left_out))
    }
    _check_layout(published, path, tensors, layout)
    sha256 = file_hash(path)
    name = published.name if sha256 == published.sha256 else f"{published.other_name}-sha256:{sha256[:12]}"
    if name != published.name:
        warn(f"{path} is not the published file of {published.name}: compare its numbers only with others of {name}")
    return Weights({name: tensor.float() for name, tensor in tensors.items()}, sha256, name)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone_at(target: Path) -> Iterator[None]:
    """While no other process is inside for the same file."""
    from filelock import FileLock, Timeout

    lock = FileLock(f"{target}.lock")
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        note(f"another process is downloading {target.name}; waiting for it")
        held = lock.acquire()
    with held:
        yield


def _fetch(published: PublishedWeights) -> None:
    """pooch writes beside the place, and moves there what has the right checksum."""
    import pooch

    target = published.cached
    pooch.get_logger().setLevel("WARNING")  # the bar says it
    with ProgressBar("Inception weights, MiB", -(-published.num_bytes // MIB)) as bar:
        downloader = pooch.HTTPDownloader(progressbar=_Meter(bar), chunk_size=MIB, timeout=TIMEOUT)
        pooch.retrieve(published.url, published.sha256, target.name, target.parent, downloader=downloader)


class _Meter:
    """Hears of bytes as pooch tells them, and moves a bar of MiB."""

    total = 0  # pooch sets it

    def __init__(self, bar: ProgressBar) -> None:
        self._bar, self._done = bar, 0

    def update(self, num_bytes: int) -> None:
        self._done += num_bytes
        self._bar.advance(-(-self._done // MIB) - self._bar.done)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """The bar closes itself."""


def _root_of(error: BaseException) -> str:
    """What a failure of the network began with; requests wraps it in others, which name objects in memory."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error) or type(error).__name__


def _unavailable(published: PublishedWeights, reason: str) -> WeightsUnavailable:
    place = str(published.cached).replace(str(Path.home()), "~", 1)  # tables with this note are shown to others
    return WeightsUnavailable(
        f"not computed: weights not available; {reason}. Get the file {published.url} on a machine with internet, and "
        f"give it with {published.flag} PATH or save it as {place}"
    )


def _read_tensors(published: PublishedWeights, path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)  # runs no code that a file may hold
    except Exception as error:  # a damaged file fails in as many ways as it has bytes
        raise UserError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as weights ({type(error).__name__}): it is "
            f"damaged, truncated, or contains more than tensors; the published file has {published.num_bytes:,} bytes"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UserError(
            f"{path} is not a state dict: it contains something other than named tensors; give the published file"
        )
    return tensors


def _check_layout(
    published: PublishedWeights, path: Path, tensors: Mapping[str, Tensor], layout: Mapping[str, torch.Size]
) -> None:
    """UserError that names what `path` lacks, has too much, or has in another shape."""
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(layout[name])}"
        for name in layout
        if name in tensors and tensors[name].shape != layout[name]
    ]
    problems = {
        "missing": [name for name in layout if name not in tensors],
        "unexpected": [name for name in tensors if name not in layout],
        "of another shape": shapes,
        "not finite": [name for name, value in tensors.items() if not value.isfinite().all()],
    }
    found = [f"{len(names)} {problem} ({_first(names)})" for problem, names in problems.items() if names]
    if found:
        raise UserError(
            f"{path} does not contain the network {published.name} of {len(layout)} tensors: {'; '.join(found)}; "
            f"leave {published.flag} out to download the right file"
        )


def _first(names: list[str], num: int = 3) -> str:
    return ", ".join(names[:num]) + (", ..." if len(names) > num else "")
