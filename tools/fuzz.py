"""Hostile input for every command: each file that it reads and each number on its line, made wrong.

`World` is a small dataset, run and sweep; a `Spoil` makes one file of it wrong; `fall_short` runs a command in this
process and says what was not as promised. The tests draw a fixed few cases; more, for as long as one wants:

    python -m tools.fuzz --minutes 5 --json fuzz.json
"""

import argparse
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import types
import typing
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file, save

from cxrgan.cli.evaluate import Evaluate
from cxrgan.cli.experiments import Experiments
from cxrgan.cli.generate import Generate
from cxrgan.cli.main import main
from cxrgan.cli.prepare import Prepare
from cxrgan.cli.train import Train
from cxrgan.cli.train_domain import TrainDomain
from cxrgan.experiments.sweep import Sweep, read_experiments, run_experiment
from cxrgan.experiments.table import write_table
from cxrgan.experiments.workers import Processes
from cxrgan.fields import printable
from cxrgan.recipes.config import TrainConfig

STATUSES = {0, 1, 2, 3, 130}
SECONDS = 20  # that a command on the small world may take
GROWTH = 2**30  # bytes of memory that it may take
ROOM = 2**32  # bytes of address space beyond what is there, at which an allocation fails
ESCAPED = Path(tempfile.gettempdir()) / "cxrgan-fuzz-escaped"

SMALL = ["--image-size", "32", "--ngf", "4", "--ndf", "4", "--latent-channels", "8", "--batch-size", "8"]
SMALL += ["--device", "cpu", "--precision", "fp32", "--num-samples", "4", "--num-evaluated", "10"]
SMALL += ["--sample-every", "2", "--checkpoint-every", "2"]
SWEEP = """
[a]
recipe = "exp3"
batch_size = 8
steps = 4
device = "cpu"
precision = "fp32"
num_samples = 4
sample_every = 2
num_evaluated = 10
evaluate_every = 100
[a.model]
image_size = 32
latent_channels = 8
ngf = 4
ndf = 4
"""
SETTINGS = """
lr = 1e-3
batch_size = 8
epochs = 0.1
ema_halflife = 100
loss = "saturating"
[model]
ngf = 4
networks = "stable"
"""

COMMANDS = {  # words, of which those with a / are places in the world
    "generate": ["generate", "w/run", "--num", "2", "--out", "w/out"],
    "generate best": ["generate", "w/run", "--num", "2", "--best", "--out", "w/out"],
    "generate class": ["generate", "w/run", "--num", "2", "--label", "NORMAL", "--out", "w/out"],
    "generate packed": ["generate", "w/packed", "--num", "2", "--out", "w/out"],
    "push": ["push", "w/run", "--repo", "lab/first", "--out", "w/out"],
    "interpolate": ["generate", "w/run", "--interpolate", "1", "2", "--frames", "3", "--out", "w/out"],
    "evaluate": ["evaluate", "w/run", "--data", "w/data", "--rulers", "domain", "--num", "12"],
    "evaluate data": ["evaluate", "w/data", "--data", "w/data", "--rulers", "domain", "--json", "w/out/rows.json"],
    "evaluate folder": ["evaluate", "w/pictures", "--data", "w/data", "--rulers", "domain"],
    "evaluate folders": ["evaluate", "w/pictures", "--data", "w/pictures", "--rulers", "domain"],
    "evaluate weights": [
        *["evaluate", "w/pictures", "--data", "w/pictures", "--rulers", "inception"],
        *["--inception-weights", "w/weights.safetensors"],
    ],
    "doctor": ["doctor", "w/run"],
    "report": ["report", "w/run"],
    "report sweep": ["report", "w/sweep", "--out", "w/out/page.html"],
    "resume": ["train", "--resume", "w/run", "--steps", "5"],
    "train": ["train", "--data", "w/data", "--run", "w/out", *SMALL, "--steps", "2"],
    "train toml": ["train", "--data", "w/data", "--run", "w/out", "--config", "w/my.toml", *SMALL, "--steps", "2"],
    "train by class": ["train", "--data", "w/data", "--run", "w/out", *SMALL, "--steps", "2", "--conditional"],
    "experiments": ["experiments", "--data", "w/data", "--out", "w/sweep", "--experiments", "w/sweep.toml"],
    "prepare": ["prepare", "w/pictures", "--size", "32", "--out", "w/out"],
    "prepare npz": ["prepare", "w/set.npz", "--size", "32", "--out", "w/out"],
    "prepare phantom": ["prepare", "phantom", "--num", "4", "--size", "32", "--out", "w/out"],
    "train-domain": ["train-domain", "--data", "w/data", "--epochs", "1", "--out", "w/out/net.safetensors"],
}
MAY_WRITE = {
    "resume": ("w/run",),
    "report": ("w/run/report.html",),
    "evaluate": ("w/run/evaluation.json", "w/run/diagnosis.json"),
    "doctor": ("w/run/diagnosis.json",),
    "experiments": ("w/sweep",),
}
"""Where a command may write, beside w/out and the cache."""

CHECKPOINT = "w/run/checkpoints/step-000004"
FILES = {  # file -> commands that read it
    "w/run/config.json": ("generate", "evaluate", "report", "resume", "generate class", "interpolate", "push"),
    "w/run/metrics.jsonl": ("resume", "report", "generate best", "doctor", "push"),
    "w/run/evaluation.json": ("report", "doctor", "push"),
    "w/packed/card.json": ("generate packed",),
    "w/packed/model.safetensors": ("generate packed",),
    "w/run/diagnosis.json": ("report",),
    "w/run/samples/step-000002.png": ("report",),
    "w/run/samples/real-and-fake-start.png": ("report",),
    f"{CHECKPOINT}/state.json": ("resume", "generate"),
    f"{CHECKPOINT}/average.safetensors": ("generate", "resume", "evaluate"),
    f"{CHECKPOINT}/discriminator.safetensors": ("resume",),
    f"{CHECKPOINT}/optimizer_g.safetensors": ("resume",),
    "w/data/manifest.json": ("train", "train by class", "resume", "evaluate data", "report", "experiments"),
    "w/data/images.npy": ("train", "resume", "evaluate data", "evaluate"),
    "w/sweep/experiments.json": ("report sweep", "experiments"),
    "w/sweep/a/config.json": ("experiments", "report sweep"),
    "w/sweep/a/evaluation.json": ("experiments", "report sweep"),
    "w/sweep/a/diagnosis.json": ("experiments",),
    "w/sweep/a/metrics.jsonl": ("experiments",),
    "w/sweep.toml": ("experiments",),
    "w/my.toml": ("train toml",),
    "w/pictures/A/0.png": ("prepare", "evaluate folders", "evaluate folder"),
    "w/set.npz": ("prepare npz",),
    "w/weights.safetensors": ("evaluate weights",),
    "cache/cxrgan/features": ("evaluate data",),
}

VALUES: list[Any] = [
    *[None, True, False, 0, 1, -1, 2, 3, 1.5, -0.5, 1e308, -1e308, float("nan"), float("inf")],
    *[10**30, -(10**30), 10**400, 2**31, 2**63, -(2**63), 4 * 10**9],
    *["", "x", "32", "a" * 5000, "line\nline", "\x1b[31mred\x07", "\ud800", "[red]x", "<script>alert(1)</script>"],
    *["../../escaped", str(ESCAPED), "a/b", "..", "auto", "cuda", "bf16", "stable", "train", "phantom"],
    *[[], {}, [1], [None], ["a", 1], {"a": 1}, [[[[]]]], [{"a": 1}] * 3],
    *[{"../../escaped": 3, "b": 4}, {"\x1b[31m": 1}],
]
CONTENTS = [
    *[b"", b"\0", b"null", b"[]", b"{}", b"1", b'"x"', b"{", b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b'{"format": 1}'],
    *[b"[" * 100_000, b'{"a":' * 50_000, b"1" * 100_000, bytes(100_000), b"{} " * 1000, b"= = =", b"[a]\n" * 3],
    *[b"\x89PNG\r\n\x1a\n" + bytes(50), b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr': '|u1'}"],
    *[b"\xff" * 8 + b"{}", (2**40).to_bytes(8, "little") + b"{}"],
]
TOKENS = [
    *["-1", "0", "1", "2", "3", "31", "33", "1.5", "-0.5", "nan", "inf", "-inf", "1e400", "1e-320", "1e308", "1e12"],
    *["", " ", "0x10", "1_0", "\u0663", "\u00bd", "--1", "None", "True", "\x1b[31m", "\udcff", "1000000000000"],
    *[
        "1" + "0" * 26,
        "-1" + "0" * 26,
        "4611686018427387904",
        "9223372036854775807",
        "-9223372036854775808",
        "9" * 5000,
    ],
]
WRONG_TOML = [
    *["nan", "-1", "0", "1e400", "'x'", "[]", "{a = 1}", "true", "10" * 50, "1979-05-27"],
    *["'\\u001b[31m'", '"\\u001b[31m"', "'../../escaped'"],
]


@dataclass(frozen=True)
class Spoil:
    """One way to make a file wrong."""

    kind: str
    """What becomes of it; `_spoil` knows the kinds."""
    place: int
    """Which byte, value, tensor or line, counted round and round."""
    value: int
    """Which of the hostile values, counted so too."""


def spoils() -> st.SearchStrategy[Spoil]:
    """All ways to make a file wrong; those that know its format come more often."""
    kinds = ["inside"] * 6 + ["content", "cut", "flip", "flip", "absent", "folder", "fifo", "loop", "sparse"]
    number = st.integers(0, 10**6)
    return st.builds(Spoil, st.sampled_from(kinds), number, number)


def tokens() -> st.SearchStrategy[str]:
    """What may stand where a number is meant."""
    return st.sampled_from(TOKENS) | st.integers(-5, 5).map(str) | st.floats().map(repr) | st.text(max_size=3)


def numbers(command: type) -> list[str]:
    """The flags of a command that take a number; but how long a run is, which may be endless."""
    found = []
    for holder in [command, *([TrainConfig, type(TrainConfig().model)] if command is Train else [])]:
        for name, hint in typing.get_type_hints(holder).items():
            options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
            if any(option in (int, float, tuple[int, int]) for option in options):
                found.append(f"--{name.replace('_', '-')}")
    left_out = ("--epochs", "--steps", "--num-classes") if command is Train else ()  # the dataset has the classes
    return [flag for flag in dict.fromkeys(found) if flag not in left_out]


NUMBERS = {
    "prepare phantom": numbers(Prepare),
    "train": numbers(Train),
    "generate": [*numbers(Generate), "--interpolate"],
    "evaluate": numbers(Evaluate),
    "experiments": numbers(Experiments),
    "train-domain": numbers(TrainDomain),
}


def on_the_line(flag: str, token: str) -> list[str]:
    """A flag with this as its number."""
    return [flag, token, *(["2"] if flag == "--interpolate" else [])]


class World:
    """A folder `w` with a dataset, a run, a sweep and pictures, beside a cache; made anew for each case."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._first, self._now = root / "first", root / "now"
        os.environ["XDG_CACHE_HOME"] = str(self._now / "cache")
        with _quiet():
            self._make(self._first / "w")
        self.renew()
        with _quiet():
            assert self.run("evaluate data") == 0
            shutil.copytree(self._now / "cache", self._first / "cache")

    def renew(self) -> None:
        """Everything as it was made."""
        shutil.rmtree(self._now, ignore_errors=True)
        shutil.copytree(self._first, self._now)
        config = self._now / "w" / "run" / "config.json"
        config.write_text(config.read_text().replace(str(self._first), str(self._now)))

    def path(self, place: str) -> Path:
        """Where a place of the world lies; of a folder its only file."""
        path = self._now / place
        return next(path.iterdir()) if path.is_dir() else path

    def words(self, command: str) -> list[str]:
        """The command line of a command."""
        return [str(self._now / word) if word.startswith("w/") else word for word in COMMANDS[command]]

    def run(self, command: str, *more: str) -> int:
        """Its exit status; SystemExit is how the parser of the command line refuses it."""
        return main([*self.words(command), *more])

    def state(self, command: str) -> dict[str, str]:
        """Path -> what is there, but for where the command may write."""
        free = [self._now / place for place in ("w/out", "cache", *MAY_WRITE.get(command, ()))]
        paths = [path for path in self.root.rglob("*") if not any(path.is_relative_to(place) for place in free)]
        return {str(path): _content(path) for path in [*paths, ESCAPED]}

    def release(self) -> None:
        """Let go whoever waits at a FIFO."""
        for path in self._now.rglob("*"):
            if path.is_fifo():
                os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    def _make(self, folder: Path) -> None:
        data, run = str(folder / "data"), str(folder / "run")
        assert main(["prepare", "phantom", "--num", "40", "--size", "32", "--out", data]) == 0
        line = ["train", "--data", data, "--run", run, "--recipe", "quick", *SMALL, "--steps", "4"]
        assert main([*line, "--conditional", "--evaluate-every", "2"]) == 0
        assert main(["evaluate", run, "--data", data, "--rulers", "domain"]) == 0
        assert main(["push", run, "--repo", "lab/first", "--out", str(folder / "packed")]) == 0
        (folder / "sweep.toml").write_text(SWEEP)
        (folder / "my.toml").write_text(SETTINGS)
        experiments = read_experiments(folder / "sweep.toml")
        sweep = Sweep(experiments, folder / "sweep", {32: folder / "data"})
        run_experiment(sweep, experiments[0])
        write_table(sweep)
        images = np.load(folder / "data" / "images.npy")
        for index, image in enumerate(images[:8]):
            path = folder / "pictures" / "AB"[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        splits = ("train", "val", "test")
        arrays = {f"{split}_images": images[:4] for split in splits} | {
            f"{split}_labels": np.zeros((4, 1), np.uint8) for split in splits
        }
        np.savez(folder / "set.npz", **arrays)
        (folder / "weights.safetensors").write_bytes(save({"fc.weight": np.zeros((1008, 2048), np.float32)}))


def fall_short(world: World, command: str, *more: str) -> str | None:
    """Run a command on the world as it is; what is not as it should be in a few words, None where all is."""
    before, began, memory = world.state(command), time.monotonic(), _memory()
    out, err, by_parser = io.StringIO(), io.StringIO(), False
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _bounded():
            status = world.run(command, *more)
    except SystemExit as refused:
        status, by_parser = int(refused.code or 0), True
    except TooLong:
        world.release()
        return f"took more than {SECONDS} s"
    except BaseException as error:  # what gets through `main` is what we look for
        return f"{type(error).__name__} got out of main: {error}"
    lines = err.getvalue().splitlines()
    told = [line for line in lines if line.startswith("cxrgan: ")]
    hidden = next((line for line in [*out.getvalue().splitlines(), *lines] if printable(line) != line), None)
    after = world.state(command)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    if status not in STATUSES:
        return f"exit status {status}"
    if "Traceback" in err.getvalue() or "--debug shows where" in err.getvalue():
        return f"no clear words: {lines[-1]}"
    if hidden is not None:
        return f"prints what a terminal obeys: {hidden!r}"
    if status not in (0, 3) and told != lines[-1:] and not by_parser:
        return f"exit status {status} without one clear line at the end: {lines[-3:]}"
    if changed or ESCAPED.exists():
        return f"changed {', '.join(changed[:3])}"
    if _memory() - memory > GROWTH:
        return f"took {(_memory() - memory) / 1e9:.1f} GB"
    return None if time.monotonic() - began < SECONDS else f"took more than {SECONDS} s"


def spoil(path: Path, how: Spoil) -> None:
    """Make one file wrong."""
    content = path.read_bytes()
    match how.kind:
        case "absent":
            path.unlink()
        case "folder":
            path.unlink()
            path.mkdir()
        case "fifo":
            path.unlink()
            os.mkfifo(path)
        case "loop":
            path.unlink()
            path.symlink_to(path)
        case "sparse":
            os.truncate(path, 2**36)
        case "content":
            path.write_bytes(CONTENTS[how.value % len(CONTENTS)])
        case "cut":
            path.write_bytes(content[: how.place % len(content)])
        case "flip":
            wrong = bytearray(content)
            wrong[how.place % min(len(wrong), 4096)] ^= 1 << how.value % 8
            path.write_bytes(bytes(wrong))
        case "inside":
            path.write_bytes(_inside(path, content, how))


def _inside(path: Path, content: bytes, how: Spoil) -> bytes:
    """The content with one of its values made wrong, as its format has it."""
    match path.suffix:
        case ".json":
            return json.dumps(_with(json.loads(content), how)).encode()
        case ".jsonl":
            lines = content.decode().splitlines()
            line = how.place % len(lines)
            lines[line] = json.dumps(
                _with(json.loads(lines[line]), dataclasses.replace(how, place=how.place // len(lines)))
            )
            return ("\n".join(lines) + "\n").encode()
        case ".npy":
            return _npy(how)
        case ".safetensors":
            return _tensors(path, how)
        case ".png":
            return _picture(how)
        case ".npz":
            return _npz(content, how)
        case _:  # TOML
            lines = content.decode().splitlines()
            line = how.place % len(lines)
            name = lines[line].split("=")[0] if "=" in lines[line] else "wild "
            lines[line] = f"{name}= {WRONG_TOML[how.value % len(WRONG_TOML)]}"
            return "\n".join(lines).encode()


def _with(value: Any, how: Spoil) -> Any:
    """A value of JSON in which one place, at any depth, is hostile, or absent."""
    places: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        holder = pending.pop()
        keys = (
            list(holder) if isinstance(holder, dict) else range(min(len(holder), 3)) if isinstance(holder, list) else []
        )
        places += [(holder, key) for key in keys]
        pending += [holder[key] for key in keys]
    if not places:
        return VALUES[how.value % len(VALUES)]
    holder, key = places[how.place % len(places)]
    if how.value % 10 == 0:
        del holder[key]
    else:
        holder[key] = VALUES[how.value % len(VALUES)]
    return value


def _npy(how: Spoil) -> bytes:
    arrays: list[np.ndarray[Any, Any]] = [
        *[
            np.zeros(shape, np.uint8)
            for shape in ((0,), (), (40,), (40, 32), (40, 32, 16), (3, 32, 32), (40, 32, 32, 3), (40, 0, 0))
        ],
        *[np.zeros((40, 32, 32), kind) for kind in ("f4", "i8", "?", "c8", "U3", "M8[s]", "V4")],
        np.zeros((40, 33, 33), np.uint8),
    ]
    stream = io.BytesIO()
    np.save(stream, arrays[how.value % len(arrays)])
    content = stream.getvalue()
    return content.replace(b"(40, 32, 32)", b"(1048576, 1048576,)"[:12]) if how.place % 5 == 0 else content


def _tensors(path: Path, how: Spoil) -> bytes:
    tensors = dict(load_file(path))
    name = list(tensors)[how.place % len(tensors)]
    tensor = tensors[name]
    wrong: list[Callable[[], Any]] = [
        lambda: np.atleast_1d(tensor)[..., :1],
        lambda: tensor.astype(np.float64),
        lambda: tensor.astype(np.int8),
        lambda: np.full_like(tensor, np.nan),
        lambda: np.full_like(tensor, np.inf),
        lambda: tensor.reshape(-1),
        lambda: np.zeros((0,), np.float32),
        lambda: np.zeros((3, 1, 2), np.float32),
        lambda: np.stack([tensor, tensor]),
    ]
    match how.value % (len(wrong) + 3):
        case 0:
            del tensors[name]
        case 1:
            tensors["more"] = tensor
        case 2:
            tensors["\x1b[31m999.exp_avg"] = tensors.pop(name)
        case other:
            tensors[name] = wrong[other - 3]()
    return save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})


def _picture(how: Spoil) -> bytes:
    modes = ("L", "1", "P", "RGB", "RGBA", "LA", "I;16", "I", "F", "CMYK")
    sides = ((1, 1), (15, 15), (32, 32), (1, 5000), (5000, 1), (33, 31), (2000, 2000))
    picture = Image.new(modes[how.value % len(modes)], sides[how.place % len(sides)])
    stream = io.BytesIO()
    picture.save(stream, format="PNG" if picture.mode not in ("I", "F", "CMYK") else "TIFF")
    content = bytearray(stream.getvalue())
    if how.value % 3 == 0 and content.startswith(b"\x89PNG"):  # a header that claims more than there is
        content[16:24] = (13_000).to_bytes(4, "big") * 2
        content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


def _npz(content: bytes, how: Spoil) -> bytes:
    with np.load(io.BytesIO(content)) as stored:
        arrays = {name: stored[name] for name in stored}
    name = list(arrays)[how.place % len(arrays)]
    shapes: list[Any] = [
        np.zeros(shape, kind)
        for shape in ((), (0,), (4,), (4, 1), (4, 8, 8), (4, 0, 0), (4, 8, 8, 3))
        for kind in ("u1", "f4", "U2")
    ]
    arrays[name] = shapes[how.value % len(shapes)]
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


class TooLong(BaseException):
    """The time of a command is over; nothing in it may catch this."""


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """In here, `SECONDS` are all there are, and an allocation of `ROOM` bytes fails."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    limits = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    previous = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, limits[1]))
    signal.setitimer(signal.ITIMER_REAL, SECONDS, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        resource.setrlimit(resource.RLIMIT_AS, limits)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _content(path: Path) -> str:
    if path.is_file() and path.stat().st_size < 2**30:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return "something" if os.path.lexists(path) else "nothing"


class InThisProcess(Processes):
    """In place of `workers.Processes`: starting a process takes longer than all the rest."""

    def run(self, order: Mapping[str, Any]) -> None:
        """Do it here, from what arrives elsewhere."""
        sweep = Sweep.of_order(json.loads(json.dumps(order)))
        run_experiment(sweep, sweep.experiments[0])


def search(world: World, minutes: float, report: Callable[[str, str, str], None]) -> int:
    """Draw cases for so long; `report` hears command, case and what was not as it should be. Returns how many."""
    end, tried = time.monotonic() + 60 * minutes, 0
    places = sorted({(file, command) for file, commands in FILES.items() for command in commands})
    flags = sorted({(command, flag) for command, found in NUMBERS.items() for flag in found})
    drawn = settings(
        max_examples=200, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )

    @drawn
    @given(st.sampled_from(places), spoils())
    def in_files(place: tuple[str, str], how: Spoil) -> None:
        nonlocal tried
        if time.monotonic() < end:
            world.renew()
            spoil(world.path(place[0]), how)
            tried += 1
            if problem := fall_short(world, place[1]):
                report(place[1], f"{place[0]} {how}", problem)

    @drawn
    @given(st.sampled_from(flags), tokens())
    def in_numbers(flag: tuple[str, str], token: str) -> None:
        nonlocal tried
        if time.monotonic() < end:
            world.renew()
            tried += 1
            if problem := fall_short(world, flag[0], *on_the_line(flag[1], token)):
                report(flag[0], f"{flag[1]} {token!r:.60}", problem)

    while time.monotonic() < end:
        in_files()
        in_numbers()
    return tried


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found: list[dict[str, str]] = []
    seen: Counter[tuple[str, str]] = Counter()

    def note(command: str, case: str, problem: str) -> None:
        key = (command, problem.split(":")[0] + problem[-40:])
        seen[key] += 1
        found.append({"command": command, "case": case, "problem": problem})
        if seen[key] == 1:
            print(f"{command}: {case}: {problem}", file=sys.__stdout__, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        import cxrgan.experiments.workers

        cxrgan.experiments.workers.Processes = InThisProcess  # type: ignore[misc]
        count = search(World(Path(folder)), asked.minutes, note)
    print(f"{count} cases tried, {len(found)} fell short, in {len(seen)} ways", file=sys.__stdout__)
    if asked.json:
        asked.json.write_text(json.dumps({"tried": count, "fell_short": found}, indent=2) + "\n")
