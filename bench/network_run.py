"""ResNet-50 as a whole at 224x224, one example on one core: ckpt's executor in float64 beside PyTorch in float64 and float32,
ONNX Runtime in float32 (it has no convolution in float64) and onnx.reference in float64, in turn and in one run.

    python bench/network_run.py build/release/bench/network_run      (testdata/generators/requirements-torch-onnx.txt)
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
    torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], dynamo=False, opset_version=17,
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    reference = ReferenceEvaluator(in_float64(onnx.load(path)))
    expected = session.run(None, {"x": x.numpy()})[0]
    found = net(x).numpy()
    assert np.allclose(expected, found, rtol=1e-3, atol=1e-3 * np.abs(found).max())
    for turn in range(3):
        done = subprocess.run([sys.argv[1], path, "1x3x224x224", "5"], capture_output=True, text=True, check=True)
        print("ckpt float64 %s;" % re.sub(r"\s+$", "", done.stdout), end=" ")
        print("onnxruntime float32 %.3f s;" % fastest(lambda: session.run(None, {"x": x.numpy()}), 5), end=" ")
        print("torch float32 %.3f s;" % fastest(lambda: net(x), 5), end=" ")
        wide, of_x = net.double(), x.double()
        print("torch float64 %.3f s;" % fastest(lambda: wide(of_x), 5), end=" ")
        net.float()
        print("onnx.reference float64 %.3f s" % fastest(lambda: reference.run(None, {"x": x.double().numpy()}), 1), flush=True)
