"""Which instances one machine of several takes on."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """Part `number` of `of` equal parts, each a run of whole batches.

    A network is applied to the same batches as without sharing, so it gives the same bits.

    Attributes:
        number: From 1.
        of: How many parts there are.
        batch: Instances a batch.
    """

    number: int
    of: int
    batch: int = 1

    def rows(self, total: int) -> slice:
        """Its rows of `total`; the parts cover all of them, none twice.

        Raises:
            ConfigError: There are fewer batches than parts.
        """
        batches = -(-total // self.batch)
        if batches < self.of:
            size = "" if self.batch == 1 else f" in batches of {self.batch}"
            raise ConfigError(
                f"{total:,} instances{size} cannot be shared out among {self.of} shards",
                f"use at most {batches}",
            )
        start, stop = (
            batches * part // self.of * self.batch for part in (self.number - 1, self.number)
        )
        return slice(start, min(stop, total))


def parse_share(text: str) -> tuple[int, int]:
    """``i/n`` to (i, n), 1 <= i <= n.

    Raises:
        ConfigError: Anything else.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    number, of = (int(part) for part in match.groups()) if match else (0, 0)
    if not 1 <= number <= of:
        raise ConfigError(f"--shard {text} is no shard", "write I/N, from 1/N to N/N")
    return number, of


def take(rows: NDArray[np.int64], share: Share | None) -> NDArray[np.int64]:
    """Those of some rows that a share has; all without one."""
    return rows if share is None else rows[share.rows(len(rows))]
