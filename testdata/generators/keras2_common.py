"""What the Keras 2 generators share: random weights, reference outputs, saving with a check by loading."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf

import expected

keras = tf.keras


def fresh(seed):
    """Starts a model: automatic names count from zero, seeds are set; returns a NumPy generator."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return np.random.RandomState(seed)


def kind(weight):
    """The last part of a weight's name, without `:0`."""
    return weight.name.split("/")[-1].split(":")[0]


def random_weight(what, shape, random, positive_gamma):
    """Values that no wrong fold survives: gamma with both signs (unless told), biases and shifts not zero."""
    if what in ("moving_variance", "renorm_stddev", "moving_stddev"):
        return random.uniform(0.5, 2.0, shape)
    if what == "gamma":
        signs = 1 if positive_gamma else np.resize([1, -1, 1], shape)
        return random.uniform(0.4, 1.6, shape) * signs
    if "kernel" in what:
        return 0.4 * random.randn(*shape)
    return 0.7 * random.randn(*shape)


def randomize(model, random, positive_gamma=False):
    """Sets all weights of a model at random, by their kind."""
    model.set_weights([random_weight(kind(w), w.shape, random, positive_gamma).astype(w.dtype.as_numpy_dtype)
                       for w in model.weights])


def random_inputs(model, random, batch):
    """One array for each input of the model, in float32."""
    return [random.randn(batch, *tensor.shape[1:]).astype(np.float32) for tensor in model.inputs]


def run(model, inputs):
    """Inference, through XLA: plain TensorFlow has no grouped convolution on a CPU."""
    inputs = [tf.cast(x, model.inputs[0].dtype) for x in inputs]

    @tf.function(jit_compile=True)
    def call(arguments):
        return model(arguments[0] if len(arguments) == 1 else arguments, training=False)

    outputs = call(inputs)
    arrays = [y.numpy() for y in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
    return [y.astype(np.float32) if y.dtype.kind == "V" else y for y in arrays]  # npz has no bfloat16


def in_float64(build, model):
    """The same model rebuilt in float64, with the weights of `model`."""
    floatx = keras.backend.floatx()
    policy = keras.mixed_precision.global_policy()
    keras.backend.set_floatx("float64")
    keras.mixed_precision.set_global_policy("float64")
    wide = build()
    keras.backend.set_floatx(floatx)
    keras.mixed_precision.set_global_policy(policy)
    wide.set_weights([np.asarray(w).astype(np.float64) for w in model.get_weights()])
    return wide


def numbered(key, arrays):
    """`key` for the first array, `key_2` and so on for others."""
    return {key if index == 0 else f"{key}_{index + 1}": array for index, array in enumerate(arrays)}


def reference_arrays(model, wide, inputs):
    """Inputs and outputs of a model, of its first sample alone, and of its float64 twin."""
    outputs, exact = run(model, inputs), run(wide, [x.astype(np.float64) for x in inputs])
    tolerance = 1e-4 if model.get_layer(index=1).compute_dtype in ("float32", "float64") else 5e-2
    for single, double in zip(outputs, exact):
        assert np.allclose(single.astype(np.float64), double, rtol=tolerance, atol=tolerance)
    return {**numbered("input", inputs), **numbered("output", outputs),
            **numbered("output_batch1", run(model, [x[:1] for x in inputs])), **numbered("output_f64", exact)}


def write_reference(path, model, build, inputs):
    """`<path>.npz`: see reference_arrays."""
    np.savez(path, **reference_arrays(model, in_float64(build, model), inputs))


def save_model(path, model, inputs=None):
    """Saves a whole model as HDF5, loads it again and compares; writes the list of its tensors."""
    path = pathlib.Path(path)
    model.save(path, save_format="h5")
    loaded = keras.models.load_model(path, compile=False, safe_mode=False)
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(old, new, equal_nan=True)
    if inputs is not None:
        for old, new in zip(run(model, inputs), run(loaded, inputs), strict=True):
            assert np.array_equal(old, new)
    expected.from_h5(path)
