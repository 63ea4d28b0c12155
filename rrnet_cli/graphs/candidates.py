"""Inter-edges: candidate pairs of the two modalities (paper Sec. III-B3).

Of all pairs only those of high initial confidence are kept (`top_candidates`), or the pairs that
somebody rated; all pairs are the paper's "naive way", fit for small data. Targets are written for
fit, hold and select alone: on edges of test instances and on unrated pairs they are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.graphs.edges import NONE, TEST, EdgeTable
from rrnet_cli.progress import Reporter, SilentReporter


@dataclass(frozen=True)
class Candidates:
    """Candidate labels of all instances, likeliest first.

    Attributes:
        index: (num_instances, k) int64 label ids.
        log_prob: (num_instances, k) float32, log-softmax of the prior over *all* labels.
    """

    index: NDArray[np.int64]
    log_prob: NDArray[np.float32]

    def to_edges(self, labels: NDArray[np.int64], roles: NDArray[np.int8]) -> EdgeTable:
        """Inter-edges instance -> label: target 1 on the true label, else 0; NaN under test.

        Args:
            labels: (num_instances,) int64 true label; not looked at where the role is test.
            roles: (num_instances,) int8.
        """
        num_instances, k = self.index.shape
        target = (self.index == labels[:, None]).astype(np.float32)
        target[roles == TEST] = np.nan
        return EdgeTable.build(
            np.repeat(np.arange(num_instances, dtype=np.int64), k),
            self.index.ravel(),
            weight=np.ones(num_instances * k, np.float32),
            prior=self.log_prob.ravel(),
            target=target.ravel(),
            role=np.repeat(roles.astype(np.int8), k),
        )


@dataclass(frozen=True)
class RatedPairs:
    """Ratings given, one row a (user, item) pair.

    Attributes:
        user, item: (num_ratings,) int64.
        rating: (num_ratings,) float32 on the raw scale; not looked at where the role is test.
        prior: (num_ratings,) float32 predicted rating.
        roles: (num_ratings,) int8.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float32]
    prior: NDArray[np.float32]
    roles: NDArray[np.int8]

    def to_edges(self) -> EdgeTable:
        """Inter-edges user -> item of the rated pairs; the target is the rating, NaN under test."""
        target = np.where(self.roles == TEST, np.float32(np.nan), self.rating)
        return EdgeTable.build(
            self.user,
            self.item,
            weight=np.ones(len(self.user), np.float32),
            prior=self.prior,
            target=target.astype(np.float32),
            role=self.roles.astype(np.int8),
        )


def top_candidates(
    logits: NDArray[np.float32], k: int, reporter: Reporter | None = None
) -> Candidates:
    """The `k` labels of highest prior for each instance; equal logits: the lower label id.

    Args:
        logits: (num_instances, num_labels) prior logits.
        k: Candidates an instance; clamped to num_labels with a note.
        reporter: Told when `k` is clamped.

    Raises:
        ConfigError: `k` is below 1.
        InputError: NaN or Inf in the logits; names the first row.
    """
    if k < 1:
        raise ConfigError(f"k of candidates must be at least 1, not {k}")
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise InputError(f"prior logits have shape {logits.shape}, not (instances, labels)")
    bad = ~np.isfinite(logits).all(axis=1)
    if bad.any():
        raise InputError(
            f"prior logits, row {int(bad.argmax())}: NaN or Inf", "Extract the features again."
        )
    num_labels = logits.shape[1]
    if k > num_labels:
        (reporter or SilentReporter()).note(
            f"candidates: k = {k} clamped to {num_labels}, there are {num_labels} labels"
        )
        k = num_labels
    index = np.argsort(-logits, axis=1, kind="stable")[:, :k].astype(np.int64)
    return Candidates(index, np.take_along_axis(log_softmax(logits), index, axis=1))


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-probabilities over the labels, computed in float64; never -Inf.

    Args:
        logits: (num_instances, num_labels), finite.
    """
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.maximum(shifted, np.finfo(np.float32).min).astype(np.float32)


def all_rating_edges(pairs: RatedPairs, prior: NDArray[np.float32]) -> EdgeTable:
    """Inter-edges from every user to every item; pairs that nobody rated have role none.

    Args:
        pairs: The rated ones, which keep their own prior, target and role.
        prior: (num_users, num_items) float32 predicted ratings.

    Raises:
        InputError: An id outside the matrix, or a pair rated twice.
    """
    num_users, num_items = prior.shape
    rated = pairs.to_edges()
    rated.check_ids(num_users, num_items, where="ratings")
    dst, src = np.divmod(np.arange(num_users * num_items, dtype=np.int64), max(num_users, 1))
    target = np.full(len(src), np.nan, np.float32)
    role = np.full(len(src), NONE, np.int8)
    priors = np.ascontiguousarray(prior.T, dtype=np.float32).ravel()
    position = rated.dst * num_users + rated.src
    priors[position], target[position], role[position] = (
        rated["prior"],
        rated["target"],
        rated["role"],
    )
    weight = np.ones(len(src), np.float32)
    return EdgeTable(src, dst, {"weight": weight, "prior": priors, "target": target, "role": role})
