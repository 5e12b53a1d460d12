"""Checkpoints of any size whose kernels are holes: what a reader has to move of them is index and batch norms."""

import io
import json
import pickle
import struct
import sys
import types
import zlib

import array
import random

PARTS = ("weight", "bias", "running_mean", "running_var")


class Layer:
    """A convolution [channels, channels, 3, 3] and the batch norm behind it."""

    def __init__(self, index, channels):
        self.channels = channels
        self.kernel = f"features.{3 * index}.weight"
        self.norm = f"features.{3 * index + 1}."
        self.kernel_bytes = channels * channels * 9 * 4

    def vector(self, part):
        source = random.Random(self.norm + part)
        low, high = {"weight": (0.5, 1.5), "bias": (-1, 1), "running_mean": (-2, 2), "running_var": (0.2, 3)}[part]
        return array.array("f", (source.uniform(low, high) for _ in range(self.channels))).tobytes()


def layers(count, channels):
    return [Layer(i, channels) for i in range(count)]


def tensors_of(layer):
    """(name, dtype, shape, bytes or None for a hole, size) in the order of the names."""
    yield layer.kernel, "F32", [layer.channels, layer.channels, 3, 3], None, layer.kernel_bytes
    for part in ("bias", "num_batches_tracked", "running_mean", "running_var", "weight"):
        if part == "num_batches_tracked":
            yield layer.norm + part, "I64", [], struct.pack("<q", 5000), 8
        else:
            yield layer.norm + part, "F32", [layer.channels], layer.vector(part), 4 * layer.channels


def write_safetensors(path, some_layers):
    """Returns (bytes of the index, bytes of the batch norms)."""
    header, at, parts = {}, 0, []
    for layer in some_layers:
        for name, dtype, shape, data, size in tensors_of(layer):
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
            if data is not None:
                parts.append((at, data))
            at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for offset, data in parts:
            file.seek(start + offset)
            file.write(data)
        file.truncate(start + at)
    return start, sum(len(data) for _, data in parts)


def write_sharded(folder, all_layers, per_shard):
    """model.safetensors.index.json and its shards; returns (bytes of all indexes, of the batch norms, of all)."""
    groups = [all_layers[i:i + per_shard] for i in range(0, len(all_layers), per_shard)]
    names, index_bytes, norm_bytes, total = {}, 0, 0, 0
    for number, group in enumerate(groups, 1):
        shard = f"model-{number:05}-of-{len(groups):05}.safetensors"
        index, norms = write_safetensors(folder / shard, group)
        index_bytes, norm_bytes = index_bytes + index, norm_bytes + norms
        total += (folder / shard).stat().st_size
        for layer in group:
            names.update({tensor[0]: shard for tensor in tensors_of(layer)})
    text = json.dumps({"metadata": {}, "weight_map": names}, indent=2)
    (folder / "model.safetensors.index.json").write_text(text)
    return index_bytes + len(text), norm_bytes, total


class _Storage:
    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = kind, key, count


class _Rebuild:
    def __init__(self, function, arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _fake_torch():
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild(*_):
        raise NotImplementedError

    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = "torch._utils", *["_rebuild_tensor_v2"] * 2
    utils._rebuild_tensor_v2 = rebuild
    for name in ("FloatStorage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    torch._utils = utils
    return {"torch": torch, "torch._utils": utils}


def _pickled(entries):
    """A state dict as torch.save pickles one; `entries` are (name, storage kind, key, shape)."""
    modules = _fake_torch()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    torch = modules["torch"]

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, _Storage):
                return "storage", getattr(torch, thing.kind), thing.key, "cpu", thing.count
            return None

    try:
        from collections import OrderedDict
        state = {}
        for name, kind, key, shape in entries:
            strides, step = [], 1
            for dim in reversed(shape):
                strides.insert(0, step)
                step *= dim
            storage = _Storage(kind, key, step)
            state[name] = _Rebuild(torch._utils._rebuild_tensor_v2,
                                   (storage, 0, tuple(shape), tuple(strides), False, OrderedDict()))
        out = io.BytesIO()
        Pickler(out, protocol=2).dump(state)
        return out.getvalue()
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class _Zip:
    """Stored members with zip64 fields, their data at multiples of 64 as torch.save puts them."""

    def __init__(self, file):
        self.file, self.entries = file, []

    def add(self, name, data, size):
        at, crc = self.file.tell(), zlib.crc32(data) if data is not None else 0x12345678
        extra = struct.pack("<HHQQ", 1, 16, size, size)
        fill = -(at + 30 + len(name) + len(extra) + 4) % 64
        extra += struct.pack("<HH", 0x4246, fill) + b"Z" * fill
        self.file.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 0, crc, 0xFFFFFFFF, 0xFFFFFFFF,
                                    len(name), len(extra)) + name.encode() + extra)
        if data is None:
            self.file.seek(size, 1)
        else:
            self.file.write(data)
        self.entries.append((name, crc, size, at))

    def finish(self):
        start = self.file.tell()
        for name, crc, size, at in self.entries:
            extra = struct.pack("<HHQQQ", 1, 24, size, size, at)
            self.file.write(struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 0, 0, 0, crc, 0xFFFFFFFF,
                                        0xFFFFFFFF, len(name), len(extra), 0, 0, 0, 0, 0xFFFFFFFF)
                            + name.encode() + extra)
        end, count = self.file.tell(), len(self.entries)
        self.file.write(struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, end - start, start))
        self.file.write(struct.pack("<IIQI", 0x07064B50, 0, end, 1))
        self.file.write(struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))
        return self.file.tell() - start


def write_torch(path, some_layers):
    """Returns (bytes of directory, headers and pickle, bytes of the batch norms)."""
    entries, members = [], []
    for layer in some_layers:
        for name, dtype, shape, data, size in tensors_of(layer):
            key = str(len(members))
            entries.append((name, "LongStorage" if dtype == "I64" else "FloatStorage", key, shape))
            members.append((f"archive/data/{key}", data, size))
    pickled = _pickled(entries)
    with open(path, "wb") as file:
        archive = _Zip(file)
        archive.add("archive/data.pkl", pickled, len(pickled))
        for member in members:
            archive.add(*member)
        archive.add("archive/version", b"3\n", 2)
        directory = archive.finish()
    headers = 160 * len(members)
    return directory + len(pickled) + headers, sum(len(data) for _, data, _ in members if data is not None)
