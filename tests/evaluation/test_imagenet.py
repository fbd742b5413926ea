"""ImageNet's Inception against a plain one, and its score as a row and a column of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrgan.data.phantom import phantoms
from cxrgan.errors import UserError
from cxrgan.evaluation.compare import compare
from cxrgan.evaluation.metrics import inception_score
from cxrgan.evaluation.rulers import imagenet, inception_layers
from cxrgan.evaluation.rulers.imagenet import IMAGENET_WEIGHTS, ImageNetInception, load_imagenet
from cxrgan.evaluation.rulers.inception import Inception
from cxrgan.evaluation.rulers.inception_weights import file_hash, read_weights
from cxrgan.evaluation.rulers.load import load_networks
from cxrgan.evaluation.sets import ImageSet

HAS_BF16 = inception_layers.FUSED and torch.ops.mkldnn._is_mkldnn_bf16_supported()
TOLERANCE = 1e-4


# The network once more, plainly: each layer a module of its own, under torchvision's names.


class Layer(nn.Module):
    def __init__(self, width_in: int, width_out: int, kernel: Any, stride: int = 1, padding: Any = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width_out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class PlainA(nn.Module):
    def __init__(self, width: int, width_pool: int) -> None:
        super().__init__()
        self.branch1x1 = Layer(width, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Layer(width, 48, 1), Layer(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Layer(width, 64, 1)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = Layer(64, 96, 3, padding=1), Layer(96, 96, 3, padding=1)
        self.pool, self.branch_pool = nn.AvgPool2d(3, 1, 1), Layer(width, width_pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(self.pool(x))], 1)


class PlainB(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = Layer(288, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Layer(288, 64, 1), Layer(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Layer(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class PlainC(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch1x1 = Layer(768, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = Layer(768, width, 1), Layer(width, width, (1, 7), padding=(0, 3))
        self.branch7x7_3 = Layer(width, 192, (7, 1), padding=(3, 0))
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Layer(768, width, 1), Layer(width, width, (7, 1), padding=(3, 0))
        self.branch7x7dbl_3 = Layer(width, width, (1, 7), padding=(0, 3))
        self.branch7x7dbl_4 = Layer(width, width, (7, 1), padding=(3, 0))
        self.branch7x7dbl_5 = Layer(width, 192, (1, 7), padding=(0, 3))
        self.pool, self.branch_pool = nn.AvgPool2d(3, 1, 1), Layer(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(self.pool(x))], 1)


class PlainD(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Layer(768, 192, 1), Layer(192, 320, 3, stride=2)
        self.branch7x7x3_1, self.branch7x7x3_2 = Layer(768, 192, 1), Layer(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Layer(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Layer(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class PlainE(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch1x1, self.branch3x3_1 = Layer(width, 320, 1), Layer(width, 384, 1)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Layer(width, 448, 1), Layer(448, 384, 3, padding=1)
        self.branch3x3_2a, self.branch3x3dbl_3a = (Layer(384, 384, (1, 3), padding=(0, 1)) for _ in range(2))
        self.branch3x3_2b, self.branch3x3dbl_3b = (Layer(384, 384, (3, 1), padding=(1, 0)) for _ in range(2))
        self.pool, self.branch_pool = nn.AvgPool2d(3, 1, 1), Layer(width, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        threes = [self.branch3x3_2a(three), self.branch3x3_2b(three)]
        doubles = [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([self.branch1x1(x), *threes, *doubles, self.branch_pool(self.pool(x))], 1)


class PlainAuxiliary(nn.Module):
    """In the file, and of no use here."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0, self.conv1, self.fc = Layer(768, 128, 1), Layer(128, 768, 5), nn.Linear(768, 1000)


class PlainClassifier(nn.Module):
    """(N, 3, H, W) uint8 -> logits (N, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = Layer(3, 32, 3, stride=2), Layer(32, 32, 3)
        self.Conv2d_2b_3x3 = Layer(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Layer(64, 80, 1), Layer(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = PlainA(192, 32), PlainA(256, 64), PlainA(288, 64)
        self.Mixed_6a = PlainB()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = map(PlainC, (128, 160, 160, 192))
        self.AuxLogits = PlainAuxiliary()
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = PlainD(), PlainE(1280), PlainE(2048)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(F.interpolate(images / 255, size=(299, 299), mode="bilinear") * 2 - 1)

    def classify(self, x: Tensor) -> Tensor:
        """(N, 3, 299, 299) in [-1, 1] -> logits (N, 1000)."""
        for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"):
            x = self.get_submodule(name)(x)
        x = F.max_pool2d(x, 3, 2)
        for name in ("Conv2d_3b_1x1", "Conv2d_4a_3x3"):
            x = self.get_submodule(name)(x)
        x = F.max_pool2d(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = self.get_submodule(f"Mixed_{name}")(x)
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


@pytest.fixture(scope="module")
def plain() -> PlainClassifier:
    """With He's weights and uneven BatchNorm."""
    torch.manual_seed(0)
    network = PlainClassifier().eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            elif isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.5)
        for name, statistic in network.named_buffers():
            if name.endswith("running_mean"):
                statistic.normal_(0, 0.1)
            elif name.endswith("running_var"):
                statistic.uniform_(0.5, 1.5)
    return network


@pytest.fixture(scope="module")
def weights(plain: PlainClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain network's state dict, as torchvision publishes it."""
    path = tmp_path_factory.mktemp("imagenet") / "inception_v3_google.pth"
    torch.save(plain.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def exact(weights: Path) -> ImageNetInception:
    return load_imagenet(weights, exact=True, device="cpu")


@pytest.fixture(scope="module")
def images() -> Tensor:
    """(2, 3, 64, 64) uint8: a phantom, and another in false colours."""
    grey = torch.from_numpy(np.stack([image for image, _ in phantoms(2, 64, seed=0)]))
    colours = grey.unsqueeze(1).repeat(1, 3, 1, 1)
    colours[1, 1], colours[1, 2] = 255 - colours[1, 1], colours[1, 2] // 2
    return colours


@pytest.fixture(scope="module")
def expected(plain: PlainClassifier, images: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = plain(images)
    return logits


def difference(actual: Tensor, expected: Tensor) -> float:
    """Of the row that differs most, as a share of its length."""
    return float(((actual - expected).norm(dim=1) / expected.norm(dim=1)).max())


def test_the_logits_are_those_of_the_plain_network(exact: ImageNetInception, images: Tensor, expected: Tensor) -> None:
    taps = exact(images)
    assert list(taps) == ["logits"]
    assert taps["logits"].shape == (2, 1000)
    assert taps["logits"].dtype == torch.float32
    assert difference(taps["logits"], expected) < TOLERANCE


@pytest.mark.parametrize(
    ("replaced", "by"),
    [
        ("Mixed_5b.pool", nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
        ("Mixed_6e.pool", nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
        ("Mixed_7b.pool", nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
        ("Mixed_7c.pool", nn.MaxPool2d(3, 1, 1)),
        ("fc.bias", None),
    ],
)
def test_a_slip_of_the_network_would_be_seen(
    replaced: str, by: nn.Module | None, plain: PlainClassifier, images: Tensor, expected: Tensor
) -> None:
    owner, _, name = replaced.rpartition(".")
    parent = plain.get_submodule(owner)
    right = getattr(parent, name)
    try:
        setattr(parent, name, by)
        with torch.inference_mode():
            assert difference(plain(images), expected) > 10 * TOLERANCE
    finally:
        setattr(parent, name, right)


def test_a_slip_of_the_resize_would_be_seen(plain: PlainClassifier, images: Tensor, expected: Tensor) -> None:
    resized = [
        F.interpolate(images / 255, (299, 299), mode="bilinear", align_corners=True),
        F.interpolate(images / 255, (299, 299), mode="bicubic"),
        F.interpolate(images / 255, (299, 299), mode="nearest"),
    ]
    with torch.inference_mode():
        assert all(difference(plain.classify(2 * x - 1), expected) > 10 * TOLERANCE for x in resized)


def test_a_bigger_picture_is_not_antialiased() -> None:
    picture = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 1, 598, 598), dtype=np.uint8))
    x = picture[0, 0].double() / 255
    centres = (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4  # between two pixels lies each centre
    torch.testing.assert_close(imagenet.scale(picture)[0, 0].double(), 2 * centres - 1, atol=1e-6, rtol=0)
    thrice = torch.zeros(1, 1, 897, 897, dtype=torch.uint8)
    thrice[:, :, 1::3, 1::3] = 255  # every third pixel is a centre, and nothing else is seen
    assert imagenet.scale(thrice).min() > 0.99


def test_a_grey_channel_counts_as_three_equal_ones(exact: ImageNetInception, images: Tensor, expected: Tensor) -> None:
    assert difference(exact(images[:1, :1])["logits"], expected[:1]) < TOLERANCE


@pytest.mark.skipif(not HAS_BF16, reason="this processor's convolutions know no bf16")
def test_bf16_is_close(weights: Path, images: Tensor, expected: Tensor) -> None:
    network = ImageNetInception()
    network.take(read_weights(IMAGENET_WEIGHTS, weights, network.layout()), exact=False)
    assert difference(network(images)["logits"], expected) < 0.03
    assert difference(network(images[:1, :1])["logits"], expected[:1]) < 0.03


def test_the_layout_is_torchvisions_without_the_auxiliary_head(plain: PlainClassifier) -> None:
    shapes = {name: value.shape for name, value in plain.state_dict().items()}
    needed = {
        name: shape
        for name, shape in shapes.items()
        if not name.startswith("AuxLogits.") and not name.endswith("num_batches_tracked")
    }
    assert len(shapes) - len(needed) == 94 + 14  # counters; the head's two layers and its classes
    assert ImageNetInception().layout() == needed
    assert needed["fc.weight"] == (1000, 2048)


def test_the_files_of_the_two_networks_are_not_taken_for_one_another(weights: Path) -> None:
    with pytest.raises(UserError, match=r"fc.weight is \(1000, 2048\), not \(1008, 2048\)"):
        load_networks(["inception"], inception_weights=weights)
    torch.save(dict.fromkeys(Inception().layout(), torch.zeros(1)), weights.with_name("other.pth"))
    with pytest.raises(UserError, match="leave --imagenet-weights out"):
        load_networks(["inception-imagenet"], imagenet_weights=weights.with_name("other.pth"))


def test_other_weights_have_another_name(weights: Path, exact: ImageNetInception) -> None:
    assert exact.name == f"inception-imagenet-sha256:{file_hash(weights)[:12]}"


def test_its_score_is_its_only_row(weights: Path) -> None:
    pictures = np.stack([image for image, _ in phantoms(20, 32, seed=0)])
    images = ImageSet(pictures, np.array([""] * 20), "phantoms", None)
    (network,), missing = load_networks(["inception-imagenet"], imagenet_weights=weights, exact=True)
    assert missing == {}
    (row,) = compare(real=images, fake=images, networks=[network], seed=3)
    logits = network(torch.from_numpy(pictures).unsqueeze(1))["logits"].numpy()
    assert row["value"] == pytest.approx(inception_score(logits=logits, seed=3).mean, rel=1e-6)
    named = [row[name] for name in ("metric", "tap", "features", "resize")]
    assert named == ["inception_score", "logits", network.name, "bilinear to 299"]


def test_the_logits_of_the_domain_network_are_for_no_inception_score() -> None:
    pictures = np.stack([image for image, _ in phantoms(20, 32, seed=0)])
    images = ImageSet(pictures, np.array([""] * 20), "phantoms", None)
    (network,), _ = load_networks(["domain"])
    assert "logits" in network(torch.from_numpy(pictures[:1]).unsqueeze(1))
    metrics = {row["metric"] for row in compare(real=images, fake=images, networks=[network])}
    assert "frechet_distance" in metrics
    assert not {"inception_score", "score"} & metrics
