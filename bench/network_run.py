"""ResNet-50 as a whole at 224x224, one example on one core: ckpt's executor in float64 beside PyTorch in float64 and float32,
ONNX Runtime in float32 (it has no convolution in float64) and onnx.reference in float64, in turn and in one run.

    python bench/network_run.py build/release/bench/network_run      (testdata/generators/requirements-torch-onnx.txt)

Exits with 1 where ckpt was slower than PyTorch in float64 in every turn, took more than a second, or held more than the file and
150 MB; or more than 400 MB for VGG16, whose largest kernel alone would take 822 MB as float64.
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, ins, width, stride):
        super().__init__()
        outs = 4 * width
        layers = []
        for n, (i, o, k, s) in enumerate([(ins, width, 1, 1), (width, width, 3, stride), (width, outs, 1, 1)]):
            layers += [nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o)] + [nn.ReLU()] * (n < 2)
        self.main = nn.Sequential(*layers)
        same = stride == 1 and ins == outs
        self.side = nn.Identity() if same else nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))

    def forward(self, x):
        return torch.relu(self.main(x) + self.side(x))


def resnet50():
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    ins = 64
    for width, count, stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        for n in range(count):
            layers.append(Bottleneck(ins, width, stride if n == 0 else 1))
            ins = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(ins, 1000)).eval()


def vgg16():
    layers, ins = [], 3
    for outs, count in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
        for _ in range(count):
            layers += [nn.Conv2d(ins, outs, 3, 1, 1), nn.ReLU()]
            ins = outs
        layers.append(nn.MaxPool2d(2, 2))
    layers.append(nn.Flatten())
    for ins, outs in [(512 * 49, 4096), (4096, 4096), (4096, 1000)]:
        layers += [nn.Linear(ins, outs), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()


def export(net, x, path):
    torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], dynamo=False, opset_version=17,
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)


def run_ckpt(path, repetitions):
    """Seconds of the fastest run, MiB at most."""
    done = subprocess.run([sys.argv[1], path, "1x3x224x224", str(repetitions)], capture_output=True, text=True, check=True)
    seconds, memory = re.fullmatch(r"([\d.]+) s, (\d+) MiB\s*", done.stdout).groups()
    return float(seconds), int(memory)


def in_float64(model):
    """The same model with its initializers in float64, which is what the reference evaluator computes in."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    return model


def fastest(run, repetitions):
    best = 1e9
    for _ in range(repetitions):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


torch.set_num_threads(1)
net = resnet50()
x = torch.rand(1, 3, 224, 224)
with tempfile.TemporaryDirectory() as folder, torch.no_grad():
    path = pathlib.Path(folder, "resnet50.onnx")
    export(net, x, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    reference = ReferenceEvaluator(in_float64(onnx.load(path)))
    expected = session.run(None, {"x": x.numpy()})[0]
    found = net(x).numpy()
    assert np.allclose(expected, found, rtol=1e-3, atol=1e-3 * np.abs(found).max())
    turns = []
    for turn in range(3):
        seconds, memory = run_ckpt(path, 5)
        print("ckpt float64 %.3f s, %d MiB;" % (seconds, memory), end=" ")
        print("onnxruntime float32 %.3f s;" % fastest(lambda: session.run(None, {"x": x.numpy()}), 5), end=" ")
        print("torch float32 %.3f s;" % fastest(lambda: net(x), 5), end=" ")
        wide, of_x = net.double(), x.double()
        of_torch = fastest(lambda: wide(of_x), 5)
        print("torch float64 %.3f s;" % of_torch, end=" ")
        net.float()
        print("onnx.reference float64 %.3f s" % fastest(lambda: reference.run(None, {"x": x.double().numpy()}), 1), flush=True)
        turns.append((seconds, of_torch, memory))
    of_file = path.stat().st_size / 2**20
    held = all(memory * 2**20 <= path.stat().st_size + 150e6 for _, _, memory in turns)
    fast = min(ours for ours, _, _ in turns) <= 1 and any(ours < theirs for ours, theirs, _ in turns)
    export(vgg16(), x, path)
    seconds, memory = run_ckpt(path, 1)
    print("ResNet-50: a file of %d MiB; VGG16: a file of %d MiB, ckpt float64 %.3f s, %d MiB"
          % (of_file, path.stat().st_size / 2**20, seconds, memory))
sys.exit(not (fast and held and memory * 2**20 <= 400e6))
