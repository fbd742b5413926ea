"""`cxrgan train-domain`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cxrgan.device import Precision
from cxrgan.errors import UserError
from cxrgan.evaluation.rulers import DomainName
from cxrgan.lines import say


@dataclass(frozen=True)
class TrainDomain:
    """Train a chest X-ray network that metrics are measured with; this is how the shipped ones were made."""

    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """A dataset folder of the Kermany (Kaggle) set, whose file names give the classes; 128 pixels is best."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The weights to write (.safetensors), with their provenance beside them (.json)."""
    name: DomainName = "cxr-domain-v1"
    """Which network: its architecture, and which patients are held out."""
    epochs: int = 20
    """Passes over the training images."""
    seed: int = 0
    """Decides the first weights, the order of the images and their augmentation."""
    precision: Precision = "auto"
    """`auto` uses bf16 autocast if the hardware multiplies in bf16, otherwise fp32."""

    def run(self) -> int:
        from cxrgan.evaluation.rulers.train import DomainConfig, train_domain

        for file in (self.out, self.out.with_suffix(".json")):
            if file.exists() or self.out.suffix != ".safetensors":
                raise UserError(f"--out {file}: name a new file that ends in .safetensors; nothing is overwritten")
        config = DomainConfig(name=self.name, epochs=self.epochs, seed=self.seed, precision=self.precision)
        test = train_domain(self.data, self.out, config)["test"]
        say(f"test AUC: pneumonia {test['auc_pneumonia']:.3f}, mean of the classes {test['auc_macro']:.3f}")
        say(f"weights in {self.out}, provenance in {self.out.with_suffix('.json')}")
        return 0
