"""Counts what `ckpt` does not understand of networks: operations called Unknown on the way from the inputs to the outputs.

    python bench/network_coverage.py applications --reader build/.../describe_network --into applications.json [NAME...]
    python bench/network_coverage.py torchvision --reader ... --into torchvision.json [NAME...]
    python bench/network_coverage.py files --reader ... --into files.json --under testdata FOLDER_OR_FILE...
    python bench/network_coverage.py table applications.json torchvision.json files.json

The tables stand in docs/coverage.md.

`applications` makes all models of keras.applications without trained weights (testdata/generators/requirements-keras3.txt)
and saves each as .keras; `torchvision` exports its classic models to ONNX (testdata/generators/requirements-torch-onnx.txt
and -battery.txt). Each file is read and deleted before the next one is made; the largest has 1.4 GB. The reader is the
program of tests/network.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

APPLICATIONS = """VGG16 VGG19 ResNet50 ResNet101 ResNet152 ResNet50V2 ResNet101V2 ResNet152V2 InceptionV3 InceptionResNetV2
    Xception MobileNet MobileNetV2 MobileNetV3Small MobileNetV3Large DenseNet121 DenseNet169 DenseNet201 NASNetMobile
    NASNetLarge EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6
    EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2S EfficientNetV2M
    EfficientNetV2L ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge""".split()

TORCHVISION = """alexnet vgg11 vgg16 vgg16_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 googlenet
    inception_v3 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet0_5 mnasnet1_0 shufflenet_v2_x0_5
    shufflenet_v2_x1_0 squeezenet1_0 squeezenet1_1 efficientnet_b0 efficientnet_v2_s regnet_x_400mf regnet_y_400mf
    convnext_tiny vit_b_16 swin_t swin_v2_t maxvit_t fcn_resnet50 deeplabv3_resnet50 deeplabv3_mobilenet_v3_large
    lraspp_mobilenet_v3_large r3d_18 mc3_18 r2plus1d_18""".split()


def read(reader, path):
    """{"operations": 12, "unknown": [[layer, type, what, why]]}, or {"refused": why}."""
    done = subprocess.run([reader, path], capture_output=True, text=True)
    if done.returncode != 0:
        return {"refused": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
    network = json.loads(done.stdout)
    operations = network["operations"]
    unknown = [operations[place] for place in network["unknown_on_path"]]
    return {"operations": len(operations),
            "unknown": [[o["layer"], o["type"], o["what"], o["why"]] for o in unknown]}


def applications(reader, names):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    for name in names or APPLICATIONS:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "model.keras")
            getattr(keras.applications, name)(weights=None).save(path)
            keras.backend.clear_session()
            yield name, read(reader, path)


def torchvision_model(models, name):
    import torch

    options, shape = {"weights": None}, (1, 3, 224, 224)
    if name in ("googlenet", "inception_v3"):
        options |= {"init_weights": False, "aux_logits": False}
    if name == "inception_v3":
        shape = (1, 3, 299, 299)
    if name.startswith(("deeplab", "lraspp", "fcn")):
        options |= {"weights_backbone": None}
        models = models.segmentation
    if name in ("mc3_18", "r3d_18", "r2plus1d_18"):
        shape, models = (1, 3, 8, 56, 56), models.video
    return getattr(models, name)(**options).eval(), torch.zeros(shape)


def torchvision(reader, names):
    """Twice each: as PyTorch's exporter writes it (TorchDynamo) and as the one before it does (TorchScript)."""
    import torch

    library = torch.library.Library("torchvision", "DEF")  # its own operators are compiled for another torch
    for operator in ("nms", "qnms"):
        library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision import models

    for name in names or TORCHVISION:
        model, images = torchvision_model(models, name)
        for dynamo in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, "model.onnx")
                try:
                    torch.onnx.export(model, (images,), path, dynamo=dynamo, verbose=False)
                except Exception as error:  # not ours: the exporter has no such operator
                    result = {"not_exported": str(error).strip().splitlines()[0][:120]}
                else:
                    result = read(reader, path)
            yield f"{name} ({'dynamo' if dynamo else 'torchscript'})", result


GRAPHS = (".h5", ".keras", ".onnx", ".pb", ".pbtxt", ".meta", ".caffemodel", ".weights", ".params", "model.json")


def files(reader, under, places):
    """Files that may hold a network, by their names; a .meta or saved_model.pb stands for what lies beside it."""
    for place in places:
        for path in sorted(pathlib.Path(place).rglob("*")) if os.path.isdir(place) else [pathlib.Path(place)]:
            if path.is_file() and path.name.endswith(GRAPHS) and "test_data_set" not in path.parent.name:
                yield str(path.relative_to(under)), read(reader, path)


def reasons(result):
    counts = collections.Counter((what, why) for _, _, what, why in result["unknown"])
    return "; ".join((f"{count} " if count > 1 else "") + f"`{what}`: {why}" for (what, why), count in counts.items())


def cell(result):
    if "operations" not in result:
        return result.get("refused") or "not exported: " + result["not_exported"]
    return f"{result['operations']} / {reasons(result) or 0}"


def models_table(results):
    """One row a model, a column for each way in which it was written ("resnet18 (dynamo)")."""
    ways = list(dict.fromkeys(name.partition(" (")[2].rstrip(")") for name in results))
    rows = collections.defaultdict(dict)
    for name, result in results.items():
        model, _, way = name.partition(" (")
        rows[model][way.rstrip(")")] = cell(result)
    print("| network | " + " | ".join(way or "operations / Unknown" for way in ways) + " |\n|---" + "|---" * len(ways) + "|")
    for model, cells in rows.items():
        print(f"| {model} | " + " | ".join(cells.get(way, "") for way in ways) + " |")


def files_table(results):
    """Only those that are not understood whole, files with the same reasons together."""
    groups = collections.defaultdict(list)
    for name, result in results.items():
        if result.get("unknown"):
            groups[reasons(result)].append(name)
    print("| files | Unknown |\n|---|---|")
    for why, names in groups.items():
        print(f"| {', '.join(f'`{name}`' for name in names)} | {why} |")


def table(paths):
    for path in paths:
        results = json.loads(pathlib.Path(path).read_text())
        understood = [result for result in results.values() if "operations" in result]
        whole = sum(not result["unknown"] for result in understood)
        print(f"\n## {pathlib.Path(path).stem}\n\n{len(understood)} networks, {whole} of them without Unknown.\n")
        is_files = any("/" in name for name in results)
        files_table(results) if is_files else models_table(results)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["applications", "torchvision", "files", "table"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--reader", default="build/dev/tests/network/describe_network")
    parser.add_argument("--into")
    parser.add_argument("--under", default=".")
    given = parser.parse_intermixed_args()
    if given.what == "table":
        return table(given.names)
    counted = {"applications": lambda: applications(given.reader, given.names),
               "torchvision": lambda: torchvision(given.reader, given.names),
               "files": lambda: files(given.reader, given.under, given.names)}[given.what]
    results = {}
    for name, result in counted():
        results[name] = result
        print(name, result.get("operations"), result.get("unknown", result), file=sys.stderr, flush=True)
        if given.into:
            pathlib.Path(given.into).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
