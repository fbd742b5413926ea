"""Hostile input for every command: each file that it reads and each number on its line, made wrong.

`World` is a small dataset, run and sweep, with tables of labels, DICOM and generated images; a `Spoil` of `hostile`
makes one file of it wrong; `fall_short` runs a command in this process and says what was not as promised. The tests
draw a fixed few cases; more, for as long as one wants:

    python -m tools.fuzz --minutes 5 --json fuzz.json
"""

import argparse
import contextlib
import csv
import gzip
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
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import imagecodecs
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless
from safetensors.numpy import save

from cxrgan.cli.audit import Audit
from cxrgan.cli.evaluate import Evaluate
from cxrgan.cli.experiments import Experiments
from cxrgan.cli.generate import Generate
from cxrgan.cli.main import main
from cxrgan.cli.prepare import Prepare
from cxrgan.cli.train import Train
from cxrgan.cli.train_domain import TrainDomain
from cxrgan.evaluation.classifier import ClassifierConfig
from cxrgan.experiments.sweep import Sweep, read_experiments, run_experiment
from cxrgan.experiments.table import write_table
from cxrgan.experiments.workers import Processes
from cxrgan.fields import printable
from cxrgan.recipes.config import TrainConfig
from tools.hostile import ESCAPED, Spoil, names, spoil, spoils, tokens

SECONDS = 20  # that a command on the small world may take
GROWTH = 2**30  # bytes of memory that it may take
ROOM = 2**32  # bytes of address space beyond what is there, at which an allocation fails

SMALL = ["--image-size", "32", "--ngf", "4", "--ndf", "4", "--latent-channels", "8", "--batch-size", "8"]
SMALL += ["--device", "cpu", "--precision", "fp32", "--num-samples", "4", "--num-evaluated", "10"]
SMALL += ["--sample-every", "2", "--checkpoint-every", "2"]
STABLE = ["--recipe", "fast-64", *SMALL, "--steps", "2", "--conditional"]
GROWN = ["--image-size", "64", "--ngf", "2", "--ndf", "2"]
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

TABLES: Mapping[str, Sequence[Sequence[str]]] = {  # place -> lines
    "w/nih/Data_Entry_2017.csv": [
        ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "View Position", ""],
        *[
            [f"{i}.png", ("Effusion|Nodule/Mass", "No Finding")[i % 2], "0", str(i // 2), "58", "PA", ""]
            for i in range(8)
        ],
    ],
    "w/chexpert.csv": [
        ["Path", "Sex", "Frontal/Lateral", "AP/PA", "No Finding", "Edema", "Pneumonia"],
        *[
            [
                f"small/train/patient0{i // 2}/{'AB'[i % 2]}/{i}.png",
                "Male",
                "Frontal",
                "AP",
                "",
                ("1.0", "0.0")[i % 2],
                "",
            ]
            for i in range(7)
        ],
        ["small/valid/patient09/B/7.png", "Female", "Lateral", "", "1.0", "-1.0", ""],
    ],
    "w/vindr.csv": [
        ["image_id", "class_name", "class_id", "rad_id", "x_min"],
        *[[str(i // 3), ("Cardiomegaly", "No finding")[i // 6], "3", f"R{i % 3}", "691.0"] for i in range(12)],
    ],
    "w/rsna.csv": [
        ["patientId", "x", "y", "width", "height", "Target"],
        *[[str(i), "264.0", "152.0", "213.0", "379.0", str(i % 2)] for i in range(8)],
    ],
    "w/mimic-tables/mimic-cxr-2.0.0-chexpert.csv.gz": [
        ["subject_id", "study_id", "Edema", "No Finding", "Pneumonia"],
        *[[str(i), str(10 + i), ("1.0", "")[i % 2], "", ("", "0.0")[i % 2]] for i in range(4)],
    ],
    "w/mimic-tables/mimic-cxr-2.0.0-split.csv.gz": [
        ["dicom_id", "study_id", "subject_id", "split"],
        *[[f"scan{i}", str(10 + i), str(i), ("train", "validate")[i // 3]] for i in range(4)],
    ],
    "w/mimic-tables/mimic-cxr-2.0.0-metadata.csv": [
        ["dicom_id", "subject_id", "study_id", "ViewPosition", "Rows"],
        *[[f"scan{i}", str(i), str(10 + i), "PA", "3056"] for i in range(4)],
    ],
    "w/own.csv": [
        ["file", "diagnosis", "mrn", "set"],
        *[
            [f"{'AB'[i % 2]}/{i}.png", ("normal", "ill, a bit")[i % 2], f"p{i}", ("train", "test")[i // 6]]
            for i in range(8)
        ],
    ],
}

OF_TABLE = ["--size", "32", "--out", "w/out", "--labels"]
OF_OWN = ["--image-column", "file", "--label-column", "diagnosis", "--patient-column", "mrn", "--split-column", "set"]
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
    "prepare nih": ["prepare", "w/pictures", *OF_TABLE, "w/nih/Data_Entry_2017.csv"],
    "prepare chexpert": ["prepare", "w/pictures", *OF_TABLE, "w/chexpert.csv", "--label-column", "Edema"],
    "prepare vindr": ["prepare", "w/pictures", *OF_TABLE, "w/vindr.csv", "--label-column", "Cardiomegaly"],
    "prepare rsna": ["prepare", "w/pictures", *OF_TABLE, "w/rsna.csv"],
    "prepare mimic": [
        *["prepare", "w/mimic", *OF_TABLE, "w/mimic-tables/mimic-cxr-2.0.0-chexpert.csv.gz"],
        *["--label-column", "Edema,Pneumonia"],
    ],
    "prepare own": ["prepare", "w/pictures", *OF_TABLE, "w/own.csv", *OF_OWN],
    "prepare dicom": ["prepare", "w/scans", "--patient-key", "w/patients.key", "--size", "32", "--out", "w/out"],
    "generate dicom": ["generate", "w/run", "--num", "2", "--format", "dicom", "--out", "w/out"],
    "verify png": ["verify", "w/images/png", "--generator", "w/run"],
    "verify npz": ["verify", "w/images/npz", "--generator", "w/run"],
    "verify dicom": ["verify", "w/images/dicom", "--generator", "w/run"],
    "audit": [
        *["audit", "w/run", "--data", "w/data", "--held-out", "w/unseen"],
        *["--num", "4", "--pairs", "w/pairs.png"],
    ],
    "audit folder": ["audit", "w/pictures", "--data", "w/data", "--held-out", "w/unseen"],
    "audit utility": ["audit", "w/run", "--data", "w/data", "--held-out", "w/unseen", "--num", "4", "--utility"],
    "start from": ["train", "--data", "w/data", "--run", "w/out", *STABLE, "--start-from", "w/small"],
    "grow": ["train", "--data", "w/large", "--run", "w/out", *STABLE, *GROWN, "--start-from", "w/small"],
    "prepare phantom": ["prepare", "phantom", "--num", "4", "--size", "32", "--out", "w/out"],
    "train-domain": ["train-domain", "--data", "w/data", "--epochs", "1", "--out", "w/out/net.safetensors"],
}
MAY_WRITE = {
    "resume": ("w/run",),
    "report": ("w/run/report.html",),
    "evaluate": ("w/run/evaluation.json", "w/run/diagnosis.json"),
    "doctor": ("w/run/diagnosis.json",),
    "experiments": ("w/sweep",),
    "audit": ("w/run/audit.json", "w/pairs.png"),
    "audit utility": ("w/run/audit.json", "w/run/utility.json"),
    "prepare dicom": ("w/patients.key",),
}
"""Where a command may write, beside w/out and the cache."""

TELL = ("verify png", "verify npz", "verify dicom")
"""Commands that say of each file, as their output, whether it can be read."""

CHECKPOINT = "w/run/checkpoints/step-000004"
STARTS = ("start from", "grow")
FILES = {  # file -> commands that read it
    "w/run/config.json": (
        *("generate", "evaluate", "report", "resume", "generate class", "interpolate", "push", "generate dicom"),
        *("audit", "verify png"),
    ),
    "w/run/metrics.jsonl": ("resume", "report", "generate best", "doctor", "push"),
    "w/run/evaluation.json": ("report", "doctor", "push"),
    "w/run/audit.json": ("report", "push"),
    "w/run/utility.json": ("report",),
    "w/small/config.json": STARTS,
    "w/small/metrics.jsonl": STARTS,
    "w/small/checkpoints/step-000002/average.safetensors": STARTS,
    "w/small/checkpoints/step-000002/discriminator.safetensors": STARTS,
    "w/packed/card.json": ("generate packed",),
    "w/packed/model.safetensors": ("generate packed",),
    "w/run/diagnosis.json": ("report",),
    "w/run/samples/step-000002.png": ("report",),
    "w/run/samples/real-and-fake-start.png": ("report",),
    f"{CHECKPOINT}/state.json": ("resume", "generate"),
    f"{CHECKPOINT}/average.safetensors": ("generate", "resume", "evaluate", "audit", "verify npz"),
    f"{CHECKPOINT}/discriminator.safetensors": ("resume",),
    f"{CHECKPOINT}/optimizer_g.safetensors": ("resume",),
    "w/data/manifest.json": (
        *("train", "train by class", "resume", "evaluate data", "report", "experiments"),
        *("audit", "audit utility"),
    ),
    "w/data/images.npy": ("train", "resume", "evaluate data", "evaluate", "audit folder", "audit utility"),
    "w/sweep/experiments.json": ("report sweep", "experiments"),
    "w/sweep/a/config.json": ("experiments", "report sweep"),
    "w/sweep/a/evaluation.json": ("experiments", "report sweep"),
    "w/sweep/a/diagnosis.json": ("experiments",),
    "w/sweep/a/metrics.jsonl": ("experiments",),
    "w/sweep.toml": ("experiments",),
    "w/my.toml": ("train toml",),
    "w/pictures/A/0.png": ("prepare", "evaluate folders", "evaluate folder", "audit folder"),
    "w/unseen/0.png": ("audit folder",),
    "w/pairs.png": ("audit",),
    "w/set.npz": ("prepare npz",),
    "w/nih/Data_Entry_2017.csv": ("prepare nih",),
    "w/nih/test_list.txt": ("prepare nih",),
    "w/chexpert.csv": ("prepare chexpert",),
    "w/vindr.csv": ("prepare vindr",),
    "w/rsna.csv": ("prepare rsna",),
    "w/mimic-tables/mimic-cxr-2.0.0-chexpert.csv.gz": ("prepare mimic",),
    "w/mimic-tables/mimic-cxr-2.0.0-split.csv.gz": ("prepare mimic",),
    "w/mimic-tables/mimic-cxr-2.0.0-metadata.csv": ("prepare mimic",),
    "w/own.csv": ("prepare own",),
    "w/scans/plain.dcm": ("prepare dicom",),
    "w/scans/runs.dcm": ("prepare dicom",),
    "w/scans/waves.dcm": ("prepare dicom",),
    "w/patients.key": ("prepare dicom",),
    "w/images/png/NORMAL/seed-000003.png": ("verify png",),
    "w/images/png/grid.png": ("verify png",),
    "w/images/npz/images.npz": ("verify npz",),
    "w/images/dicom/NORMAL/seed-000003.dcm": ("verify dicom",),
    "w/weights.safetensors": ("evaluate weights",),
    "cache/cxrgan/features": ("evaluate data",),
}


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
    "audit": numbers(Audit),
}
COLUMNS = {"prepare own": OF_OWN[::2]}
"""Flags that take the name of a column."""


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
        for kind in ("png", "npz", "dicom"):
            out = str(folder / "images" / kind)
            assert main(["generate", run, "--num", "2", "--seed", "3", "--format", kind, "--out", out]) == 0
        assert main(["train", "--data", data, "--run", str(folder / "small"), *STABLE]) == 0
        assert main(["prepare", "phantom", "--num", "16", "--size", "64", "--out", str(folder / "large")]) == 0
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
        self._make_sources(folder, images)
        (folder / "weights.safetensors").write_bytes(save({"fc.weight": np.zeros((1008, 2048), np.float32)}))

        unseen = ["--data", data, "--held-out", str(folder / "unseen"), "--pairs", str(folder / "pairs.png")]
        assert main(["audit", run, *unseen, "--num", "4", "--utility"]) in (0, 3)

    def _make_sources(self, folder: Path, images: "np.ndarray[Any, Any]") -> None:
        """Real images' doors: held-out pictures, tables of labels, and DICOM."""
        (folder / "unseen").mkdir()
        random = np.random.default_rng(0)
        for index in range(50):
            noise = random.normal(0, 20, images[0].shape)
            unseen = (images[index % len(images)][:, ::-1] + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(unseen).save(folder / "unseen" / f"{index}.png")
        for place, lines in TABLES.items():
            stream = io.StringIO()
            csv.writer(stream).writerows(lines)
            file = folder.parent / place
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(
                gzip.compress(stream.getvalue().encode()) if file.suffix == ".gz" else stream.getvalue().encode()
            )
        (folder / "nih" / "train_val_list.txt").write_text("".join(f"{i}.png\n" for i in range(6)))
        (folder / "nih" / "test_list.txt").write_text("6.png\n7.png\n")
        for index in range(4):
            path = folder / "mimic" / f"p{index}" / f"s{10 + index}" / f"scan{index}.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(images[index]).save(path)
        (folder / "patients.key").write_text("0123456789abcdef" * 4)
        (folder / "scans").mkdir()
        deep = images[:3].astype(np.uint16) * 16
        for name, pixels, syntax in zip(
            ("plain", "runs", "waves"), deep, (ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless), strict=True
        ):
            scan(pixels, syntax).save_as(folder / "scans" / f"{name}.dcm", enforce_file_format=True)


def scan(pixels: "np.ndarray[Any, Any]", syntax: UID) -> Dataset:
    """A radiograph (H, W) uint16 of 12 bits with a window and padding, of a patient who never lived."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    ds.SOPClassUID, ds.SOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.1"), UID("1.2.3.4")
    ds.PatientID, ds.PatientName, ds.IssuerOfPatientID = "MRN-1", "Quixote^Alonso", "La Mancha"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME1"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleSlope, ds.RescaleIntercept, ds.WindowCenter, ds.WindowWidth = 1, 0, 2048, 4096
    ds.PixelPaddingValue, ds.PixelSpacing = 0, [0.2, 0.2]
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    if syntax == JPEG2000Lossless:
        ds.PixelData = encapsulate([bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True))])
    if syntax == RLELossless:
        ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return ds


def fall_short(world: World, command: str, *more: str, statuses: Collection[int] = (0, 1, 2, 3, 130)) -> str | None:
    """Run a command on the world as it is; what is not as it should be in a few words, None where all is.

    It may end with one of `statuses`.
    """
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
    if status not in statuses:
        return f"exit status {status}"
    if "Traceback" in err.getvalue() or "--debug shows where" in err.getvalue():
        return f"no clear words: {lines[-1]}"
    if hidden is not None:
        return f"prints what a terminal obeys: {hidden!r}"
    is_told = told == lines[-1:] or by_parser or (command in TELL and out.getvalue())
    if status not in (0, 3) and not is_told:
        return f"exit status {status} without one clear line at the end: {lines[-3:]}"
    if changed or ESCAPED.exists():
        return f"changed {', '.join(changed[:3])}"
    if _memory() - memory > GROWTH:
        return f"took {(_memory() - memory) / 1e9:.1f} GB"
    return None if time.monotonic() - began < SECONDS else f"took more than {SECONDS} s"


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


FEW_STEPS = ClassifierConfig(num_steps=2, device="cpu")


class InThisProcess(Processes):
    """In place of `workers.Processes`: starting a process takes longer than all the rest."""

    def run(self, order: Mapping[str, Any]) -> None:
        """Do it here, from what arrives elsewhere."""
        sweep = Sweep.of_order(json.loads(json.dumps(order)))
        run_experiment(sweep, sweep.experiments[0])


@contextlib.contextmanager
def shortened() -> Iterator[None]:
    """In here, what takes long is little: no processes, few planted copies, classifiers of two steps."""
    with (
        mock.patch("cxrgan.experiments.workers.Processes", InThisProcess),
        mock.patch("cxrgan.evaluation.audit.NUM_PLANTED", 2),
        mock.patch("cxrgan.evaluation.utility.ClassifierConfig", return_value=FEW_STEPS),
    ):
        yield


def search(world: World, minutes: float, report: Callable[[str, str, str], None]) -> int:
    """Draw cases for so long; `report` hears command, case and what was not as it should be. Returns how many."""
    end, tried = time.monotonic() + 60 * minutes, 0
    places = sorted({(file, command) for file, commands in FILES.items() for command in commands})
    flags = sorted({(command, flag) for command, found in NUMBERS.items() for flag in found})
    columns = sorted({(command, flag) for command, found in COLUMNS.items() for flag in found})
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

    @drawn
    @given(st.sampled_from(columns), names())
    def in_columns(flag: tuple[str, str], name: str) -> None:
        nonlocal tried
        if time.monotonic() < end:
            world.renew()
            tried += 1
            if problem := fall_short(world, flag[0], flag[1], name):
                report(flag[0], f"{flag[1]} {name!r:.60}", problem)

    while time.monotonic() < end:
        in_files()
        in_numbers()
        in_columns()
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

    with tempfile.TemporaryDirectory() as folder, shortened():
        count = search(World(Path(folder)), asked.minutes, note)
    print(f"{count} cases tried, {len(found)} fell short, in {len(seen)} ways", file=sys.__stdout__)
    if asked.json:
        asked.json.write_text(json.dumps({"tried": count, "fell_short": found}, indent=2) + "\n")
