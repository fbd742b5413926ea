"""What a machine lacks is said once, and training goes on without it; or the line says what to do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY, write_tiny_dataset

import cxrgan
from cxrgan.console import speaking
from cxrgan.data.dataset import load_dataset
from cxrgan.errors import RunError
from cxrgan.evaluation.features import compute
from cxrgan.training import distributed, loop
from cxrgan.training.distributed import Processes
from cxrgan.training.step import Step

pytestmark = pytest.mark.filterwarnings("error")


def on(device: str, monkeypatch: pytest.MonkeyPatch, *, bf16: bool = True) -> None:
    """As on a machine with this device."""
    monkeypatch.setattr(loop, "choose_device", lambda wanted: device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)


@pytest.mark.parametrize("wanted", ["auto", "bf16"])
def test_a_gpu_without_bf16_computes_in_fp32(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on("cuda", monkeypatch, bf16=False)
    with pytest.warns(UserWarning, match="does not multiply in bf16") as said:
        assert loop.settled(replace(TINY, precision=wanted)).precision == "fp32"  # type: ignore[arg-type]
    assert len(said) == 1
    assert loop.settled(replace(TINY, precision="fp32")).precision == "fp32"  # what was asked for needs no word


def test_a_gpu_with_bf16_computes_in_it_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    on("cuda", monkeypatch)
    assert loop.settled(replace(TINY, precision="auto")).precision == "bf16"


def test_without_triton_a_gpu_trains_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    on("cuda", monkeypatch)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.warns(UserWarning, match="on a GPU: Triton"):
        assert not loop.settled(replace(TINY, compile=True)).compile


def test_on_mps_it_is_said_what_there_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on("mps", monkeypatch)
    with speaking(True):
        config = loop.settled(replace(TINY, precision="bf16", compile=True))
    assert (config.precision, config.compile) == ("fp32", False)
    said = " ".join(capsys.readouterr().err.split())
    for part in ("no bf16, no torch.compile, no CUDA graphs", "training in fp32", "torch.compile has not been tried"):
        assert said.count(part) == 1


@pytest.mark.parametrize(("nccl", "backend"), [(True, "cpu:gloo,cuda:nccl"), (False, "gloo")])
def test_without_nccl_gpus_exchange_by_gloo(nccl: bool, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[str] = []
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda place: None)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: nccl)
    monkeypatch.setattr(distributed, "_meet", lambda processes, backend: met.append(backend))
    if nccl:
        distributed._join(Processes(0, 2), "cuda", 0)
    else:
        with pytest.warns(UserWarning, match="has no NCCL"):
            distributed._join(Processes(0, 2), "cuda", 0)
    assert met == [backend]


def test_where_the_gpus_memory_is_full_the_line_says_what_to_reduce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_dataset(write_tiny_dataset(tmp_path / "data"))
    call = Step.__call__

    def full(step: Step, number: int, real: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if number == 6:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand more")
        return call(step, number, real, labels)

    monkeypatch.setattr(Step, "__call__", full)
    config = replace(TINY, steps=8, checkpoint_every=2)
    with pytest.raises(RunError, match=r"Tried to allocate 2.00 GiB.; the checkpoint of step 4 .*--batch-size"):
        cxrgan.train(data, tmp_path / "run", recipe=config)


def test_rulers_on_a_gpu_take_128_images_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Grey:
        name, sha256, resize, main_tap = "grey", "grey", "none", "features"

        def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            sizes.append(len(images))
            return {"features": images.float().mean((2, 3))}

    images = np.arange(300, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    here = compute(Grey(), images)["features"]
    assert max(sizes) == 32
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    sizes.clear()
    assert np.array_equal(compute(Grey(), images)["features"], here)
    assert sizes == [32, 128, 128, 12]  # the first tells where the network is
