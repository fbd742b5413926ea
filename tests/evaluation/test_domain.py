"""The domain networks: what is shipped, how they read images, and how they are trained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from tiny import write_tiny_dataset
from torch import nn

from cxrgan.data.dataset import load_dataset
from cxrgan.data.phantom import phantoms
from cxrgan.errors import UserError
from cxrgan.evaluation.features import compute
from cxrgan.evaluation.metrics import frechet_distance
from cxrgan.evaluation.rulers import DomainName
from cxrgan.evaluation.rulers.domain import load_domain, new_domain, save_domain
from cxrgan.evaluation.rulers.domain_network import CLASSES, DomainNetwork, to_input
from cxrgan.evaluation.rulers.domain_v1 import DomainV1
from cxrgan.evaluation.rulers.domain_v2 import DomainV2, with_detail
from cxrgan.evaluation.rulers.train import (
    DomainConfig,
    Examples,
    examples,
    finished,
    fit,
    is_held_out,
    judge,
    label_of,
    split_patients,
    spoil,
    train_domain,
)

ASSETS = Path(__file__).parents[2] / "src" / "cxrgan" / "assets"
TINY = DomainConfig(epochs=3, batch_size=8, held_out=0.3, device="cpu", precision="fp32")


@pytest.fixture(scope="module", params=get_args(DomainName))
def network(request: pytest.FixtureRequest) -> DomainNetwork:
    return load_domain(request.param)


@pytest.fixture(scope="module")
def named_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blobs named as the Kermany set names its files: from left to right normal, bacteria, virus."""
    folder = write_tiny_dataset(tmp_path_factory.mktemp("domain") / "data", num=72)
    columns = np.load(folder / "images.npy").mean(1)
    places = (columns * np.arange(columns.shape[1])).sum(1) / columns.sum(1)
    kinds = places.argsort().argsort() * 3 // 72
    manifest = json.loads((folder / "manifest.json").read_text())
    for row, (entry, kind) in enumerate(zip(manifest["images"], kinds, strict=True)):
        stem = f"IM-{row:04}-0001" if kind == 0 else f"person{row}_{CLASSES[kind]}_{row}"
        entry |= {"split": "test" if row % 4 == 0 else "train", "origin": f"x/{stem}.jpeg", "patient": stem}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def random_images(num: int, channels: int, size: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(size)
    return torch.randint(0, 256, (num, channels, size, size), generator=random, dtype=torch.uint8)


def test_the_shipped_network_is_the_one_its_provenance_describes(network: DomainNetwork) -> None:
    provenance = json.loads((ASSETS / f"{network.name}.json").read_text())
    assert (ASSETS / f"{network.name}.safetensors").stat().st_size <= 3_500_000
    assert network.name == provenance["name"]
    assert network.num_features == provenance["num_features"]
    assert network.sha256 == provenance["sha256"]
    assert "CC BY 4.0" in provenance["licence"]
    assert "Kermany" in provenance["licence"]
    assert provenance["test"]["auc_pneumonia"] > 0.9


def test_the_first_network_is_the_one_that_older_rows_were_measured_with() -> None:
    network = load_domain()
    assert (network.name, network.main_tap) == ("cxr-domain-v1", "features")
    assert network.sha256 == "6cc217d889ea933bde5e47f161f07b11edaf54488d1c0a9923bacc9068509ab9"
    images = np.random.default_rng(0).integers(0, 256, (64, 64, 64), dtype=np.uint8)
    features = compute(network, images)["features"]
    assert features.shape == (64, 336)
    assert features[0, [0, 100, 200, 335]].tolist() == pytest.approx([5.9823, 1.6915, -0.5165, 2.9804], abs=1e-3)
    assert [i for i in range(20) if is_held_out(f"person{i}", "cxr-domain-v1", 0.1)] == [2, 4, 10, 12, 18, 19]


def test_the_second_network_shares_neither_seed_nor_validation_nor_layers_with_the_first() -> None:
    one, two = (json.loads((ASSETS / f"{name}.json").read_text()) for name in get_args(DomainName))
    assert one["config"]["seed"] != two["config"]["seed"]
    assert one["validation"]["num_patients"] != two["validation"]["num_patients"]
    assert one["data"]["images_sha256"] == two["data"]["images_sha256"]
    kinds = [{type(module) for module in new_domain(name).modules()} for name in get_args(DomainName)]
    assert kinds[0] & kinds[1] <= {nn.Conv2d, nn.Linear, nn.ModuleList, nn.Sequential}


def test_the_second_network_has_means_and_deviations_of_its_shallow_depths_and_means_of_the_deep_one() -> None:
    torch.manual_seed(0)
    network = DomainV2().eval()
    x, parts = torch.randn(2, 1, 128, 128), []
    pooled, _ = network.read(x)
    x = with_detail(x)
    for stage in network.stages:
        x = stage(x)
        parts += [x.mean((2, 3)), x.std((2, 3), correction=0)]
    assert [part.shape[1] for part in parts] == [32, 32, 64, 64, 192, 192]
    assert torch.allclose(pooled, torch.cat(parts[:-1], 1), atol=1e-5)
    assert network.num_shallow == 192  # those of the two shallow depths


def test_the_detail_of_an_image_is_what_a_mean_of_nine_pixels_leaves_out() -> None:
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 0.9
    image, detail = with_detail(x)[0]
    assert torch.equal(image, x[0, 0])
    expected = torch.zeros(5, 5)
    expected[1:4, 1:4] = -0.1 * 8
    expected[2, 2] = 0.8 * 8
    assert torch.allclose(detail, expected, atol=1e-6)
    assert with_detail(torch.full((1, 1, 8, 8), 0.5))[0, 1].abs().max() < 1e-6  # at the border too


@pytest.mark.parametrize("size", [32, 64, 100, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_are_read(network: DomainNetwork, size: int, channels: int) -> None:
    out = network(random_images(2, channels, size))
    assert {key: (value.shape, value.dtype) for key, value in out.items()} == {
        "features": ((2, network.num_features), torch.float32),
        "logits": ((2, len(CLASSES)), torch.float32),
    }
    assert all(torch.isfinite(value).all() for value in out.values())


def test_grey_is_read_as_equal_colours(network: DomainNetwork) -> None:
    grey = random_images(2, 1, 64)
    assert torch.equal(network(grey)["features"], network(grey.expand(-1, 3, -1, -1))["features"])


def test_features_of_an_image_depend_neither_on_the_batch_nor_on_the_call(network: DomainNetwork) -> None:
    images = random_images(5, 1, 64)
    together = network(images)["features"]
    alone = torch.cat([network(image[None])["features"] for image in images])
    assert torch.equal(together, network(images)["features"])
    assert torch.allclose(together, alone, atol=1e-3, rtol=1e-4)


def test_the_resize_averages_when_it_shrinks_and_leaves_the_own_size_alone() -> None:
    board = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8).repeat(128, 128)[None, None]
    assert to_input(board)[..., 1:-1, 1:-1].abs().max() < 0.02
    own = random_images(1, 1, 128)
    assert torch.equal(to_input(own), own / 127.5 - 1)


def test_folding_leaves_what_the_network_computes() -> None:
    torch.manual_seed(0)
    network = DomainV1()
    network.read(torch.randn(8, 1, 128, 128))  # moves the running statistics
    network.eval()
    images = random_images(2, 1, 128)
    before = network(images)
    network.fold()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    after = network(images)
    assert all(torch.allclose(before[key], after[key], atol=1e-4) for key in before)


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "other.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"cannot read the domain network .*other"):
        load_domain(path=tmp_path / "other.safetensors")


def test_weights_of_one_network_are_not_loaded_as_the_other() -> None:
    with pytest.raises(UserError, match=r"cannot read the domain network .*cxr-domain-v1"):
        load_domain("cxr-domain-v2", ASSETS / "cxr-domain-v1.safetensors")


def test_labels_are_those_of_the_file_names() -> None:
    names = ["IM-0115-0001.jpeg", "NORMAL2-IM-0533-0001-0002.jpeg", "person1_bacteria_2.jpeg", "person447_virus_921_1"]
    assert [label_of(f"train/PNEUMONIA/{name}") for name in names] == [0, 0, 1, 2]
    with pytest.raises(UserError, match=r"scan7\.png is not named as in the Kermany set"):
        label_of("scan7.png")


@settings(deadline=None)
@given(st.lists(st.text(max_size=3), min_size=1, max_size=60), st.floats(0.1, 0.9))
def test_no_patient_is_both_learnt_from_and_held_out(patients: list[str], share: float) -> None:
    data = Examples(torch.arange(len(patients)), torch.zeros(len(patients), dtype=torch.int64), tuple(patients))
    if len({is_held_out(patient, "cxr-domain-v1", share) for patient in patients}) == 1:
        with pytest.raises(UserError, match="too few to hold out"):
            split_patients(data, "cxr-domain-v1", share)
        return
    learnt, held_out = split_patients(data, "cxr-domain-v1", share)
    assert not set(learnt.patients) & set(held_out.patients)
    assert sorted([*learnt.images.tolist(), *held_out.images.tolist()]) == list(range(len(patients)))


def test_augmentation_neither_mirrors_nor_inverts_and_keeps_the_range() -> None:
    x = torch.full((64, 1, 128, 128), -0.6)
    x[..., :64] = 0.6
    changed, texture = spoil(x, torch.Generator().manual_seed(0))
    assert changed.shape == x.shape
    assert changed.abs().max() <= 1
    assert (changed[..., :40].mean((1, 2, 3)) > changed[..., 88:].mean((1, 2, 3))).all()
    assert texture.shape == (64, 4)
    assert ((texture >= 0) & (texture < 1)).all()
    assert torch.equal(changed, spoil(x, torch.Generator().manual_seed(0))[0])
    assert not torch.equal(changed, spoil(x, torch.Generator().manual_seed(1))[0])


def test_each_network_holds_out_patients_of_its_own() -> None:
    one, two = ([is_held_out(str(i), name, 0.3) for i in range(200)] for name in get_args(DomainName))
    assert 30 < sum(one) < 90
    assert 30 < sum(two) < 90
    assert sum(a and b for a, b in zip(one, two, strict=True)) < 35  # 18 by chance


@pytest.mark.parametrize("name", get_args(DomainName))
def test_a_network_reads_as_before_once_it_was_saved(name: DomainName, named_dataset: Path, tmp_path: Path) -> None:
    data = examples(named_dataset, load_dataset(named_dataset))
    network, _ = fit(data, replace(TINY, name=name, epochs=1), torch.device("cpu"))
    done = finished(network, data, 0, torch.device("cpu"))
    sha256 = save_domain(done, tmp_path / "net.safetensors")
    again = load_domain(name, tmp_path / "net.safetensors")
    assert again.sha256 == sha256
    images = random_images(2, 1, 64)
    assert torch.allclose(done(images)["logits"], again(images)["logits"], atol=1e-5)
    assert torch.allclose(done(images)["features"], again(images)["features"], atol=0.05)  # scales of float16


@pytest.mark.parametrize("name", get_args(DomainName))
def test_training_lowers_the_loss(name: DomainName, named_dataset: Path) -> None:
    data = examples(named_dataset, load_dataset(named_dataset))
    _, losses = fit(data, replace(TINY, name=name), torch.device("cpu"))
    assert losses[-7:, 0].mean() < 0.8 * losses[:7, 0].mean()


@pytest.mark.parametrize("name", get_args(DomainName))
def test_training_is_reproduced_bit_for_bit_by_its_seed(name: DomainName, named_dataset: Path, tmp_path: Path) -> None:
    config = replace(TINY, name=name, epochs=1)
    first = train_domain(named_dataset, tmp_path / "a.safetensors", config)
    again = train_domain(named_dataset, tmp_path / "b.safetensors", config)
    other = train_domain(named_dataset, tmp_path / "c.safetensors", replace(config, seed=1))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert first["sha256"] == again["sha256"] != other["sha256"]
    assert json.loads((tmp_path / "a.json").read_text()) == first
    assert load_domain(name, tmp_path / "a.safetensors").sha256 == first["sha256"]


def chest_features(network: DomainNetwork, images: list[Image.Image]) -> NDArray[np.float32]:
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).unsqueeze(1)
    features: NDArray[np.float32] = network(pixels)["features"].numpy()
    return features


def test_blur_and_noise_move_phantoms_away(network: DomainNetwork) -> None:
    images = [Image.fromarray(image) for image, _ in phantoms(160, 64, seed=0)]
    real, other = chest_features(network, images[:80]), images[80:]
    random = np.random.default_rng(0)

    def noisy(deviation: float) -> list[Image.Image]:
        pixels = np.stack([np.asarray(image) for image in other])
        changed = pixels + random.normal(0, deviation, pixels.shape)
        return [Image.fromarray(image) for image in changed.round().clip(0, 255).astype(np.uint8)]

    def distance(fake: list[Image.Image]) -> float:
        return frechet_distance(real=real, fake=chest_features(network, fake))

    floor = distance(other)
    blurred = [distance([image.filter(ImageFilter.GaussianBlur(sigma)) for image in other]) for sigma in (1, 2)]
    assert floor < blurred[0] < blurred[1]
    assert floor < distance(noisy(10)) < distance(noisy(30))


@pytest.mark.real
def test_the_shipped_network_tells_real_pneumonia_from_normal(network: DomainNetwork, real_data: Path) -> None:
    files = sorted((real_data / "chest_xray" / "test").rglob("*.jpeg"))[::4]
    images = np.stack([np.asarray(Image.open(file).convert("L")) for file in files])
    labels = torch.tensor([label_of(file.name) for file in files])
    data = Examples(torch.from_numpy(images).unsqueeze(1), labels, tuple(file.name for file in files))
    assert judge(network, data)["auc_pneumonia"] > 0.85
