"""A shipped generator is trained on with the discriminator that was kept for it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cxrgan.files import write_bytes
from cxrgan.generation.generator import load_generator
from cxrgan.generation.packed import encode_weights
from cxrgan.models.build import build_discriminator
from cxrgan.runs.folder import RunFolder
from cxrgan.training.inherit import ancestor_of
from tools import take_up


def test_a_run_is_made_that_training_goes_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, run = load_generator(Path("cxr-64")), RunFolder(tmp_path / "run")
    discriminator = build_discriminator(shipped.config).half().float()
    write_bytes(tmp_path / "cxr-64.safetensors", encode_weights(discriminator, half=True))
    monkeypatch.setattr(take_up, "DISCRIMINATORS", tmp_path)
    take_up.take_up("cxr-64", run.path)
    again = load_generator(run.path)
    assert (again.sha256, again.step) == (shipped.sha256, shipped.step)
    np.testing.assert_array_equal(again.sample(2).images, shipped.sample(2).images)
    kept = load_file(run.checkpoint(shipped.step) / "discriminator.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in discriminator.state_dict().items())
    info = run.read_info()
    assert info.recipe == "stable-64"
    assert ancestor_of(run, info.config, dict(info.classes)).step == shipped.step
