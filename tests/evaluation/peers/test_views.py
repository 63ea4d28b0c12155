from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation.peers import views
from rrnet_cli.progress import SilentReporter
from tests.evaluation.peers.data import class_data, fit


def test_views_are_the_averaged_answers_and_nothing_else() -> None:
    data = class_data()
    prob = np.random.default_rng(0).dirichlet(np.ones(3), len(data.labels))
    given = replace(data, log_views=np.log(prob).astype(np.float32))
    np.testing.assert_allclose(views.fit(given, {}, 0, SilentReporter()), prob, rtol=1e-5)


@pytest.mark.parametrize("name", ["correct-and-smooth", "tip-adapter"])
def test_what_corrects_the_baseline_starts_from_its_answer_over_all_views(name: str) -> None:
    """As RR-Net does."""
    one, other = class_data(0), class_data(1)
    both = replace(one, log_views=other.log_prior)
    alone = replace(one, log_prior=other.log_prior)
    np.testing.assert_array_equal(fit(name, both), fit(name, alone))
    assert not np.array_equal(fit(name, both), fit(name, one))


def test_one_view_is_refused() -> None:
    with pytest.raises(ConfigError, match="several views"):
        views.fit(class_data(), {}, 0, SilentReporter())
