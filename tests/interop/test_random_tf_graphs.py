"""Random TensorFlow graphs: what ckpt writes, folded and with leftovers reduced, computes what the original computes.

Layers share kernels, biases and batch-norm vectors at random, batch norms stand in every form that ckpt knows and at any
place, values are read several times, outputs are taken in the middle.
"""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from test_tf_graphs import convert, loader, tf1  # noqa: E402  TensorFlow first, which may be absent

SEEDS = range(40)


class RandomGraph:
    def __init__(self, seed):
        self.random = np.random.RandomState(seed)
        self.variables = {}  # by role and shape, for sharing

    def chance(self, probability):
        return self.random.rand() < probability

    def variable(self, role, shape, low, high, shared):
        key = (role, *shape)
        if key in self.variables and self.chance(shared):
            return self.variables[key]
        value = self.random.uniform(low, high, shape).astype(np.float32)
        scope = f"scope{len(tf1.global_variables())}/" if self.chance(0.5) else f"v{len(tf1.global_variables())}_"
        self.variables[key] = tf1.get_variable(scope + role, initializer=tf.constant(value),
                                               use_resource=self.chance(0.5))
        return self.variables[key]

    def kernel(self, *shape):
        return self.variable("kernel", shape, -1.0, 1.0, 0.3)

    def vector(self, role, channels, low=-1.0, high=1.0):
        return self.variable(role, (channels,), low, high, 0.15)

    def norm(self, x):
        channels, rank = int(x.shape[-1]), len(x.shape)
        mean, variance = self.vector("moving_mean", channels), self.vector("moving_variance", channels, 0.2, 3.0)
        gamma = self.vector("gamma", channels, 0.5, 2.0) if self.chance(0.8) else None
        beta = self.vector("beta", channels) if self.chance(0.8) else None
        form = self.random.randint(5)
        if form == 0 and rank == 4:
            ones, zeros = tf.ones([channels]), tf.zeros([channels])
            return tf1.nn.fused_batch_norm(x, ones if gamma is None else gamma, zeros if beta is None else beta, mean,
                                           variance, epsilon=0.002, is_training=False)[0]
        if form == 1 and gamma is not None:
            return gamma * (x - mean) / tf.sqrt(variance + 0.002) + (0.0 if beta is None else beta)
        if form == 2 and beta is not None:
            return (x - mean) * tf.math.rsqrt(variance + 0.002) + beta
        shape = [1] * (rank - 1) + [channels]
        if form == 3:
            mean, variance, beta, gamma = (None if v is None else tf.reshape(v, shape)
                                           for v in (mean, variance, beta, gamma))
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 0.002)

    def linear(self, x):
        channels, units = int(x.shape[-1]), int(self.random.choice([4, 6]))
        if len(x.shape) == 2:
            transposed = self.chance(0.4)
            kernel = self.kernel(units, channels) if transposed else self.kernel(channels, units)
            y = tf.matmul(x, kernel, transpose_b=transposed)
        else:
            padding, form = self.random.choice(["SAME", "VALID"] if x.shape[1] > 4 else ["SAME"]), self.random.randint(5)
            if form == 0:
                y = tf1.nn.depthwise_conv2d(x, self.kernel(3, 3, channels, 2), [1, 1, 1, 1], padding)
            elif form == 1:
                y = tf1.nn.conv2d(x, self.kernel(1, 1, channels, units), padding=padding)
            elif form == 2:
                size = int(x.shape[1])
                y = tf1.nn.conv2d_transpose(x, self.kernel(3, 3, units, channels),
                                            tf.stack([tf.shape(x)[0], size, size, units]), [1, 1, 1, 1])
                y.set_shape([None, size, size, units])
            elif form == 3:
                y = tf.tensordot(x, self.kernel(channels, units), [[3], [0]])
            else:
                y = tf1.nn.conv2d(x, self.kernel(3, 3, channels, units), padding=padding)
        bias, form = self.vector("bias", int(y.shape[-1])), self.random.randint(4)
        if form == 0:
            return tf.nn.bias_add(y, bias)
        return y + bias if form == 1 else y

    def other(self, x):
        channels, form = int(x.shape[-1]), self.random.randint(7)
        if len(x.shape) == 4 and form == 0:
            return tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        if len(x.shape) == 4 and form == 1:
            return tf1.nn.avg_pool(x, [1, 2, 2, 1], [1, 1, 1, 1], "SAME")
        if len(x.shape) == 4 and form == 2:
            return tf1.nn.max_pool(x, [1, 2, 2, 1], [1, 1, 1, 1], "SAME")
        # Vectors of a batch norm or a layer, read by something that is neither.
        if form == 3:
            return x + self.vector("bias", channels)
        if form == 4:
            return x * self.vector("gamma", channels, 0.5, 2.0)
        return tf.nn.relu(x) if form == 5 else tf.nn.sigmoid(x)

    def joined(self, x, values):
        alike = [y for y in values if y.shape[1:-1].as_list() == x.shape[1:-1].as_list()]
        y = alike[self.random.randint(len(alike))]
        return y + x if y.shape[-1] == x.shape[-1] and self.chance(0.5) else tf.concat([y, x], -1)

    def build(self, x):
        values = [x, self.norm(self.linear(x))]
        for _ in range(self.random.randint(4, 10)):
            last = values[-1] if self.chance(0.75) else values[self.random.randint(len(values))]
            step = self.random.choice(["linear", "norm", "other", "joined"], p=[0.4, 0.4, 0.1, 0.1])
            values.append(self.joined(last, values) if step == "joined" else getattr(self, step)(last))
            if len(values[-1].shape) == 4 and self.chance(0.07):
                values.append(tf.reshape(values[-1], [-1, int(np.prod(values[-1].shape[1:]))]))
            elif len(values[-1].shape) == 4 and self.chance(0.07):
                values.append(tf.reduce_mean(values[-1], [1, 2]))
        return [values[-1], *(value for value in values[1:-1] if self.chance(0.1))]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_compute_the_same(seed, tmp_path):
    images = np.random.RandomState(seed).randn(3, 7, 7, 4).astype(np.float32)
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        x = tf1.placeholder(tf.float32, [None, 7, 7, 4], name="images")
        outputs = [tf.identity(output, name=f"out{i}") for i, output in enumerate(RandomGraph(seed).build(x))]
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        exact = session.run(outputs, {x: images})
    names = [f"out{i}" for i in range(len(exact))]
    to = "saved-model" if seed % 4 == 0 else "graph-def"
    for leftover in ("keep", "affine"):
        report = convert(tmp_path / "model.ckpt", tmp_path / leftover, to, "--bn", "fold", "--leftover", leftover,
                         "--outputs", ",".join(names))
        assert all(layer["reason"] and layer["affine"] == (leftover == "affine") for layer in report["kept"])
        computed = loader(to, tmp_path / leftover)({"images:0": images}, [f"{name}:0" for name in names])
        for name, ours, theirs in zip(names, computed, exact):
            # Both are float32, each within its rounding of the exact value.
            assert np.abs(ours - theirs).max() <= 2e-5 * np.abs(theirs).max(), name
