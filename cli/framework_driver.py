"""Runs one file by its framework: driver.py REQUEST, in the folder where the answer is to lie.

REQUEST is JSON: {"framework", "file", "kind", "trust", "inputs": [{"name", "file"}], "outputs": [name],
"signature", "tags"}. The answer: outputs.npz with the arrays "0", "1", ... in the order of the outputs that were asked
for, and a file "version". What goes wrong is the last line on stderr.
"""

import importlib.util
import json
import os
import sys

def fail(text):
    sys.stderr.write("\n" + str(text).replace("\n", " ") + "\n")
    sys.stderr.flush()
    os._exit(1)


def need(*modules):
    for module in modules:
        if importlib.util.find_spec(module) is None:
            fail(f"{sys.executable} has no module {module}")


def in_order(wanted, made, names):
    """The arrays `made`, called `names`, as `wanted` names them; by order where it names others."""
    if set(wanted) <= set(names) and len(set(names)) == len(names):
        return [made[names.index(name)] for name in wanted]
    if len(wanted) != len(made):
        fail(f"it has {len(made)} inputs or outputs ({', '.join(names)}), and {len(wanted)} are known by {wanted}")
    return made


def flat(value):
    if isinstance(value, dict):
        return [x for key in value for x in flat(value[key])]
    if isinstance(value, (list, tuple)):
        return [x for item in value for x in flat(item)]
    return [value]


def run_onnxruntime(request, arrays):
    need("onnxruntime")
    import onnxruntime

    types = {"float16": "float16", "float": "float32", "double": "float64", "bool": "bool"}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(request["file"], options, providers=["CPUExecutionProvider"])
    wanted = {i.name: i.type[len("tensor("):-1] for i in session.get_inputs()}
    feeds = {name: array.astype(types.get(wanted[name], wanted[name])) for name, array in arrays if name in wanted}
    return onnxruntime.__version__, session.run(request["outputs"], feeds)


def choose_backend():
    for module, backend in [("tensorflow", "tensorflow"), ("torch", "torch"), ("jax", "jax")]:
        if importlib.util.find_spec(module) is not None:
            os.environ["KERAS_BACKEND"] = backend
            return


def run_keras(request, arrays):
    need("keras")
    choose_backend()
    import inspect
    import numpy
    import keras

    options = {"compile": False}
    load = keras.models.load_model
    if "safe_mode" in inspect.signature(load).parameters:
        options["safe_mode"] = not request["trust"]
    model = load(request["file"], **options)
    names = [tensor.name.split(":")[0] for tensor in model.inputs]
    values = in_order(names, [array for _, array in arrays], [name for name, _ in arrays])
    typed = []
    for value, tensor in zip(values, model.inputs):
        name = getattr(tensor.dtype, "name", str(tensor.dtype))
        typed.append(value.astype("float32" if name == "bfloat16" else name))
    made = flat(model(typed if len(typed) > 1 else typed[0], training=False))
    made = [numpy.asarray(keras.ops.convert_to_numpy(x) if hasattr(keras, "ops") else x) for x in made]
    return keras.__version__, in_order(request["outputs"], made, list(model.output_names))


def run_saved_model(tf, request, arrays):
    model = tf.saved_model.load(request["file"], tags=request["tags"] or None)
    function = model.signatures[request["signature"]]
    types = {name: spec.dtype for name, spec in function.structured_input_signature[1].items()}
    feeds = {name: tf.cast(tf.constant(array), types[name]) for name, array in arrays if name in types}
    made = function(**feeds)
    return [made[name] for name in request["outputs"]]


def run_graph(tf, request, arrays):
    graph = tf.compat.v1.GraphDef()
    with open(request["file"], "rb") as file:
        data = file.read()
    if request["kind"] == "text":
        from google.protobuf import text_format

        text_format.Parse(data.decode(), graph)
    else:
        graph.ParseFromString(data)
    whole = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    tensors = [whole.graph.as_graph_element(name + ":0") for name, _ in arrays]
    outputs = [whole.graph.as_graph_element(name + ":0") for name in request["outputs"]]
    function = whole.prune(tensors, outputs)
    return function(*[tf.cast(tf.constant(a), t.dtype) for (_, a), t in zip(arrays, tensors)])


def run_tensorflow(request, arrays):
    need("tensorflow")
    import tensorflow as tf

    made = run_saved_model(tf, request, arrays) if request["kind"] == "folder" else run_graph(tf, request, arrays)
    return tf.__version__, [x.numpy() for x in made]


def run_torch(request, arrays):
    need("torch")
    import torch

    torch.set_num_threads(1)
    model = torch.jit.load(request["file"], map_location="cpu").eval()
    with torch.no_grad():
        made = flat(model(*[torch.from_numpy(array) for _, array in arrays]))
    made = [tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy() for tensor in made]
    return torch.__version__, in_order(request["outputs"], made, [""] * len(made))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    need("numpy")
    import numpy

    arrays = [(each["name"], numpy.load(each["file"], allow_pickle=False)) for each in request["inputs"]]
    run = {"onnxruntime": run_onnxruntime, "keras": run_keras, "tensorflow": run_tensorflow, "torch": run_torch}
    version, made = run[request["framework"]](request, arrays)
    made = [numpy.asarray(array) for array in made]
    made = [a.astype("float32") if a.dtype.kind not in "biuf" else a for a in made]
    with open("version", "w", encoding="utf-8") as file:
        file.write(str(version))
    numpy.savez("outputs.npz", **{str(i): array for i, array in enumerate(made)})


try:
    main()
except BaseException as error:  # whatever it is, it is said in one line
    import traceback

    traceback.print_exc()
    fail(f"{type(error).__name__}: {error}")
sys.stdout.flush()
os._exit(0)
