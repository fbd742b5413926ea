"""Several processes that train one run together, as torchrun starts them: who has which images, and the same gradients.

Every process draws a step's random numbers for the whole batch and takes its share, so that the training is the same
whatever their number, up to the order of sums. Gradients are averaged by one exchange a network and step, and not by
DistributedDataParallel: a step asks D several times, and a gradient penalty differentiates twice, which it does not do.
"""

import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from cxrgan.console import speaking, warn
from cxrgan.device import Device, choose_device
from cxrgan.errors import RunError, UserError
from cxrgan.models.stable import BatchSpread
from cxrgan.recipes.config import TrainConfig

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

Batch = TypeVar("Batch", Tensor, "NDArray[Any]")

PATIENCE = timedelta(hours=1)  # for the others, who wait while the first measures; one that dies is noticed at once

_meetings = itertools.count()  # of this process with the others


class PeerLost(RunError):
    """Another process of the training is gone."""


@dataclass(frozen=True)
class Processes:
    """The processes that train a run, of which this one is number `rank` of `size`; the first also keeps the run."""

    rank: int = 0
    size: int = 1
    restarts: int | None = None
    """How often torchrun has started them anew, after one died; None where it did not start them."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """This process's share of a batch (B, ...): (B / size, ...).

        Each `size`-th, which leaves real and fake pairs, the first images of a batch, and the groups of `BatchSpread`,
        which it strides over the batch, what they are in the whole.
        """
        return batch[self.rank :: self.size]

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Make each tensor its mean over all processes, in place; they lie dense in memory and have one dtype."""
        if self.size == 1:
            return
        flat = torch.cat([_flat(tensor) for tensor in tensors])
        _add_up(flat)
        flat /= self.size
        torch._foreach_copy_([_flat(tensor) for tensor in tensors], flat.split([tensor.numel() for tensor in tensors]))

    def any(self, here: bool) -> bool:
        """Whether it is so in any process."""
        if self.size == 1:
            return here
        count = torch.tensor(float(here))  # on the CPU: nothing waits for a GPU
        _add_up(count)
        return bool(count)

    def wait(self) -> None:
        """Until all are here."""
        self.any(False)

    def of_first(self, value: float) -> float:
        """The value that the first process has."""
        if self.size == 1:
            return value
        shared = torch.tensor(value if self.is_first else 0.0, dtype=torch.float64)
        _add_up(shared)
        return float(shared)

    def once(self, work: Callable[[], object]) -> None:
        """Do `work` in the first process, while the others wait; where it fails, they end without a word."""
        failed = None
        if self.is_first:
            try:
                work()
            except Exception as error:
                failed = error
        has_failed = self.any(failed is not None)
        if failed is not None:
            raise failed
        if has_failed:
            raise SystemExit(1)


ALONE = Processes()
"""One process, as without torchrun."""


@contextlib.contextmanager
def joined(device: Device) -> Iterator[Processes]:
    """Join the processes that torchrun started, for training on `device`; `ALONE` where it started none.

    Each takes the GPU of its place on its machine. Only the first speaks; of what is wrong for all of a machine, the
    first there. UserError where the device cannot be shared out.
    """
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield ALONE
        return
    processes = Processes(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")))
    place = int(os.environ["LOCAL_RANK"])
    with contextlib.ExitStack() as stack:
        if not processes.is_first:
            stack.enter_context(speaking(False))
            stack.enter_context(warnings.catch_warnings(action="ignore"))
        try:
            if processes.size > 1:
                _join(processes, choose_device(device), place)
            yield processes
        except UserError as error:
            if place == 0 or isinstance(error, PeerLost):
                raise
            raise SystemExit(error.exit_status) from error
    if dist.is_initialized():  # not after an error: where a peer is gone, NCCL would wait for it
        dist.destroy_process_group()


def _join(processes: Processes, device: Device, place: int) -> None:
    if device == "mps":
        raise UserError("several processes cannot train on mps; use --device cpu, or a single process")
    if device == "cuda":
        wanted, there = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if wanted > there:
            raise UserError(
                f"torchrun started {wanted} processes here, but PyTorch finds {there} GPUs; "
                f"use --nproc-per-node {there}"
            )
        torch.cuda.set_device(place)  # which "cuda" means from now on
        if not dist.is_nccl_available():
            warn("this PyTorch has no NCCL; the GPUs exchange gradients by way of the CPU (gloo), which is slower")
    _meet(processes, "cpu:gloo,cuda:nccl" if device == "cuda" and dist.is_nccl_available() else "gloo")


def _meet(processes: Processes, backend: str) -> None:
    try:
        store, _, _ = next(rendezvous("env://"))
        # on one machine torchrun keeps its store, with the addresses of those before; over several, c10d has a new one
        alone_here = os.environ["LOCAL_WORLD_SIZE"] == os.environ["WORLD_SIZE"]
        meeting = f"{processes.restarts if alone_here else 0} {next(_meetings)}"
        dist.init_process_group(
            backend,
            store=PrefixStore(meeting, store),
            rank=processes.rank,
            world_size=processes.size,
            timeout=PATIENCE,
        )
    except RuntimeError as error:
        raise PeerLost(f"cannot reach the other processes: {str(error).splitlines()[0]}") from error


def check_together(config: TrainConfig, processes: Processes) -> None:
    """UserError unless a batch, and the images of a penalty, fall into equal shares of whole groups."""
    if processes.size == 1:
        return
    if config.compile:
        raise UserError("--compile has not been tried with several processes; leave it out, or start a single one")
    group = BatchSpread.GROUP if config.model.networks == "stable" else 1
    least = group * processes.size
    penalised = {"penalty_images": min(config.penalty_images, config.batch_size)} if config.gradient_penalty else {}
    for name, size in {"batch_size": config.batch_size, **penalised}.items():
        if size % least:
            groups = f" in whole groups of {group} images" if group > 1 else ""
            raise UserError(
                f"{name} is {size}, which {processes.size} processes cannot share equally{groups}; use a multiple of "
                f"{least}, such as --{name.replace('_', '-')} {size + -size % least}, or fewer processes"
            )


class SharedBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` over the batch of all processes together; differentiable twice, on any device."""

    def __init__(self, like: nn.BatchNorm2d, processes: Processes) -> None:
        super().__init__(like.num_features, like.eps, like.momentum, like.affine)
        self.load_state_dict(like.state_dict())
        self.processes = processes

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), the share of this process -> the same shape and dtype."""
        if not self.training:
            return super().forward(x)
        mean, variance = self._moments(x.float())
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        shift = -mean * scale
        if self.affine:
            shift = shift + self.bias
        return torch.addcmul(shift[:, None, None], x.float(), scale[:, None, None]).to(x.dtype)

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (C,) over the shares of all; the running ones move towards them."""
        own = torch.stack(torch.var_mean(x, (0, 2, 3), correction=0))
        places = torch.zeros(self.processes.size, 1, 1, dtype=own.dtype, device=own.device)
        places[self.processes.rank] = 1
        all_own: Tensor = _Sum.apply(places * own)  # type: ignore[no-untyped-call]  # (size, 2, C)
        variances, means = all_own.unbind(1)
        mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
        with torch.no_grad():
            num = x.numel() // x.shape[1] * self.processes.size
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (num / (num - 1)), self.momentum)
            self.num_batches_tracked += 1
        return mean, variance


def share_batch_norm(network: nn.Module, processes: Processes) -> None:
    """Make every BatchNorm of a network one over all processes, in place; its weights keep their names."""
    if processes.size == 1:
        return
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, SharedBatchNorm(child, processes))


class _Sum(torch.autograd.Function):
    """The sum over all processes. Each depends on it, so that its adjoint is the same sum."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        total = x.clone()
        _add_up(total)
        return total

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return _Sum.apply(grad)  # type: ignore[no-any-return, no-untyped-call]


def _add_up(tensor: Tensor) -> None:
    """Make a tensor its sum over all processes, in place."""
    try:
        dist.all_reduce(tensor)
    except RuntimeError as error:  # gloo's and NCCL's: the connection was closed, or nobody came
        raise _lost() from error


def _lost() -> PeerLost:
    return PeerLost("another process of this training has died, so this one has stopped")


def _flat(tensor: Tensor) -> Tensor:
    """A dense tensor's values as they lie in memory: without the copy that flattening channels-last takes."""
    return tensor.as_strided((tensor.numel(),), (1,))
