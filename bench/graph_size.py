"""How reading a graph grows with its operations: seconds and peak memory of `ckpt inspect` at several sizes.

    python3 bench/graph_size.py --ckpt build/release/ckpt

Writes GraphDefs of a long chain of layers (a Const, a Conv2D, a BiasAdd with its Const and a Relu each), by the wire
format alone.
"""

import argparse
import os
import pathlib
import resource
import struct
import subprocess
import tempfile
import time


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def attr(key, value):
    return field(5, field(1, key) + field(2, value))


FLOAT = attr(b"T", b"\x30\x01")
STRIDES = attr(b"strides", field(1, field(3, b"\x01\x01\x01\x01")))
PADDING = attr(b"padding", field(2, b"SAME"))


def node(name, op, inputs=(), attrs=b""):
    body = field(1, name) + field(2, op) + b"".join(field(3, i) for i in inputs) + attrs
    return field(1, body)


def const(name, dims):
    count = 1
    for dim in dims:
        count *= dim
    shape = b"".join(field(2, b"\x08" + varint(dim)) for dim in dims)
    tensor = b"\x08\x01" + field(2, shape) + field(4, struct.pack("<f", 0.5) * count)
    return node(name, b"Const", attrs=attr(b"dtype", b"\x30\x01") + attr(b"value", field(8, tensor)))


def write_graph(path, operations):
    with open(path, "wb") as out:
        out.write(node(b"images", b"Placeholder"))
        last = b"images"
        for layer in range(operations // 5):
            scope = b"block_%d/conv_%d/" % (layer // 10, layer)
            out.write(const(scope + b"kernel", (1, 1, 4, 4)))
            out.write(const(scope + b"bias", (4,)))
            out.write(node(scope + b"Conv2D", b"Conv2D", (last, scope + b"kernel"), FLOAT + STRIDES + PADDING))
            out.write(node(scope + b"BiasAdd", b"BiasAdd", (scope + b"Conv2D", scope + b"bias"), FLOAT))
            last = scope + b"Relu"
            out.write(node(last, b"Relu", (scope + b"BiasAdd",), FLOAT))


def run(command):
    """Seconds of processor time, and the child's peak memory in MB."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0, command
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begin, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", required=True)
    parser.add_argument("--sizes", default="25000,50000,100000,200000")
    options = parser.parse_args()
    print("operations   file MB   cpu s   wall s   us/operation   peak MB")
    with tempfile.TemporaryDirectory() as folder:
        for size in map(int, options.sizes.split(",")):
            path = pathlib.Path(folder) / f"graph_{size}.pb"
            write_graph(path, size)
            cpu, wall, peak = min(run([options.ckpt, "inspect", "--format", "json", str(path)]) for _ in range(3))
            print(f"{size:10d} {path.stat().st_size / 1e6:9.1f} {cpu:7.2f} {wall:8.2f} "
                  f"{cpu / size * 1e6:14.2f} {peak:9.0f}")


main()
