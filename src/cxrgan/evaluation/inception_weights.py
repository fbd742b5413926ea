"""The Inception network's weights: a file the user names, the cache, or a download that resumes and is checked.

Converted from TensorFlow's of 2015-12-05 by pytorch-fid; everyone's FID is computed with this file.
"""

import hashlib
import http
import http.client
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cxrgan.console import ProgressBar, console
from cxrgan.errors import UserError

URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
NUM_BYTES = 95_628_359
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
TIMEOUT = 30  # seconds without a byte
MIB = 2**20


class WeightsUnavailable(UserError):
    """No weights here and none to be had; whoever can do without them goes on and passes this message on."""


@dataclass(frozen=True)
class Weights:
    """The tensors of a file, and which file it is."""

    tensors: Mapping[str, Tensor]
    sha256: str

    @property
    def name(self) -> str:
        """What a metric's row calls the network: only numbers of one name can be compared."""
        return "inception-2015-12-05" if self.sha256 == SHA256 else f"inception-sha256:{self.sha256[:12]}"


def find_weights(path: Path | None) -> Path:
    """`path` if it is given, else the file in the cache, downloaded if it is not there."""
    if path is not None:
        if not path.is_file():
            raise UserError(f"there is no file of Inception weights at {path}")
        return path
    cached = cached_file()
    if not cached.exists():
        download(cached)
    elif file_hash(cached) != SHA256:
        raise _unavailable(f"{cached} is damaged: its checksum is wrong; delete it")
    return cached


def cached_file() -> Path:
    """Where the downloaded file lies, in the user's cache folder."""
    import pooch

    return Path(pooch.os_cache("cxrgan")) / URL.rpartition("/")[2]


def download(target: Path) -> None:
    """Bring the standard file to `target`; what an interrupted download left in `target`.part is gone on with."""
    part = target.with_name(f"{target.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _fetch_rest(part)
    except (OSError, http.client.HTTPException) as error:
        raise _unavailable(f"cannot download {URL} ({error or type(error).__name__})") from error
    if part.stat().st_size < NUM_BYTES:
        raise _unavailable(
            f"the download of {URL} broke off at {part.stat().st_size:,} of {NUM_BYTES:,} bytes; "
            "the next try goes on from there"
        )
    if file_hash(part) != SHA256:
        part.unlink()
        raise _unavailable(f"the file from {URL} has another checksum than it should, and was removed")
    part.replace(target)


def read_weights(path: Path, layout: Mapping[str, torch.Size]) -> Weights:
    """The tensors of a .pth or .safetensors file, float32, which must have the names and shapes of `layout`."""
    tensors = _read_tensors(path)
    _check_layout(path, tensors, layout)
    weights = Weights({name: tensor.float() for name, tensor in tensors.items()}, file_hash(path))
    if weights.sha256 != SHA256:
        console.print(f"{path} is not the standard Inception file: numbers compare only with others of {weights.name}")
    return weights


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_rest(part: Path) -> None:
    """Append to `part` what it lacks of the file, and never more."""
    done = part.stat().st_size if part.exists() else 0
    if done >= NUM_BYTES:
        return  # whole, or wrong: the checksum will tell
    request = urllib.request.Request(URL, headers={"Range": f"bytes={done}-"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0  # this server sends everything, from the start
        with (
            part.open("ab" if done else "wb") as file,
            ProgressBar("Inception weights, MiB", -(-NUM_BYTES // MIB), done=done // MIB) as bar,
        ):
            while block := response.read(min(MIB, NUM_BYTES - done)):
                file.write(block)
                done += len(block)
                bar.advance()


def _unavailable(reason: str) -> WeightsUnavailable:
    place = str(cached_file()).replace(str(Path.home()), "~", 1)  # tables with this note are shown to others
    return WeightsUnavailable(
        f"not computed: weights not available; {reason}. Get the file {URL} on a machine with internet, and give it "
        f"with --inception-weights PATH or put it at {place}"
    )


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)  # runs no code that a file may hold
    except Exception as error:  # a damaged file fails in as many ways as it has bytes
        raise UserError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as weights ({type(error).__name__}): it is "
            f"damaged, truncated, or holds more than tensors; the standard file has {NUM_BYTES:,} bytes"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UserError(f"{path} is no state dict: it holds something other than named tensors")
    return tensors


def _check_layout(path: Path, tensors: Mapping[str, Tensor], layout: Mapping[str, torch.Size]) -> None:
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
            f"{path} does not hold the FID Inception network of {len(layout)} tensors: {'; '.join(found)}; "
            f"leave --inception-weights out to download the standard file"
        )


def _first(names: list[str], num: int = 3) -> str:
    return ", ".join(names[:num]) + (", ..." if len(names) > num else "")
