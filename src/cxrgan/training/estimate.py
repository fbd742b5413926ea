"""What a run costs, before it is made: the answer to `cxrgan train --dry-run`."""

from dataclasses import dataclass

from cxrgan.console import duration
from cxrgan.data.dataset import Dataset
from cxrgan.device import peak_memory
from cxrgan.models.build import build_discriminator, build_generator
from cxrgan.recipes.config import TrainConfig
from cxrgan.training.budget import Timing, disk_of, time_run
from cxrgan.training.feed import Residency, residency
from cxrgan.training.flops import step_flops
from cxrgan.training.loop import Evaluator


@dataclass(frozen=True)
class Estimate:
    """What one run would take."""

    config: TrainConfig
    num_images: int
    num_generator: int
    """Parameters."""
    num_discriminator: int
    flops: float
    """Of a step, as `step_flops` counts."""
    timing: Timing
    where: Residency
    memory: int
    """Bytes at the peak of the steps that were timed; 0 where that is not known."""

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.config.num_steps(self.num_images)

    @property
    def disk(self) -> int:
        """Bytes that the run folder will have."""
        return disk_of(self.config, self.num_images, self.steps, self.timing.checkpoint)

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.steps * self.timing.each

    def __str__(self) -> str:
        config, timing = self.config, self.timing
        memory = f"{self.memory / 1e9:,.2f} GB at the peak" if self.memory else "not known on this machine"
        lines = {
            "length": f"{self.steps:,} steps of {config.batch_size} of {self.num_images:,} images, "
            f"{config.model.image_size} x {config.model.image_size} pixels",
            "networks": f"{self.num_generator:,} parameters in G, {self.num_discriminator:,} in D",
            "compute": f"{self.flops / 1e9:,.1f} GFLOP a step, {self.steps * self.flops / 1e15:,.2f} PFLOP in all",
            "memory": f"{memory}, on {config.device}",
            "images": str(self.where),
            "disk": f"{self.disk / 1e6:,.0f} MB",
            "time": f"{timing.step:.3f} s a step in {config.precision} on {config.device} "
            f"({self.flops / timing.step / 1e9:,.0f} GFLOP/s); {duration(self.seconds)} with all that is drawn, saved "
            "and measured between",
        }
        return "\n".join(f"{name:9} {text}" for name, text in lines.items())


def estimate(config: TrainConfig, dataset: Dataset, evaluator: Evaluator | None = None) -> Estimate:
    """Count what a run does, and time its first steps; they are thrown away, and nothing is left behind.

    `config` is `training.loop.resolved`. On a CPU the memory is that of the whole process, and so the highest there
    ever was in it.
    """
    where = residency(dataset, config.device)
    timing = time_run(config, dataset, evaluator)
    memory = peak_memory(config.device)  # before the rest could add to it
    networks = build_generator(config.model), build_discriminator(config.model)
    num_generator, num_discriminator = (sum(each.numel() for each in network.parameters()) for network in networks)
    return Estimate(config, len(dataset), num_generator, num_discriminator, step_flops(config), timing, where, memory)
