"""The networks that metrics are measured with, by name; and why some are not here."""

from collections.abc import Sequence
from pathlib import Path

from cxrgan.device import Device
from cxrgan.errors import UserError
from cxrgan.evaluation.rulers import Ruler
from cxrgan.evaluation.rulers.network import FeatureNetwork


def load_networks(
    rulers: Sequence[Ruler],
    *,
    inception_weights: Path | None = None,
    imagenet_weights: Path | None = None,
    exact: bool = False,
    device: Device = "auto",
) -> tuple[list[FeatureNetwork], dict[Ruler, str]]:
    """The networks of `rulers` that can be had here, on `device`, and for each that cannot the reason.

    A file of weights that the user named must be right: what is wrong with it is a UserError.
    """
    files = {"inception": inception_weights, "inception-imagenet": imagenet_weights}
    networks: list[FeatureNetwork] = []
    missing: dict[Ruler, str] = {}
    for ruler in rulers:
        file = files.get(ruler)
        try:
            networks.append(_load(ruler, file, exact, device))
        except UserError as error:
            if file is not None:
                raise
            missing[ruler] = str(error)
    return networks, missing


def _load(ruler: Ruler, file: Path | None, exact: bool, device: Device) -> FeatureNetwork:
    match ruler:
        case "domain":
            from cxrgan.evaluation.rulers.domain import load_domain

            return load_domain("cxr-domain-v1", device=device)
        case "domain-v2":
            from cxrgan.evaluation.rulers.domain import load_domain

            return load_domain("cxr-domain-v2", device=device)
        case "inception":
            from cxrgan.evaluation.rulers.inception import load_inception

            return load_inception(file, exact=exact, device=device)
        case "inception-imagenet":
            from cxrgan.evaluation.rulers.imagenet import load_imagenet

            return load_imagenet(file, exact=exact, device=device)
        case "xrv":
            from cxrgan.evaluation.rulers.optional import load_xrv

            return load_xrv(device=device)
        case "rad-dino":
            from cxrgan.evaluation.rulers.optional import load_rad_dino

            return load_rad_dino(device=device)
