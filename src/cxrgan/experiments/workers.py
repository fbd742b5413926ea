"""Tasks in processes of their own: on this machine, or spread over a Ray cluster."""

import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection, get_context, parent_process, resource_tracker
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol

from cxrgan.errors import RunError, UserError

Task = Callable[[], None]
"""Something that can be sent to another process: a function of a module, or a partial of one."""


class Workers(Protocol):
    """Where tasks are done."""

    def run(self, task: Task) -> None:
        """Do `task` elsewhere and wait for its end; may be called from several threads.

        Returns at once after `stop`. RunError when the process of the task died.
        """

    def stop(self) -> None:
        """Ask what runs to save and end, as SIGTERM does."""


class Processes:
    """A new process of this machine for each task; `jobs` at once share its cores."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()
        self._running: list[SpawnProcess] = []
        self._stopping = False

    def run(self, task: Task) -> None:
        process = get_context("spawn").Process(target=_work, args=(task, self._jobs))
        with self._lock:
            if self._stopping:
                return
            _start_deaf_to_ctrl_c(process)
            self._running.append(process)
        process.join()
        if process.exitcode and not self._stopping:
            raise RunError(f"its process ended with status {process.exitcode} (-9: killed, often for want of memory)")

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            for process in self._running:
                process.terminate()


def _start_deaf_to_ctrl_c(process: SpawnProcess) -> None:
    """A signal to the whole group reaches the child too; with the parent's `stop` that makes two, which end a run
    unsaved. Once it works the child is a group of its own; until then it must not hear Ctrl-C.

    Windows has no masks: there Ctrl-C does what it does.
    """
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # its start clears the mask
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    process.start()


def _work(task: Task, jobs: int) -> None:
    if hasattr(os, "setsid"):
        os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if jobs > 1:
        import torch

        os.environ["TERM"] = "dumb"  # several live bars would write over each other
        torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    task()


def _end_with_parent() -> None:
    """A killed parent sends nothing; its children then save and end by themselves."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


class RayCluster:
    """The cluster that RAY_ADDRESS names, else one on this machine; every node sees the same files under the same path.

    A task gets a GPU where the cluster has any, and as many cores as let `jobs` run at once.
    """

    def __init__(self, jobs: int) -> None:
        try:
            import ray
        except ImportError:
            raise UserError("Ray is not installed: in the checkout, pip install '.[ray]'") from None
        self._ray = ray
        if not ray.is_initialized():
            ray.init(logging_level="warning")
        total = ray.cluster_resources()
        of_a_node = max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])
        cores = max(1, int(min(of_a_node, total.get("CPU", 1) // jobs)))
        self._remote = ray.remote(num_cpus=cores, num_gpus=min(1, total.get("GPU", 0)), max_retries=0)(_call)
        self._running: list[Any] = []
        self._stopping = False

    def run(self, task: Task) -> None:
        if self._stopping:
            return
        reference = self._remote.remote(task)
        self._running.append(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            if not self._stopping:
                raise RunError(f"its Ray worker failed: {str(error).splitlines()[0]}") from error

    def stop(self) -> None:
        self._stopping = True
        for reference in self._running:
            self._ray.cancel(reference)


def _call(task: Task) -> None:
    task()
