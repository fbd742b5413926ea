"""CUDA graphs without a GPU: a recorder that knows no more than a graph does, and what happens where it fails."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from tiny import TINY
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from cxrgan.models.build import build_discriminator, build_generator
from cxrgan.recipes.config import TrainConfig
from cxrgan.recipes.named import EXP3, FAST_64
from cxrgan.training.distributed import ALONE, Processes
from cxrgan.training.draws import Batch
from cxrgan.training.graphs import Graphs, Result, can_record
from cxrgan.training.step import Players, Step, new_players

CPU = torch.device("cpu")
CONFIG = replace(
    FAST_64,
    model=replace(FAST_64.model, image_size=32, ngf=4, ndf=4, num_classes=2, detail=4.0),
    conditional=True,
    batch_size=16,
    penalty_every=3,
    final_lr=1e-5,
    final_gradient_penalty=0.5,
    device="cpu",
    precision="fp32",
)


class Tape(TorchDispatchMode):
    """Notes the kernels that run, and on which tensors; refuses those that bring a number to Python."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default):
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        result = func(*args, **(kwargs or {}))
        self.kernels.append((func, args, kwargs or {}, result))
        return result

    def again(self) -> None:
        """The same kernels on the same memory, their results to where they were."""
        for func, args, kwargs, result in self.kernels:
            places = [x for x in tree_flatten(result)[0] if isinstance(x, Tensor)]
            found = [x for x in tree_flatten(func(*args, **kwargs))[0] if isinstance(x, Tensor)]
            for place, value in zip(places, found, strict=True):
                if place.data_ptr() != value.data_ptr():
                    place.copy_(value)


class TapeRecorder:
    """A recorder for the CPU."""

    def __init__(self) -> None:
        self.num_recorded = 0

    def warm(self, work: Callable[[], Result]) -> Result:
        return work()

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        with Tape() as tape:
            result = work()
        self.num_recorded += 1

        @torch.no_grad()
        def again() -> None:
            tape.again()

        return again, result


class Forgetful(TapeRecorder):
    """Whose recordings do nothing."""

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        return (lambda: None), super().record(work)[1]


class Failing(TapeRecorder):
    """Which a step stops on its way."""

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        with patch("torch.Tensor.backward", side_effect=RuntimeError("not permitted when capturing\nand more")):
            return super().record(work)


def steps(config: TrainConfig, recorder: TapeRecorder | None, num: int = 12) -> list[Tensor]:
    """The logged values of some steps, and all tensors of the networks after them."""
    players = new_players(config, CPU)
    for optimizer in players.optimizers.values():
        optimizer.param_groups[0]["lr"] = torch.zeros(())
    step = Step(config, players, CPU, num)
    if recorder:
        step._play = Graphs(step.play, players.tensors, recorder)
    logged = []
    for number in range(1, num + 1):
        random = torch.Generator().manual_seed(number)
        real = torch.randint(0, 256, (config.batch_size, 32, 32), dtype=torch.uint8, generator=random)
        logged.append(step(number, real, torch.randint(0, 2, (config.batch_size,), generator=random)).clone())
    return [torch.stack(logged), *(v for network in players.networks.values() for v in network.state_dict().values())]


def assert_equal(one: list[Tensor], other: list[Tensor]) -> None:
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("config", [CONFIG, replace(TINY, lr=1e-3)])
def test_recorded_steps_are_the_steps_themselves_bit_for_bit(config: TrainConfig) -> None:
    recorder = TapeRecorder()
    assert_equal(steps(config, recorder), steps(config, None))
    assert recorder.num_recorded == (2 if config.gradient_penalty else 1)  # with a penalty and without


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("recorder", "reason"), [(Forgetful(), "it comes to other numbers"), (Failing(), "not permitted when capturing")]
)
def test_where_a_recording_fails_the_steps_go_on_without_which_is_said_once(
    recorder: TapeRecorder, reason: str
) -> None:
    with pytest.warns(UserWarning, match=reason) as said:
        found = steps(CONFIG, recorder)
    assert len(said) == 1
    assert_equal(found, steps(CONFIG, None))


def test_a_number_that_python_would_read_is_refused_by_the_tape() -> None:
    with pytest.raises(RuntimeError, match="capturing"), Tape():
        float(torch.ones(()) + 1)


def test_steps_are_recorded_on_one_gpu_and_with_a_beta2_that_stays() -> None:
    gpu = torch.device("cuda")
    assert can_record(EXP3, gpu, ALONE)
    assert not can_record(EXP3, CPU, ALONE)
    assert not can_record(EXP3, gpu, Processes(0, 2))
    assert not can_record(replace(EXP3, final_beta2=0.9999), gpu, ALONE)


def test_a_step_asks_for_no_number_and_brings_one_tensor_to_its_device() -> None:
    """On the device meta, where a number that Python asks for is an error."""
    meta = torch.device("meta")
    brought: list[Any] = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if func is torch.ops.aten._to_copy.default and args[0].device == CPU and result.device == meta:
                brought.append(args[0].shape)
            return result

    with meta:
        generator, discriminator = build_generator(CONFIG.model), build_discriminator(CONFIG.model)
    adams = [torch.optim.Adam(network.parameters()) for network in (generator, discriminator)]
    step = Step(CONFIG, Players(generator, discriminator, None, *adams), meta, 100)
    real = torch.empty(16, 32, 32, dtype=torch.uint8, device=meta)
    for number in (1, 3):
        with Copies():  # type: ignore[no-untyped-call]
            batch = step.begin(number, real, torch.zeros(16, dtype=torch.int64, device=meta))
            assert isinstance(batch, Batch)
            step.play(batch)
    assert brought == [torch.Size([16 * 128 + 4 * 4 * 16])] * 2
