"""Remember the last answer of a costly function: points of a grid often share their first half."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from numpy.typing import NDArray

from rrnet_cli.evaluation.peers.base import ClassData

Result = TypeVar("Result")


def remember_last(
    function: Callable[[ClassData, float], Result],
) -> Callable[[ClassData, float], Result]:
    """Wrap a function of data and one number; asked the same again, it answers at once.

    "The same" is the same feature and label arrays (identity, not value; arrays of `ClassData` are
    never written to) and an equal number. Only the last answer is kept, and no array of the data.
    """
    asked: list[tuple[weakref.ref[NDArray[Any]], weakref.ref[NDArray[Any]], float]] = []
    answer: list[Result] = []

    @wraps(function)
    def remembered(data: ClassData, number: float) -> Result:
        if asked:
            features, labels, last = asked[0]
            if features() is data.features and labels() is data.labels and last == number:
                return answer[0]
        result = function(data, number)
        asked[:] = [(weakref.ref(data.features), weakref.ref(data.labels), number)]
        answer[:] = [result]
        return result

    return remembered
