"""Times ckpt beside the physical floor and its peers, in turn, and prints medians and ratios. See README.md."""

import argparse
import dataclasses
import os
import shutil
import statistics
import subprocess
import sys
import time

NUMPY_DIFF = "print(max(float(np.abs(a[k] - b[k]).max()) for k in names))"


@dataclasses.dataclass
class Kind:
    """A format: how ckpt writes it, and what people run today. {0} is a file, {1} the second file or the output."""
    to: str
    suffix: str
    world: str  # whose interpreter runs the scripts
    peer: str  # their name in the tables
    list: str = ""
    audit: str = ""
    copy: str = ""
    fold: str = ""
    diff: str = ""
    tools: dict = dataclasses.field(default_factory=dict)  # verb -> rows of programs


KINDS = {
    "h5": Kind("keras-h5", ".h5", "tf", "h5py", tools={
        "list": ["h5ls", "-r", "{0}"], "copy": ["h5repack", "{0}", "{1}"], "diff": ["h5diff", "-q", "{0}", "{1}"]}),
    "npz": Kind("npz", ".npz", "tf", "numpy", list="import numpy as np; print(np.load('{0}').files)",
                copy="import numpy as np; np.savez('{1}', **np.load('{0}'))",
                diff="import numpy as np; a, b = np.load('{0}'), np.load('{1}'); names = a.files\n" + NUMPY_DIFF),
    "ckpt": Kind("tf-bundle", "", "tf", "tensorflow", list="import tensorflow as tf; print(tf.train.list_variables('{0}'))",
                 audit="""import tensorflow as tf
reader = tf.train.load_checkpoint('{0}')
print(sum(float(reader.get_tensor(n).sum()) for n in reader.get_variable_to_shape_map() if 'moving_' in n))""",
                 diff="""import numpy as np, tensorflow as tf
a, b = tf.train.load_checkpoint('{0}'), tf.train.load_checkpoint('{1}')
print(max(float(np.abs(a.get_tensor(n) - b.get_tensor(n)).max()) for n in a.get_variable_to_shape_map()))"""),
    "safetensors": Kind("safetensors", ".safetensors", "keras3", "safetensors",
                        list="from safetensors import safe_open; f = safe_open('{0}', 'np'); "
                             "print([(k, f.get_slice(k).get_shape()) for k in f.keys()])",
                        copy="from safetensors.numpy import load_file, save_file; save_file(load_file('{0}'), '{1}')",
                        diff="""import numpy as np
from safetensors import safe_open
a, b = safe_open('{0}', 'np'), safe_open('{1}', 'np')
print(max(float(np.abs(a.get_tensor(k) - b.get_tensor(k)).max()) for k in a.keys()))"""),
    "pt": Kind("torch", ".pt", "torch", "torch",
               list="import torch; print([(k, v.shape) for k, v in torch.load('{0}', mmap=True).items()])",
               audit="""import torch
print(sum(float(v.sum()) for k, v in torch.load('{0}', mmap=True).items() if 'running_' in k))""",
               copy="import torch; torch.save(torch.load('{0}'), '{1}')",
               fold="""import torch
from torch.nn.utils.fusion import fuse_conv_bn_weights
state, out = torch.load('{0}'), {{}}
for k in [k[:-len('.running_mean')] for k in state if k.endswith('.running_mean')]:
    conv = k.replace('bn', 'conv')
    out[conv + '.weight'], out[conv + '.bias'] = fuse_conv_bn_weights(
        state[conv + '.weight'], state[conv + '.bias'], state[k + '.running_mean'], state[k + '.running_var'], 1e-5,
        state[k + '.weight'], state[k + '.bias'])
torch.save(out, '{1}')""",
               diff="""import torch
a, b = torch.load('{0}', mmap=True), torch.load('{1}', mmap=True)
print(max(float((a[k] - b[k]).abs().max()) for k in a))"""),
    "keras": Kind("keras", ".keras", "keras3", "keras",
                  list="import keras; print([(w.path, w.shape) for w in keras.saving.load_model('{0}').weights])",
                  copy="import keras; keras.saving.load_model('{0}').save('{1}.keras')",
                  diff="""import keras, numpy as np
a, b = [{{w.path: np.asarray(w) for w in keras.saving.load_model(f).weights}} for f in ('{0}', '{1}')]
names = a
""" + NUMPY_DIFF),
    "onnx": Kind("onnx", ".onnx", "keras3", "onnx",
                 list="import onnx; print([(t.name, t.dims) for t in onnx.load('{0}').graph.initializer])",
                 audit="""import onnx
from onnx.numpy_helper import to_array
graph = onnx.load('{0}').graph
names = {{n for node in graph.node if node.op_type == 'BatchNormalization' for n in node.input[3:]}}
print(sum(float(to_array(t).sum()) for t in graph.initializer if t.name in names))""",
                 copy="import onnx; onnx.save(onnx.load('{0}'), '{1}')",
                 fold="""import onnxruntime as ort
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
options.optimized_model_filepath = '{1}'
ort.InferenceSession('{0}', options, providers=['CPUExecutionProvider'])""",
                 diff="""import numpy as np, onnx
from onnx.numpy_helper import to_array
a, b = [{{t.name: to_array(t) for t in onnx.load(f).graph.initializer}} for f in ('{0}', '{1}')]
names = a
""" + NUMPY_DIFF),
}

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
    parser.add_argument("--tf", help="interpreter with TensorFlow 2.15")
    parser.add_argument("--keras3", help="interpreter with Keras 3, onnx, onnxruntime and safetensors")
    parser.add_argument("--torch", help="interpreter with PyTorch")
    parser.add_argument("--folder", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only these")
    arguments = parser.parse_args()
    folder, ckpt, rounds, ok = arguments.folder, arguments.ckpt, arguments.rounds, (0,)
    here = os.path.dirname(os.path.abspath(__file__))
    for world, made in (("tf", "a.h5"), ("keras3", "sparse.safetensors"), ("torch", "a.pt")):
        if not os.path.exists(f"{folder}/{made}"):
            subprocess.check_call([getattr(arguments, world), f"{here}/make_models.py", folder, world])

    for name in arguments.kind or KINDS:
        kind = KINDS[name]
        a, b, out, copy = (f"{folder}/{stem}{kind.suffix or '.ckpt'}" for stem in ("a", "b", "out", "copy"))
        data, data_b = (path + ".data-00000-of-00001" if name == "ckpt" else path for path in (a, b))

        def peers(verb, *names, code=ok):
            rows, interpreter = [], getattr(arguments, kind.world)
            tool = kind.tools.get(verb)
            if tool and shutil.which(tool[0]):
                rows.append((tool[0], [part.format(*names) for part in tool], code))
            text = getattr(kind, verb)
            if text and interpreter:
                rows.append((kind.peer, [interpreter, "-c", text.format(*names)], ok))
            return rows

        audit = [ckpt, "audit", "--fail-on", "never"]
        convert = [ckpt, "convert", "--force", "--to", kind.to]
        fold = ["--bn", "fold", *([] if name in ("h5", "keras", "onnx") else ["--pair-by-order"])]
        compare(f"list {name}", [("ckpt inspect", [ckpt, "inspect", a], ok), *peers("list", a)], rounds)
        compare(f"audit {name}", [("ckpt audit", [*audit, a], ok), ("ckpt inspect", [ckpt, "inspect", a], ok),
                                  *peers("audit", a)], rounds)
        compare(f"audit --checksums {name}", [("ckpt audit --checksums", [*audit, "--checksums", a], ok),
                                              ("cat", ["cat", data], ok)], rounds)
        compare(f"convert {name} to {name}", [
            ("ckpt convert", [*convert, a, out], ok),
            ("cp, sync", ["sh", "-c", f"cp {data} {copy} && sync {copy}"], ok), *peers("copy", a, copy)], rounds)
        compare(f"fold {name}", [("ckpt convert --bn fold", [*convert, *fold, a, out], ok),
                                 ("ckpt convert", [*convert, a, out], ok), *peers("fold", a, copy)], rounds)
        compare(f"diff {name}", [
            ("ckpt diff --bytes", [ckpt, "diff", "--bytes", a, b], (1,)),
            ("ckpt diff", [ckpt, "diff", a, b], (1,)),
            ("cat both", ["cat", data, data_b], ok),
            ("cmp -l | wc", ["sh", "-c", f"cmp -l {data} {data_b} | wc -l"], ok),
            ("cmp of equal files", ["cmp", data, data], ok), *peers("diff", a, b, code=(1,))], rounds)
    if arguments.kind:
        return
    for other in ("a.safetensors", "a.pt", "a.keras", "a.onnx"):
        compare(f"diff across formats: h5 and {other}", [
            ("ckpt diff", [ckpt, "diff", f"{folder}/a.h5", f"{folder}/{other}"], ok),
            ("cat both", ["cat", f"{folder}/a.h5", f"{folder}/{other}"], ok)], rounds)
    sparse = f"{folder}/sparse.safetensors"
    compare("memory: 20 GB sparse, 2000 tensors", [
        ("ckpt inspect", [ckpt, "inspect", sparse], ok),
        ("ckpt audit --checksums", [*audit, "--checksums", sparse], ok),
        ("ckpt diff --bytes", [ckpt, "diff", "--bytes", sparse, sparse], ok)], 1)


if __name__ == "__main__":
    main()
