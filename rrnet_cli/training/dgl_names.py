"""The private names of DGL 2.1.0 that several servers on one host and a checkpoint need.

DGL 2.1.0 is the one version that is supported; nothing else of ours reads or replaces such names.
"""

from __future__ import annotations

from typing import Any

from dgl.distributed import dist_context, kvstore, rpc_client


def be_host(prefix: str, index: int) -> None:
    """Let this process be on a host of its own, whatever runs beside it.

    Args:
        prefix: Before the name of all shared memory of node and edge data.
        index: Of the part whose server is this process's own.
    """
    # The name of shared memory is that of the data alone: the tensors of a second server, or of a
    # second run, on the same machine would be written over the first one's.
    empty = kvstore.empty_shared_mem
    kvstore.empty_shared_mem = lambda name, *how: empty(f"{prefix}.{name}", *how)
    # A client finds its own server by the machine's address, which several parts may have.
    rpc_client.get_local_machine_id = lambda namebook: index


def keep_tensors() -> None:
    """Leave distributed tensors to the end of the servers.

    Their deletion is a barrier of all clients, and Python's collector deletes when it likes: they
    would wait for each other in different orders. Where DGL is not initialised nothing is deleted.
    """
    dist_context.set_initialized(False)


def adam_state(optimizer: Any, embedding: Any) -> tuple[Any, ...]:
    """Steps, means and mean squares that `SparseAdam` keeps, as distributed tensors.

    The public `local_state_dict` is of a trainer's own rows, numbered as in the parts.
    """
    state: tuple[Any, ...] = optimizer._state[embedding.name]
    return state
