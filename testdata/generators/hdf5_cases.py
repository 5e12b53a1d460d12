"""HDF5 files for the container reader: types, storage, attributes, and files that it must refuse.

Makes testdata/hdf5/ (read) and testdata/malformed/hdf5/ (refused) with h5py.  Nothing here is a Keras model; those are
keras2_models.py and h5_variants.py.
"""

import zlib

import h5py
import numpy as np

import expected
import paths

RNG = np.random.default_rng(5)


NAMED_OPAQUE = ("bfloat16", "float8_e4m3fn")  # types that h5py reads as opaque bytes beside an attribute


def describe(name, dataset):
    """The expected entry of one dataset."""
    entry = expected.describe("/" + name, dataset[()])
    if dataset.attrs.get("dtype") in NAMED_OPAQUE:
        entry["dtype"] = dataset.attrs["dtype"]
    if h5py.check_string_dtype(dataset.dtype) or dataset.dtype.kind == "S":
        entry["dtype"] = "string"
    return entry


def write_expected(path):
    """What h5py reads of every dataset and of every attribute."""
    tensors, attributes = [], {}

    def visit(name, item):
        for key, value in item.attrs.items():
            attributes[f"/{name}@{key}" if name else f"/@{key}"] = plain_attribute(value)
        if isinstance(item, h5py.Dataset):
            tensors.append(describe(name, item))

    with h5py.File(path, "r") as file:
        visit("", file)
        file.visititems(visit)
    tensors.sort(key=lambda tensor: tensor["name"].encode())
    expected.write(f"{path}.expected.json", f"h5py {h5py.__version__}", tensors,
                   attributes=dict(sorted(attributes.items())))


LONG = 1000


def plain_attribute(value):
    """{"shape", "values"}: strings and numbers as they are; values is null where h5py sees no value.

    What is long has "crc32" instead: of the text, or of the numbers as little-endian float64.
    """
    if isinstance(value, h5py.Empty):
        return {"shape": [], "values": None}
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        values = [v.decode() if isinstance(v, bytes) else str(v) for v in array.ravel().tolist()]
    elif array.dtype.kind == "b":
        values = [int(v) for v in array.ravel().tolist()]
    else:
        values = array.ravel().tolist()
    if len(values) > LONG:
        return {"shape": list(array.shape), "crc32": zlib.crc32(array.astype("<f8").tobytes())}
    if len(values) == 1 and isinstance(values[0], str) and len(values[0]) > LONG:
        return {"shape": list(array.shape), "crc32": zlib.crc32(values[0].encode())}
    return {"shape": list(array.shape), "values": values}


def numeric(file):
    """Every element type that is read, little-endian and big-endian, and shapes at the edges."""
    for code in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"):
        dtype = np.dtype(code)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = np.array([[0, 1, 2], [100, limits.min, limits.max]], dtype)
        else:
            values = np.array([[0.0, 1.0, -2.5], [0.015625, np.inf, -448.0]]).astype(dtype)
        if dtype.kind == "c":
            values = (values.real + 1j * RNG.standard_normal(values.shape)).astype(dtype)
        file.create_dataset(f"little/{dtype.name}", data=values)
        if dtype.itemsize > 1:
            file.create_dataset(f"big/{dtype.name}", data=values, dtype=dtype.newbyteorder(">"))
    file["bool"] = np.array([True, False, True])
    file["scalar"] = np.float32(0.5)
    file["empty"] = np.zeros((0, 3), np.float32)
    file["rank8"] = np.arange(2 ** 8, dtype=np.int16).reshape((2,) * 8)
    file["opaque"] = np.arange(15, dtype=np.uint8).view("V5")
    bits = np.array([0x0000, 0x3F80, 0xC020, 0x7F80], np.uint16)
    file["bfloat16"] = bits.view("V2")
    file["bfloat16"].attrs["dtype"] = "bfloat16"
    file["float8"] = np.array([0x00, 0x38, 0xC4], np.uint8).view("V1")
    file["float8"].attrs["dtype"] = "float8_e4m3fn"
    file["misnamed"] = bits.view("V2")
    file["misnamed"].attrs["dtype"] = "float32"


def storage(file):
    """Layouts, chunks that do not divide the shape, filters, elements that were never written."""
    values = RNG.standard_normal((7, 5, 11)).astype(np.float32)
    file.create_dataset("chunked", data=values, chunks=(3, 2, 4))
    file.create_dataset("gzip", data=values, chunks=(3, 2, 4), compression="gzip")
    file.create_dataset("gzip_shuffle_fletcher32", data=values, chunks=(2, 5, 3), compression="gzip", shuffle=True,
                        fletcher32=True)
    file.create_dataset("big_endian_gzip", data=values, dtype=">f8", chunks=(7, 5, 11), compression="gzip")
    file.create_dataset("chunk_above_shape", data=values, chunks=(8, 8, 16), maxshape=(None, None, None))
    file.create_dataset("growing", (0,), np.float32, chunks=(4,), maxshape=(None,))
    file["growing"].resize((6,))
    file["growing"][:] = np.arange(6)
    sparse = file.create_dataset("partly_written", (100,), np.int32, chunks=(10,), fillvalue=-1)
    sparse[20:30] = np.arange(10)
    file.create_dataset("never_written", (6,), np.float64, fillvalue=2.5)
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    compact.set_obj_track_times(False)
    space = h5py.h5s.create_simple((4,))
    dataset = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, compact)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(4, dtype=np.float32))
    # Longer than the memory shared with the child, with rows that do not divide it.
    file.create_dataset("long_rows", data=np.tile(np.arange(1000, dtype=np.float32), (2, 300)), chunks=(1, 100000),
                        compression="gzip", compression_opts=9)
    file["hard_link"] = file["gzip"]


def attributes(file):
    """Attributes of every kind on groups and datasets."""
    group = file.create_group("group")
    dataset = file.create_dataset("dataset", data=np.arange(3, dtype=np.float32))
    for item in (file, group, dataset):
        item.attrs["ascii"] = b"bytes of Keras"
        item.attrs["utf8"] = "Gr\u00f6\u00dfe \u2202"
        item.attrs["names"] = [b"conv1", b"bn", b""]
        item.attrs["fixed_names"] = np.array([b"conv1", b"bn", b""])
        item.attrs["no_names"] = []
    group.attrs["empty_text"] = ""
    group.attrs["int"] = 7
    group.attrs["big_endian"] = np.array([1, -2], ">i4")
    group.attrs["float32"] = np.float32(0.5)
    group.attrs["matrix"] = np.arange(6.0).reshape(2, 3)
    group.attrs["bool"] = True
    group.attrs["null"] = h5py.Empty("f")
    for name, padding in (("null_terminated", h5py.h5t.STR_NULLTERM), ("space_padded", h5py.h5t.STR_SPACEPAD)):
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(8)
        kind.set_strpad(padding)
        attribute = h5py.h5a.create(group.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
        pad = b" " if padding == h5py.h5t.STR_SPACEPAD else b"\0"
        attribute.write(np.array(b"padded".ljust(8, pad), "S8"), kind)
    group.attrs["long_text"] = "0123456789abcdef" * 4400
    group.attrs["reference"] = file.ref


def attributes_expected(path):
    """h5py leaves the padding of spaces on, and gives a reference where the reader gives nothing."""
    rows = {}
    with h5py.File(path, "r") as file:
        for name, item in (("/", file), ("/group", file["group"]), ("/dataset", file["dataset"])):
            for key, value in item.attrs.items():
                row = {"shape": [], "values": None} if key == "reference" else plain_attribute(value)
                if key == "space_padded":
                    row["values"] = [row["values"][0].rstrip()]
                rows[f"{name}@{key}"] = row
        tensors = [describe("dataset", file["dataset"])]
    expected.write(f"{path}.expected.json", f"h5py {h5py.__version__}", tensors, attributes=rows)


def new_attributes(file):
    """What only newer object headers hold: many attributes, and one above 64 KiB."""
    group = file.create_group("group")
    for i in range(20):
        group.attrs[f"a{i}"] = i
    group.attrs["large"] = np.arange(8200.0)
    for i in range(30):
        file[f"many/dataset{i}"] = np.full(3, i, np.float32)


def strings(file):
    """String datasets: fixed and variable, empty elements, NUL and bytes that are not UTF-8."""
    file["fixed"] = np.array([[b"one", b"two"], [b"", b"eleven"]])
    file.create_dataset("variable", data=["", "Gr\u00f6\u00dfe", "x" * 300], dtype=h5py.string_dtype())
    file.create_dataset("scalar", data=b"only", dtype=h5py.string_dtype("ascii"))
    file.create_dataset("chunked", data=[f"name{i}" for i in range(4200)], dtype=h5py.string_dtype(), chunks=(1000,),
                        compression="gzip")


def unsupported(file):
    """What is listed and not read, one dataset each."""
    file["compound"] = np.zeros(2, [("a", "f4"), ("b", "i4")])
    file["complex_of_integers"] = np.zeros(2, [("r", "i4"), ("i", "i4")])
    file.create_dataset("reference", (1,), h5py.ref_dtype)[0] = file.ref
    file.create_dataset("ragged", (1,), h5py.vlen_dtype(np.int32))[0] = [1, 2]
    file.create_dataset("enumeration", data=np.array([1, 2]), dtype=h5py.enum_dtype({"A": 1, "B": 2}, "i4"))
    file.create_dataset("array", (2,), np.dtype(("f4", (3,))))
    file["long_double"] = np.zeros(2, np.longdouble)
    file.create_dataset("lzf", data=np.zeros(100, "f4"), compression="lzf", chunks=(100,))
    file.create_dataset("scale_offset", data=np.zeros(100, "i4"), scaleoffset=3, chunks=(100,))
    file["null"] = h5py.Empty("f4")
    file["readable"] = np.arange(3, dtype=np.float32)


def small(file):
    """A little of everything in a few KiB, for tests that damage it byte by byte."""
    group = file.create_group("layer")
    group.attrs["names"] = [b"kernel", b"bias"]
    group.attrs["backend"] = b"tensorflow"
    values = np.arange(60, dtype=np.float32).reshape(12, 5)
    group.create_dataset("kernel", data=values, chunks=(5, 5), compression="gzip", shuffle=True)
    group["bias"] = np.arange(5, dtype=np.float32)
    file.create_dataset("text", data=["a", "bc"], dtype=h5py.string_dtype())


def write_readable(folder):
    makers = {"numeric": (numeric, None, write_expected), "storage": (storage, None, write_expected),
              "storage_v110": (storage, ("v110", "v110"), write_expected), "strings": (strings, None, write_expected),
              "attributes": (attributes, None, attributes_expected),
              "attributes_v110": (new_attributes, ("v110", "v110"), write_expected),
              "small": (small, None, write_expected), "small_v110": (small, ("v110", "v110"), write_expected),
              "unsupported": (unsupported, None, None)}
    for name, (make, libver, describe_file) in makers.items():
        path = folder / f"{name}.h5"
        with h5py.File(path, "w", libver=libver) as file:
            make(file)
        if describe_file:
            describe_file(path)


def malformed(name):
    """Registers a maker of a file that must be refused."""
    def register(make):
        MALFORMED[name] = make
        return make
    return register


MALFORMED = {}


@malformed("external_link_to_group")
def external_link_to_group(file):
    file["good"] = np.zeros(3, "f4")
    file["group/link"] = h5py.ExternalLink("/etc/hostname", "/")


@malformed("dangling_soft_link")
def dangling_soft_link(file):
    file["group/link"] = h5py.SoftLink("/nowhere")


@malformed("group_linked_twice")
def group_linked_twice(file):
    file["a/b/c"] = np.zeros(3, "f4")
    file["d"] = file["a/b"]


@malformed("group_in_itself")
def group_in_itself(file):
    group = file.create_group("a")
    group["self"] = group


@malformed("external_storage_of_passwords")
def external_storage(file):
    file["good"] = np.zeros(3, "f4")
    file.create_dataset("stolen", (100,), "u1", external=[("/etc/passwd", 0, 100)])


@malformed("virtual_dataset_growing")
def virtual_dataset_growing(file):
    layout = h5py.VirtualLayout((4, 3), "f4", maxshape=(None, 3))
    source = h5py.VirtualSource("other.h5", "kernel", (4, 3), maxshape=(None, 3))
    layout[: h5py.h5s.UNLIMITED, :] = source[: h5py.h5s.UNLIMITED, :]
    file.create_virtual_dataset("kernel", layout)


@malformed("shape_bomb_contiguous")
def shape_bomb_contiguous(file):
    file.create_dataset("bomb", (1 << 40, 1 << 10), "f4")


@malformed("shape_bomb_chunked")
def shape_bomb_chunked(file):
    dataset = file.create_dataset("bomb", (1 << 40,), "f4", chunks=(256,), compression="gzip")
    dataset[:256] = RNG.standard_normal(256)


@malformed("shape_bomb_strings")
def shape_bomb_strings(file):
    file.create_dataset("bomb", (1 << 40,), h5py.string_dtype(), chunks=(256,))


@malformed("groups_too_deep")
def groups_too_deep(file):
    group = file
    for _ in range(300):
        group = group.create_group("g")


def write_malformed(folder):
    for name, make in MALFORMED.items():
        newer = name in ("virtual_dataset_growing", "groups_too_deep")
        with h5py.File(folder / f"{name}.h5", "w", libver=("v110", "v110") if newer else None) as file:
            make(file)


def main():
    write_readable(paths.folder("hdf5"))
    write_malformed(paths.folder("malformed", "hdf5"))
    print("hdf5, malformed/hdf5")


if __name__ == "__main__":
    main()
