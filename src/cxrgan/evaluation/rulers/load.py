"""The networks that metrics are measured with, by name; those that are not here become a row that says why."""

from collections.abc import Sequence
from pathlib import Path

from cxrgan.errors import UserError
from cxrgan.evaluation import Ruler
from cxrgan.evaluation.evaluate import Row, unavailable
from cxrgan.evaluation.features import FeatureNetwork
from cxrgan.training.recipes import Device


def load_networks(
    rulers: Sequence[Ruler],
    *,
    inception_weights: Path | None = None,
    imagenet_weights: Path | None = None,
    exact: bool = False,
    device: Device = "auto",
) -> tuple[list[FeatureNetwork], list[Row]]:
    """The networks of `rulers` that can be had here, on `device`, and a row for each that cannot.

    A file of weights that the user named must be right: what is wrong with it is a UserError.
    """
    files = {"inception": inception_weights, "inception-imagenet": imagenet_weights}
    networks: list[FeatureNetwork] = []
    missing: list[Row] = []
    for ruler in rulers:
        file = files.get(ruler)
        try:
            networks.append(_load(ruler, file, exact, device))
        except UserError as error:
            if file is not None:
                raise
            missing.append(unavailable(ruler, str(error)))
    return networks, missing


def _load(ruler: Ruler, file: Path | None, exact: bool, device: Device) -> FeatureNetwork:
    match ruler:
        case "domain":
            from cxrgan.evaluation.domain import load_domain

            return load_domain(device=device)
        case "inception":
            from cxrgan.evaluation.inception import load_inception

            return load_inception(file, exact=exact, device=device)
        case "inception-imagenet":
            from cxrgan.evaluation.imagenet import load_imagenet

            return load_imagenet(file, exact=exact, device=device)
        case "xrv":
            from cxrgan.evaluation.optional import load_xrv

            return load_xrv(device=device)
        case "rad-dino":
            from cxrgan.evaluation.optional import load_rad_dino

            return load_rad_dino(device=device)
