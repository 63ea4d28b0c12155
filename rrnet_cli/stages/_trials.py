"""Train the trials of a sweep, one after another here or some at a time in processes of their own.

Nothing heavy is imported with this module: a new process sets its number of threads first.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rrnet_cli import runtime
from rrnet_cli.errors import DivergedError, ResourceError
from rrnet_cli.progress import Reporter, SilentReporter
from rrnet_cli.settings import TrainSettings
from rrnet_cli.store.store import Store

_STOPPED = 128 + signal.SIGTERM

_stopping = threading.Event()
"""Set in a child that was told to end."""


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        graph: Full reference.
        name: Of the model.
    """

    settings: TrainSettings
    graph: str
    name: str


@dataclass(frozen=True)
class _Place:
    """What a process needs to open the same store."""

    root: Path
    verify: bool
    lock_timeout: float


def train_all(
    jobs: Sequence[Job],
    *,
    store: Store,
    processes: int,
    reporter: Reporter,
    done: Callable[[Job, str | None], None],
) -> None:
    """Train every job; interrupted ones go on from their checkpoints the next time.

    Args:
        jobs: What to train.
        store: Where the graph is and the models go.
        processes: How many at a time; 1 trains in this process.
        reporter: Progress of a single training; processes say nothing.
        done: Told of each one that ended, in the order in which they do: what is wrong with one
            that diverged, else None.

    Raises:
        RRNetError: The first failure that is no divergence; the other processes have ended.
        ResourceError: A process was killed.
    """
    processes = min(processes, len(jobs))
    if processes > 1:
        _in_processes(jobs, store, processes, done)
        return
    for job in jobs:
        done(job, _train(job, store, reporter))


def _train(job: Job, store: Store, reporter: Reporter) -> str | None:
    from rrnet_cli.stages import fitting
    from rrnet_cli.stages.train import train

    fitting.warm_up()
    try:
        train(job.settings, store=store, graph=job.graph, name=job.name, reporter=reporter)
    except DivergedError as error:
        return error.message
    return None


def _in_processes(
    jobs: Sequence[Job], store: Store, processes: int, done: Callable[[Job, str | None], None]
) -> None:
    place = _Place(store.root, store.verifies, store.lock_timeout)
    # spawn: a forked child of a process whose OpenMP threads have run hangs in its first loop
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        initializer=_enter_child,
        initargs=(runtime.threads_each(processes),),
    )
    try:
        with _deaf_children():
            futures = {pool.submit(_train_in_child, job, place): job for job in jobs}
            # the pool sees deaths only of processes that were there when it last got something
            pool.submit(os.getpid)
        for future in as_completed(futures):
            done(futures[future], future.result())
    except BaseException as error:
        for child in multiprocessing.active_children():
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise ResourceError(
                "the process of a trial was killed, mostly for want of memory",
                "run the same command again with fewer --jobs: finished trials are kept",
            ) from error
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes that start inside never hear Ctrl-C, which a terminal sends to all of them.

    It is for this process to end them, and one that is still importing would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _enter_child(threads: int) -> None:
    """Prepare a new process: threads, what SIGTERM does, and no life after its parent's."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    runtime.prepare()
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Unwind, so that locks and temporary folders are left in order; once is enough."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _stopping.set()
    raise SystemExit(_STOPPED)


def _train_in_child(job: Job, place: _Place) -> str | None:
    try:
        if not _stopping.is_set():
            store = Store(place.root, verify=place.verify, lock_timeout=place.lock_timeout)
            return _train(job, store, SilentReporter())
    except SystemExit:
        pass
    os._exit(_STOPPED)  # by an exception the pool would only go on to its next job
