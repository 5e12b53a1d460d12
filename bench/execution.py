"""The convolutions of ResNet-50 in float64 on one core: ckpt's executor and PyTorch, in turn and in one run.

    python bench/execution.py build/release/bench/execution_bench        (torch installed)
"""
import subprocess
import sys
import time

import torch

SHAPES = [  # size, in, out, kernel, stride, times: those of bench/execution.cc
    (224, 3, 64, 7, 2, 1), (56, 64, 64, 1, 1, 1), (56, 64, 64, 3, 1, 3), (56, 64, 256, 1, 1, 4),
    (56, 256, 64, 1, 1, 2), (56, 256, 128, 1, 1, 1), (56, 128, 128, 3, 2, 1), (28, 128, 512, 1, 1, 4),
    (56, 256, 512, 1, 2, 1), (28, 512, 128, 1, 1, 3), (28, 128, 128, 3, 1, 3), (28, 512, 256, 1, 1, 1),
    (28, 256, 256, 3, 2, 1), (14, 256, 1024, 1, 1, 6), (28, 512, 1024, 1, 2, 1), (14, 1024, 256, 1, 1, 5),
    (14, 256, 256, 3, 1, 5), (14, 1024, 512, 1, 1, 1), (14, 512, 512, 3, 2, 1), (7, 512, 2048, 1, 1, 3),
    (14, 1024, 2048, 1, 2, 1), (7, 2048, 512, 1, 1, 2), (7, 512, 512, 3, 1, 2),
]


def of_torch(dtype, repetitions=5):
    total = 0.0
    for size, ins, outs, kernel, stride, times in SHAPES:
        x = torch.rand(1, ins, size, size, dtype=dtype)
        w = torch.rand(outs, ins, kernel, kernel, dtype=dtype)
        best = 1e9
        for _ in range(repetitions):
            start = time.perf_counter()
            torch.nn.functional.conv2d(x, w, stride=stride, padding=kernel // 2)
            best = min(best, time.perf_counter() - start)
        total += times * best
    return total


torch.set_num_threads(1)
with torch.no_grad():
    for turn in range(3):
        lines = subprocess.run([sys.argv[1], "5"], capture_output=True, text=True, check=True).stdout.splitlines()
        print("\n".join(line for line in lines if "all 53" in line))
        print("torch float64 %.3f s, float32 %.3f s" % (of_torch(torch.float64), of_torch(torch.float32)))
