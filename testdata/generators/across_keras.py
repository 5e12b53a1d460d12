"""across/keras_net.h5 and its outputs: a Keras network that a PyTorch one can be built to match."""

from keras2_common import fresh, keras, random_inputs, randomize, save_model, write_reference
from paths import folder

EPSILON, MOMENTUM = 2e-3, 0.95


def build():
    layers = keras.layers

    def batch_norm(name):
        return layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=name)

    x = inputs = keras.Input((8, 7, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv")(x)
    x = layers.ReLU(name="conv_relu")(batch_norm("conv_bn")(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="depthwise")(x)
    x = layers.ReLU(name="depthwise_relu")(batch_norm("depthwise_bn")(x))
    x = layers.Conv2DTranspose(8, 2, strides=2, name="up_transpose")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.ReLU(name="fc_relu")(batch_norm("fc_bn")(layers.Dense(5, name="fc")(x)))
    x = layers.Dense(5, name="head")(x)
    return keras.Model(inputs, x, name="across")


def main():
    random = fresh(12)
    model = build()
    randomize(model, random)
    inputs = random_inputs(model, random, 3)
    path = folder("across") / "keras_net.h5"
    save_model(path, model, inputs)
    write_reference(path.with_suffix(".npz"), model, build, inputs)


if __name__ == "__main__":
    main()
