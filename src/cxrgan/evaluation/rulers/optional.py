"""Rulers of other people, behind extras and only on request: TorchXRayVision's DenseNet and RAD-DINO.

Both libraries fetch their weights on first use and keep them in caches of their own. TorchXRayVision's file is a
pickle, which its own code opens: ask for that ruler only where you trust it.
"""

import hashlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrgan.device import Device, choose_device
from cxrgan.errors import UserError

XRV_SIZE, RAD_DINO_SIZE = 224, 518  # pixels a side that they were trained at


class Backbone:
    """Somebody else's network as a `FeatureNetwork` with one tap."""

    main_tap = "features"

    def __init__(
        self, name: str, network: nn.Module, size: int, read: Callable[[Tensor], Tensor], device: Device
    ) -> None:
        """`read` takes (N, 1, size, size) float32 in [0, 255] to (N, D) by `network`, which is put on `device`."""
        self.name, self._size, self._read, self._device = name, size, read, choose_device(device)
        self.resize = f"antialiased bilinear to {size}"
        digest = hashlib.sha256(name.encode())
        for value in network.state_dict().values():
            digest.update(value.cpu().contiguous().numpy().data)
        self.sha256 = digest.hexdigest()
        network.to(self._device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """(N, 1, H, W) uint8 -> `features` (N, D) float32."""
        x = F.interpolate(images.to(self._device).float(), (self._size, self._size), mode="bilinear", antialias=True)
        return {"features": self._read(x).float()}


def load_xrv(*, device: Device = "cpu") -> Backbone:
    """TorchXRayVision's DenseNet-121 `densenet121-res224-all` (Cohen et al. 2022): (N, 1024), grey in [-1024, 1024]."""
    try:
        import torchxrayvision
    except Exception as error:  # without a fitting torchvision its import fails in many ways
        raise UserError(
            f"TorchXRayVision cannot be used ({error}); in the checkout, run: pip install '.[xrv]'"
        ) from error
    try:
        model = torchxrayvision.models.DenseNet(weights="densenet121-res224-all").eval()
    except Exception as error:  # a download inside the library
        raise UserError(f"TorchXRayVision's weights are not here and cannot be downloaded: {error}") from error

    def read(x: Tensor) -> Tensor:
        return F.relu(model.features((x / 127.5 - 1) * 1024)).mean((2, 3))

    return Backbone("torchxrayvision-densenet121-res224-all", model, XRV_SIZE, read, device)


def load_rad_dino(*, device: Device = "cpu") -> Backbone:
    """Microsoft's RAD-DINO (Perez-Garcia et al. 2024) through transformers: the class token, (N, 768)."""
    try:
        from transformers import AutoModel, BitImageProcessor
    except ImportError as error:
        raise UserError("RAD-DINO needs transformers; in the checkout, run: pip install '.[rad-dino]'") from error
    try:
        model = AutoModel.from_pretrained("microsoft/rad-dino").eval()
        processor = BitImageProcessor.from_pretrained("microsoft/rad-dino")
    except OSError as error:
        raise UserError("RAD-DINO's weights are not in the cache of transformers and cannot be downloaded") from error
    mean, std = processor.image_mean[0], processor.image_std[0]  # the three channels are alike

    def read(x: Tensor) -> Tensor:
        pooled: Tensor = model(((x / 255 - mean) / std).expand(-1, 3, -1, -1)).pooler_output
        return pooled

    return Backbone("rad-dino", model, RAD_DINO_SIZE, read, device)
