"""The domain networks by name: a fresh one, the shipped ones, and one that `cxrgan train-domain` wrote."""

import hashlib
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from cxrgan.device import Device, choose_device
from cxrgan.errors import UserError
from cxrgan.evaluation.rulers import DomainName
from cxrgan.evaluation.rulers.domain_network import DomainNetwork
from cxrgan.evaluation.rulers.domain_v1 import DomainV1
from cxrgan.evaluation.rulers.domain_v2 import DomainV2
from cxrgan.files import write_bytes


def new_domain(name: DomainName) -> DomainNetwork:
    """A network with random weights, in training mode."""
    match name:
        case "cxr-domain-v1":
            return DomainV1()
        case "cxr-domain-v2":
            return DomainV2()


def load_domain(
    name: DomainName = "cxr-domain-v1", path: Path | None = None, *, device: Device = "cpu"
) -> DomainNetwork:
    """The shipped network, or one of its kind that was trained to `path`; in eval mode, float32, on `device`."""
    asset = files("cxrgan").joinpath("assets", f"{name}.safetensors") if path is None else path
    network = new_domain(name).eval().requires_grad_(False)
    network.fold()
    try:
        content = asset.read_bytes()
        network.load_state_dict(load(content))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f"cannot read the domain network {asset}: {error}") from error
    network.sha256 = hashlib.sha256(content).hexdigest()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(choose_device(device))


def save_domain(network: DomainNetwork, path: Path) -> str:
    """Write a folded network as float16, and return the SHA-256 of the file."""
    content = save({name: value.half().contiguous() for name, value in network.state_dict().items()})
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()
