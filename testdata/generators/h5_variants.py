"""The same Keras model in other HDF5 dress, and files that a careful reader must refuse.

Makes testdata/keras_h5_variants/ (all must read like keras_h5/conv2d_bn.h5) and testdata/malformed/keras_h5/
(links and storage that lead outside the file, a loop, a truncated file).  Written by h5py from the model that Keras
wrote; keras2_models.py runs first.
"""

import h5py
import numpy as np

import expected
import paths

KERNEL = "model_weights/conv/conv/kernel:0"


def copy_attributes(source, target, strings_as=None):
    """Copies attributes; `strings_as` makes NumPy arrays of the name lists, which h5py stores at a fixed length."""
    for key, value in source.attrs.items():
        if strings_as and isinstance(value, np.ndarray) and value.dtype == object:
            value = np.array([v if isinstance(v, bytes) else v.encode() for v in value], dtype=strings_as)
        target.attrs[key] = value


def copy_tree(source, target, strings_as=None, skip=(), **dataset_options):
    """Copies groups and datasets one by one, so that the options decide how they are stored."""
    copy_attributes(source, target, strings_as)
    for name, item in source.items():
        if item.name.lstrip("/") in skip:
            continue
        if isinstance(item, h5py.Group):
            copy_tree(item, target.create_group(name), strings_as, skip, **dataset_options)
        else:
            copy_attributes(item, target.create_dataset(name, data=item[()], **dataset_options))


def rewrite(source, path, file_options=None, **options):
    """A copy of the model with other storage."""
    with h5py.File(source) as old, h5py.File(path, "w", **(file_options or {})) as new:
        copy_tree(old, new, **options)


def same_tensors(source, path):
    """Asserts that both files hold the same names and values; writes the list of the copy."""
    expected.from_h5(path)
    found = []
    for name in (source, path):
        with h5py.File(name) as file:
            tensors = {}
            file.visititems(lambda key, item: tensors.update({key: item[()]})
                            if isinstance(item, h5py.Dataset) else None)
        found.append(tensors)
    assert found[0].keys() == found[1].keys()
    assert all(np.array_equal(found[0][key], found[1][key]) for key in found[0])


def write_variants(source, folder):
    """Chunks and filters, newer file versions, fixed-length names."""
    filtered = {"chunks": True, "compression": "gzip", "shuffle": True}
    rewrite(source, folder / "gzip_shuffle.h5", **filtered)
    rewrite(source, folder / "gzip_shuffle_fletcher32.h5", fletcher32=True, **filtered)
    rewrite(source, folder / "latest.h5", {"libver": "latest"})
    rewrite(source, folder / "latest_gzip_shuffle.h5", {"libver": "latest"}, **filtered)
    rewrite(source, folder / "v108.h5", {"libver": ("v108", "v108")})
    rewrite(source, folder / "fixed_length_names.h5", strings_as="S")
    rewrite(source, folder / "tracked_order.h5", {"track_order": True})
    rewrite(source, folder / "user_block.h5", {"userblock_size": 512})
    rewrite(source, folder / "big_endian.h5")
    with h5py.File(folder / "big_endian.h5", "r+") as file:
        values = file[KERNEL][()]
        del file[KERNEL]
        file.create_dataset(KERNEL, data=values, dtype=">f4")
    many_chunks(source, folder / "small_chunks.h5")
    for path in sorted(folder.glob("*.h5")):
        same_tensors(source, path)


def many_chunks(source, path):
    """Many chunks that do not divide the kernel's shape, with filters."""
    rewrite(source, path, skip=(KERNEL,))
    with h5py.File(source) as old, h5py.File(path, "r+") as new:
        values = old[KERNEL][()]
        new.create_dataset(KERNEL, data=values, chunks=(1, 2, 3, 4), compression="gzip", shuffle=True)


def without_kernel(source, path, libver=None):
    """The model with its kernel left out, open for adding something in its place."""
    rewrite(source, path, {"libver": libver}, skip=(KERNEL,))
    return h5py.File(path, "r+", libver=libver)


def write_malformed(source, folder):
    """Each file names its kernel in a way that a checkpoint has no need of, or breaks off."""
    with h5py.File(source) as file:
        kernel = file[KERNEL][()]
    with h5py.File(folder / "other.h5", "w") as file:
        file["kernel"] = kernel
    with without_kernel(source, folder / "external_link.h5") as file:
        file[KERNEL] = h5py.ExternalLink("other.h5", "/kernel")
    with without_kernel(source, folder / "soft_link.h5") as file:
        file["elsewhere"] = kernel
        file[KERNEL] = h5py.SoftLink("/elsewhere")
    with without_kernel(source, folder / "soft_link_loop.h5") as file:
        file[KERNEL] = h5py.SoftLink("/" + KERNEL)
    rewrite(source, folder / "hard_link_loop.h5")
    with h5py.File(folder / "hard_link_loop.h5", "r+") as file:
        file["model_weights/conv/loop"] = file["model_weights"]
    (folder / "external.raw").write_bytes(kernel.tobytes())
    with without_kernel(source, folder / "external_storage.h5") as file:
        file.create_dataset(KERNEL, kernel.shape, kernel.dtype, external=[("external.raw", 0, kernel.nbytes)])
    with without_kernel(source, folder / "virtual_dataset.h5", "latest") as file:
        layout = h5py.VirtualLayout(kernel.shape, kernel.dtype)
        layout[...] = h5py.VirtualSource("other.h5", "kernel", kernel.shape)
        file.create_virtual_dataset(KERNEL, layout)
    data = source.read_bytes()
    (folder / "truncated.h5").write_bytes(data[:len(data) * 2 // 3])
    check_malformed(folder, kernel)


def check_malformed(folder, kernel):
    """h5py, which follows links from the file's own folder, finds the kernel; the loop and the torso it refuses."""
    for name in ("external_link", "soft_link", "virtual_dataset"):
        with h5py.File(folder / f"{name}.h5") as file:
            assert np.array_equal(file[KERNEL][()], kernel), name
    with h5py.File(folder / "external_storage.h5") as file:
        assert file[KERNEL].external[0][0] == "external.raw"
    for name in ("soft_link_loop", "truncated"):
        try:
            with h5py.File(folder / f"{name}.h5") as file:
                file[KERNEL][()]
        except (KeyError, OSError, RuntimeError):
            continue
        raise AssertionError(name)


def main():
    source = paths.testdata() / "keras_h5" / "conv2d_bn.h5"
    write_variants(source, paths.folder("keras_h5_variants"))
    write_malformed(source, paths.folder("malformed", "keras_h5"))
    print("keras_h5_variants, malformed/keras_h5")


if __name__ == "__main__":
    main()
