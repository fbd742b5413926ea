"""Steps on an NVIDIA GPU as CUDA graphs: all kernels of both turns recorded once, then started by one call.

A graph knows tensors by their place in memory and Python not at all: whatever differs from step to step is in the batch
(`Batch`, copied to where the recording reads it) or in tensors that stay where they are (weights, rates). Steps of
different kinds, such as those with a gradient penalty, have graphs of their own.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from cxrgan.console import note, warn
from cxrgan.recipes.config import TrainConfig
from cxrgan.training.distributed import Processes
from cxrgan.training.draws import Batch

Result = TypeVar("Result")
Play = Callable[[Batch], Tensor]

CLOSE = 0.05  # of what a step changes: sums in another order turn the sign of a tiny gradient, and so Adam's step


class Recorder(Protocol):
    """What records work on a device."""

    def warm(self, work: Callable[[], Result]) -> Result:
        """Do work where it will be recorded, so that its kernels are set up."""

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """What does the work once more, and where its result will be then."""


class CudaRecorder:
    """Records CUDA graphs; all share their memory, since they are never done at the same time."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()

    def warm(self, work: Callable[[], Result]) -> Result:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = work()
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.stream(self._stream),  # which a recording that fails would not leave again
            torch.cuda.graph(graph, self._pool, self._stream, "thread_local"),  # images are read in another thread
        ):
            result = work()
        return graph.replay, result


def can_record(config: TrainConfig, device: torch.device, processes: Processes) -> bool:
    """Whether steps can be CUDA graphs: on one GPU, and with settings that no recording would freeze."""
    if device.type != "cuda" or processes.size > 1:
        return False
    if config.final_beta2 is not None:
        note("Without CUDA graphs, which cannot change Adam's beta2 from step to step (final_beta2)")
        return False
    return True


class Graphs:
    """Callable that does what `Step.play` does, recorded the second time that a kind of step comes.

    What a recording comes to is compared once with the step itself; where it differs, or cannot be made, all goes on
    without recordings, which is said once.
    """

    def __init__(self, play: Play, state: Callable[[], list[Tensor]], recorder: Recorder) -> None:
        """`state` gives all tensors that a step changes, once the first step is done."""
        self._play, self._state, self._recorder = play, state, recorder
        self._replays: dict[object, Play | None] = {}
        self._has_given_up = False

    def __call__(self, batch: Batch) -> Tensor:
        kind = tuple(None if part is None else part.shape for part in batch)
        if self._has_given_up or kind not in self._replays:  # the first makes Adam's state, and compiles
            self._replays[kind] = None
            return self._play(batch)
        replay = self._replays[kind]
        return replay(batch) if replay else self._first(kind, batch)

    def _first(self, kind: object, batch: Batch) -> Tensor:
        """This step by itself and by a recording that is made of it: the latter's result, if it is the same."""
        state = self._state()
        before = _copies(state)
        expected = self._recorder.warm(lambda: self._play(batch))
        after = _copies(state)
        try:
            replay = self._record(batch)
            torch._foreach_copy_(state, before)
            result = replay(batch)
            trouble = "" if _are_close([expected, *after], [result, *state], before) else "it comes to other numbers"
        except RuntimeError as error:
            trouble = str(error).splitlines()[0]
        if not trouble:
            self._replays[kind] = replay
            return result
        warn(f"a step cannot be a CUDA graph here ({trouble}); continuing without, which is slower")
        self._has_given_up = True
        self._replays.clear()
        torch._foreach_copy_(state, after)
        return expected

    def _record(self, batch: Batch) -> Play:
        fixed = batch._replace(**{name: part.clone() for name, part in batch._asdict().items() if part is not None})
        again, result = self._recorder.record(lambda: self._play(fixed))
        inputs = [part for part in fixed if part is not None]

        def replay(batch: Batch) -> Tensor:
            for place, part in zip(inputs, (part for part in batch if part is not None), strict=True):
                place.copy_(part)
            again()
            return result.clone()

        return replay


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.clone() for tensor in tensors]


def _are_close(expected: Sequence[Tensor], found: Sequence[Tensor], before: Sequence[Tensor]) -> bool:
    """Whether the logged values agree, and what changed (the rest) changed alike; NaN equals NaN."""
    if not torch.allclose(expected[0], found[0], rtol=CLOSE, atol=1e-6, equal_nan=True):
        return False
    triples = list(zip(expected[1:], found[1:], before, strict=True))
    apart = torch.stack([(a.double() - b.double()).norm() for a, b, _ in triples])
    moved = torch.stack([(a.double() - c.double()).norm() for a, _, c in triples])
    return bool((apart <= CLOSE * moved).all())
