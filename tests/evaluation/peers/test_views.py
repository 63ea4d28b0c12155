from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation.peers import views
from rrnet_cli.progress import SilentReporter
from tests.evaluation.peers.data import class_data


def test_views_are_the_averaged_answers_and_nothing_else() -> None:
    data = class_data()
    prob = np.random.default_rng(0).dirichlet(np.ones(3), len(data.labels))
    given = replace(data, log_views=np.log(prob).astype(np.float32))
    np.testing.assert_allclose(views.fit(given, {}, 0, SilentReporter()), prob, rtol=1e-5)


def test_one_view_is_refused() -> None:
    with pytest.raises(ConfigError, match="several views"):
        views.fit(class_data(), {}, 0, SilentReporter())
