"""What is written: nothing over anything else, all or nothing, and words for people where it cannot be."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import write_tiny_dataset

from cxrgan import __main__ as entry
from cxrgan.cli.main import main
from cxrgan.console import Terminal
from cxrgan.evaluation.sets import first_image_size, folder_set
from cxrgan.files import remove_leftovers, replacing, trouble, write_bytes
from cxrgan.lines import complain, say

SMALL = ["--image-size", "32", "--ngf", "4", "--ndf", "4", "--latent-channels", "8", "--batch-size", "8"]
SMALL += ["--device", "cpu", "--precision", "fp32", "--num-samples", "4", "--steps", "4", "--sample-every", "2"]
CXRGAN = [sys.executable, "-m", "cxrgan"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset `data` and a run `run`."""
    folder = tmp_path_factory.mktemp("made")
    data = write_tiny_dataset(folder / "data", classes=("NORMAL", "PNEUMONIA"))
    assert main(["train", "--data", str(data), "--run", str(folder / "run"), *SMALL]) == 0
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` to spoil."""
    return shutil.copytree(made, tmp_path / "world")


def evaluating(data: Path, file: Path) -> list[str]:
    """The command that measures a dataset against itself into a file."""
    return ["evaluate", str(data), "--data", str(data), "--rulers", "domain", "--json", str(file)]


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: int = 2) -> str:
    """The one line on stderr, beside progress, of a command that ends with this status."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if "ETA" not in line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("cxrgan: ")
    return lines[0]


@pytest.mark.parametrize("victim", ["data/images.npy", "data/manifest.json", "run/config.json", "run/metrics.jsonl"])
def test_no_output_takes_the_place_of_another_file(
    victim: str, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (world / victim).read_bytes()
    fails(capsys, "report", world / "run", "--out", world / victim)
    fails(capsys, "evaluate", world / "data", "--data", world / "data", "--json", world / victim)
    fails(capsys, "train-domain", "--data", world / "data", "--out", world / victim)
    assert (world / victim).read_bytes() == before


def test_report_and_evaluate_replace_what_they_wrote_and_no_file_of_others(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, rows = world / "page.html", world / "rows.json"
    evaluate = evaluating(world / "data", rows)
    for _ in range(2):
        assert main(["report", str(world / "run"), "--out", str(page)]) == 0
        assert main(evaluate) == 0
    page.write_text("<title>my own</title>")
    rows.write_text(json.dumps({"mine": 1}))
    assert "holds something else than a report of cxrgan" in fails(capsys, "report", world / "run", "--out", page)
    assert "is not an evaluation" in fails(capsys, *evaluate)
    assert page.read_text() == "<title>my own</title>"


def test_generate_mixes_its_images_with_nothing(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = world / "images"
    assert main(["generate", str(world / "run"), "--num", "3", "--out", str(out)]) == 0
    before = sorted(out.rglob("*"))
    for more in (["--num", "5"], ["--format", "npz"], ["--interpolate", "1", "2"]):
        error = fails(capsys, "generate", world / "run", *more, "--out", out)
        assert "exists already; choose another folder for the images, or remove it first" in error
    assert sorted(out.rglob("*")) == before


def test_a_generate_that_fails_leaves_no_image(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    error = fails(capsys, "generate", world / "run", "--num", "3", "--out", world / "images", status=1)
    assert f"{world / 'images'}: No space left on device; make room, or name another place" in error
    assert {path.name for path in world.iterdir()} == {"data", "run"}


def full_disk(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_with_the_file_by_report_and_evaluate(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(world / "cache"))
    evaluate = evaluating(world / "data", world / "a.json")
    assert main(evaluate) == 0  # the features are kept now
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    assert f"{world / 'a.json'}: No space left" in fails(capsys, *evaluate, status=1)
    error = fails(capsys, "report", world / "run", status=1)
    assert f"{world / 'run' / 'report.html'}: No space left" in error


def test_a_dataset_that_a_limit_of_the_disk_cuts_off_is_told_with_the_reason(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    done = subprocess.run(
        [*CXRGAN, "prepare", "phantom", "--num", "40", "--size", "64", "--out", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert f"{tmp_path / 'data'}" in last
    assert "File too large; make room, or name another place" in last
    assert list(tmp_path.iterdir()) == []


def test_the_reason_of_a_failed_training_outlives_a_diagnosis_that_cannot_be_written(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cxrgan.files.Path.replace", full_disk)
    assert main(["train", "--resume", str(world / "run"), "--steps", "6"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "cannot write to" in last
    assert "make room or fix the permissions, then run: cxrgan train --resume" in last


def test_experiments_on_a_disk_that_takes_nothing_end_in_one_line(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only(*arguments: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    settings = '[a]\nrecipe = "dcgan"\n[a.model]\nimage_size = 32\n'
    (world / "mine.toml").write_text(settings)
    monkeypatch.setattr("cxrgan.files.Path.replace", read_only)
    trained: list[object] = []
    monkeypatch.setattr("cxrgan.experiments.sweep.run_sweep", lambda *given, **named: trained.append(given))
    places = ["--data", world / "data", "--out", world / "out", "--experiments", world / "mine.toml"]
    error = fails(capsys, "experiments", *map(str, places), status=1)
    assert "experiments.json: Read-only file system; name a place that you may write to" in error
    assert not trained


def test_leftovers_of_a_killed_prepare_are_removed_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover, alive = tmp_path / f".data.{dead.pid}.tmp", tmp_path / f".data.{os.getpid()}.tmp"
    for folder in (leftover, alive):
        folder.mkdir()
        (folder / "images.npy").write_bytes(b"patients")
    other = tmp_path / f".other.{dead.pid}.tmp"
    other.mkdir()
    assert remove_leftovers(tmp_path / "data") == [leftover]
    assert alive.exists()
    assert other.exists()
    other.rename(leftover)
    alive.rename(other)
    assert main(["prepare", "phantom", "--num", "4", "--size", "32", "--out", str(tmp_path / "data")]) == 0
    assert f"removed {leftover}, left over from a prepare that was killed" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_prepare_leaves_nothing(number: int, tmp_path: Path) -> None:
    command = [*CXRGAN, "prepare", "phantom", "--num", "100000", "--out", str(tmp_path / "data")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any(tmp_path.iterdir()))
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "cxrgan: interrupted"
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_interrupt_within_text_that_is_executed_ends_with_the_status_too(tmp_path: Path) -> None:
    """CPython remembers it, and would end a module run by -m by SIGINT, whatever the status."""
    (tmp_path / "interrupted.py").write_text(
        "import sys\nfrom cxrgan.signals import interruptible\n"
        "status = interruptible(lambda: exec('raise KeyboardInterrupt'))\nsys.exit(130 if status is None else 7)\n"
    )
    ended = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path)
    assert ended.returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("module", ["tyro", "torch.version"])  # before `cxrgan.cli.main` is there, and within it
def test_ctrl_c_while_modules_are_loaded_is_one_line(module: str, tmp_path: Path, made: Path) -> None:
    process = subprocess.Popen(
        [*CXRGAN, "generate", str(made / "run"), "--out", str(tmp_path / "images"), "--num", "4"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},  # a line a module, as it is loaded
    )
    assert process.stderr
    lines = []
    for line in process.stderr:
        lines.append(line)
        if module in line:
            process.send_signal(signal.SIGINT)
            break
    lines += list(process.stderr)
    assert process.wait(timeout=60) == 130
    assert [line for line in lines if not line.startswith("import time:")] == ["cxrgan: interrupted\n"]


@pytest.mark.parametrize("num", ["100000000000000000000000000", "4000000000", "-1", "0"])
def test_an_absurd_number_of_phantoms_is_refused_at_once(
    num: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    error = fails(capsys, "prepare", "phantom", "--num", num, "--out", tmp_path / "data")
    assert time.monotonic() - began < 5
    assert num in error
    assert "fit, so prepare fewer images" in error or "at least 1" in error


def test_images_of_a_class_that_no_folder_can_be_called_are_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, name in enumerate([b"caf\xe9", b"a\x1b[31m", b"back\\slash"]):
        folder = tmp_path / f"source{index}" / os.fsdecode(name)
        folder.mkdir(parents=True)
        Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(folder / "a.png")
        arguments = ["prepare", tmp_path / f"source{index}", "--size", "32", "--out", tmp_path / "data"]
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert "in a folder whose name cannot be a class" in error
        assert error.isascii()
        assert error.replace("\n", "").isprintable()


def test_folders_whose_names_are_no_utf_8_work(world: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    run = Path(os.fsdecode(os.fsencode(world) + b"/run-\xff"))
    (world / "run").rename(run)
    assert main(["report", str(run)]) == 0
    assert main(["generate", str(run), "--num", "2", "--out", str(run / "images")]) == 0
    assert main(["evaluate", str(run), "--data", str(world / "data"), "--rulers", "domain"]) == 0
    shown = capsysbinary.readouterr().out
    assert b"run-\\udcff" in shown
    assert b"\xff" not in shown


def test_nothing_in_a_name_is_obeyed_by_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[31m[red]x[/red]:smile:\x07"
    say(name)
    Terminal().print(f"warning: {name}", style="yellow")
    for line in capsys.readouterr().out.splitlines():
        assert line.endswith("\\x1b[31m[red]x[/red]:smile:\\x07")


def test_a_wild_name_on_the_command_line_is_shown_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = fails(capsys, "prepare", tmp_path / "a\x1b[2J\nb", "--out", tmp_path / "data")
    assert "a\\x1b[2J b" in error


def bomb(path: Path, side: int = 13_000) -> None:
    """A broken PNG whose header claims side x side pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (32, 32), 7).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = side.to_bytes(4) * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4)
    path.write_bytes(bytes(content))


def test_a_bomb_does_not_decide_the_size_of_a_folder(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = world / "pictures"
    bomb(folder / "a.png")
    bomb(folder / "b.png", side=4000)  # within bounds, but it does not decode
    assert main(["generate", str(world / "run"), "--num", "3", "--out", str(folder / "c")]) == 0
    assert first_image_size(folder) == 32
    assert len(folder_set(folder, 32).images) == 3


@pytest.mark.parametrize(("shape", "size"), [((40, 51), 40), ((51, 61), 50), ((20, 20), 32), ((900, 700), 512)])
def test_folders_are_compared_at_a_size_of_cxrgan(shape: tuple[int, int], size: int, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert first_image_size(tmp_path) == size


def test_a_bomb_among_the_samples_is_named_by_report(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bomb(world / "run" / "samples" / "step-000004.png")
    error = fails(capsys, "report", world / "run")
    assert "step-000004.png: 13000 x 13000 pixels, more than 67,108,864; remove it" in error


def test_an_error_of_the_disk_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, replacing(tmp_path / "a.json"):
        full_disk()
    assert trouble(caught.value) == f"{tmp_path / 'a.json'}: No space left on device; make room, or name another place"
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|exists"):
        write_bytes(tmp_path / "file" / "a.json", b"")


def test_signals_are_left_as_they_were(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    fails(capsys, "generate", tmp_path / "nowhere", "--out", tmp_path / "images")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(main(["generate", "nowhere", "--out", "images"])))
    thread.start()
    thread.join()
    assert statuses == [2]


@pytest.mark.parametrize("is_told", [True, False])
def test_an_interrupt_that_comes_as_the_handlers_go_ends_in_130_and_one_line(
    is_told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextlib.contextmanager
    def interrupted_at_the_end() -> Iterator[threading.Event]:
        yield threading.Event()
        raise KeyboardInterrupt

    def run() -> int:
        if is_told:
            complain("interrupted")
        return 130 if is_told else 0

    monkeypatch.setattr("cxrgan.signals.as_interrupts", interrupted_at_the_end)
    monkeypatch.setattr("cxrgan.cli.main.main", run)
    monkeypatch.setattr("sys.unraisablehook", sys.unraisablehook)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert entry.main() == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "cxrgan: interrupted\n"
