"""Hostile files and numbers, drawn at random but always the same: each command ends as promised (`tools.fuzz`).

CXRGAN_FUZZ=10 draws ten times as many.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("resource")  # Windows bounds no process

from tools import fuzz, hostile

PER_FILE, PER_COMMAND = 5, 8
TIMES = int(os.environ.get("CXRGAN_FUZZ", "1"))


def drawn(num: int) -> settings:
    """So many cases, the same each time; shrinking would take longer than all of them."""
    return settings(
        max_examples=num * TIMES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fuzz.World]:
    with pytest.MonkeyPatch.context() as patch, fuzz.shortened():
        patch.setenv("XDG_CACHE_HOME", "")  # the world sets its own
        yield fuzz.World(tmp_path_factory.mktemp("fuzz"))


def test_the_world_is_sound(world: fuzz.World) -> None:
    for command in fuzz.COMMANDS:
        world.renew()
        if command not in ("train-domain", "evaluate weights"):  # these need what no small world has
            assert fuzz.fall_short(world, command, statuses={0, 3} if command == "audit folder" else {0}) is None, (
                command
            )


@pytest.mark.parametrize("file", fuzz.FILES)
@drawn(PER_FILE)
@given(how=hostile.spoils(), place=st.integers(0, 100))
def test_a_file_made_wrong_is_refused_in_one_line_or_does_no_harm(
    file: str, how: hostile.Spoil, place: int, world: fuzz.World
) -> None:
    command = fuzz.FILES[file][place % len(fuzz.FILES[file])]
    world.renew()
    hostile.spoil(world.path(file), how)
    assert fuzz.fall_short(world, command) is None, command


@pytest.mark.parametrize("command", fuzz.NUMBERS)
@drawn(PER_COMMAND)
@given(token=hostile.tokens(), place=st.integers(0, 100))
def test_a_number_made_wrong_is_refused_in_one_line_or_does_no_harm(
    command: str, token: str, place: int, world: fuzz.World
) -> None:
    flag = fuzz.NUMBERS[command][place % len(fuzz.NUMBERS[command])]
    world.renew()
    assert fuzz.fall_short(world, command, *fuzz.on_the_line(flag, token)) is None, flag


@pytest.mark.parametrize("flag", [flag for flags in fuzz.COLUMNS.values() for flag in flags])
@drawn(PER_COMMAND)
@given(name=hostile.names())
def test_a_column_made_wrong_is_refused_in_one_line_or_does_no_harm(flag: str, name: str, world: fuzz.World) -> None:
    world.renew()
    assert fuzz.fall_short(world, "prepare own", flag, name) is None


@pytest.mark.parametrize("kind", ["fifo", "sparse", "loop", "folder", "absent"])
@pytest.mark.parametrize(
    "file", ["w/run/config.json", "w/run/metrics.jsonl", "w/data/images.npy", "w/data/manifest.json"]
)
def test_what_is_no_file_hangs_nobody(file: str, kind: str, world: fuzz.World) -> None:
    world.renew()
    hostile.spoil(world.path(file), hostile.Spoil(kind, 0, 0))
    assert fuzz.fall_short(world, fuzz.FILES[file][0]) is None


def test_the_flags_that_take_a_number_are_found() -> None:
    found = fuzz.NUMBERS
    assert {"--num", "--size", "--seed"} <= set(found["prepare phantom"])
    assert {"--ngf", "--lr", "--batch-size", "--image-size", "--ema-halflife"} <= set(found["train"])
    assert {"--num", "--frames", "--interpolate"} <= set(found["generate"])


def test_the_judge_sees_what_falls_short(world: fuzz.World, monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(run: Callable[[], object], status: int = 0) -> str | None:
        world.renew()
        monkeypatch.setattr("cxrgan.cli.main.Report.run", lambda self: [run(), status][1])
        return fuzz.fall_short(world, "report")

    def unforeseen() -> None:
        raise KeyError("features")

    assert judged(lambda: None) is None
    assert "no clear words" in str(judged(unforeseen))
    assert "prints what a terminal obeys" in str(judged(lambda: print("\x1b[31m")))
    assert "changed" in str(judged(lambda: world.path("w/data/manifest.json").unlink()))
    assert "exit status 7" in str(judged(lambda: None, status=7))
    assert "without one clear line" in str(judged(lambda: print("cxrgan: a\ncxrgan: b", file=sys.stderr), status=2))
    monkeypatch.setattr(fuzz, "SECONDS", 0.1)
    assert "took more than" in str(judged(lambda: time.sleep(5)))
