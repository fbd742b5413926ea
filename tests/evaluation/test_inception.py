"""The Inception network against plain and NumPy versions of itself, and where its weights come from."""

import hashlib
import http.server
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.features import PlainInception, plain_network, randomise, rgb, save_weights
from cxrgan.console import speaking
from cxrgan.data.phantom import phantoms
from cxrgan.errors import UserError
from cxrgan.evaluation.rulers import inception, inception_layers
from cxrgan.evaluation.rulers.imagenet import IMAGENET_WEIGHTS
from cxrgan.evaluation.rulers.inception import FID_WEIGHTS, Inception, load_inception, tensorflow_resize
from cxrgan.evaluation.rulers.inception_layers import Convolution, Stem, diffuse
from cxrgan.evaluation.rulers.inception_weights import (
    PublishedWeights,
    WeightsUnavailable,
    file_hash,
    find_weights,
    read_weights,
)

Array = NDArray[np.float64]

HAS_BF16 = inception_layers.FUSED and torch.ops.mkldnn._is_mkldnn_bf16_supported()

Pool = Callable[..., Array]
Change = Callable[[bytes], bytes]

NORM = ("weight", "bias", "running_mean", "running_var")
SIZES = {"64": 64, "192": 192, "768": 768, "2048": 2048, "logits_unbiased": 1008}


@pytest.fixture(scope="session")
def images() -> Tensor:
    """(2, 3, 64, 64) uint8: a phantom, and another in false colours."""
    grey = rgb(np.stack([image for image, _ in phantoms(2, 64, seed=0)]))
    grey[1, 1], grey[1, 2] = 255 - grey[1, 1], grey[1, 2] // 2
    return grey


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the standard layout."""
    path = tmp_path_factory.mktemp("inception") / "random.safetensors"
    network = PlainInception()
    randomise(network)
    save_weights(network, path)
    return path


@pytest.fixture(scope="session")
def exact(weights: Path) -> Inception:
    return load_inception(weights, exact=True, device="cpu")


@pytest.fixture(scope="session")
def features(exact: Inception, images: Tensor) -> dict[str, Tensor]:
    result: dict[str, Tensor] = exact(images)
    return result


def check_close(actual: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Every tap's rows differ by less than `tolerance` of their length."""
    assert actual.keys() == expected.keys()
    for tap, values in expected.items():
        error = (actual[tap] - values).norm(dim=1) / values.norm(dim=1)
        assert error.max() < tolerance, f"tap {tap}: {error.max():.2e}"


# The network.


def test_the_layout_is_that_of_the_standard_file() -> None:
    layout = Inception().layout()
    assert len(layout) == 472
    assert len([name for name in layout if name.endswith("conv.weight")]) == 94
    assert layout["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert layout["Mixed_5b.branch5x5_2.conv.weight"] == (64, 48, 5, 5)
    assert layout["Mixed_6e.branch7x7dbl_5.conv.weight"] == (192, 192, 1, 7)
    assert layout["Mixed_7c.branch3x3dbl_3b.bn.running_var"] == (384,)
    assert layout["fc.weight"] == (1008, 2048)
    assert layout["fc.bias"] == (1008,)
    num_bytes = 4 * sum(shape.numel() for shape in layout.values())
    assert 0 < FID_WEIGHTS.num_bytes - num_bytes < 200 * 472  # the rest are names and headers


def test_an_independent_module_has_the_same_layout() -> None:
    state = PlainInception().state_dict()
    shapes = {name: value.shape for name, value in state.items() if not name.endswith("num_batches_tracked")}
    assert Inception().layout() == shapes


def test_the_taps_have_their_sizes(features: dict[str, Tensor]) -> None:
    assert {tap: values.shape for tap, values in features.items()} == {tap: (2, size) for tap, size in SIZES.items()}
    assert all(values.dtype == torch.float32 and values.isfinite().all() for values in features.values())


def test_the_folded_network_is_the_plain_one(weights: Path, images: Tensor, features: dict[str, Tensor]) -> None:
    with torch.inference_mode():
        plain = plain_network(weights)(images)
    check_close(features, plain, 1e-4)


@pytest.mark.skipif(not HAS_BF16, reason="this processor's convolutions know no bf16")
def test_bf16_is_close(weights: Path, images: Tensor, features: dict[str, Tensor]) -> None:
    network = Inception()
    network.take(read_weights(FID_WEIGHTS, weights, network.layout()), exact=False)
    check_close(network(images), features, 0.02)
    check_close(network(images[:1, :1]), {tap: values[:1] for tap, values in features.items()}, 0.02)


@pytest.mark.skipif(not HAS_BF16, reason="this processor's convolutions know no bf16")
def test_the_first_layer_rounds_only_its_result_in_bf16() -> None:
    random = torch.Generator().manual_seed(0)
    layer, ones = Stem(), torch.ones(32)
    layer.fold(torch.randn(32, 3, 3, 3, generator=random), ones, ones, ones, ones)
    for channels in (1, 3):
        x = torch.rand(2, channels, 9, 9, generator=random)
        expected = layer(x)
        fast = Stem()
        fast.load_state_dict(layer.state_dict())
        fast.quantise()
        torch.testing.assert_close(fast(x).float(), expected, rtol=2**-8, atol=1e-4)


def test_rounding_errors_of_the_weights_cancel() -> None:
    weight = torch.rand(4, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    rounded = diffuse(weight)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - weight).abs().max() <= 2**-7
    assert (rounded.double() - weight.double()).sum((1, 2, 3)).abs().max() <= 2**-9


def test_a_grey_channel_counts_as_three_equal_ones(
    exact: Inception, images: Tensor, features: dict[str, Tensor]
) -> None:
    check_close(exact(images[:1, :1]), {tap: values[:1] for tap, values in features.items()}, 1e-5)


def test_an_image_has_the_same_features_in_any_batch(
    exact: Inception, images: Tensor, features: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception_layers, "CHUNK", 1)
    check_close(exact(images), features, 1e-5)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(1, 3, 8, 8), torch.zeros(1, 4, 8, 8, dtype=torch.uint8), torch.zeros(8, 8, dtype=torch.uint8)]
)
def test_other_input_is_refused(exact: Inception, wrong: Tensor) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        exact(wrong)


def test_the_name_and_hash_tell_weights_and_precision_apart(weights: Path, exact: Inception) -> None:
    digest = file_hash(weights)
    assert exact.name == f"inception-sha256:{digest[:12]}"
    standard = replace(read_weights(FID_WEIGHTS, weights, exact.layout()), sha256="0" * 64, name="inception-standard")
    network = Inception()
    network.take(standard, exact=True)
    assert network.name == "inception-standard"
    other = network.sha256
    assert other != exact.sha256
    network.take(standard, exact=False)
    assert network.sha256 not in (other, exact.sha256)


# Its traps, against NumPy in float64.


@pytest.mark.parametrize(("height", "width"), [(64, 64), (400, 400), (299, 299), (50, 330), (1, 2)])
def test_the_resize_is_that_of_tensorflow_1(height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    ours = tensorflow_resize(torch.from_numpy(image)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(ours, slow_resize(image), atol=1e-2)
    if height == width == 299:
        np.testing.assert_array_equal(ours, image)


def test_the_first_block_of_branches_averages_without_the_padding(exact: Inception, weights: Path) -> None:
    tensors = {name: value.numpy().astype(float) for name, value in load_file(weights).items()}
    x = np.random.default_rng(0).uniform(0, 2, (192, 6, 5))

    def layer(name: str, x: Array) -> Array:
        return slow_layer(tensors, f"Mixed_5b.{name}", x)

    branches = [
        layer("branch1x1", x),
        layer("branch5x5_2", layer("branch5x5_1", x)),
        layer("branch3x3dbl_3", layer("branch3x3dbl_2", layer("branch3x3dbl_1", x))),
        layer("branch_pool", slow_pool(x, np.mean)),
    ]
    np.testing.assert_allclose(run(exact.Mixed_5b, x), np.concatenate(branches), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("block", "width", "pool"), [("Mixed_7b", 1280, np.mean), ("Mixed_7c", 2048, np.max)])
def test_the_last_block_alone_pools_by_the_maximum(
    exact: Inception, weights: Path, block: str, width: int, pool: Pool
) -> None:
    tensors = {name: value.numpy().astype(float) for name, value in load_file(weights).items() if block in name}
    x = np.random.default_rng(0).uniform(0, 2, (width, 4, 3))
    expected = slow_layer(tensors, f"{block}.branch_pool", slow_pool(x, pool))
    np.testing.assert_allclose(run(exact.get_submodule(block), x)[-192:], expected, rtol=1e-3, atol=1e-4)


def test_the_normalisation_has_tensorflows_epsilon() -> None:
    layer = Convolution(1, 1)
    one, zero = torch.ones(1), torch.zeros(1)
    layer.fold(torch.ones(1, 1, 1, 1), one, zero, zero, one * 0)
    assert layer(torch.ones(1, 1, 1, 1)).item() == pytest.approx(0.001**-0.5)


def run(block: torch.nn.Module, x: Array) -> Array:
    with torch.inference_mode():
        y: Tensor = block(torch.from_numpy(x).float()[None])
    return y[0].double().numpy()


def slow_resize(image: NDArray[np.uint8]) -> Array:
    """Output pixel i lies at i * side / 299 of the source; no half pixels, no averaging."""
    rows, columns = (np.zeros((299, side)) for side in image.shape)
    for matrix in (rows, columns):
        side = matrix.shape[1]
        for i in range(299):
            low = i * side // 299
            share = i * side / 299 - low
            matrix[i, low] += 1 - share
            matrix[i, min(low + 1, side - 1)] += share
    return rows @ image @ columns.T


def slow_pool(x: Array, pool: Pool) -> Array:
    """(C, H, W) -> (C, H, W), over the 3 x 3 neighbours that are inside."""
    result = np.empty_like(x)
    for i, j in np.ndindex(*x.shape[1:]):
        result[:, i, j] = pool(x[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2], axis=(1, 2))
    return result


def slow_layer(tensors: dict[str, Array], name: str, x: Array) -> Array:
    """(C, H, W) -> (O, H, W): convolution of the same size, BatchNorm, ReLU."""
    kernel, (weight, bias, mean, var) = tensors[f"{name}.conv.weight"], (tensors[f"{name}.bn.{p}"] for p in NORM)
    height, width = kernel.shape[2:]
    padded = np.pad(x, ((0, 0), (height // 2, height // 2), (width // 2, width // 2)))
    y = np.empty((len(kernel), *x.shape[1:]))
    for i, j in np.ndindex(*x.shape[1:]):
        y[:, i, j] = np.tensordot(kernel, padded[:, i : i + height, j : j + width], 3)
    normal = (y - mean[:, None, None]) / np.sqrt(var[:, None, None] + 0.001)
    return np.maximum(normal * weight[:, None, None] + bias[:, None, None], 0)


# Its weights.


@dataclass
class Server:
    """A file on a local web server, which may break off."""

    content: bytes
    published: PublishedWeights
    break_off_after: int | None = None
    """Bytes of an answer after which the connection ends."""
    seconds: float = 0.0
    """How long an answer takes."""
    num_requests: int = 0

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.num_requests += 1
        request.send_response(200)
        request.send_header("Content-Length", str(len(self.content)))
        request.end_headers()
        time.sleep(self.seconds)
        request.wfile.write(self.content[: self.break_off_after])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Where the file seems to lie, three MiB and a little, beside an empty cache."""
    monkeypatch.setattr(pooch, "os_cache", lambda _: tmp_path / "cache")
    served = Server(np.random.default_rng(0).bytes(3 * 2**20 + 7), FID_WEIGHTS)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        served.published = replace(
            FID_WEIGHTS,
            url=f"http://127.0.0.1:{listener.server_port}/weights.pth",
            sha256=hashlib.sha256(served.content).hexdigest(),
            num_bytes=len(served.content),
        )
        yield served
        listener.shutdown()


def files_beside(cached: Path) -> list[str]:
    """What lies in the cache, but for locks."""
    return sorted(path.name for path in cached.parent.iterdir() if path.suffix != ".lock")


def test_a_path_goes_before_the_cache_and_the_cache_before_the_download(server: Server, tmp_path: Path) -> None:
    cached = server.published.cached
    assert find_weights(server.published, None) == cached
    assert cached.read_bytes() == server.content
    assert files_beside(cached) == [cached.name]
    assert find_weights(server.published, None) == cached
    assert server.num_requests == 1
    own = tmp_path / "own.pth"
    own.write_bytes(b"x")
    assert find_weights(server.published, own) == own
    assert server.num_requests == 1


def test_a_path_to_nothing_is_an_error_and_no_download(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file") as raised:
        find_weights(server.published, tmp_path / "absent.pth")
    assert not isinstance(raised.value, WeightsUnavailable)
    assert server.num_requests == 0


def test_a_download_that_broke_off_leaves_nothing(server: Server) -> None:
    server.break_off_after = 2**20 + 5
    with pytest.raises(
        WeightsUnavailable, match=r"cannot download .* \(IncompleteRead\(1048581 bytes read, 2097154 more"
    ):
        find_weights(server.published, None)
    assert files_beside(server.published.cached) == []
    server.break_off_after = None
    assert find_weights(server.published, None).read_bytes() == server.content


@pytest.mark.parametrize("change", [lambda content: content[::-1], lambda content: content[1:] + bytes(10**6)])
def test_another_file_is_never_kept(server: Server, change: Change) -> None:
    server.content = change(server.content)
    with pytest.raises(WeightsUnavailable, match="the wrong checksum"):
        find_weights(server.published, None)
    assert files_beside(server.published.cached) == []


def test_a_damaged_cache_is_fetched_again(server: Server) -> None:
    cached = find_weights(server.published, None)
    cached.write_bytes(server.content[:-1])
    assert find_weights(server.published, None).read_bytes() == server.content


def test_the_download_is_seen(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with speaking():
        find_weights(server.published, None)
    assert "Inception weights, MiB 4/4" in capsys.readouterr().err


def test_a_caller_hears_nothing_of_a_download(
    server: Server, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", said.append)
    monkeypatch.setattr(pooch.get_logger(), "handlers", [handler])
    pooch.get_logger().setLevel("INFO")
    find_weights(server.published, None)
    assert server.published.cached.exists()
    assert said == []
    assert capfd.readouterr() == ("", "")


DOWNLOAD = """
import sys
from dataclasses import replace
from pathlib import Path
import pooch
from cxrgan.console import speaking
from cxrgan.evaluation.rulers.inception import FID_WEIGHTS
from cxrgan.evaluation.rulers.inception_weights import find_weights

url, sha256, folder = sys.argv[1:]
pooch.os_cache = lambda _: Path(folder)
with speaking():
    find_weights(replace(FID_WEIGHTS, url=url, sha256=sha256), None)
"""


def begin_download(published: PublishedWeights) -> "subprocess.Popen[str]":
    """In a process of its own."""
    command = [sys.executable, "-c", DOWNLOAD, published.url, published.sha256, str(published.cached.parent)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_of_two_processes_one_downloads_and_the_other_waits(server: Server) -> None:
    server.seconds = 3.0
    both = [begin_download(server.published) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert server.num_requests == 1
    assert server.published.cached.read_bytes() == server.content
    assert files_beside(server.published.cached) == [server.published.cached.name]
    assert sum("another process is downloading weights.pth" in error for error in errors) == 1


def test_a_download_that_was_killed_is_in_nobodys_way(server: Server) -> None:
    server.seconds = 30.0
    process = begin_download(server.published)
    while server.num_requests == 0:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert not server.published.cached.exists()
    server.seconds = 0.0
    assert find_weights(server.published, None).read_bytes() == server.content


def test_offline_the_message_says_how_to_get_them(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(server.published, url="http://127.0.0.1:9/weights.pth")
    monkeypatch.setattr(inception, "FID_WEIGHTS", gone)
    with pytest.raises(WeightsUnavailable, match="not computed: weights not available") as raised:
        load_inception()
    message = str(raised.value)
    assert all(part in message for part in (gone.url, "--inception-weights", str(gone.cached)))
    assert "\n" not in message
    assert "refused)" in message
    assert " object at 0x" not in message


def test_the_standard_file_has_its_name_and_no_warning(
    weights: Path, exact: Inception, recwarn: pytest.WarningsRecorder
) -> None:
    layout = exact.layout()
    with pytest.warns(UserWarning, match="is not the published file of inception-2015-12-05"):
        assert read_weights(FID_WEIGHTS, weights, layout).name == f"inception-sha256:{file_hash(weights)[:12]}"
    standard = replace(FID_WEIGHTS, sha256=file_hash(weights))
    assert read_weights(standard, weights, layout).name == "inception-2015-12-05"
    assert not recwarn.list


@pytest.mark.parametrize("published", [FID_WEIGHTS, IMAGENET_WEIGHTS])
def test_the_checksum_begins_as_the_file_name_ends(published: PublishedWeights) -> None:
    assert len(published.sha256) == 64
    assert published.sha256.startswith(published.cached.stem.rpartition("-")[2])


LAYOUT = {"a": torch.Size([2]), "b": torch.Size([3, 1])}
TENSORS = {"a": torch.tensor([1.0, 2.0]), "b": torch.ones(3, 1)}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_both_kinds_of_file_are_read_and_cut_off_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(TENSORS, path)
    torch.testing.assert_close(dict(read_weights(FID_WEIGHTS, path, LAYOUT).tensors), TENSORS)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="truncated"):
        read_weights(FID_WEIGHTS, path, LAYOUT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": None}, r"1 missing \(b\)"),
        ({"c": torch.ones(1)}, r"1 unexpected \(c\)"),
        ({"b": torch.ones(2, 1)}, r"b is \(2, 1\), not \(3, 1\)"),
        ({"a": torch.tensor([1.0, torch.nan])}, r"1 not finite \(a\)"),
    ],
)
def test_another_layout_is_refused_by_the_difference(
    tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    changed = {name: value for name, value in {**TENSORS, **change}.items() if value is not None}
    save_file(changed, tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match=message):
        read_weights(FID_WEIGHTS, tmp_path / "weights.safetensors", LAYOUT)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    torch.save({"a": Code()}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="contains more than tensors"):
        read_weights(FID_WEIGHTS, tmp_path / "weights.pth", LAYOUT)
    assert not (tmp_path / "ran").exists()
    torch.save([1, 2], tmp_path / "weights.pth")
    with pytest.raises(UserError, match="not a state dict"):
        read_weights(FID_WEIGHTS, tmp_path / "weights.pth", LAYOUT)
