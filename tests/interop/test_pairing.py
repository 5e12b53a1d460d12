"""A sample of pairing_battery.py: nets that tempt a pairing by names or order, none of them folded wrongly."""

import os

import pytest

if os.environ.get("CKPT_WORLD", "") != "torch":
    pytest.skip("needs PyTorch", allow_module_level=True)

import pairing_harness as harness
import torch
from pairing_nets import NETS

EPSILON = 0.002
# By net and option, in a .pt: how many are folded at least, so that keeping all is no way to pass.
FOLDED = {
    ("in_order", "--pair-by-order"): 2,
    ("in_order", "--pair-by-name"): 2,
    ("equal_widths_everywhere", "--pair-by-order"): 4,
    ("equal_widths_everywhere", "--pair-by-name"): 4,
    ("grouped_by_kind", "--pair-by-name"): 2,
    ("sequential", "--pair-by-order"): 3,
    ("sequential", "--pair-by-name"): 3,
    ("sequential_of_blocks", "--pair-by-order"): 3,
    ("discriminator", "--pair-by-order"): 2,
    ("lists_of_convolutions_and_norms", "--pair-by-name"): 3,
}


@pytest.mark.parametrize("name", NETS)
def test_no_pair_is_wrong(name, tmp_path):
    torch.manual_seed(3)
    x = torch.randn(8, 3, 16, 16, dtype=torch.float64)
    net = harness.randomise(NETS[name]().double(), x, EPSILON, 7)
    for suffix in (".pt", ".safetensors"):
        source, target = tmp_path / ("in" + suffix), tmp_path / ("out" + suffix)
        harness.save(net, source)
        for option in ("--pair-by-order", "--pair-by-name"):
            record = harness.convert(os.environ["CKPT_BINARY"], source, target, option, "--epsilon", EPSILON)
            if suffix == ".pt":
                assert len(record["folded"]) >= FOLDED.get((name, option), 0)
            if record["folded"]:
                assert harness.error(net, record, target, x[:2]) < 1e-5, f"{suffix} {option}"
