"""Verifies models of keras.applications against their own folds: verdict, worst ratio, time and memory of each.

    python bench/verify_applications.py --ckpt build/release/ckpt [--into results.json] [MODEL...]

Without names: one of each family; --all: the 40 of them. Weights and statistics are random, for a batch norm as initialised
folds to almost nothing. Needs testdata/generators/requirements-keras3.txt; files are deleted one by one, the largest has 1.4 GB.
Exits with 1 where a verdict is another than "same" or "same up to rounding".
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from network_coverage import APPLICATIONS

FAMILIES = ["ResNet50", "MobileNetV2", "EfficientNetB0", "DenseNet121", "InceptionV3", "VGG16", "Xception", "NASNetMobile",
            "ConvNeXtTiny"]


def build(name, size=None, seed=7):
    keras.utils.set_random_seed(seed)
    shape = None if size is None else (size, size, 3)
    model = getattr(keras.applications, name)(weights=None, input_shape=shape)
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            weights = []
            for variable in layer.weights:
                shape = variable.shape
                drawn = {"gamma": random.uniform(0.5, 1.5, shape), "beta": random.normal(0, 0.3, shape),
                         "moving_mean": random.normal(0, 0.4, shape), "moving_variance": random.uniform(0.3, 1.2, shape)}
                weights.append(drawn[variable.name])
            layer.set_weights(weights)
    return model


# A process of its own measures: a child's peak begins with that of the process that made it.
MEASURE = """import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump([done.returncode, done.stdout, done.stderr, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024], sys.stdout)"""


def run(*command):
    """Exit code, output, errors, seconds of CPU, MiB at most."""
    measured = subprocess.run([sys.executable, "-S", "-c", MEASURE, *map(str, command)], capture_output=True, text=True, check=True)
    return json.loads(measured.stdout)


def open_shape(model):
    """--shape for an input that leaves sizes open."""
    tensor = model.inputs[0]
    if None not in tensor.shape[1:]:
        return []
    return ["--shape", model.layers[0].name + "=1x" + "x".join(str(size or 224) for size in tensor.shape[1:])]


def verify(ckpt, name, folder, size, allowed):
    model, folded = pathlib.Path(folder, "model.keras"), pathlib.Path(folder, "folded.keras")
    built = build(name, size)
    built.save(model)
    shape = open_shape(built)
    norms = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in built.layers)
    del built
    keras.backend.clear_session()
    fold = "fold" if norms else "preserve"
    code, _, errors, _, _ = run(ckpt, "convert", "--bn", fold, "--quiet", model, folded)
    if code != 0:
        return {"verdict": f"convert: exit {code}: {errors.strip()[:200]}"}
    code, out, errors, cpu, memory = run(ckpt, "verify", model, folded, "--format", "json", "--memory", allowed, *shape)
    if code not in (0, 1, 3) or not out:
        return {"verdict": f"verify: exit {code}: {errors.strip()[:200]}"}
    report = json.loads(out)
    return {"norms": norms, "verdict": report["verdict"], "steps": report["steps"], "unknown": report.get("unknown"),
            "outputs": [{key: output[key] for key in ("max_abs", "size")} for output in report["outputs"]],
            "silent": [report["silent_channels"], report["channels"]], "cpu": cpu, "memory": memory}


def row(name, result):
    if "steps" not in result:
        return f"| {name} | {result['verdict']} | | | | | | |"
    worst = (result["steps"].get("worst") or {}).get("ratio")
    silent, channels = result["silent"]
    return (f"| {name} | {result['norms']} | {result['verdict']} | {'' if worst is None else f'{worst:.3f}'} | "
            f"{result['steps'].get('factor')} | {f'{silent} of {channels}'} | {result['cpu']:.1f} s | {result['memory']:.0f} MiB |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--ckpt", default="build/release/ckpt")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--size", type=int, help="of the images; without it each model's own")
    parser.add_argument("--memory", default="16GB", help="--memory of ckpt verify")
    parser.add_argument("--into")
    given = parser.parse_intermixed_args()
    results = {}
    print("| model | batch norms | verdict | worst ratio | factor | silent channels | CPU | memory |\n|---|---|---|---|---|---|---|---|")
    for name in given.models or (APPLICATIONS if given.all else FAMILIES):
        with tempfile.TemporaryDirectory() as folder:
            results[name] = verify(given.ckpt, name, folder, given.size, given.memory)
        print(row(name, results[name]), flush=True)
        if given.into:
            pathlib.Path(given.into).write_text(json.dumps(results, indent=1))
    sys.exit(any(result["verdict"] not in ("same", "same up to rounding") for result in results.values()))


if __name__ == "__main__":
    main()
