import os
import pathlib
import subprocess

import pytest

from range_server import RangeServer

BINARY = os.environ["CKPT_BINARY"]
TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])

# Nothing of the machine's own: no proxies, no credentials.
CLEAN = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


class Run:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def all(self):
        return self.out + self.err


@pytest.fixture
def ckpt(tmp_path):
    home = tmp_path / "home"
    home.mkdir()

    def run(*arguments, env=None, stdin=None, folder=None):
        done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=100,
                              env={**CLEAN, "HOME": str(home), **(env or {})}, input=stdin, cwd=folder or tmp_path)
        return Run(done)

    run.home = home
    return run


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    with RangeServer(folder) as one:
        one.root = folder
        yield one
