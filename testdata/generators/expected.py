"""Writes `<name>.expected.json`: what the producing framework itself reads back from a file.

The C++ tests compare the tool's reading with these lists, so nothing here may come from the tool.
Used from both environments; it imports TensorFlow, h5py and safetensors only where they are needed.

A tensor entry is
    {"name", "dtype", "shape", "bytes", "crc32", "first"}
`crc32` is zlib's CRC-32, eight hex digits, of the values as little-endian bytes in C order.
`first` holds up to four leading values; NaN and infinities are the strings "nan", "inf", "-inf",
a complex value is a pair.  A string tensor has `lengths` in place of `first`, and its `crc32` is of the
concatenated bytes.  Bytes that the reader cannot interpret are "opaque" and a size, without `first`.
"""

import json
import math
import pathlib
import zlib

import numpy as np

FIRST_VALUES = 4


def _plain(array):
    """The array in C order and little-endian; TensorFlow's quantized types become their base integers."""
    array = np.asarray(array)
    if array.dtype.fields and len(array.dtype.fields) == 1:
        array = array.view(array.dtype[0])
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).reshape(array.shape)


def _json_number(value):
    """One value as something JSON can hold without loss."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (complex, np.complexfloating)):
        return [_json_number(float(value.real)), _json_number(float(value.imag))]
    number = float(value)
    if math.isnan(number):
        return "nan"
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    return number


def _crc(data):
    return f"{zlib.crc32(data) & 0xFFFFFFFF:08x}"


def describe(name, array, dtype=None):
    """The entry of one tensor; `dtype` overrides the name where NumPy has no type of its own."""
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        elements = [bytes(e) if isinstance(e, bytes) else str(e).encode() for e in array.ravel().tolist()]
        return {"name": name, "dtype": dtype or "string", "shape": list(array.shape),
                "lengths": [len(e) for e in elements], "crc32": _crc(b"".join(elements))}
    plain = _plain(array)
    data = plain.tobytes()
    if plain.dtype == np.dtype(f"V{plain.dtype.itemsize}"):
        return {"name": name, "dtype": f"opaque{plain.dtype.itemsize}", "shape": list(plain.shape),
                "bytes": len(data), "crc32": _crc(data)}
    leading = plain.ravel()[:FIRST_VALUES]
    if "int" in plain.dtype.name:
        leading = leading.astype(object if plain.dtype.kind in "iu" else np.int64)
    return {"name": name, "dtype": dtype or plain.dtype.name, "shape": list(plain.shape),
            "bytes": len(data), "crc32": _crc(data),
            "first": [_json_number(v) for v in leading]}


def write(path, producer, tensors, **extra):
    """Writes the JSON with one tensor a line, so that a change is readable in a diff."""
    head = {"producer": producer, **extra}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    rows = ",\n".join("    " + json.dumps(tensor) for tensor in tensors)
    text = "{\n" + "\n".join(lines) + '\n  "tensors": [\n' + rows + "\n  ]\n}\n"
    json.loads(text)
    pathlib.Path(path).write_text(text)


def from_tf_checkpoint(prefix):
    """Reads a checkpoint (V1 or V2) with TensorFlow and writes `<prefix>.expected.json`."""
    import tensorflow as tf
    reader = tf.train.load_checkpoint(str(prefix))
    dtypes = reader.get_variable_to_dtype_map()
    tensors = []
    for name in sorted(dtypes, key=lambda n: n.encode()):
        dtype = dtypes[name].name
        tensors.append(describe(name, reader.get_tensor(name), dtype))
    write(f"{prefix}.expected.json", f"tensorflow {tf.__version__}, tf.train.load_checkpoint", tensors)
    return reader


def _h5_strings(attribute):
    return [v.decode() if isinstance(v, bytes) else str(v) for v in attribute]


def _h5_names(group, key):
    """A name list attribute, also where Keras split it into `<key>0`, `<key>1`, ..."""
    if key in group.attrs:
        return _h5_strings(group.attrs[key])
    names, chunk = [], 0
    while f"{key}{chunk}" in group.attrs:
        names += _h5_strings(group.attrs[f"{key}{chunk}"])
        chunk += 1
    return names


def from_h5(path):
    """Reads a Keras HDF5 file with h5py and writes `<path>.expected.json`: datasets and layer order."""
    import h5py
    with h5py.File(path, "r") as file:
        weights = file["model_weights"] if "model_weights" in file else file
        layers = [{"name": name, "weights": _h5_names(weights[name], "weight_names")}
                  for name in _h5_names(weights, "layer_names")]
        tensors = []
        file.visititems(lambda name, item: tensors.append(describe("/" + name, item[()]))
                        if isinstance(item, h5py.Dataset) else None)
        version = file.attrs.get("keras_version")
        version = version.decode() if isinstance(version, bytes) else version
    tensors.sort(key=lambda tensor: tensor["name"].encode())
    write(f"{path}.expected.json", f"h5py {h5py.__version__}", tensors,
          keras_version=version, layers=layers)


def _safetensors_dtype(name):
    """The NumPy type of a safetensors dtype, as ml_dtypes extends NumPy."""
    import ml_dtypes
    others = {"BOOL": np.bool_, "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn,
              "F8_E5M2": ml_dtypes.float8_e5m2, "C64": np.complex64}
    letters = {"F": "float", "I": "int", "U": "uint"}
    return np.dtype(others[name] if name in others else letters[name[0]] + name[1:])


def from_safetensors(path):
    """Reads a safetensors file with its own package and writes `<path>.expected.json`."""
    import safetensors
    data = pathlib.Path(path).read_bytes()
    tensors = []
    for name, entry in sorted(safetensors.deserialize(data)):
        values = np.frombuffer(entry["data"], _safetensors_dtype(entry["dtype"]))
        tensors.append(describe(name, values.reshape(entry["shape"])))
    with safetensors.safe_open(str(path), framework="numpy") as file:
        metadata = file.metadata() and dict(sorted(file.metadata().items()))
    write(f"{path}.expected.json", f"safetensors {safetensors.__version__}", tensors, metadata=metadata)


def from_npz(path):
    """Reads an npz or npy file with NumPy and writes `<path>.expected.json`, in file order."""
    loaded = np.load(path, allow_pickle=False)
    members = {"": loaded} if isinstance(loaded, np.ndarray) else {n: loaded[n] for n in loaded.files}
    tensors = []
    for name, array in members.items():
        tensor = describe(name, array)
        tensor["fortran_order"] = bool(array.flags.f_contiguous and not array.flags.c_contiguous)
        tensors.append(tensor)
    write(f"{path}.expected.json", f"numpy {np.__version__}", tensors)
