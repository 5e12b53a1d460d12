"""Many files at once: wall time of `ckpt audit --checksums` over 40 files of 12 MB with one job and with two.

    python3 bench/jobs.py --ckpt build/release/ckpt --folder /tmp/ckpt-jobs

Each file has 48 batch norms and kernels of random values, as safetensors has them. The two take turns; printed are the
medians and their ratio, with the load of the machine beside them: on one that is busy the ratio says nothing.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import struct
import subprocess
import time

FILES, LAYERS, CHANNELS, ROUNDS = 40, 48, 64, 5
KERNEL = [CHANNELS, CHANNELS, 4, 4]


def make(path, seed):
    values = random.Random(seed)
    header, data = {}, []
    at = 0
    for layer in range(LAYERS):
        parts = {f"conv{layer}.weight": KERNEL} | {
            f"bn{layer}.{part}": [CHANNELS] for part in ("weight", "bias", "running_mean", "running_var")}
        for name, shape in parts.items():
            count = 1
            for size in shape:
                count *= size
            low = 0.5 if name.endswith("var") else -1
            data.append(struct.pack(f"<{count}f", *(values.uniform(low, 1.5) for _ in range(count))))
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * count]}
            at += 4 * count
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def seconds(arguments):
    start = time.monotonic()
    subprocess.run(arguments, check=False, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="build/release/ckpt")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("/tmp/ckpt-jobs"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    files = [options.folder / f"{number}.safetensors" for number in range(FILES)]
    for number, file in enumerate(files):
        if not file.exists():
            make(file, number)
    times = {1: [], 2: []}
    for turn in range(ROUNDS + 1):
        for jobs, measured in times.items():
            taken = seconds([options.ckpt, "audit", "--quiet", "--no-config", "--checksums", "-j", str(jobs), *files])
            if turn > 0:  # the first fills the cache
                measured.append(taken)
    one, two = (statistics.median(measured) for measured in times.values())
    size = sum(file.stat().st_size for file in files) / FILES / 1e6
    print(f"{FILES} files of {size:.1f} MB: one job {one:.2f} s, two {two:.2f} s, ratio {two / one:.2f}; "
          f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
