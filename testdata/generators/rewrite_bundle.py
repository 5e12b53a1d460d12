"""Bundles that no ordinary TensorFlow host writes: big-endian data, snappy-compressed or many index blocks.

Makes testdata/tf/rewritten/<name>/ from bundles that TensorFlow did write (testdata/tf1, testdata/tf/bundles).
The table is taken apart and put together here, with a CRC-32C and a block builder of its own; TensorFlow then
reads each result back and must find the values of the source.
"""

import struct

import tf1_common as common  # first: it sets what TensorFlow reads at its import

import cramjam
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import tensor_bundle_pb2

import expected

MAGIC = 0xDB4775248B80FB57
FOOTER_SIZE = 48
RESTART_INTERVAL = 16
STORED, SNAPPY = 0, 1
NOT_SWAPPED_BY_TENSORFLOW = ("float8_e5m2", "float8_e4m3fn", "int4", "uint4")


def crc32c_table():
    """The byte table of CRC-32C (Castagnoli, reflected)."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C = crc32c_table()


def masked_crc32c(data):
    """CRC-32C in the rotated form that tables and bundles store."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC32C[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value):
    """LEB128, as protocol buffers and tables use it."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, position):
    """The value at `position` and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def block_entries(contents):
    """The key-value pairs of one table block."""
    restarts = struct.unpack_from("<I", contents, len(contents) - 4)[0]
    end = len(contents) - 4 * (restarts + 1)
    position, key, entries = 0, b"", []
    while position < end:
        shared, position = read_varint(contents, position)
        fresh, position = read_varint(contents, position)
        length, position = read_varint(contents, position)
        key = key[:shared] + contents[position:position + fresh]
        position += fresh
        entries.append((key, contents[position:position + length]))
        position += length
    return entries


def read_table(path):
    """All key-value pairs of a table file with uncompressed blocks."""
    data = path.read_bytes()
    footer = data[-FOOTER_SIZE:]
    assert struct.unpack("<Q", footer[-8:])[0] == MAGIC
    _, position = read_varint(footer, 0)
    _, position = read_varint(footer, position)
    offset, position = read_varint(footer, position)
    size, _ = read_varint(footer, position)
    entries = []
    for _, handle in block_entries(data[offset:offset + size]):
        offset, position = read_varint(handle, 0)
        size, _ = read_varint(handle, position)
        assert data[offset + size] == STORED
        entries += block_entries(data[offset:offset + size])
    return entries


def build_block(entries, restart_interval):
    """One block with shared key prefixes."""
    out, restarts, last = bytearray(), [], b""
    for index, (key, value) in enumerate(entries):
        shared = 0
        if index % restart_interval == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    return bytes(out) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def write_table(path, entries, compression=STORED, per_block=None):
    """Writes a table; `per_block` limits the entries of a data block."""
    out = bytearray()

    def add_block(contents, kind):
        contents = bytes(cramjam.snappy.compress_raw(contents)) if kind == SNAPPY else contents
        handle = varint(len(out)) + varint(len(contents))
        out.extend(contents + bytes([kind]) + struct.pack("<I", masked_crc32c(contents + bytes([kind]))))
        return handle

    per_block = per_block or len(entries)
    groups = [entries[i:i + per_block] for i in range(0, len(entries), per_block)]
    index = [(group[-1][0], add_block(build_block(group, RESTART_INTERVAL), compression)) for group in groups]
    footer = add_block(build_block([], 1), STORED) + add_block(build_block(index, 1), compression)
    out.extend(footer.ljust(FOOTER_SIZE - 8, b"\0") + struct.pack("<Q", MAGIC))
    path.write_bytes(out)


def data_path(prefix):
    """The data file of a bundle with one shard."""
    return prefix.with_name(prefix.name + ".data-00000-of-00001")


def index_path(prefix):
    """The index file of a bundle."""
    return prefix.with_name(prefix.name + ".index")


def swap_width(dtype):
    """The number of bytes that a big-endian host stores in reverse: a complex number is two of them."""
    dtype = tf.as_dtype(dtype)
    return dtype.size // 2 if dtype.is_complex else dtype.size


def big_endian(source, target):
    """Swaps the data of every tensor, then its checksum and the header's endianness.

    One-byte types that TensorFlow refuses in such a bundle are left out, so that it can check all the rest.
    """
    data = bytearray(data_path(source).read_bytes())
    entries = []
    for key, value in read_table(index_path(source)):
        if not key:
            header = tensor_bundle_pb2.BundleHeaderProto.FromString(value)
            header.endianness = tensor_bundle_pb2.BundleHeaderProto.BIG
            entries.append((key, header.SerializeToString()))
            continue
        entry = tensor_bundle_pb2.BundleEntryProto.FromString(value)
        assert not entry.slices and entry.dtype != tf.string.as_datatype_enum
        if tf.as_dtype(entry.dtype).name in NOT_SWAPPED_BY_TENSORFLOW:
            continue
        piece = np.frombuffer(data[entry.offset:entry.offset + entry.size], np.uint8)
        swapped = piece.reshape(-1, swap_width(entry.dtype))[:, ::-1].tobytes()
        data[entry.offset:entry.offset + entry.size] = swapped
        entry.crc32c = masked_crc32c(swapped)
        entries.append((key, entry.SerializeToString()))
    data_path(target).write_bytes(data)
    write_table(index_path(target), entries)


def reindex(source, target, **options):
    """The same data under an index written with other blocks."""
    data_path(target).write_bytes(data_path(source).read_bytes())
    write_table(index_path(target), read_table(index_path(source)), **options)


def check(source, target):
    """TensorFlow must read the same tensors from both; its reading becomes the expected values."""
    expected.from_tf_checkpoint(target)
    old, new = common.read_values(source), common.read_values(target)
    left_out = {name.split("/")[-1] for name in old.keys() - new.keys()}
    assert left_out <= set(NOT_SWAPPED_BY_TENSORFLOW)
    for name in new:
        assert old[name].tobytes() == new[name].tobytes(), name


def main():
    folder = common.output_folder("tf", "rewritten")
    testdata = folder.parent.parent
    resnet = testdata / "tf1" / "resnet" / "correct" / "model.ckpt-200"
    dtypes = testdata / "tf" / "bundles" / "numeric_dtypes" / "model.ckpt"
    made = {
        "big_endian": (resnet, big_endian, {}),
        "big_endian_dtypes": (dtypes, big_endian, {}),
        "snappy_index": (resnet, reindex, {"compression": SNAPPY}),
        "snappy_many_blocks": (resnet, reindex, {"compression": SNAPPY, "per_block": 5}),
        "many_blocks": (resnet, reindex, {"per_block": 3}),
    }
    for name, (source, make, options) in made.items():
        target = common.subfolder(folder, name) / "model.ckpt"
        make(source, target, **options)
        check(source, target)
        print("tf/rewritten", name)


if __name__ == "__main__":
    main()
