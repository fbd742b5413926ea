"""A run that several tests of generators read."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny import TINY, write_tiny_dataset

from cxrgan.data.dataset import load_dataset
from cxrgan.training.loop import start, train


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unconditional run with checkpoints of the steps 4 and 8. Not to be changed."""
    place = tmp_path_factory.mktemp("tiny")
    dataset = load_dataset(write_tiny_dataset(place / "data"))
    config = replace(TINY, steps=8, checkpoint_every=4)
    folder = start(config, dataset, place / "first", recipe="tiny", data=str(place / "data"))
    train(folder, folder.read_info().config, dataset)
    return folder.path
