"""Images from a run: seeds, batches, interpolation, files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TINY, write_tiny_dataset

from cxrgan.data.dataset import load_dataset
from cxrgan.errors import UserError
from cxrgan.generation.generator import TrainedGenerator, load_generator
from cxrgan.generation.latents import render, seed_labels, seed_latents
from cxrgan.generation.writers.gif import write_interpolation
from cxrgan.generation.writers.png import write_pngs
from cxrgan.images import SYNTHETIC
from cxrgan.models.config import ModelConfig
from cxrgan.recipes.config import TrainConfig
from cxrgan.training.loop import start, train


def trained(path: Path, config: TrainConfig) -> TrainedGenerator:
    dataset = load_dataset(write_tiny_dataset(path / "data"))
    folder = start(config, dataset, path / "run", recipe="tiny", data="data")
    train(folder, folder.read_info().config, dataset)
    return load_generator(folder.path)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> TrainedGenerator:
    return trained(tmp_path_factory.mktemp("generate"), replace(TINY, steps=20))


def test_the_image_of_a_seed_is_the_same_whatever_the_batch(generator: TrainedGenerator) -> None:
    many = generator.sample(40, seed=3)
    assert many.shape == (40, 32, 32)
    assert many.images.dtype == np.uint8
    for index in (0, 7, 16, 39):
        assert np.array_equal(generator.sample(1, seed=3 + index)[0], many[index])
    assert np.array_equal(generator.sample(10, seed=20), many[17:27])


def test_latents_and_classes_of_a_seed_are_what_they_always_were() -> None:
    """The images of the shipped generators depend on these numbers."""
    labels = seed_labels([300, 100], range(12))
    assert labels.tolist() == [1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0]
    assert seed_labels([1, 1, 1], [0, 1, 2, 100]).tolist() == [2, 0, 2, 0]
    latents = seed_latents(ModelConfig(latent_channels=128, num_classes=2), [0, 3], labels[:2])
    assert latents.shape == (2, 130, 1, 1)
    torch.testing.assert_close(latents[0, :3, 0, 0], torch.tensor([-1.1258398, -1.1523602, -0.2505786]))
    torch.testing.assert_close(latents[1, :3, 0, 0], torch.tensor([-0.0766443, 0.3598815, -0.7820168]))
    assert latents[:, 128:, 0, 0].tolist() == [[0, 1], [1, 0]]


def test_other_seeds_give_other_images(generator: TrainedGenerator) -> None:
    assert len({image.tobytes() for image in generator.sample(10, seed=0)}) == 10


def test_a_seed_that_the_generator_of_latents_cannot_tell_from_another_is_refused(generator: TrainedGenerator) -> None:
    assert torch.equal(*(torch.randn(4, generator=torch.Generator().manual_seed(seed)) for seed in (5, 2**32 + 5)))
    assert len(generator.sample(1, seed=2**32 - 1)) == 1
    for num, seed in ((1, 2**32), (2, 2**32 - 1)):
        with pytest.raises(UserError, match="a seed from 0 to 4294967295"):
            generator.sample(num, seed=seed)


def test_samples_of_the_run_are_those_of_its_seeds(generator: TrainedGenerator, tmp_path: Path) -> None:
    folder = trained(tmp_path, replace(TINY, steps=5))
    with Image.open(tmp_path / "run" / "samples" / "step-000005.png") as image:
        sheet = np.asarray(image)
    assert np.array_equal(sheet[2:34, 36:68], folder.sample(1, seed=1)[0])


def test_the_moving_average_is_what_samples_are_drawn_from(tmp_path: Path) -> None:
    averaged = trained(tmp_path / "a", replace(TINY, steps=8, ema_halflife=1000))
    plain = trained(tmp_path / "b", replace(TINY, steps=8))
    weights = zip(averaged.network.parameters(), plain.network.parameters(), strict=True)
    assert not all(torch.equal(mean, last) for mean, last in weights)


def test_interpolation_begins_and_ends_at_its_seeds(generator: TrainedGenerator) -> None:
    way = generator.interpolate((3, 9), 5)
    assert way.shape == (5, 32, 32)
    assert np.array_equal(way[0], generator.sample(1, seed=3)[0])
    assert np.array_equal(way[-1], generator.sample(1, seed=9)[0])
    assert len({image.tobytes() for image in way}) == 5


def test_files_carry_the_seed_and_say_that_they_are_synthetic(generator: TrainedGenerator, tmp_path: Path) -> None:
    images = generator.sample(3, seed=5)
    pictures, arrays = tmp_path / "pictures", tmp_path / "arrays"
    images.save(pictures)
    assert {p.name for p in pictures.iterdir()} == {f"seed-00000{i}.png" for i in (5, 6, 7)} | {"grid.png"}
    with Image.open(pictures / "seed-000006.png") as image:
        assert np.array_equal(np.asarray(image), images[1])
        assert image.info["Description"] == SYNTHETIC
    images.save(arrays, "npz")
    with np.load(arrays / "images.npz") as stored:
        assert np.array_equal(stored["images"], images)
        assert stored["seeds"].tolist() == [5, 6, 7]


@pytest.mark.parametrize("label", ["../x", "/tmp/x", "..", "a/b"])
def test_no_class_leads_out_of_the_folder(generator: TrainedGenerator, tmp_path: Path, label: str) -> None:
    out = tmp_path / "deep" / "images"
    with pytest.raises(UserError, match="cannot name a folder of images"):
        write_pngs(generator.sample(2, seed=0).images, ["NORMAL", label], [0, 1], out)
    assert not list(tmp_path.iterdir())


def test_an_interpolation_is_a_strip_and_a_gif(generator: TrainedGenerator, tmp_path: Path) -> None:
    write_interpolation(generator.interpolate((1, 2), 4), (1, 2), tmp_path)
    with Image.open(tmp_path / "interpolation-1-2.png") as strip:
        assert strip.size == (4 * 34 + 2, 36)
    with Image.open(tmp_path / "interpolation-1-2.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 6  # there and back


def test_an_interpolation_can_be_a_film(generator: TrainedGenerator, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    images = generator.interpolate((1, 2), 4)
    write_interpolation(images, (1, 2), tmp_path, mp4=True)
    with av.open(str(tmp_path / "interpolation-1-2.mp4")) as film:
        frames = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
        assert "synthetic" in film.metadata["comment"].lower()
    assert len(frames) == 6  # there and back
    for frame, image in zip(frames, [*images, *images[-2:0:-1]], strict=True):
        assert np.abs(frame.astype(int) - image).mean() < 4


def test_rendering_leaves_the_mode_and_the_precision_as_they_were() -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    seen: list[tuple[bool, bool, bool]] = []

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            seen.append((self.training, matmul.allow_tf32, cudnn.allow_tf32))
            return latents.mean((1, 2, 3))[:, None, None, None] * torch.ones(3, 4, 4)

    network, before = Plain().train(), (matmul.allow_tf32, cudnn.allow_tf32)
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = True
        images = render(network, torch.linspace(-1, 1, 20)[:, None, None, None])
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (True, True)
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
    assert seen == [(False, False, False)] * 2  # 20 images in passes of 16: float32, evaluation mode
    assert network.training
    assert images.shape == (20, 4, 4)
    assert images[:, 0, 0].tolist() == [round((x + 1) * 127.5) for x in torch.linspace(-1, 1, 20).tolist()]


def test_bad_requests_are_named(generator: TrainedGenerator, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot make 0 images from seed 0"):
        generator.sample(0, seed=0)
    with pytest.raises(UserError, match=r"cannot interpolate \(1, 2\) in 1 images"):
        generator.interpolate((1, 2), 1)
    with pytest.raises(UserError, match=r"cannot interpolate \(3, 3\)"):
        generator.interpolate((3, 3), 5)
    with pytest.raises(UserError, match="from seed 99999999999999999999"):
        generator.sample(1, seed=99999999999999999999)
    with pytest.raises(UserError, match="is not a run folder"):
        load_generator(tmp_path)
