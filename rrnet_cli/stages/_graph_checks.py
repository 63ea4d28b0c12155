"""What a graph is built from, checked: rows that belong together, ids, roles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import InputError
from rrnet_cli.graphs.columns import FIT, NONE, SELECT, TEST
from rrnet_cli.progress import Reporter


def check_rows(counts: dict[str, int], logits: NDArray[np.float32], axis: int) -> None:
    """Check that what describes the same nodes has as many rows.

    Raises:
        InputError: It has not.
    """
    wanted = logits.shape[axis] if logits.ndim == 2 else -1
    for what, count in counts.items():
        if count != wanted:
            raise InputError(
                f"{count} {what}, but prior logits of shape {logits.shape}",
                "Extract the features again.",
            )


def check_instances(
    ids: NDArray[Any],
    labels: NDArray[np.int64],
    roles: NDArray[np.int8],
    num_labels: int,
    reporter: Reporter,
) -> None:
    """Check ids, labels and roles of `instances.parquet`; all of (num_instances,).

    Raises:
        InputError: A rule is broken; names column and row.
    """
    where = "instances.parquet"
    check_ids(labels, num_labels, f"{where}: column 'label'")
    names, first = np.unique(ids, return_index=True)
    if len(names) < len(ids):
        row = int(np.setdiff1d(np.arange(len(ids)), first)[0])
        raise InputError(
            f"{where}: column 'id', row {row}: {ids[row]!r} is there twice",
            "An instance in two splits would leak its label.",
        )
    if (roles == NONE).any():
        raise InputError(f"{where}: column 'role', row {int((roles == NONE).argmax())}: none")
    if num_labels < 2:
        raise InputError(f"there is {num_labels} label only: nothing to choose among")
    note_empty_roles(roles, "instances", reporter)


def check_ids(ids: NDArray[np.int64], count: int, what: str) -> None:
    """Check that ids are in 0..count - 1.

    Raises:
        InputError: One is not; names `what` and the first row.
    """
    bad = (ids < 0) | (ids >= count)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(f"{what}, row {row}: {ids[row]} is not in 0..{count - 1}")


def note_empty_roles(roles: NDArray[np.int8], what: str, reporter: Reporter) -> None:
    """Note a role that nobody has, except `fit`, which somebody must have.

    Raises:
        InputError: Nobody has it.
    """
    if not (roles == FIT).any():
        raise InputError(f"none of the {len(roles)} {what} has the role fit: nothing to learn from")
    for code, role in ((SELECT, "select"), (TEST, "test")):
        if not (roles == code).any():
            reporter.note(f"none of the {len(roles):,} {what} has the role {role}")
