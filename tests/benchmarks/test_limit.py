"""What a step costs at least: the formulas against torch's own count and hand-made sums."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.shared import limit
from rrnet_cli.models.rrnet import RRNet, Shape
from tests.models.graphs import toy

UNITS = ("intra", "inter", "intra", "inter", "inter")
HIDDEN = 8


@pytest.mark.parametrize("with_right", [True, False])
@pytest.mark.parametrize("units", [UNITS, ("intra", "inter")], ids="-".join)
def test_operations_are_those_that_torch_counts(units: tuple[str, ...], with_right: bool) -> None:
    example = toy(3, with_right=with_right, dtype=torch.float32)
    inputs = example.inputs()
    net = RRNet(Shape.of(inputs), units, HIDDEN)
    with FlopCounterMode(display=False) as counter:
        net(inputs).sum().backward()
    nodes = {side: len(value) for side, value in example.raw.items()}
    sizes = limit.Sizes(
        nodes=nodes,
        widths={side: value.shape[1] for side, value in example.raw.items()},
        edges={name: len(src) for name, (src, _) in example.edges.items()},
        units=units,
        hidden=HIDDEN,
    )
    assert limit.step_flops(sizes) == counter.get_total_flops()


def test_bytes_are_those_of_a_ledger() -> None:
    sizes = limit.Sizes(
        {"left": 3, "right": 2}, {"left": 10, "right": 20}, {"inter": 7, "left": 5}, UNITS, HIDDEN
    )
    intra = ["encoder writes", "layer 1 reads", "writes", "layer 2 reads"]
    intra += ["layer 2 reads back", "writes a gradient"]
    intra += ["layer 1 reads back", "reads a gradient", "writes one", "encoder reads one"]
    inter = ["encoder writes", *["reads", "writes"] * 3, "decoder reads"]
    inter += ["decoder reads back", "writes a gradient"]
    inter += [*["reads back", "reads a gradient", "writes one"] * 3, "encoder reads one"]
    latents = len(intra) * 5 * HIDDEN + len(inter) * 7 * HIDDEN
    loss = 7 * len(["logit out", "logit in", "target in", "gradient out", "gradient in"])
    raw = 2 * (3 * 10 + 2 * 20)
    assert limit.step_bytes(sizes) == 4 * (latents + loss + raw)


def test_the_exponent_of_a_power_law_is_found() -> None:
    assert limit.growth_exponent([1, 10, 50], [3, 3 * 10**1.2, 3 * 50**1.2]) == (pytest.approx(1.2))
    # ys 0, 1, 5 at xs 0, 1, 2: not on a line; the slope of least squares is 2.5
    e = 2.718281828459045
    assert limit.growth_exponent([1, e, e**2], [1, e, e**5]) == pytest.approx(2.5)
    with pytest.raises(ValueError, match="two different"):
        limit.growth_exponent([5, 5], [1, 2])
