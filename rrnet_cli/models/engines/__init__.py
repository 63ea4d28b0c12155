"""Ways to compute RR-Net's edge layers: the same numbers, at different speeds.

`base` says what an engine is, `reference` is the plain one, in torch alone, and `dgl_ops` the same
by DGL's operations. `fused` is made of numba kernels:
`kernels` and `decoder_kernels` from the steps in `blocks`, these on the vectors of `lanes` and
`tiles`, by `rrnet_cli.compiled`; wrapped for autograd in `functions`, on the edges as `edges`
keeps them.
"""

from __future__ import annotations

import torch

from rrnet_cli.models.engines.base import Engine
from rrnet_cli.models.engines.dgl_ops import DGLEngine
from rrnet_cli.models.engines.reference import ReferenceEngine

NAMES = ("auto", "dgl", "fused", "reference")
"""What `choose` knows."""


def choose(name: str = "auto", storage: torch.dtype | None = None) -> Engine:
    """The engine of a name.

    Args:
        name: One of `NAMES`.
        storage: What edge attributes are kept in between layers; see `base.Keeper`.

    ``auto`` is the fused one, or that of DGL where numba does not work. The fused engine itself
    hands over to DGL's what is neither float32 nor float64, and to the reference what is not on the
    CPU.

    Raises:
        ValueError: None of `NAMES`.
        ImportError: ``fused``, and numba does not work.
    """
    if name not in NAMES:
        raise ValueError(f"{name!r} is none of {', '.join(NAMES)}")
    if name == "dgl":
        return DGLEngine(storage)
    if name == "reference":
        return ReferenceEngine(storage)
    try:
        return _fused(storage)
    except ImportError:
        if name == "fused":
            raise
        return DGLEngine(storage)


def why_plain(name: str) -> str | None:
    """Why `choose` does not give the fused engine where it would; None where it does, or need not.

    Args:
        name: One of `NAMES`.
    """
    if name != "auto":
        return None
    try:
        _fused(None)
    except ImportError as error:
        return str(error)
    return None


def _fused(storage: torch.dtype | None) -> Engine:
    try:
        from rrnet_cli.models.engines.fused import FusedEngine
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        # No place for compiled code is a RuntimeError, LLVM's library that cannot be loaded an
        # OSError, another version's internals an AttributeError.
        raise ImportError(f"numba does not work here: {error}") from error
    return FusedEngine(storage)
