"""Each world runs the tests of the frameworks that it has."""

import importlib.util
import os
import subprocess

import pytest

# Before any test imports TensorFlow: the same sums, however a buffer is aligned.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

collect_ignore = []
if importlib.util.find_spec("tensorflow") is None:
    collect_ignore += ["test_calibrate_tf1.py", "test_exported_models.py", "test_keras3.py", "test_keras_averages.py",
                       "test_keras_h5.py", "test_keras_moves.py", "test_keras_training.py", "test_random_tf_graphs.py",
                       "test_saved_models.py", "test_tf_bundle.py"]
if importlib.util.find_spec("torch") is None:
    collect_ignore += ["test_torch.py", "test_torch_averages.py"]


@pytest.fixture(autouse=True)
def every_report_follows_its_schema(monkeypatch):
    """Whatever report a test has the program print."""
    if importlib.util.find_spec("jsonschema") is None:
        return
    import schemas

    run = subprocess.run

    def checked(command, *arguments, **options):
        done = run(command, *arguments, **options)
        schemas.check_output(command, done.stdout)
        return done

    monkeypatch.setattr(subprocess, "run", checked)
