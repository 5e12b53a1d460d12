"""A cluster of two workers, each a process of its own; CKPT_BINARY is the program, CKPT_FILES how many checkpoints."""
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "integrations" / "spark"), str(ROOT / "tests" / "page")]
os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

import made_network  # noqa: E402
import two_workers  # noqa: E402

FILES = int(os.environ.get("CKPT_FILES", "1000"))


@pytest.fixture(scope="session")
def spark():
    with two_workers.session() as spark:
        yield spark


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture(scope="session")
def zoo(folder):
    """path -> what is found: "clean", "errors" (a NaN) or "unreadable"."""
    return two_workers.make_zoo(folder / "files", FILES, made_network)


@pytest.fixture(scope="session")
def program():
    return os.environ["CKPT_BINARY"]


@pytest.fixture(scope="session")
def few(zoo):
    return dict(sorted(zoo.items())[:60])


@pytest.fixture
def paths(spark, zoo):
    return spark.createDataFrame([(path,) for path in zoo], "path string")


@pytest.fixture
def few_paths(spark, few):
    return spark.createDataFrame([(path,) for path in few], "path string")
