"""Sets larger than memory: prepared, trained on and measured under a limit that the images alone would break.

Each is a process of its own, which may take no more than `ROOM` bytes from then on that its libraries are loaded:
`RLIMIT_DATA` counts what a process allocates, and no pages of files.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tiny import write_tiny_dataset

from cxrgan.data.dataset import load_dataset

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")

NUM, SIZE = 4096, 192  # 151 MB
ROOM = 96 * 2**20

LIMITED = """
    import resource, sys
    from pathlib import Path
    import numpy as np, torch
    import cxrgan.evaluation.audit, cxrgan.evaluation.utility, cxrgan.data.shares
    from cxrgan import api, console
    from cxrgan.data import prepare as preparing
    from cxrgan.data.sources.record import Record, Source

    class Noise:
        def __init__(self, index): self.index = index
        def load(self): return np.random.default_rng(self.index).integers(0, 255, ({size}, {size}), dtype=np.uint8)

    records = [Record(Noise(index), None, None, "train", f"{{index:06d}}") for index in range({num})]
    preparing.open_source = lambda *_, **__: Source("noise", None, None, tuple(records))
    torch.set_num_threads(1)
    torch.nn.functional.conv2d(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 3))
    data, run = Path(sys.argv[1]), Path(sys.argv[2])
    {first}
    used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (1024 * used + {room}, resource.RLIM_INFINITY))
"""


def limited(work: str, tmp_path: Path, first: str = "") -> subprocess.CompletedProcess[str]:
    """Run `work` in a process that, after the line `first`, may allocate no more than `ROOM`; below `tmp_path`."""
    script = textwrap.dedent(LIMITED.format(size=SIZE, num=NUM, room=ROOM, first=first)) + textwrap.dedent(work)
    return subprocess.run(
        [sys.executable, "-W", "error:The given NumPy array is not writable", "-c", script, "data", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a large dataset in `data`, prepared under the limit."""
    path = tmp_path_factory.mktemp("large")
    done = limited('preparing.prepare("noise", data, 192)', path)
    assert done.returncode == 0, done.stderr[-2000:]
    return path


def test_a_large_set_is_prepared_in_constant_memory(place: Path) -> None:
    assert (place / "data" / "images.npy").stat().st_size > 1.4 * ROOM
    assert load_dataset(place / "data").images.shape == (NUM, SIZE, SIZE)


def test_the_limit_is_one_that_the_images_break(place: Path) -> None:
    done = limited("np.array(api.load_dataset(data).images)", place)
    assert "MemoryError" in done.stderr


def test_a_large_set_is_merged_from_shares_in_constant_memory(tmp_path: Path) -> None:
    work = """
        from cxrgan.data.shares import Share, merge, prepare_share
        for number in (1, 2):
            prepare_share("noise", Path(f"part-{number}"), Share(number, 2), 192)
        merge([Path("part-1"), Path("part-2")], data)
    """
    done = limited(work, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


def test_training_on_a_large_set_takes_constant_memory_and_says_so(place: Path) -> None:
    write_tiny_dataset(place / "small", num=200, size=SIZE)
    train = """api.train({data}, {run}, recipe="dcgan", progress=True, settings={{
        "model": {{"image_size": 192, "latent_size": 3, "ngf": 1, "ndf": 1}}, "device": "cpu", "batch_size": 8,
        "steps": 20, "num_samples": 4, "sample_every": 10, "checkpoint_every": 10}})"""
    done = limited(train.format(data="data", run="run"), place, train.format(data="'small'", run="'first'"))
    assert done.returncode == 0, done.stderr[-2000:]
    said = " ".join(done.stderr.split())
    assert "Images: 7 MB, held in memory: at most a quarter of the" in said
    assert "Images: 151 MB, read from the disk one step ahead: more than a quarter of the 0.1 GB" in said


def test_features_of_a_large_set_take_constant_memory(place: Path) -> None:
    work = """
        from cxrgan.evaluation.features import extract
        from cxrgan.evaluation.sets import dataset_set

        class Mean:
            name = sha256 = "mean"
            def __call__(self, images): return {"mean": images.float().mean((1, 2, 3))[:, None]}

        real = dataset_set(data, "train")
        means = extract(Mean(), real.images, cache=Path("cache"))["mean"]
        assert means.shape == (len(real.images), 1)
    """
    done = limited(work, place)
    assert done.returncode == 0, done.stderr[-2000:]
