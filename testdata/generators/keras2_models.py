"""Small Keras 2 models in legacy HDF5, one pattern each, with reference outputs.

Makes testdata/keras_h5/<name>.h5 and <name>.npz.  Every model is built in sizes that all differ, so that a mixed-up
axis changes a shape; those of SQUARE are built once more with sizes that all agree, so that it would pass unseen.
"""

import dataclasses
import functools
import json

import keras2_common as common  # first: it sets what TensorFlow reads at its import
from keras2_common import keras

import h5py
import numpy as np
import tensorflow as tf

import expected
import paths

L = keras.layers


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Dimensions of one family of models."""
    batch: int
    height: int
    width: int
    channels: int
    filters: int
    kernel: tuple


DISTINCT = Sizes(batch=2, height=7, width=9, channels=4, filters=6, kernel=(3, 5))
EQUAL = Sizes(batch=3, height=5, width=5, channels=3, filters=3, kernel=(3, 3))


def image(s, name="image"):
    """An image input."""
    return keras.Input((s.height, s.width, s.channels), name=name)


def conv(s, name="conv", **options):
    """A convolution, VALID unless told otherwise."""
    return L.Conv2D(s.filters, s.kernel, name=name, **options)


def bn(name="bn", **options):
    """Batch norm with an epsilon far from any default, so that a guessed one shows."""
    return L.BatchNormalization(name=name, **{"epsilon": 0.02, **options})


def chain(x, *layers):
    """A functional model of one input and a row of layers."""
    y = x
    for layer in layers:
        y = layer(y)
    return keras.Model(x, y, name="net")


# Linear layers followed by batch norm.

def conv1d_bn(s):
    return chain(keras.Input((s.width, s.channels)), L.Conv1D(s.filters, 3, name="conv"), bn())


def conv2d_bn(s):
    return chain(image(s), conv(s), bn(), L.ReLU(name="relu"))


def conv2d_no_bias_bn(s):
    return chain(image(s), conv(s, use_bias=False), bn(), L.ReLU(name="relu"))


def conv2d_default_epsilon_bn(s):
    return chain(image(s), conv(s), L.BatchNormalization(name="bn"))


def conv3d_bn(s):
    return chain(keras.Input((3, 4, 5, s.channels)), L.Conv3D(s.filters, (2, 3, 1), name="conv"), bn())


def depthwise_bn(s):
    return chain(image(s), L.DepthwiseConv2D(s.kernel, depth_multiplier=2, name="depthwise"), bn())


def depthwise_no_bias_bn(s):
    return chain(image(s), L.DepthwiseConv2D(s.kernel, depth_multiplier=2, use_bias=False, name="depthwise"), bn())


def separable_bn(s):
    return chain(image(s), L.SeparableConv2D(s.filters, s.kernel, depth_multiplier=2, name="separable"), bn())


def conv2d_transpose_bn(s):
    return chain(image(s), L.Conv2DTranspose(s.filters, s.kernel, strides=(2, 1), name="transpose"), bn())


def conv1d_transpose_bn(s):
    return chain(keras.Input((s.width, s.channels)), L.Conv1DTranspose(s.filters, 3, name="transpose"), bn())


def dense_bn(s):
    return chain(keras.Input((s.channels,)), L.Dense(s.filters, name="dense"), bn(), L.ReLU(name="relu"))


def dense_no_bias_bn(s):
    return chain(keras.Input((s.channels,)), L.Dense(s.filters, use_bias=False, name="dense"), bn())


def grouped_conv_bn(s):
    return chain(image(s), conv(s, groups=2), bn())


def dilated_conv_bn(s):
    return chain(image(s), conv(s, dilation_rate=(2, 1), padding="same"), bn())


def strided_conv_bn(s):
    return chain(image(s), conv(s, strides=2, padding="same"), bn())


# Batch norm without gamma, beta or both; of other kinds.

def conv_bn_no_scale(s):
    return chain(image(s), conv(s), bn(scale=False))


def conv_bn_no_center(s):
    return chain(image(s), conv(s, use_bias=False), bn(center=False))


def conv_bn_neither(s):
    return chain(image(s), conv(s, use_bias=False), bn(scale=False, center=False))


def conv_bn_renorm(s):
    return chain(image(s), conv(s), bn(renorm=True))


def conv_bn_synchronized(s):
    return chain(image(s), conv(s), bn(synchronized=True))


def conv_bn_frozen(s):
    return chain(image(s), conv(s), bn(trainable=False), L.ReLU(name="relu"))


# Batch norm before a linear layer.

def bn_conv_valid(s):
    return chain(image(s), bn(), conv(s))


def bn_conv_same_shift(s):
    return chain(image(s), bn(), conv(s, padding="same"))


def bn_conv_same_no_shift(s):
    return chain(image(s), bn(), conv(s, padding="same"))


def bn_depthwise_valid(s):
    return chain(image(s), bn(), L.DepthwiseConv2D(s.kernel, depth_multiplier=2, name="depthwise"))


def bn_dense(s):
    return chain(keras.Input((s.channels,)), bn(), L.Dense(s.filters, name="dense"))


def bn_flatten_dense(s):
    return chain(image(s), bn(), L.Flatten(name="flatten"), L.Dense(5, name="dense"))


def bn_alone(s):
    return chain(image(s), bn(), L.ReLU(name="relu"))


# Something between the linear layer and batch norm.

def conv_activation_bn(s):
    return chain(image(s), conv(s, activation="relu"), bn())


def conv_relu_bn(s):
    return chain(image(s), conv(s), L.ReLU(name="relu"), bn())


def dense_relu_bn_output(s):
    return chain(keras.Input((s.channels,)), L.Dense(s.filters, activation="relu", name="dense"), bn())


def conv_bn_bn(s):
    return chain(image(s), conv(s), bn("bn1"), bn("bn2", epsilon=0.1))


def conv_avgpool_bn(s):
    return chain(image(s), conv(s), L.AveragePooling2D(2, name="pool"), bn())


def conv_avgpool_same_bn(s):
    return chain(image(s), conv(s), L.AveragePooling2D(2, padding="same", name="pool"), bn())


def conv_globalpool_bn(s):
    return chain(image(s), conv(s), L.GlobalAveragePooling2D(name="pool"), bn())


def conv_maxpool_bn_positive(s):
    return chain(image(s), conv(s), L.MaxPooling2D(2, name="pool"), bn())


def conv_maxpool_bn_mixed(s):
    return chain(image(s), conv(s), L.MaxPooling2D(2, name="pool"), bn())


def conv_flatten_bn(s):
    return chain(image(s), conv(s), L.Flatten(name="flatten"), bn())


def conv_dropout_bn(s):
    return chain(image(s), conv(s), L.Dropout(0.5, name="dropout"), bn())


def conv_zeropadding_bn(s):
    return chain(image(s), conv(s), L.ZeroPadding2D(1, name="pad"), bn())


# Branches, shared layers, nested models.

def conv_two_consumers(s):
    x = image(s)
    y = conv(s)(x)
    return keras.Model(x, L.Add(name="add")([bn()(y), y]), name="net")


def conv_also_output(s):
    x = image(s)
    y = conv(s)(x)
    return keras.Model(x, [bn()(y), y], name="net")


def shared_conv_two_bns(s):
    a, b, shared = image(s, "a"), image(s, "b"), conv(s)
    return keras.Model([a, b], L.Add(name="add")([bn("bn_a")(shared(a)), bn("bn_b")(shared(b))]), name="net")


def shared_bn(s):
    x, shared = image(s), bn()
    return keras.Model(x, L.Add(name="add")([shared(conv(s, "conv_a")(x)), shared(conv(s, "conv_b")(x))]), name="net")


def shared_conv_and_bn(s):
    a, b = image(s, "a"), image(s, "b")
    block = [conv(s), bn()]
    return keras.Model([a, b], L.Add(name="add")([block[1](block[0](a)), block[1](block[0](b))]), name="net")


def concat_two_bn(s):
    x = image(s)
    y = L.Concatenate(name="concat")([conv(s, "conv_a")(x), L.Conv2D(5, s.kernel, name="conv_b")(x)])
    return keras.Model(x, bn()(y), name="net")


def concat_three_bn(s):
    x = image(s)
    branches = [conv(s, "conv_a")(x), L.Conv2D(5, s.kernel, use_bias=False, name="conv_b")(x),
                L.DepthwiseConv2D(s.kernel, name="depthwise")(x)]
    return keras.Model(x, bn()(L.Concatenate(name="concat")(branches)), name="net")


def concat_with_input_bn(s):
    x = image(s)
    return keras.Model(x, bn()(L.Concatenate(name="concat")([conv(s, padding="same")(x), x])), name="net")


def add_two_convs_bn(s):
    x = image(s)
    return keras.Model(x, bn()(L.Add(name="add")([conv(s, "conv_a")(x), conv(s, "conv_b")(x)])), name="net")


def nested_sequential(s):
    inner = keras.Sequential([image(s), conv(s, "inner_conv"), bn("inner_bn"), L.ReLU(name="inner_relu")], name="inner")
    x = image(s, "outer_image")
    return keras.Model(x, L.Dense(5, name="head")(L.GlobalAveragePooling2D(name="pool")(inner(x))), name="net")


def nested_functional(s):
    x = image(s, "inner_image")
    y = bn("inner_bn")(conv(s, "inner_conv", use_bias=False)(x))
    inner = keras.Model(x, conv(s, "inner_conv2", padding="same")(L.ReLU(name="inner_relu")(y)), name="inner")
    x = image(s, "outer_image")
    return keras.Model(x, bn("outer_bn")(inner(x)), name="net")


def nested_frozen_bn(s):
    x = image(s, "inner_image")
    y = bn("inner_bn", trainable=False)(conv(s, "inner_conv")(x))
    inner = keras.Model(x, conv(s, "inner_conv2", padding="same")(y), name="inner")
    x = image(s, "outer_image")
    return keras.Model(x, inner(x), name="net")


def sequential_bn(s):
    return keras.Sequential([image(s), conv(s), bn(), L.ReLU(name="relu"), L.Flatten(name="flatten"),
                             L.Dense(5, name="head")], name="net")


# Axes other than the channel axis; time steps; no batch norm at all.

def dense_3d_bn_last(s):
    return chain(keras.Input((6, 4)), L.Dense(6, name="dense"), bn())


def dense_3d_bn_axis1(s):
    return chain(keras.Input((6, 4)), L.Dense(6, name="dense"), bn(axis=1))


def time_distributed_dense_bn(s):
    return chain(keras.Input((5, s.channels)), L.TimeDistributed(L.Dense(s.filters), name="steps"), bn())


def time_distributed_bn(s):
    return chain(keras.Input((5, s.channels)), L.Dense(s.filters, name="dense"), L.TimeDistributed(bn(), name="steps"))


def layer_norm(s):
    return chain(image(s), conv(s), L.LayerNormalization(name="norm"), L.ReLU(name="relu"))


def group_norm(s):
    return chain(image(s), conv(s), L.GroupNormalization(groups=3, name="norm"), L.ReLU(name="relu"))


def lambda_layer(s):
    double = eval(compile("lambda t: t * 2.0", "lambda_layer", "eval"))  # so that no path gets into the byte code
    return chain(image(s), conv(s), L.Lambda(double, name="double"), bn())


BUILDERS = (
    conv1d_bn, conv2d_bn, conv2d_no_bias_bn, conv2d_default_epsilon_bn, conv3d_bn, depthwise_bn, depthwise_no_bias_bn,
    separable_bn, conv2d_transpose_bn, conv1d_transpose_bn, dense_bn, dense_no_bias_bn, grouped_conv_bn,
    dilated_conv_bn, strided_conv_bn,
    conv_bn_no_scale, conv_bn_no_center, conv_bn_neither, conv_bn_renorm, conv_bn_synchronized, conv_bn_frozen,
    bn_conv_valid, bn_conv_same_shift, bn_conv_same_no_shift, bn_depthwise_valid, bn_dense, bn_flatten_dense, bn_alone,
    conv_activation_bn, conv_relu_bn, dense_relu_bn_output, conv_bn_bn, conv_avgpool_bn, conv_avgpool_same_bn,
    conv_globalpool_bn, conv_maxpool_bn_positive, conv_maxpool_bn_mixed, conv_flatten_bn, conv_dropout_bn,
    conv_zeropadding_bn,
    conv_two_consumers, conv_also_output, shared_conv_two_bns, shared_bn, shared_conv_and_bn, concat_two_bn,
    concat_three_bn, concat_with_input_bn, add_two_convs_bn, nested_sequential, nested_functional, nested_frozen_bn,
    sequential_bn,
    dense_3d_bn_last, dense_3d_bn_axis1, time_distributed_dense_bn, time_distributed_bn, layer_norm, group_norm,
    lambda_layer,
)
SQUARE = (conv1d_bn, conv2d_bn, conv3d_bn, depthwise_bn, separable_bn, conv2d_transpose_bn, dense_bn, bn_conv_valid,
          bn_dense, concat_two_bn)
POSITIVE_GAMMA = (conv_maxpool_bn_positive,)
WEIGHTS_ONLY = (conv2d_bn, nested_functional, shared_conv_two_bns, sequential_bn)


def remove_shift(model):
    """Makes the shift of the model's batch norm exactly zero: mean 0 and beta 0, scale as it was."""
    layer = model.get_layer("bn")
    layer.set_weights([v if common.kind(w) in ("gamma", "moving_variance") else np.zeros_like(v)
                       for w, v in zip(layer.weights, layer.get_weights())])


def random_model(builder, sizes, seed):
    """A model with random weights, and the generator for its inputs."""
    random = common.fresh(seed)
    model = builder(sizes)
    common.randomize(model, random, positive_gamma=builder in POSITIVE_GAMMA)
    if builder is bn_conv_same_no_shift:
        remove_shift(model)
    return model, random


def save(folder, name, model, build, inputs):
    """The model, its tensors and its reference outputs."""
    common.save_model(folder / f"{name}.h5", model, inputs)
    common.write_reference(folder / f"{name}.npz", model, build, inputs)


def save_random_models(folder):
    """Every builder in distinct sizes, some in equal ones, some as weights only."""
    jobs = [(b, DISTINCT, b.__name__) for b in BUILDERS] + [(b, EQUAL, b.__name__ + "_square") for b in SQUARE]
    for seed, (builder, sizes, name) in enumerate(jobs, start=100):
        model, random = random_model(builder, sizes, seed)
        save(folder, name, model, functools.partial(builder, sizes), common.random_inputs(model, random, sizes.batch))
        if sizes is DISTINCT and builder in WEIGHTS_ONLY:
            save_weights_only(folder / f"weights_only_{name}.h5", model, builder(sizes))


def save_weights_only(path, model, twin):
    """Model.save_weights as HDF5; `twin` must load them."""
    model.save_weights(path, save_format="h5")
    twin.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), twin.get_weights(), strict=True))
    expected.from_h5(path)


def save_trained(folder):
    """Models after some epochs of fit: optimizer state, training_config, statistics that were really collected."""
    classic, new = keras.optimizers.legacy, keras.optimizers
    jobs = {"trained_functional_adam": (conv2d_bn_head, new.Adam(0.01)),
            "trained_functional_legacy_momentum": (conv2d_bn_head, classic.SGD(0.05, momentum=0.9)),
            "trained_sequential_momentum": (sequential_bn, new.SGD(0.05, momentum=0.9))}
    for seed, (name, (builder, optimizer)) in enumerate(jobs.items(), start=300):
        random = common.fresh(seed)
        model = builder(DISTINCT)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        labels = random.randint(5, size=64)
        images = random.randn(64, *model.input_shape[1:]) * 2 + 1 + labels[:, None, None, None]
        model.fit(images.astype(np.float32), labels, batch_size=16, epochs=150, verbose=0)
        inputs = [images[:4].astype(np.float32)]
        save(folder, name, model, functools.partial(builder, DISTINCT), inputs)
        with h5py.File(folder / f"{name}.h5") as file:
            assert "optimizer_weights" in file and "training_config" in file.attrs


def conv2d_bn_head(s):
    """conv-BN-ReLU and a dense head, for training."""
    return chain(image(s), conv(s), L.BatchNormalization(name="bn"), L.ReLU(name="relu"),
                 L.GlobalAveragePooling2D(name="pool"), L.Dense(5, name="head"))


def channels_first(s, data_format):
    """conv, BN and a forward conv in either data format; kernels have the same layout in both."""
    axis = 1 if data_format == "channels_first" else -1
    shape = (s.channels, s.height, s.width) if axis == 1 else (s.height, s.width, s.channels)
    return chain(keras.Input(shape), L.Conv2D(s.filters, s.kernel, data_format=data_format, name="conv"),
                 bn(axis=axis), L.ReLU(name="relu"), L.Conv2D(5, 1, data_format=data_format, name="conv2"))


def save_channels_first(folder):
    """A channels_first model.  A CPU cannot run it: its outputs come from a channels_last twin, transposed."""
    random = common.fresh(400)
    model = channels_first(DISTINCT, "channels_first")
    common.randomize(model, random)
    common.save_model(folder / "conv2d_channels_first_bn.h5", model)
    build_twin = functools.partial(channels_first, DISTINCT, "channels_last")
    twin = build_twin()
    twin.set_weights(model.get_weights())
    inputs = common.random_inputs(twin, random, DISTINCT.batch)
    arrays = common.reference_arrays(twin, common.in_float64(build_twin, twin), inputs)
    np.savez(folder / "conv2d_channels_first_bn.npz",
             **{key: np.ascontiguousarray(array.transpose(0, 3, 1, 2)) for key, array in arrays.items()})


def use_dtype(dtype):
    """Makes `dtype` the type of weights and computations, or mixes precision."""
    keras.backend.set_floatx(dtype if dtype in ("float16", "float64") else "float32")
    keras.mixed_precision.set_global_policy(dtype)


def save_other_dtypes(folder):
    """float16 and float64 weights, mixed precision, and bfloat16, which Keras 2.15 writes but cannot load."""
    build = functools.partial(conv2d_bn, DISTINCT)
    for seed, dtype in enumerate(("float16", "float64", "mixed_float16"), start=500):
        use_dtype(dtype)
        model, random = random_model(conv2d_bn, DISTINCT, seed)
        save(folder, f"conv2d_bn_{dtype}", model, build, common.random_inputs(model, random, DISTINCT.batch))
    use_dtype("bfloat16")
    model, random = random_model(conv2d_bn, DISTINCT, 503)
    path = folder / "conv2d_bn_bfloat16.h5"
    model.save(path, save_format="h5")
    with h5py.File(path) as file:
        stored = file["model_weights/conv/conv/kernel:0"][()]
    assert stored.tobytes() == model.get_layer("conv").get_weights()[0].tobytes()
    expected.from_h5(path)
    common.write_reference(path.with_suffix(".npz"), model, build,
                           common.random_inputs(model, random, DISTINCT.batch))
    use_dtype("float32")


def save_list_config(folder):
    """The list form of a Sequential's config that Keras wrote until 2.2.2.

    Keras 2.15 still loads it but cannot write it: the `model_config` of sequential_bn.h5 is rewritten.
    """
    path = folder / "sequential_list_config.h5"
    path.write_bytes((folder / "sequential_bn.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layers = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
        layers[0]["config"]["batch_input_shape"] = [None, DISTINCT.height, DISTINCT.width, DISTINCT.channels]
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": layers}).encode()
    loaded = keras.models.load_model(path, compile=False)
    arrays = np.load(folder / "sequential_bn.npz")
    assert np.array_equal(common.run(loaded, [arrays["input"]])[0], arrays["output"])
    np.savez(folder / "sequential_list_config.npz", **arrays)
    expected.from_h5(path)


def save_chunked_names(folder):
    """`layer_names0`, `layer_names1`, ...: the list of names is too long for one attribute.

    One name of 6000 characters is enough, because Keras stores a list in the width of its longest name.
    """
    def build():
        passing = [L.Activation("linear", name=f"pass{i}") for i in range(9)]
        return keras.Sequential([keras.Input((2,)), *passing, L.Activation("linear", name="l" * 6000),
                                 L.Dense(2, name="dense"), bn()], name="net")
    random = common.fresh(600)
    model = build()
    common.randomize(model, random)
    path = folder / "weights_only_chunked_layer_names.h5"
    save_weights_only(path, model, build())
    with h5py.File(path) as file:
        assert "layer_names1" in file.attrs and "layer_names" not in file.attrs


def main():
    folder = paths.folder("keras_h5")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for make in (save_random_models, save_trained, save_channels_first, save_list_config, save_chunked_names,
                 save_other_dtypes):
        make(folder)
        print("keras_h5", make.__name__)


if __name__ == "__main__":
    main()
