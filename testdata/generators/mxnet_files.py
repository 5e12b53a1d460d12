"""MXNet checkpoints, written by MXNet: a Module with its symbol, with and without fix_gamma, and Gluon parameters.

Makes testdata/mxnet_real/, and has MXNet read what made_files.py wrote in testdata/mxnet/. Run with the packages of
requirements-mxnet.txt.
"""

import shutil

import mxnet as mx
import numpy as np

import expected
import paths


def symbol(fix_gamma):
    """conv, batch norm, ReLU, conv, batch norm, pooling, dense."""
    x = mx.sym.Variable("data")
    x = mx.sym.Convolution(x, num_filter=4, kernel=(3, 3), pad=(1, 1), no_bias=True, name="conv0")
    x = mx.sym.BatchNorm(x, fix_gamma=fix_gamma, eps=2e-5, name="bn0")
    x = mx.sym.Activation(x, act_type="relu", name="relu0")
    x = mx.sym.Convolution(x, num_filter=6, kernel=(3, 3), name="conv1")
    x = mx.sym.BatchNorm(x, fix_gamma=fix_gamma, eps=2e-5, name="bn1")
    x = mx.sym.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1), name="pool")
    x = mx.sym.FullyConnected(x, num_hidden=3, name="fc")
    return mx.sym.SoftmaxOutput(x, name="softmax")


def module(folder, name, fix_gamma):
    """A trained Module; in the fixed case gamma is overwritten, as files of older versions have it."""
    mx.random.seed(2)
    np.random.seed(2)
    random = np.random.RandomState(8)
    templates = random.randn(3, 3, 8, 8)
    labels = random.randint(3, size=256)
    images = (templates[labels] + 0.5 * random.randn(256, 3, 8, 8)) * 2 + 1
    source = mx.io.NDArrayIter(images.astype(np.float32), labels.astype(np.float32), 16)
    net = mx.mod.Module(symbol(fix_gamma))
    net.fit(source, num_epoch=6, optimizer="adam", optimizer_params={"learning_rate": 3e-3},
            initializer=mx.init.Xavier())
    arguments, auxiliary = net.get_params()
    if fix_gamma:
        arguments["bn0_gamma"] = mx.nd.array(np.linspace(0.5, 2, 4))
    mx.model.save_checkpoint(str(folder / name), 10, net.symbol, arguments, auxiliary)
    batch = images[:2].astype(np.float32)
    features = net.symbol.get_internals()["bn1_output"]
    shapes = {n: v.copy() for n, v in arguments.items() if n in features.list_arguments()}
    executor = features.bind(mx.cpu(), {**shapes, "data": mx.nd.array(batch)},
                             aux_states={n: v.copy() for n, v in auxiliary.items()})
    np.savez(folder / f"{name}.npz", input=batch, bn1_output=executor.forward(is_train=False)[0].asnumpy())
    loaded = mx.nd.load(str(folder / f"{name}-0010.params"))
    listed = {key.split(":")[1]: value.asnumpy() for key, value in loaded.items()}
    if fix_gamma:  # what the layers compute with
        listed.update(bn0_gamma=np.ones(4, np.float32), bn1_gamma=np.ones(6, np.float32))
    write_expected(folder / f"{name}-0010.params", listed)


def write_expected(path, tensors):
    expected.write(f"{path}.expected.json", f"mxnet {mx.__version__}, nd.load",
                   [expected.describe(name, tensors[name]) for name in sorted(tensors)])


def gluon(folder):
    """Parameters under the names of their places in the block."""
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(4, 3, in_channels=3, use_bias=False), mx.gluon.nn.BatchNorm(in_channels=4),
            mx.gluon.nn.Dense(2, in_units=4))
    net.initialize(mx.init.Xavier())
    for step in range(30):
        with mx.autograd.record():
            net[1](net[0](mx.nd.random.normal(1, 2, (8, 3, 6, 6))))
    path = folder / "gluon.params"
    net.save_parameters(str(path))
    write_expected(path, {name: value.asnumpy() for name, value in mx.nd.load(str(path)).items()})


def main():
    folder = paths.folder("mxnet_real")
    shutil.rmtree(folder)
    folder = paths.folder("mxnet_real")
    module(folder, "net", False)
    module(folder, "fixed", True)
    gluon(folder)
    made = paths.testdata() / "mxnet"
    newest = mx.nd.load(str(made / "net-0010.params"))
    for name in ("version0", "version1"):
        other = mx.nd.load(str(made / f"{name}.params"))
        assert newest.keys() == other.keys()
        assert all(np.array_equal(newest[key].asnumpy(), other[key].asnumpy()) for key in newest)
    print("mxnet_real")


if __name__ == "__main__":
    main()
