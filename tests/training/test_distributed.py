"""Several processes train as one does; planted faults that the comparison must see; torchrun's kills and restarts.

Most of it happens in two processes that are started once, with `in_a_process`. They compare in float64, as
`test_reference_step` does: in float32 another order of sums turns the sign of a tiny gradient, and so Adam's step.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file
from tiny import write_tiny_dataset
from torch import Tensor, multiprocessing, nn
from torch import distributed as dist
from torch.testing import assert_close

from cxrgan.api import begin
from cxrgan.data.dataset import load_dataset, load_held_out
from cxrgan.errors import UserError
from cxrgan.models.stable import BatchSpread
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import EXP3, FAST_64, RECIPES
from cxrgan.runs.folder import RunFolder
from cxrgan.training import distributed as ours
from cxrgan.training import draws as drawing
from cxrgan.training import loop
from cxrgan.training import step as stepping
from cxrgan.training.distributed import ALONE, Processes, SharedBatchNorm, check_together, joined, share_batch_norm
from cxrgan.training.step import new_players

CPU = torch.device("cpu")
STEPS = 20


def small(config: TrainConfig, batch_size: int) -> TrainConfig:
    model = replace(config.model, image_size=32, ngf=4, ndf=4)
    return replace(
        config, model=model, batch_size=batch_size, device="cpu", precision="fp32", steps=STEPS, num_samples=4
    )


CASES = {
    "exp3": small(EXP3, 16),
    "fast-64 by class": replace(small(FAST_64, 32), conditional=True),  # two groups a process; one of a penalty's
}
CASES["augmentation that adapts"] = replace(CASES["fast-64 by class"], augment=0.5, augment_target=0.5)
CASES["a penalty through BatchNorm"] = replace(
    CASES["exp3"], gradient_penalty=0.1, penalty_every=4, penalty_images=6, augment=0.7, ema_halflife=100
)
ROUNDING = 1e-10  # in float64, after 20 steps

FAULTS = {
    "BatchNorm over each share": (stepping, "share_batch_norm(network, processes)", "pass"),
    "BatchNorm without the others' gradients": (ours, "return _Sum.apply(grad)", "return grad"),
    "running variance as of a share": (ours, "x.shape[1] * self.processes.size", "x.shape[1]"),
    "augmentation drawn for a share": (
        drawing,
        "processes.share(draw_alterations(num, augment, random).T).T",
        "draw_alterations(num // processes.size, augment, random)",
    ),
    "the same latents for all": (drawing, "processes.share(torch.randn(num,", "(torch.randn(num // processes.size,"),
    "gradients added up": (ours, "flat /= self.size", "pass"),
    "D's gradients stay at home": (stepping, "self.processes.average(gradients(players.discriminator))", "pass"),
    "G's gradients stay at home": (stepping, "self.processes.average(gradients(players.generator))", "pass"),
    "each logs its own": (stepping, "self.processes.average([logged])", "pass"),
    "a penalty on more images": (stepping, "config.penalty_images // self.processes.size", "config.penalty_images"),
    "shares one after the other": (
        ours,
        "batch[self.rank :: self.size]",
        "batch[len(batch) // self.size * self.rank :][: len(batch) // self.size]",
    ),
}
"""What can be wrong: (the module, what stands in its source, what would stand there)."""

KILLED = replace(CASES["fast-64 by class"], steps=100, checkpoint_every=5, sample_every=1000, log_every=1)


def in_a_process(rank: int, place: Path) -> None:
    """What each of two processes does; what came of it is in `place`, and of rank 0 in found.json."""
    dist.init_process_group("gloo", init_method=f"file://{place / 'meeting'}", rank=rank, world_size=2)
    two = Processes(rank, 2)
    train_run(place, two, "killed", KILLED)
    config = CASES["fast-64 by class"]
    train_run(place, two, "whole", config)
    for later in (two, ALONE):
        train_run(place, two, f"parts, then {later.size},", replace(config, steps=11))
        if later is two or two.is_first:
            go_on(place, later, f"parts, then {later.size}, 2", STEPS)
    planned = begin(
        replace(config, steps=None),
        load_dataset(place / "data"),
        place / "planned",
        two,
        recipe="fast-64",
        time="10h",
        start_from=place / "whole 2",
    ).read_info()

    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    torch.set_default_dtype(torch.float64)
    loop.ADAPT_EVERY = 5  # type: ignore[attr-defined]
    for name, config in CASES.items():
        train_run(place, two, name, config)
        if two.is_first:
            train_run(place, ALONE, name, config)
    end = ""
    try:
        two.once(RunFolder(place / "planned").check_free)
    except (UserError, SystemExit) as error:
        end = repr(error)
    found = {
        "planned": [planned.config.steps, two.of_first(float(planned.config.steps or 0))],
        "end": end,
        "any": [two.any(rank == 1), two.any(False)],
        "differences": {name: difference(two, *fault) for name, fault in {"none": (ours, "", ""), **FAULTS}.items()},
    }
    (place / f"found-{rank}.json").write_text(json.dumps(found))


def train_run(place: Path, processes: Processes, name: str, config: TrainConfig) -> None:
    """The run in the folder `NAME SIZE` of `place`."""
    path, dataset = place / f"{name} {processes.size}", load_dataset(place / "data")
    processes.once(lambda: loop.start(config, dataset, path, recipe=name, data="data", processes=processes))
    go_on(place, processes, path.name, config.num_steps(len(dataset)))


def go_on(place: Path, processes: Processes, name: str, steps: int) -> None:
    folder, dataset, held_out = RunFolder(place / name), load_dataset(place / "data"), load_held_out(place / "data")
    config = replace(folder.read_info().config, steps=steps)
    loop.train(folder, config, dataset, (), None, held_out, processes)


def difference(two: Processes, module: ModuleType, right: str, wrong: str) -> float:
    """The most by which some steps of two processes, with a fault in a module, differ from those of one."""
    most = 0.0
    for name in ("exp3", "fast-64 by class"):
        config = replace(CASES[name], penalty_every=2)
        if config.conditional:
            config = replace(config, model=replace(config.model, num_classes=2))
        faulty, several = planted(module, right, wrong)
        got, expected = some_steps(faulty, config, several(two.rank, 2)), some_steps(stepping, config, ALONE)
        most = max(most, *(float((a - b).abs().nan_to_num().max()) for a, b in zip(got, expected, strict=True)))
    return most


def planted(module: ModuleType, right: str, wrong: str) -> tuple[ModuleType, type[Processes]]:
    """A copy of the module of the step, and its `Processes`, with a fault in the source of a module."""
    with patch.dict(sys.modules):
        for original in (ours, drawing, stepping):
            source = Path(str(original.__file__)).read_text(encoding="utf-8")
            if original is module:
                assert right in source, "the code was rewritten: plant the fault anew"
                source = source.replace(right, wrong) if right else source
            copy = sys.modules[original.__name__] = ModuleType(original.__name__)
            exec(compile(source, str(original.__file__), "exec"), copy.__dict__)
        return copy, copy.__dict__["Processes"]


def some_steps(module: ModuleType, config: TrainConfig, processes: Processes) -> list[Tensor]:
    """The logged values of four steps, and all tensors of the networks after them."""
    players = module.new_players(config, CPU, processes)
    step, logged = module.Step(config, players, CPU, 100, processes), []
    for number in range(1, 5):
        random = torch.Generator().manual_seed(number)
        real = torch.randint(0, 256, (config.batch_size, 32, 32), dtype=torch.uint8, generator=random)
        labels = torch.randint(0, 2, (config.batch_size,), generator=random)
        logged.append(step(number, processes.share(real), processes.share(labels)))
    return [torch.stack(logged), *(v for network in players.networks.values() for v in network.state_dict().values())]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes did all of `in_a_process`."""
    place = tmp_path_factory.mktemp("two")
    manifest = write_tiny_dataset(place / "data", num=56, classes=("NORMAL", "PNEUMONIA")) / "manifest.json"
    table = json.loads(manifest.read_text())
    for image in table["images"][40:]:
        image["split"] = "val"
    manifest.write_text(json.dumps(table))
    multiprocessing.spawn(in_a_process, (place,), nprocs=2)  # type: ignore[attr-defined, no-untyped-call]
    return place


@pytest.fixture(scope="module")
def found(place: Path) -> list[dict[str, Any]]:
    """What each process found."""
    return [json.loads((place / f"found-{rank}.json").read_text()) for rank in (0, 1)]


def assert_same_weights(one: Path, two: Path, tolerance: float) -> None:
    files = sorted(file.name for file in RunFolder(one).checkpoint(STEPS).glob("*.safetensors"))
    assert {"generator.safetensors", "discriminator.safetensors", "optimizer_g.safetensors"} <= set(files)
    for name in files:
        tensors = load_file(RunFolder(one).checkpoint(STEPS) / name)
        for key, value in load_file(RunFolder(two).checkpoint(STEPS) / name).items():
            assert_close(tensors[key], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one_does(name: str, place: Path) -> None:
    one, two = place / f"{name} 1", place / f"{name} 2"
    assert_same_weights(one, two, ROUNDING)
    rows = [list(RunFolder(path).rows()) for path in (one, two)]
    assert [row["step"] for row in rows[0] if "loss_d" in row] == list(range(1, STEPS + 1))
    for left, right in zip(*rows, strict=True):
        assert left.keys() == right.keys()
        for key in left.keys() - {"seconds"}:
            assert left[key] == pytest.approx(right[key], rel=1e-7, abs=1e-7), (left["step"], key)
    assert any("r1" in row for row in rows[1]) == (CASES[name].gradient_penalty > 0)
    assert sum("r_v" in row for row in rows[1]) == (4 if CASES[name].augment_target else 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_comparison_sees_a_planted_fault(fault: str, found: list[dict[str, Any]]) -> None:
    assert found[0]["differences"][fault] > 100 * ROUNDING


def test_the_comparison_sees_nothing_where_nothing_is_planted(found: list[dict[str, Any]]) -> None:
    assert found[0]["differences"]["none"] < ROUNDING
    assert found[1]["differences"]["none"] < ROUNDING


def test_a_run_goes_on_with_another_number_of_processes(place: Path) -> None:
    """In float32, as checkpoints are: Adam turns a gradient's last bits into steps, so losses are compared."""
    rows = [list(RunFolder(place / name).rows()) for name in ("whole 2", "parts, then 1, 2")]
    losses = [{row["step"]: row["loss_d"] for row in each if "loss_d" in row} for each in rows]
    assert losses[0].keys() == losses[1].keys()
    assert [losses[1][step] for step in range(1, 12)] == [losses[0][step] for step in range(1, 12)]
    assert losses[1][12] == pytest.approx(losses[0][12], rel=1e-5)  # same weights, latents, images
    assert losses[1][STEPS] == pytest.approx(losses[0][STEPS], rel=1e-2)


def test_as_many_processes_resume_bit_for_bit(place: Path) -> None:
    whole, parts = (RunFolder(place / name).checkpoint(STEPS) for name in ("whole 2", "parts, then 2, 2"))
    for file in whole.glob("*.safetensors"):
        assert file.read_bytes() == (parts / file.name).read_bytes(), file.name


def test_a_budget_and_a_start_from_another_run_are_the_same_for_all(place: Path, found: list[dict[str, Any]]) -> None:
    first, other = (each["planned"] for each in found)
    assert first == other
    assert first[0] == first[1] > 1
    ancestor = RunFolder(place / "planned").read_info().started_from
    assert ancestor is not None
    assert (ancestor.run, ancestor.step) == ("whole 2", STEPS)
    assert RunFolder(place / "planned").read_info().processes == 2


def test_what_fails_in_the_first_process_ends_the_others_without_a_word(found: list[dict[str, Any]]) -> None:
    assert "already holds a run" in found[0]["end"]
    assert found[1]["end"] == "SystemExit(1)"
    assert [each["any"] for each in found] == [[True, False]] * 2


@pytest.mark.parametrize(("batch", "size"), [(16, 2), (64, 2), (64, 8), (48, 3)])
def test_groups_of_images_lie_whole_in_a_share(batch: int, size: int) -> None:
    x = torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    whole, spread = BatchSpread()(x), BatchSpread()
    for rank in range(size):
        processes = Processes(rank, size)
        assert torch.equal(spread(processes.share(x)), processes.share(whole))


@pytest.mark.parametrize("name", ["exp3", "fast-64"])
def test_every_batch_norm_is_shared(name: str) -> None:
    config = replace(RECIPES[name], device="cpu", model=replace(RECIPES[name].model, ngf=4, ndf=4))
    for network in new_players(config, CPU, Processes(0, 2)).networks.values():
        statistics = [module for module in network.modules() if hasattr(module, "running_mean")]
        assert all(isinstance(module, SharedBatchNorm) for module in statistics)
    alone = nn.Sequential(nn.BatchNorm2d(2))
    share_batch_norm(alone, ALONE)
    assert type(alone[0]) is nn.BatchNorm2d


@pytest.mark.parametrize(
    ("config", "size", "message"),
    [
        (
            EXP3,
            3,
            "batch_size is 64, which 3 processes cannot share equally; use a multiple of 3, .* --batch-size 66",
        ),
        (FAST_64, 3, "in whole groups of 8 images; use a multiple of 24, such as --batch-size 72"),
        (
            FAST_64,
            4,
            "penalty_images is 16, which 4 processes cannot .* --penalty-images 32, or fewer processes",
        ),
        (replace(EXP3, gradient_penalty=0.1, penalty_images=17), 2, "penalty_images is 17"),
        (replace(EXP3, compile=True), 2, "--compile has not been tried with several processes; leave it out"),
    ],
)
def test_what_cannot_be_shared_is_refused(config: TrainConfig, size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_together(config, Processes(0, size))


def test_equal_shares_are_accepted() -> None:
    for config, size in ((EXP3, 2), (EXP3, 64), (FAST_64, 2), (replace(FAST_64, penalty_images=64), 8), (FAST_64, 1)):
        check_together(config, Processes(0, size))
    check_together(replace(FAST_64, batch_size=12), ALONE)  # that is for another check


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # as other tools set it
    with joined("cpu") as processes:
        assert processes is ALONE


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setattr(ours, "choose_device", lambda wanted: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(UserError, match="4 processes here, but PyTorch finds 2 GPUs"),
        joined("cuda"),
    ):
        pass


LINUX = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")


def start_torchrun(data: Path, run: Path, *options: str, steps: int) -> "subprocess.Popen[str]":
    """`cxrgan train` of `KILLED` in two processes, in a session of their own, once the second checkpoint is there."""
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *options, "-m", "--", "cxrgan"]
    words += ["train", "--data", str(data), "--run", str(run), "--recipe", "fast-64", "--conditional"]
    words += ["--image-size", "32", "--ngf", "4", "--ndf", "4", "--batch-size", "32", "--steps", str(steps)]
    words += ["--device", "cpu", "--precision", "fp32", "--checkpoint-every", "5", "--sample-every", "1000"]
    words += ["--log-every", "1", "--num-samples", "4"]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while len(RunFolder(run).steps()) < 2:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def number_of(rank: int, torchrun: int) -> int:
    """The process of this rank."""
    children = Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split()
    environments = {int(child): Path(f"/proc/{child}/environ").read_bytes().split(b"\0") for child in children}
    return next(child for child, variables in environments.items() if f"RANK={rank}".encode() in variables)


@LINUX
def test_when_a_process_is_killed_the_others_say_so_and_torchrun_goes_on_to_the_same_end(
    place: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    process = start_torchrun(place / "data", run.path, "--max-restarts", "1", steps=KILLED.num_steps(40))
    os.kill(number_of(1, process.pid), signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    line = "cxrgan: another process of this training has died, so this one has stopped; the checkpoint of step "
    assert output.count(line) == 1, output
    assert f"continue with: torchrun ... -m -- cxrgan train --resume {run.path}" in output
    assert output.count("make images: cxrgan generate") == 1  # one speaks
    whole = RunFolder(place / "killed 2").checkpoint(100)
    for file in whole.glob("*.safetensors"):
        assert file.read_bytes() == (run.checkpoint(100) / file.name).read_bytes(), file.name
    assert [row["step"] for row in run.rows() if "loss_d" in row] == list(range(1, 101))


@LINUX
def test_ctrl_c_saves_once(place: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    process = start_torchrun(place / "data", run.path, steps=10**6)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does; torchrun passes it on once more
    output, _ = process.communicate(timeout=120)
    last = run.steps()[-1]
    assert output.count(f"cxrgan: stopped and saved at step {last}; continue with: cxrgan train --resume") == 1, output
    assert "cxrgan: interrupted" not in output
    assert list(run.rows())[-1]["step"] == last
