"""How near a generated image lies to its nearest training image, beside how near these lie to each other.

For a glance at one image. Whether a generator copies is what `audit` answers, with its power and its false alarms.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrgan.data.dataset import load_dataset
from cxrgan.errors import UserError
from cxrgan.evaluation.features import cache_folder, compute, extract
from cxrgan.evaluation.metrics import Float64
from cxrgan.evaluation.rulers import DomainName
from cxrgan.evaluation.rulers.domain import load_domain
from cxrgan.evaluation.rulers.network import FeatureNetwork
from cxrgan.generation.shipped import GENERATORS, REFERENCES, read_reference
from cxrgan.runs.folder import RunFolder

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAP = "features"
MOST_COMPARED = 2000  # training images whose own nearest ones are looked for
ROWS = 256  # that are compared at once
NETWORK: DomainName = "cxr-domain-v1"


@dataclass(frozen=True)
class Nearest:
    """Of one generated image."""

    distance: float
    """To its nearest training image, in units of the network's features."""
    share_nearer: float
    """Of the training images, those that have another training image nearer than that."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The training images of a generator, in the features of a network."""

    network: FeatureNetwork
    centre: Float64
    """(D,), the mean of their features."""
    train: Float64
    """(T, D), their features less `centre`."""
    among_train: Float64
    """Distances of training images, at most `MOST_COMPARED`, to their nearest other one, ascending."""

    def of(self, image: "NDArray[np.uint8]") -> Nearest:
        """(M, M) uint8, of the size that the training images had."""
        features = compute(self.network, image[None])[TAP] - self.centre
        distance = float(np.sqrt(_squared_distances(features, self.train).min().clip(0)))
        return Nearest(distance, float(np.searchsorted(self.among_train, distance)) / len(self.among_train))


def neighbours(network: FeatureNetwork, features: "NDArray[np.float32]") -> Neighbours:
    """From the features (T, D) of the training images, at least two."""
    if len(features) < 2:
        raise UserError("there is only one training image, and so nothing to compare its distance with")
    centre = features.mean(0, dtype=np.float64)
    train = features - centre
    few = np.random.default_rng(0).permutation(len(train))[:MOST_COMPARED]
    return Neighbours(network, centre, train, np.sort(_to_others(train, few)))


def neighbours_of(run: str | RunFolder) -> Neighbours:
    """Those of a shipped generator, from the features that come with it, or of a run, from its dataset.

    UserError where the dataset is gone, or is another by now. The first time takes minutes for large datasets.
    """
    network = load_domain(NETWORK)
    if isinstance(run, str):
        reference = read_reference(dict(zip(GENERATORS, REFERENCES, strict=True))[run])
        return neighbours(network, reference.features[network.sha256][TAP])
    info = run.read_info()
    if not Path(info.data).exists():
        raise UserError(f"the training images are no longer at {info.data}")
    dataset = load_dataset(info.data)
    if info.other_data(sha256=dataset.sha256, identity=dataset.identity):
        raise UserError(f"{info.data} holds other images by now than the run was trained on")
    return neighbours(network, extract(network, dataset.images, cache=cache_folder())[TAP])


def _to_others(train: Float64, rows: "NDArray[np.int64]") -> Float64:
    """The distance of each of some training images to the nearest other one."""
    found = []
    for first in range(0, len(rows), ROWS):
        some = rows[first : first + ROWS]
        squared = _squared_distances(train[some], train)
        squared[np.arange(len(some)), some] = np.inf
        found.append(squared.min(1).clip(0))
    return np.asarray(np.sqrt(np.concatenate(found)))


def _squared_distances(of: Float64, among: Float64) -> Float64:
    """(N, D) and (M, D) -> (N, M)."""
    norms = np.einsum("nd,nd->n", of, of)[:, None] + np.einsum("nd,nd->n", among, among)
    return np.asarray(norms - 2 * of @ among.T)
