"""Each world runs the tests of the frameworks that it has."""

import importlib.util
import os

# Sums in one order, whichever test is the first to start TensorFlow.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

collect_ignore = []
if importlib.util.find_spec("tensorflow") is None:
    collect_ignore += ["test_calibrate_tf1.py", "test_exported_models.py", "test_keras3.py", "test_keras_averages.py",
                       "test_keras_h5.py", "test_keras_training.py", "test_random_tf_graphs.py", "test_saved_models.py",
                       "test_tf_bundle.py"]
if importlib.util.find_spec("torch") is None:
    collect_ignore += ["test_torch.py", "test_torch_averages.py"]
