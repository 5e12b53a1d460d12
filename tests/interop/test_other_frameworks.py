"""Checkpoints of Flax, Darknet, Caffe, MXNet and Chainer fold into files with which NumPy computes the same.

CKPT_BINARY is the program, CKPT_TESTDATA the folder of fixtures. The reference outputs are from the framework, or, for
Darknet and Caffe, from the generator, with which OpenCV's readers of these files agree.
"""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])
TOLERANCE = 1e-5  # of the largest output


def run(*arguments):
    return subprocess.run([os.environ["CKPT_BINARY"], *map(str, arguments)], check=True, capture_output=True, text=True)


def fold(source, tmp_path, folded, *options):
    """The folded tensors; `folded` batch norms must be gone and none kept."""
    target = tmp_path / "folded.npz"
    report = json.loads(run("convert", "--bn", "fold", "--format", "json", *options, source, target).stdout)
    assert len(report["folded"]) == folded and not report["kept"], report
    return dict(np.load(target))


def conv(x, kernel, bias, pad=0, stride=1):
    """NCHW, kernel (out, in, kh, kw), in double."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    size = kernel.shape[2]
    height, width = ((d - size) // stride + 1 for d in x.shape[2:])
    out = np.zeros((x.shape[0], kernel.shape[0], height, width)) + bias.astype(np.float64).reshape(1, -1, 1, 1)
    for i in range(size):
        for j in range(size):
            part = x[:, :, i:i + stride * height:stride, j:j + stride * width:stride]
            out += np.einsum("nchw,oc->nohw", part, kernel[:, :, i, j].astype(np.float64))
    return out


def assert_close(found, expected):
    worst = np.abs(found - expected).max() / np.abs(expected).max()
    assert worst <= TOLERANCE, worst


def test_darknet(tmp_path):
    t = fold(TESTDATA / "darknet/small.weights", tmp_path, 2)
    reference = np.load(TESTDATA / "darknet/small.npz")

    def layer(index, x, pad=0, stride=1):
        name = f"{index:03}_convolutional"
        return conv(x, t[f"{name}/weights"], t[f"{name}/biases"], pad, stride)

    zero = layer(0, reference["input"], 1)
    one = layer(1, np.where(zero > 0, zero, 0.1 * zero), 1, 2)
    three = np.maximum(layer(2, one), 0) + one
    assert_close(layer(5, np.concatenate([three, one], 1)), reference["output"])


def test_caffe(tmp_path):
    target = tmp_path / "folded.npz"
    report = json.loads(run("convert", "--bn", "fold", "--format", "json", TESTDATA / "caffe/small.caffemodel",
                            target).stdout)
    assert len(report["folded"]) == 2, report
    t = dict(np.load(target))
    reference = np.load(TESTDATA / "caffe/small.npz")
    x = conv(reference["input"], t["conv1/weight"], t["conv1/bias"], 1)
    x = conv(np.maximum(x, 0), t["conv2/weight"], t["conv2/bias"], 1, 2)
    assert_close(x.reshape(len(x), -1) @ t["fc/weight"].T.astype(np.float64) + t["fc/bias"], reference["output"])


@pytest.mark.parametrize("name", ["net", "fixed"])
def test_mxnet(tmp_path, name):
    t = fold(TESTDATA / f"mxnet_real/{name}-0010.params", tmp_path, 2)
    reference = np.load(TESTDATA / f"mxnet_real/{name}.npz")
    x = conv(reference["input"], t["conv0_weight"], t["conv0_bias"], 1)
    assert_close(conv(np.maximum(x, 0), t["conv1_weight"], t["conv1_bias"]), reference["bn1_output"])


def test_chainer(tmp_path):
    t = fold(TESTDATA / "chainer/model.npz", tmp_path, 2, "--pair-by-name")
    reference = np.load(TESTDATA / "chainer/reference.npz")
    x = np.maximum(conv(reference["input"], t["conv1/W"], t["conv1/b"]), 0)
    x = np.maximum(conv(x, t["conv2/W"], t["conv2/b"]), 0).mean((2, 3))
    assert_close(x @ t["fc/W"].T.astype(np.float64) + t["fc/b"], reference["output"])


def test_flax(tmp_path):
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps({"pairs": [
        {"batch_norm": "bn_a", "into": "conv_a/kernel", "bias": None, "direction": "backward"},
        {"batch_norm": "BatchNorm_0", "into": "Conv_0/kernel", "bias": "Conv_0/bias", "direction": "backward"}]}))
    t = fold(TESTDATA / "flax/model.msgpack", tmp_path, 2, "--pairs", pairs)
    reference = np.load(TESTDATA / "flax/model.npz")

    def layer(name, x, pad, stride):
        kernel = t[f"{name}/kernel"].transpose(3, 2, 0, 1)
        return np.maximum(conv(np.pad(x, ((0, 0), (0, 0), pad, pad)), kernel, t[f"{name}/bias"], 0, stride), 0)

    x = reference["input"].transpose(0, 3, 1, 2)
    x = layer("conv_a", x, (1, 1), 1)
    x = layer("Conv_0", x, (0, 1), 2).mean((2, 3))  # "SAME" with stride 2 pads behind first
    assert_close(x @ t["Dense_0/kernel"].astype(np.float64) + t["Dense_0/bias"], reference["output"])
