"""Ways to compute RR-Net's edge layers: the same numbers, at different speeds.

`base` says what an engine is, `dgl_ops` is the plain one. `fused` is made of numba kernels:
`kernels` and `decoder_kernels` from the steps in `blocks`, these on the vectors of `lanes` and
`tiles`; wrapped for autograd in `functions`, on the edges as `edges` keeps them.
"""

from __future__ import annotations

from rrnet_cli.models.engines.base import Engine
from rrnet_cli.models.engines.dgl_ops import DGLEngine

NAMES = ("auto", "dgl", "fused")
"""What `choose` knows."""


def choose(name: str = "auto") -> Engine:
    """The engine of a name.

    ``auto`` is the fused one, or the plain one where numba does not work. The fused engine itself
    hands over to the plain one what is not on the CPU, or neither float32 nor float64.

    Raises:
        ValueError: None of `NAMES`.
        ImportError: ``fused``, and numba cannot be imported.
    """
    if name not in NAMES:
        raise ValueError(f"{name!r} is none of {', '.join(NAMES)}")
    if name == "dgl":
        return DGLEngine()
    try:
        from rrnet_cli.models.engines.fused import FusedEngine
    except (ImportError, RuntimeError) as error:  # RuntimeError: no place for compiled code
        if name == "auto":
            return DGLEngine()
        raise ImportError(f"numba does not work here: {error}") from error
    return FusedEngine()
