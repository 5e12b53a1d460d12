"""Times ckpt beside the physical floor and its peers, in turn, and prints medians and ratios. See README.md."""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time

LIST_TF = "import tensorflow as tf; print(tf.train.list_variables('{0}'))"
AUDIT_TF = """import tensorflow as tf
reader = tf.train.load_checkpoint('{0}')
print(sum(float(reader.get_tensor(n).sum()) for n in reader.get_variable_to_shape_map() if 'moving_' in n))"""
DIFF_TF = """import numpy as np, tensorflow as tf
a, b = tf.train.load_checkpoint('{0}'), tf.train.load_checkpoint('{1}')
print(max(float(np.abs(a.get_tensor(n) - b.get_tensor(n)).max()) for n in a.get_variable_to_shape_map()))"""
LIST_ST = "from safetensors import safe_open; print([(k, f.get_slice(k).get_shape()) for f in [safe_open('{0}', 'np')] for k in f.keys()])"
COPY_ST = "from safetensors.numpy import load_file, save_file; save_file(load_file('{0}'), '{1}')"
DIFF_ST = """import numpy as np
from safetensors import safe_open
a, b = safe_open('{0}', 'np'), safe_open('{1}', 'np')
print(max(float(np.abs(a.get_tensor(k) - b.get_tensor(k)).max()) for k in a.keys()))"""
DIFF_NPZ = """import numpy as np
a, b = np.load('{0}'), np.load('{1}')
print(max(float(np.abs(a[k] - b[k]).max()) for k in a.files))"""


def run(argv):
    """Seconds and peak memory in MB of one whole command."""
    start = time.perf_counter()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - start, usage.ru_maxrss / 1024, child.returncode


def compare(title, rows, rounds):
    """Runs all rows in turn, `rounds` times after one warm-up; the first row is the one that is compared."""
    rows = [row for row in rows if row[1] is not None]
    samples = {label: [] for label, _, _ in rows}
    memory = {}
    for turn in range(rounds + 1):
        for label, argv, allowed in rows:
            seconds, peak, code = run(argv)
            if code not in allowed:
                sys.exit(f"{title}: {label} ended with {code}")
            if turn:
                samples[label].append(seconds)
                memory[label] = max(memory.get(label, 0), peak)
    first = samples[rows[0][0]]
    print(f"\n{title}")
    for label, _, _ in rows:
        ratio = statistics.median(ours / other for ours, other in zip(first, samples[label]))
        print(f"  {label:34} {statistics.median(samples[label]):9.4f} s  {memory[label]:8.1f} MB   ckpt/this {ratio:8.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckpt", required=True)
    parser.add_argument("--python", help="interpreter with TensorFlow 2.15")
    parser.add_argument("--python3", help="interpreter with safetensors")
    parser.add_argument("--folder", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    folder, ckpt = arguments.folder, arguments.ckpt
    here = os.path.dirname(os.path.abspath(__file__))
    if not os.path.exists(f"{folder}/a.h5"):
        subprocess.check_call([arguments.python, f"{here}/make_models.py", folder, "tf"])
    if not os.path.exists(f"{folder}/sparse.safetensors"):
        subprocess.check_call([arguments.python3, f"{here}/make_models.py", folder, "safetensors"])

    def script(interpreter, text, *names):
        return [interpreter, "-c", text.format(*names)] if interpreter else None

    def tool(name, *rest):
        return [name, *rest] if shutil.which(name) else None

    a = {kind: f"{folder}/a.{kind}" for kind in ("h5", "npz", "ckpt", "safetensors")}
    b = {kind: f"{folder}/b.{kind}" for kind in a}
    data = {kind: path + ".data-00000-of-00001" if kind == "ckpt" else path for kind, path in a.items()}
    data_b = {kind: path + ".data-00000-of-00001" if kind == "ckpt" else path for kind, path in b.items()}
    suffix = {"h5": ".h5", "npz": ".npz", "safetensors": ".safetensors", "ckpt": ""}
    to = {"h5": "keras-h5", "npz": "npz", "safetensors": "safetensors", "ckpt": "tf-bundle"}
    tf, st, rounds, ok = arguments.python, arguments.python3, arguments.rounds, (0,)

    for kind in a:
        compare(f"list {kind}", [
            ("ckpt inspect", [ckpt, "inspect", a[kind]], ok),
            ("h5ls -r", tool("h5ls", "-r", a[kind]) if kind == "h5" else None, ok),
            ("tf.train.list_variables", script(tf, LIST_TF, a[kind]) if kind == "ckpt" else None, ok),
            ("safetensors keys", script(st, LIST_ST, a[kind]) if kind == "safetensors" else None, ok)], rounds)
        compare(f"audit {kind}", [
            ("ckpt audit", [ckpt, "audit", "--fail-on", "never", a[kind]], ok),
            ("ckpt inspect", [ckpt, "inspect", a[kind]], ok),
            ("tf, the moving tensors", script(tf, AUDIT_TF, a[kind]) if kind == "ckpt" else None, ok)], rounds)
        compare(f"audit --checksums {kind}", [
            ("ckpt audit --checksums", [ckpt, "audit", "--checksums", "--fail-on", "never", a[kind]], ok),
            ("cat", ["cat", data[kind]], ok)], rounds)
        out = f"{folder}/out{suffix[kind]}"
        convert = [ckpt, "convert", "--force", "--to", to[kind], a[kind], out]
        compare(f"convert {kind} to {kind}", [
            ("ckpt convert", convert, ok),
            ("cp, sync", ["sh", "-c", f"cp {data[kind]} {folder}/copy && sync {folder}/copy"], ok),
            ("h5repack", tool("h5repack", a[kind], f"{folder}/copy") if kind == "h5" else None, ok),
            ("safetensors load and save", script(st, COPY_ST, a[kind], f"{folder}/copy") if kind == "safetensors" else None, ok)],
            rounds)
        fold = [] if kind == "h5" else ["--pair-by-order"]
        compare(f"fold {kind}", [
            ("ckpt convert --bn fold", [*convert[:2], "--bn", "fold", *fold, *convert[2:]], ok),
            ("ckpt convert", convert, ok)], rounds)
        compare(f"diff {kind}", [
            ("ckpt diff --bytes", [ckpt, "diff", "--bytes", a[kind], b[kind]], (1,)),
            ("ckpt diff", [ckpt, "diff", a[kind], b[kind]], (1,)),
            ("cat both", ["cat", data[kind], data_b[kind]], ok),
            ("cmp -l | wc", ["sh", "-c", f"cmp -l {data[kind]} {data_b[kind]} | wc -l"], ok),
            ("cmp of equal files", ["cmp", data[kind], data[kind]], ok),
            ("h5diff", tool("h5diff", "-q", a[kind], b[kind]) if kind == "h5" else None, (1,)),
            ("numpy", script(tf, DIFF_NPZ, a[kind], b[kind]) if kind == "npz" else None, ok),
            ("tf and numpy", script(tf, DIFF_TF, a[kind], b[kind]) if kind == "ckpt" else None, ok),
            ("safetensors and numpy", script(st, DIFF_ST, a[kind], b[kind]) if kind == "safetensors" else None, ok)], rounds)
    compare("diff across formats", [
        ("ckpt diff h5 safetensors", [ckpt, "diff", a["h5"], a["safetensors"]], ok),
        ("cat both", ["cat", a["h5"], a["safetensors"]], ok)], rounds)
    sparse = f"{folder}/sparse.safetensors"
    compare("memory: 20 GB sparse, 2000 tensors", [
        ("ckpt inspect", [ckpt, "inspect", sparse], ok),
        ("ckpt audit --checksums", [ckpt, "audit", "--checksums", "--fail-on", "never", sparse], ok),
        ("ckpt diff --bytes", [ckpt, "diff", "--bytes", sparse, sparse], ok)], 1)


if __name__ == "__main__":
    main()
