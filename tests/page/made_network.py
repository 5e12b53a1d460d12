"""Networks of PyTorch's names in safetensors, with nothing but the standard library."""
import array
import json
import math
import random
import struct


def write(path, tensors):
    """`tensors`: name -> (shape, floats), or a whole number for a scalar int64."""
    header, data = {}, b""
    for name, value in tensors.items():
        if isinstance(value, int):
            dtype, shape, part = "I64", [], struct.pack("<q", value)
        else:
            shape, numbers = value
            dtype, part = "F32", array.array("f", numbers).tobytes()
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header, ensure_ascii=False).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def run(folder, steps, batch_norms=12, stopped_at=None, broken_at=None, prefix="layer"):
    """Checkpoints of one training, whose means move less and less; from `stopped_at` on the weights alone move."""
    folder.mkdir(parents=True)
    statistics = {}
    for i in range(steps):
        faults = (3,) if broken_at is not None and i >= broken_at else ()
        tensors = network(batch_norms, channels=8, batches=100 * (i + 1), moved=4 / (i + 1), faults=faults, prefix=prefix)
        if stopped_at is None or i <= stopped_at:
            statistics = {name: value for name, value in tensors.items() if name.endswith(("running_mean", "running_var"))}
        for name, value in tensors.items():
            if name.endswith("bn1.weight") or name.endswith("bn2.weight"):
                tensors[name] = (value[0], [number + 0.01 * i for number in value[1]])
        write(folder / f"epoch_{i + 1}.safetensors", {**tensors, **statistics})


def network(batch_norms, channels=64, seed=1, batches=20, moved=0.0, faults=(), prefix="layer"):
    """Convolutions, each with a batch norm. `faults`: places of batch norms that hold a NaN."""
    chance, other = random.Random(seed), random.Random(seed + 1)
    tensors = {}
    for i in range(batch_norms):
        scope = f"{prefix}{i // 12 + 1}.{i % 12 // 2}"
        conv, norm = f"{scope}.conv{i % 2 + 1}", f"{scope}.bn{i % 2 + 1}"
        level = math.sin(i / 40) - 1
        kernel = [chance.gauss(0, 0.1) + moved * other.gauss(0, 0.01) for _ in range(channels * 4)]
        tensors[f"{conv}.weight"] = ([channels, 4, 1, 1], kernel)
        tensors[f"{norm}.weight"] = ([channels], [chance.gauss(1, 0.2) for _ in range(channels)])
        tensors[f"{norm}.bias"] = ([channels], [chance.gauss(0, 0.3) for _ in range(channels)])
        mean = [chance.gauss(0, 0.5) + moved * other.gauss(0.1, 0.1) for _ in range(channels)]
        variance = [10 ** chance.gauss(level, 0.3) * (1 + moved * other.random()) + 0.5 for _ in range(channels)]
        if i in faults:
            mean[3] = math.nan
        tensors[f"{norm}.running_mean"] = ([channels], mean)
        tensors[f"{norm}.running_var"] = ([channels], variance)
        tensors[f"{norm}.num_batches_tracked"] = batches
    return tensors
