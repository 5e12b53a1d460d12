"""The pages of real runs, each made once; CKPT_BINARY is the program, CKPT_TESTDATA the test data."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import made_network  # noqa: E402
from browser import Browser  # noqa: E402

DATA = Path(os.environ["CKPT_TESTDATA"])
KERAS = DATA / "keras_h5" / "trained_functional_adam.h5"
HOSTILE = "</script><img src=x onerror=alert(1)><!--\u202egpj\u2028\x1b[2J&amp;\"'"


def hostile_network():
    tensors = made_network.network(3, channels=4)
    return {HOSTILE + name: value for name, value in tensors.items()}


class Pages:
    def __init__(self, folder):
        self.folder = folder
        write = made_network.write
        write(folder / "a.safetensors", made_network.network(40, faults=(7,)))
        write(folder / "b.safetensors", made_network.network(40, moved=1.0))
        write(folder / "large.safetensors", made_network.network(500, faults=(100, 300)))
        write(folder / "large_b.safetensors", made_network.network(500, moved=1.0))
        write(folder / "hostile.safetensors", hostile_network())
        made_network.run(folder / "runs" / "moving", 9)
        made_network.run(folder / "runs" / "stopped", 9, stopped_at=4)
        made_network.run(folder / "runs" / "broken", 9, broken_at=6)
        made_network.run(folder / "long", 12, batch_norms=500)
        made_network.run(folder / "hostile_run", 3, prefix=HOSTILE.replace("/", "\u2215"))
        bad = [str(DATA / "bad_values" / name) for name in ("good.npz", "nan_variance.npz", "looks_never_updated.npz")]
        a, b = str(folder / "a.safetensors"), str(folder / "b.safetensors")
        self.commands = {
            "audit": ["audit", a],
            "inspect": ["inspect", a],
            "many": ["audit", *bad, "no/such/file", a],
            "diff": ["diff", a, b],
            "convert": ["convert", "--bn", "fold", str(KERAS), str(folder / "served.h5")],
            "verify": ["verify", str(KERAS), str(folder / "served.h5")],
            "different": ["verify", str(DATA / "keras_h5/bn_conv_same_shift.h5"), str(DATA / "keras_h5/bn_conv_same_no_shift.h5")],
            "calibrate": ["calibrate", str(DATA / "tf1/resnet/trainable_only"), str(folder / "calibrated"), "--data",
                          str(DATA / "tf1/calibration/images.npz")],
            "large": ["audit", str(folder / "large.safetensors")],
            "large_diff": ["diff", str(folder / "large.safetensors"), str(folder / "large_b.safetensors")],
            "run": ["trend", str(folder / "runs" / "stopped")],
            "runs": ["trend", *(str(folder / "runs" / name) for name in ("moving", "stopped", "broken"))],
            "large_run": ["trend", str(folder / "long")],
            "hostile_run": ["trend", str(folder / "hostile_run")],
            "hostile": ["audit", str(folder / "hostile.safetensors")],
            "hostile_diff": ["diff", str(folder / "hostile.safetensors"), a],
        }

    def __getitem__(self, name):
        page = self.folder / f"{name}.html"
        if not page.exists():
            if name in ("verify",):
                self["convert"]
            command = [os.environ["CKPT_BINARY"], *self.commands[name], "-q", "--report", f"html:{page}"]
            run = subprocess.run(command, capture_output=True, text=True, timeout=120)
            assert run.returncode in (0, 1, 4), (command, run.stderr)
        return page


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    return Pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="session")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def show(browser, pages):
    tabs = []

    def show_(name, **how):
        tabs.append(browser.open(pages[name], **how))
        return tabs[-1]

    yield show_
    for tab in tabs:
        tab.close()
