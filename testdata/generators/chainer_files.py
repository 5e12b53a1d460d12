"""A trained Chainer net, written by chainer.serializers: the model, and a snapshot-like file without statistics.

Makes testdata/chainer/. Run with the packages of requirements-chainer.txt.
"""

import shutil

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np

import expected
import paths


class Net(chainer.Chain):
    """Convolution, batch norm, ReLU, twice; then a dense layer."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(2, 5, 3, nobias=True)
            self.bn1 = L.BatchNormalization(5)
            self.conv2 = L.Convolution2D(5, 6, 3)
            self.bn2 = L.BatchNormalization(6)
            self.fc = L.Linear(6, 3)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc(F.mean(x, axis=(2, 3)))


def main():
    folder = paths.folder("chainer")
    shutil.rmtree(folder)
    folder = paths.folder("chainer")
    np.random.seed(5)
    random = np.random.RandomState(6)
    net = Net()
    optimizer = chainer.optimizers.Adam(3e-3).setup(net)
    templates = random.randn(3, 2, 7, 7)
    for _ in range(200):
        labels = random.randint(3, size=16)
        images = (templates[labels] + 0.5 * random.randn(16, 2, 7, 7)) * 2 + 1
        optimizer.update(lambda x, t: F.softmax_cross_entropy(net(x), t), images.astype(np.float32),
                         labels.astype(np.int32))
    chainer.serializers.save_npz(str(folder / "model.npz"), net, compression=False)
    expected.from_npz(folder / "model.npz")
    images = (random.randn(4, 2, 7, 7) * 2 + 1).astype(np.float32)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        np.savez(folder / "reference.npz", input=images, output=net(images).array)
    print("chainer")


if __name__ == "__main__":
    main()
