"""Calibrates Keras's ResNet50, random and never updated, and holds what is stored against float64 population statistics.

    python bench/calibrate_resnet50.py --ckpt build/release/ckpt [--images 8] [--size 64] [--memory 1GB] [--time-only]

The expected statistics are NumPy's, of the whole set as one batch, of what Keras's own layers in float64 yield, layer after
layer, the earlier ones with their statistics as they are stored. A stored mean must be the float32 that is nearest to one within 1e-9
deviations of it, a variance one within 1e-9 of it. Needs testdata/generators/requirements-keras3.txt; exits with 1 where that fails.
--time-only leaves the check out: --images 256 --size 224 takes minutes as it is. --memory is what ckpt gets.
"""

import argparse
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from verify_applications import run

BatchNormalization = keras.layers.BatchNormalization


def resnet50(size, dtype="float32"):
    keras.utils.set_random_seed(3)
    keras.config.set_dtype_policy(dtype)
    model = keras.applications.ResNet50(weights=None, input_shape=(size, size, 3))
    keras.config.set_dtype_policy("float32")
    return model


def randomise(model):
    """Gammas and betas as if trained; statistics as initialised."""
    random = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([random.uniform(0.5, 1.5, gamma.shape), random.normal(0, 0.3, beta.shape), mean, variance])


def population(model, x):
    """(mean, variance) by batch norm, in float64."""
    wide = resnet50(x.shape[1], "float64")
    wide.set_weights(model.get_weights())
    values, found = {}, {}
    for layer in wide.layers:
        node = layer._inbound_nodes[0]
        read = [values[id(tensor)] for tensor in node.input_tensors]
        if not read:
            result = keras.ops.convert_to_tensor(x.astype(np.float64))
        else:
            if isinstance(layer, BatchNormalization):
                data = np.asarray(read[0])
                mean = data.mean((0, 1, 2))
                variance = ((data - mean) ** 2).mean((0, 1, 2))
                found[layer.name] = mean, variance
                gamma, beta, _, _ = layer.get_weights()
                layer.set_weights([gamma, beta, mean.astype(np.float32), variance.astype(np.float32)])
            result = layer(read[0] if len(read) == 1 else read)
            assert keras.backend.standardize_dtype(result.dtype) == "float64", layer.name
        values[id(node.output_tensors[0])] = result
    return found


def beyond(stored, exact, allowed):
    """The worst |stored - exact|, what rounding to float32 explains left out, over `allowed`."""
    rounding = np.spacing(np.abs(stored).astype(np.float32)).astype(np.float64) / 2
    return float(np.max(np.maximum(np.abs(stored - exact) - rounding, 0) / allowed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="build/release/ckpt")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--time-only", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, output = pathlib.Path(folder, "model.keras"), pathlib.Path(folder, "calibrated.keras")
        model = resnet50(given.size)
        randomise(model)
        model.save(source)
        x = np.random.default_rng(8).normal(size=(given.images, given.size, given.size, 3)).astype(np.float32)
        np.save(pathlib.Path(folder, "x.npy"), x)
        code, _, errors, cpu, memory = run(given.ckpt, "calibrate", "--all", "--memory", given.memory, source, output,
                                         "--data", pathlib.Path(folder, "x.npy"))
        if code != 0:
            sys.exit(f"calibrate: exit {code}: {errors}")
        print(f"{given.images} images of {given.size}x{given.size}: {cpu:.1f} s of CPU, {memory:.0f} MiB", flush=True)
        if given.time_only:
            return
        written = keras.models.load_model(output)
    worst_mean = worst_variance = 0.0
    expected = population(model, x)
    for name, (mean, variance) in expected.items():
        _, _, stored_mean, stored_variance = [w.astype(np.float64) for w in written.get_layer(name).get_weights()]
        worst_mean = max(worst_mean, beyond(stored_mean, mean, np.sqrt(variance)))
        worst_variance = max(worst_variance, beyond(stored_variance, variance, variance))
    print(f"{len(expected)} batch norms: means within {worst_mean:.1e} deviations, variances within {worst_variance:.1e}, "
          "beside their rounding to float32")
    sys.exit(worst_mean > 1e-9 or worst_variance > 1e-9 or len(expected) != 53)


if __name__ == "__main__":
    main()
