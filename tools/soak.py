"""Kills, signals and full disks at random moments, for as long as one wants: what is promised after each is checked.

    python -m tools.soak --minutes 8 --steps 10000 --json soak.json

Each trial breaks a command off and then does what its words say: it must come to the very bytes of a command without
a break; nothing half-written may lie about; no traceback may be shown. At the end a run of `--steps` steps is broken
off again and again. A full disk is a limit on the size of a file and, where this process may mount one, a small tmpfs.
Needs a POSIX system.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

CXRGAN = [sys.executable, "-m", "cxrgan"]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SETTINGS = [
    *["--image-size", "32", "--ngf", "8", "--ndf", "8", "--latent-channels", "8", "--batch-size", "8"],
    *["--device", "cpu", "--precision", "fp32", "--num-samples", "4", "--num-evaluated", "10", "--log-every", "5"],
    *["--sample-every", "40", "--checkpoint-every", "40", "--evaluate-every", "100"],
    *["--recipe", "fast-64", "--conditional"],
]
STEPS = 200
EXPERIMENT = """[{name}]
recipe = "exp3"
steps = 60
batch_size = 8
device = "cpu"
precision = "fp32"
num_samples = 4
log_every = 5
sample_every = 20
checkpoint_every = 20
evaluate_every = 30
num_evaluated = 10
seed = {seed}
[{name}.model]
image_size = 32
latent_channels = 8
ngf = 8
ndf = 8
"""
SWEEP = EXPERIMENT.format(name="a", seed=0) + EXPERIMENT.format(name="b", seed=1)
SAME = (".npy", ".png", ".dcm", ".safetensors", "manifest.json", "diagnosis.json")
MAKERS = ("prepare", "generate", "dicom", "labels", "scans")
"""Commands that make a whole folder or nothing."""
READERS = ("report", "evaluate", "audit")
"""Commands that write a file in the folder that they are given."""
LIMIT_S = 900  # of any one command


class Short(Exception):
    """What was not as promised."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    errors: str


@dataclass(frozen=True)
class Soak:
    """What the trials work on: a folder with the ends of commands without a break, and how long these took."""

    folder: Path
    random: random.Random
    seconds: dict[str, float] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """A place in the folder."""
        return self.folder / name

    def command(self, name: str, where: Path) -> list[str]:
        """The command line of this name that makes `where`."""
        data, images = str(self.path("data")), str(self.path("generate"))
        start = ["train", "--data", data, "--run", str(where), *SETTINGS, "--steps", str(STEPS)]
        return {
            "prepare": ["prepare", "phantom", "--num", "300", "--size", "32", "--out", str(where)],
            "train": start,
            "start from": [*start, "--start-from", str(self.path("train"))],
            "generate": ["generate", str(self.path("train")), "--num", "200", "--out", str(where)],
            "dicom": ["generate", str(self.path("train")), "--num", "200", "--format", "dicom", "--out", str(where)],
            "labels": [
                *["prepare", images, "--size", "32", "--labels", str(self.path("labels.csv")), "--out", str(where)],
                *["--image-column", "file", "--label-column", "class", "--patient-column", "patient"],
            ],
            "scans": [
                *["prepare", str(self.path("dicom")), "--size", "32", "--out", str(where)],
                *["--patient-key", str(self.path("patients.key"))],
            ],
            "unseen": ["generate", str(self.path("train")), "--num", "60", "--seed", "1000", "--out", str(where)],
            "audit": [
                *["audit", images, "--data", data, "--held-out", str(self.path("unseen"))],
                *["--pairs", str(where / "pairs.png")],
            ],
            "verify": ["verify", images, str(self.path("dicom")), "--generator", str(self.path("train"))],
            "report": ["report", str(self.path("train")), "--out", str(where / "page.html")],
            "evaluate": [
                *["evaluate", str(self.path("train")), "--data", data, "--rulers", "domain"],
                *["--json", str(where / "rows.json")],
            ],
            "experiments": [
                *["experiments", "--data", data, "--out", str(where), "--experiments", str(self.path("sweep.toml"))],
                *["--jobs", "2"],
            ],
        }[name]

    def run(
        self,
        arguments: list[str],
        *,
        after: float = LIMIT_S,
        number: int = signal.SIGKILL,
        send: Callable[[int, int], None] = os.kill,
        limit: int = -1,
    ) -> Ended:
        """Run cxrgan, with a signal after so many seconds; no file may have more than `limit` bytes; -1 is no limit.

        `send` gets the number of the process, which is also that of its group, and of the signal.
        """
        process = subprocess.Popen(
            [*CXRGAN, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
        )
        try:
            _, errors = process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            send(process.pid, number)
            _, errors = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()  # nothing outlives a soak that is broken off itself
        return Ended(process.returncode, errors)

    def whole(self, name: str) -> None:
        """Run a command without a break."""
        began = time.monotonic()
        ended = self.run(self.command(name, self.path(name)))
        assert ended.status == 0, ended.errors
        self.seconds[name] = time.monotonic() - began

    def broken(self, arguments: list[str], seconds: float) -> int:
        """Run cxrgan and break it off at a random moment of so many seconds; the signal, once its words are checked."""
        number = self.random.choice(SIGNALS)
        ended = self.run(arguments, after=self.random.uniform(0, seconds), number=number)
        check_words(ended, number)
        return number

    def to_a_child(self, pid: int, number: int) -> None:
        """A signal to one of the processes that a process began, where there is any."""
        lists = Path("/proc").glob(f"{pid}/task/*/children")  # one a thread
        children = " ".join(file.read_text() for file in lists).split()
        if children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(self.random.choice(children)), number)


def check_words(ended: Ended, number: int) -> None:
    """No traceback; a signal that can be answered is answered with status 130 and a line."""
    if re.search("Traceback|--debug|Exception ignored", ended.errors):
        raise Short(f"no clear words after signal {number}: {ended.errors[-600:]}")
    if ended.status not in (0, 130, -number):  # the work may be over, or Python itself not there yet
        raise Short(f"status {ended.status} after signal {number}: {ended.errors[-600:]}")
    if ended.status == 130 and not re.search("interrupted|continue", ended.errors):
        raise Short(f"status 130 without words: {ended.errors[-600:]}")


def check_full(ended: Ended, file: Path) -> None:
    """A disk that takes no more is told in one last line with the place and the way out."""
    if re.search("Traceback|--debug|Exception ignored", ended.errors) or ended.status not in (0, 1):
        raise Short(f"status {ended.status} on a full disk: {ended.errors[-600:]}")
    last = ended.errors.strip().splitlines()[-1] if ended.errors.strip() else ""
    if ended.status == 1 and not (str(file) in last and "make room" in last):
        raise Short(f"no clear words on a full disk: {last[-600:]}")


def check_no_halves(folder: Path) -> None:
    """No temporary file or folder lies below."""
    halves = [str(path) for path in folder.rglob("*") if re.fullmatch(r"\..+\.\d+\.tmp.*", path.name)]
    if halves:
        raise Short(f"half-written: {', '.join(halves[:3])}")


def end_of(folder: Path) -> dict[str, str]:
    """File -> hash of all that a command made and that is the same whenever it is made: not times, places and plots."""
    found = {}
    newest = sorted(folder.glob("checkpoints/step-*"))[-1:]
    for file in sorted(folder.rglob("*")):
        inside = str(file.relative_to(folder))
        if file.name == "metrics.jsonl":
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            found[inside] = digest(json.dumps([{**row, "seconds": 0} for row in rows], sort_keys=True).encode())
        elif "checkpoints" in file.parts and file.parent not in newest:
            continue  # which older ones are kept depends on where it was broken off
        elif file.name in SAME or (file.suffix in SAME and file.name not in ("losses.png", "metrics.png")):
            found[inside] = digest(file.read_bytes())
    return found


def digest(content: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(content).hexdigest()


def check_same(one: Path, other: Path) -> None:
    """Both folders come to the same files of the same bytes."""
    first, second = end_of(one), end_of(other)
    differ = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if differ or not first:
        raise Short(f"differ from those without a break: {', '.join(differ[:5])}")


def go_on(soak: Soak, run: Path, name: str = "train") -> list[str]:
    """What goes on with a training, which may not have come to its config.json."""
    resume = ["train", "--resume", str(run)]
    return resume if (run / "config.json").exists() else soak.command(name, run)


def finish(soak: Soak, arguments: list[str]) -> None:
    """What was broken off comes to its end; the processes of a killed sweep may take a moment to save."""
    for _ in range(20):
        ended = soak.run(arguments)
        if ended.status == 0:
            return
        if "another process" not in ended.errors:
            break
        time.sleep(1)
    raise Short(f"does not go on, status {ended.status}: {ended.errors[-600:]}")


def kill_train(soak: Soak, here: Path) -> None:
    """A training, from nothing or from another run, that is broken off one to three times."""
    run, name = here / "run", soak.random.choice(("train", "start from"))
    for _ in range(soak.random.randint(1, 3)):
        soak.broken(go_on(soak, run, name), soak.seconds[name])
    finish(soak, go_on(soak, run, name))
    check_no_halves(here)
    check_same(run, soak.path(name))


def kill_maker(soak: Soak, here: Path) -> None:
    """A command that makes a whole folder or nothing; what a SIGKILL leaves goes with the next one."""
    out, name = here / "out", soak.random.choice(MAKERS)
    number = soak.broken(soak.command(name, out), soak.seconds[name])
    if number != signal.SIGKILL:
        check_no_halves(here)
    if not out.exists():
        finish(soak, soak.command(name, out))
        check_no_halves(here)
    check_same(out, soak.path(name))


def kill_experiments(soak: Soak, here: Path) -> None:
    """A sweep, whose runs are processes of their own: the command alone, its whole group, or one of its processes."""
    out, number = here / "out", soak.random.choice(SIGNALS)
    send = soak.random.choice((os.kill, os.killpg, soak.to_a_child))
    after = soak.random.uniform(0, soak.seconds["experiments"])
    ended = soak.run(soak.command("experiments", out), after=after, number=number, send=send)
    if send != soak.to_a_child:
        check_words(ended, number)
    elif ended.status not in (0, 1) or re.search("Traceback|--debug|Exception ignored", ended.errors):
        raise Short(f"status {ended.status} after signal {number} to a child: {ended.errors[-600:]}")
    finish(soak, soak.command("experiments", out))
    check_no_halves(here)
    check_same(out, soak.path("experiments"))


def kill_reader(soak: Soak, here: Path) -> None:
    """A command that reads, and at its end may write a file."""
    name = soak.random.choice(("audit", "verify"))
    number = soak.broken(soak.command(name, here / "out"), soak.seconds[name])
    if number != signal.SIGKILL:
        check_no_halves(here)
    finish(soak, soak.command(name, here / "out"))
    check_no_halves(here)


def limit_a_file(soak: Soak, here: Path) -> None:
    """No file may have more than some bytes, in any command that writes; then the limit is gone."""
    name = soak.random.choice(("train", *MAKERS, *READERS))
    out = here / "out"
    limit = int(10 ** soak.random.uniform(0, 6))
    check_full(soak.run(soak.command(name, out), limit=limit), out)
    check_no_halves(here)
    after_the_disk(soak, name, out)


def fill_a_disk(soak: Soak, here: Path) -> None:
    """A disk of some hundred kilobytes, or some megabytes, that is made larger afterwards."""
    name = soak.random.choice(("train", *MAKERS, *READERS))
    out = here / "out"
    with small_disk(here, int(10 ** soak.random.uniform(4.2, 6.3))) as grow:
        ended = soak.run(soak.command(name, out))
        check_full(ended, out)
        check_no_halves(here)
        grow()
        after_the_disk(soak, name, out)


def after_the_disk(soak: Soak, name: str, out: Path) -> None:
    """With room again, the command comes to its end."""
    if name == "train":
        finish(soak, go_on(soak, out))
        check_same(out, soak.path("train"))
    elif name in READERS or not out.exists():
        finish(soak, soak.command(name, out))
    if name in MAKERS:
        check_same(out, soak.path(name))
    check_no_halves(out.parent)


@contextlib.contextmanager
def small_disk(folder: Path, num_bytes: int) -> Iterator[Callable[[], object]]:
    """A tmpfs of so many bytes at `folder`, and what makes it large."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", folder], check=True, capture_output=True
    )
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=256m", folder], check=True) and None
    finally:
        subprocess.run(["umount", folder], check=True)


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a disk."""
    folder.mkdir()
    try:
        with small_disk(folder, 2**20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def long_run(soak: Soak, steps: int) -> int:
    """A run of many steps that is broken off again and again, beside one in a piece; returns how often."""
    end = ["--steps", str(steps), "--checkpoint-every", "500", "--sample-every", "1000", "--evaluate-every", "2500"]
    breaks = 0
    for name in ("long", "long-broken"):
        run = soak.path(name)
        start = ["train", "--data", str(soak.path("data")), "--run", str(run), *SETTINGS, *end]
        if name == "long":
            began = time.monotonic()
            finish(soak, start)
            seconds = time.monotonic() - began
            continue
        resume = ["train", "--resume", str(run)]
        for _ in range(8):
            soak.broken(resume if (run / "config.json").exists() else start, seconds / 4)
            breaks += 1
        finish(soak, resume if (run / "config.json").exists() else start)
    check_no_halves(soak.path("long-broken"))
    check_same(soak.path("long-broken"), soak.path("long"))
    return breaks


def write_labels(file: Path, images: Path) -> None:
    """A table of the images of a folder, three a patient."""
    found = sorted(path for path in images.rglob("*.png") if path.parent != images)
    lines = [f"{path.name},{path.parent.name},patient {place // 3}" for place, path in enumerate(found)]
    file.write_text("\n".join(["file,class,patient", *lines]) + "\n")


def main() -> int:
    """Soak for the minutes asked for; exit status 1 if anything fell short."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8, help="of trials; the long run comes on top")
    parser.add_argument("--steps", type=int, default=10_000, help="of the long run; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where all that was tried goes")
    asked = parser.parse_args()
    tried: Counter[str] = Counter()
    fell_short: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder).resolve(), random.Random(asked.seed))
        soak.path("sweep.toml").write_text(SWEEP)
        assert soak.run(soak.command("prepare", soak.path("data"))).status == 0
        for name in ("train", "prepare", "generate", "dicom", "unseen"):
            soak.whole(name)
        write_labels(soak.path("labels.csv"), soak.path("generate"))
        for name in ("labels", "scans", "audit", "verify", "start from", "experiments"):
            soak.whole(name)
        trials = [kill_train, kill_maker, kill_reader, kill_experiments, limit_a_file]
        trials += [fill_a_disk] if can_mount(soak.path("disk")) else []
        end = time.monotonic() + 60 * asked.minutes
        while time.monotonic() < end:
            trial = trials[tried.total() % len(trials)]
            tried[trial.__name__] += 1
            here = soak.path("here")
            here.mkdir()
            try:
                trial(soak, here)
            except Short as problem:
                fell_short.append({"trial": trial.__name__, "problem": str(problem)})
                print(f"{trial.__name__}: {problem}", flush=True)
            shutil.rmtree(here)
        if asked.steps:
            try:
                tried[f"breaks of a run of {asked.steps} steps"] = long_run(soak, asked.steps)
            except Short as problem:
                fell_short.append({"trial": "long_run", "problem": str(problem)})
                print(f"long_run: {problem}", flush=True)
    print("; ".join(f"{name}: {num}" for name, num in tried.items()) + f"; fell short: {len(fell_short)}")
    if asked.json:
        asked.json.write_text(json.dumps({"tried": tried, "fell_short": fell_short}, indent=2) + "\n")
    return 1 if fell_short else 0


if __name__ == "__main__":
    sys.exit(main())
