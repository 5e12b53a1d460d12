"""Many files at once: wall time of `ckpt audit --checksums` over 40 files of 12 MB with one job and with two.

    python3 bench/jobs.py --ckpt build/release/ckpt --folder /tmp/ckpt-jobs

Each file has 48 batch norms and kernels of shuffled values, as numpy.savez writes
them: each array has a checksum. The two take turns; printed are the
medians and their ratio, with the load of the machine beside them: on one that is busy the ratio says nothing.
"""

import argparse
import math
import os
import pathlib
import random
import statistics
import struct
import subprocess
import time
import zipfile

FILES, LAYERS, CHANNELS, ROUNDS = 40, 48, 64, 5
KERNEL = [CHANNELS, CHANNELS, 4, 4]


def npy(values, shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + values


def make(path, seed):
    values = random.Random(seed)
    block = [values.uniform(0.5, 1.5) for _ in range(CHANNELS * CHANNELS)]
    with zipfile.ZipFile(path, "w") as archive:
        for layer in range(LAYERS):
            shapes = {f"conv{layer}.weight": KERNEL} | {
                f"bn{layer}.{part}": [CHANNELS] for part in ("weight", "bias", "running_mean", "running_var")}
            for name, shape in shapes.items():
                count = math.prod(shape)
                values.shuffle(block)
                data = struct.pack(f"<{count}f", *(block * -(-count // len(block)))[:count])
                archive.writestr(name + ".npy", npy(data, shape))


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
    files = [options.folder / f"{number}.npz" for number in range(FILES)]
    for number, file in enumerate(files):
        if not file.exists():
            make(file, number)
    times = {1: [], 2: []}
    for turn in range(ROUNDS + 1):
        for jobs, measured in times.items():
            taken = seconds([options.ckpt, "audit", "--quiet", "--checksums", "-j", str(jobs), *files])
            if turn > 0:  # the first fills the cache
                measured.append(taken)
    one, two = (statistics.median(measured) for measured in times.values())
    size = sum(file.stat().st_size for file in files) / FILES / 1e6
    print(f"{FILES} files of {size:.1f} MB: one job {one:.2f} s, two {two:.2f} s, ratio {two / one:.2f}; "
          f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
