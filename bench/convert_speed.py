"""Times `ckpt convert` beside `cp` and `sync` of the same file, in alternating pairs, with the floor of each. See README.md.

usage: convert_speed.py --ckpt build/release/ckpt --folder /tmp/ckpt-bench [--rounds 7] [--stem a] [--cold] [CASE...]

The files are those of make_models.py; a case whose input is not in the folder is left out.
"""

import argparse
import os
import resource
import statistics
import subprocess
import time

# name, input, output, options, hashes in the record, the ratio that is aimed at
CASES = [
    ("preserve", "a.safetensors", "out.safetensors", [], 2, 2.0),
    ("preserve, --no-digest", "a.safetensors", "out.safetensors", ["--no-digest"], 0, 1.5),
    ("preserve, --jobs 1", "a.safetensors", "out.safetensors", ["--jobs", "1"], 2, None),
    ("npz", "a.npz", "out.npz", [], 2, 2.0),
    ("torch", "a.pt", "out.pt", [], 2, 2.0),
    ("to tf-bundle", "a.safetensors", "out.ckpt", ["--to", "tf-bundle"], 2, 2.5),
    ("to torch's layouts", "a.npz", "out.pt", ["--names", "torch"], 2, 2.5),
    ("fold", "a.keras", "out.keras", ["--bn", "fold"], 2, 2.5),
    ("cast to bfloat16", "a.safetensors", "out.safetensors", ["--cast", "bfloat16"], 2, 2.5),
    ("ONNX", "a.onnx", "out.onnx", [], 2, 2.5),
    (".keras", "a.keras", "out.keras", [], 2, 3.5),
    (".h5", "a.h5", "out.h5", [], 2, 3.5),
]


def run(argv):
    """Seconds of the clock and of the processor (user and system), and peak memory in MB."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}: ended with {child.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - start, processor, usage.ru_maxrss / 1024


def forget(*paths):
    """Takes what is written of the files out of the system's cache."""
    for path in paths:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckpt", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--stem", default="a", help="of the files: a, or large")
    parser.add_argument("--cold", action="store_true", help="read from the disk each time, without a turn to warm up")
    parser.add_argument("cases", nargs="*", help="only these, by name")
    arguments = parser.parse_args()
    hashed = {}  # seconds of one SHA-256, by input
    for name, source, out, options, hashes, goal in CASES:
        path, copy = f"{arguments.folder}/{arguments.stem}{source[1:]}", f"{arguments.folder}/copy"
        if not os.path.exists(path) or (arguments.cases and name not in arguments.cases):
            continue
        convert = [arguments.ckpt, "convert", "--force", "--no-verify", *options, path, f"{arguments.folder}/{out}"]
        pairs = []
        for turn in range(arguments.rounds + (not arguments.cold)):
            pair = []
            for command in (convert, ["sh", "-c", f"cp {path} {copy} && sync {copy}"]):
                if arguments.cold:
                    forget(path, copy, f"{arguments.folder}/{out}")
                pair.append(run(command))
            if turn or arguments.cold:
                pairs.append(pair)
        ours, floor = (statistics.median(pair[i][0] for pair in pairs) for i in (0, 1))
        ratio = statistics.median(a[0] / b[0] for a, b in pairs)
        if hashes and path not in hashed:
            hashed[path] = min(run(["openssl", "dgst", "-sha256", path])[1] for _ in range(1 if arguments.cold else 3))
        print(f"{name}: {ratio:.2f} times cp and sync" + (f" (aim {goal})" if goal else ""))
        print(f"  {ours:.2f} s beside {floor:.2f} s; processor {statistics.median(a[1] for a, _ in pairs):.2f} s, of cp "
              f"{statistics.median(b[1] for _, b in pairs):.2f} s, of {hashes} SHA-256 {hashes * hashed.get(path, 0):.2f} s; "
              f"{max(a[2] for a, _ in pairs):.0f} MB")
        print(f"  {' '.join(convert)}", flush=True)


if __name__ == "__main__":
    main()
