"""What the tests share: the real chest X-rays, where this machine has them, and a tiny run."""

import os
import shutil
import signal
from pathlib import Path

import pytest

for asked in (
    "SIGINT",
    "SIGHUP",
):  # ignored where nohup or a shell's & began this; the commands under test must hear them
    if signal.getsignal(number := getattr(signal, asked, signal.SIGINT)) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler)

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch loads: tiny networks, and a test process a core


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that holds `chest_xray` and `chest_xray_raw`: CXRGAN_TEST_DATA, else beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CXRGAN_TEST_DATA", beside))
    if not (folder / "chest_xray").is_dir():
        pytest.skip(f"no chest X-rays in {folder}: set CXRGAN_TEST_DATA to the folder that holds chest_xray")
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unconditional run with checkpoints of the steps 4 and 8. Not to be changed."""
    from dataclasses import replace

    from tiny import TINY, write_tiny_dataset

    from cxrgan.data.dataset import load_dataset
    from cxrgan.training.loop import start, train

    place = tmp_path_factory.mktemp("tiny")
    dataset = load_dataset(write_tiny_dataset(place / "data"))
    config = replace(TINY, steps=8, checkpoint_every=4)
    folder = start(config, dataset, place / "first", recipe="tiny", data=str(place / "data"))
    train(folder, folder.read_info().config, dataset)
    return folder.path


@pytest.fixture
def root(tiny_run: Path, tmp_path: Path) -> Path:
    """A folder with the run `first`, to change."""
    shutil.copytree(tiny_run, tmp_path / "runs" / "first")
    return tmp_path / "runs"
