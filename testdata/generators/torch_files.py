"""PyTorch files as torch.save and torch.jit.save write them.

Makes testdata/torch/.  Every file is loaded again by PyTorch before its list of tensors is written.
"""

import argparse
import json
import pathlib
import warnings
import zipfile
import zlib

import torch
from torch import nn

import paths

warnings.filterwarnings("ignore")
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
          torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128, torch.uint16, torch.uint32,
          torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz,
          torch.float8_e8m0fnu)


def describe(name, tensor, stored_as=None):
    """The entry of one tensor, as in expected.py: CRC-32 of the little-endian bytes in C order."""
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    flat = tensor.contiguous().reshape(-1)
    data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    entry = {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape),
             "bytes": len(data), "crc32": f"{zlib.crc32(data) & 0xFFFFFFFF:08x}"}
    if stored_as is not None:
        entry["stored_as"] = stored_as
    return entry


def write_expected(path, tensors, **extra):
    """`tensors`: entries of describe()."""
    head = {"producer": f"torch {torch.__version__.split('+')[0]}", **extra}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    rows = ",\n".join("    " + json.dumps(tensor) for tensor in sorted(tensors, key=lambda t: t["name"].encode()))
    pathlib.Path(f"{path}.expected.json").write_text(
        "{\n" + "\n".join(lines) + '\n  "tensors": [\n' + rows + "\n  ]\n}\n")


def save(path, value, flatten=None, **options):
    """Saves, loads, and lists the tensors of `flatten(loaded)`: pairs of name and tensor."""
    torch.save(value, path, **options)
    path.chmod(0o644)
    loaded = torch.load(path, weights_only=False)
    named = list((flatten or (lambda state: state.items()))(loaded))
    write_expected(path, [describe(*entry) for entry in named])


class Net(nn.Module):
    """Two convolutions with batch norm and a head."""

    def __init__(self, track=True):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4, track_running_stats=track)
        self.block = nn.Sequential(nn.Conv2d(4, 6, (3, 1), groups=2), nn.BatchNorm2d(6, track_running_stats=track),
                                   nn.ReLU())
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.block(x)
        return self.head(x.mean((2, 3)))


def trained(net, optimizer=None, steps=30):
    """Some steps on noise, so that the statistics are real."""
    optimizer = optimizer or torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(steps):
        x = 2 * torch.randn(8, 3, 9, 9) + 1
        loss = (net(x) - x.mean((1, 2, 3))[:, None]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def state_dicts(folder):
    net = trained(Net())
    state = net.state_dict()
    save(folder / "state_dict.pt", state)
    save(folder / "state_dict_legacy.pth", state, _use_new_zipfile_serialization=False)
    save(folder / "protocol4.pt", state, pickle_protocol=4)
    torch.serialization.set_crc32_options(False)
    save(folder / "no_crc.pt", state)
    torch.serialization.set_crc32_options(True)
    save(folder / "no_counter.pth", {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")})
    save(folder / "no_statistics_by_design.pt", trained(Net(track=False)).state_dict())
    x = torch.randn(2, 3, 9, 9)
    torch.save({"input": x, "output": net(x).detach(), "output_f64": double_output(net, x).detach()},
               folder / "state_dict.reference.pt")
    missing = trained(Net())
    save(folder / "missing_statistics.pt",
         {k: v for k, v in missing.state_dict().items() if "running" not in k and "num_batches" not in k})
    never = trained(Net())
    for module in never.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    save(folder / "never_updated.pt", never.state_dict())
    return net


def double_output(net, x):
    double = Net().double().eval()
    double.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in net.state_dict().items()})
    return double(x.double())


def training_checkpoints(folder):
    """What trainers save: weights under a key, wrappers' prefixes, an optimizer beside them."""
    net = Net()
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    trained(net, adam)
    state, optimizer = net.state_dict(), adam.state_dict()
    names = [name for name, _ in net.named_parameters()]

    def slots(path, loaded):
        for index, values in loaded["state"].items():
            for slot, value in values.items():
                yield f"{path}.state.{index}.{slot}", value

    def parallel(loaded):
        for key, value in loaded["state_dict"].items():
            yield key.removeprefix("module."), value, "state_dict." + key
        yield from slots("optimizer", loaded["optimizer"])

    save(folder / "parallel_adam.pth",
         {"epoch": 12, "arch": "net", "state_dict": prefixed(state, "module."), "best_acc1": 0.75,
          "optimizer": optimizer, "scheduler": {"last_epoch": 12}}, parallel)
    write_slots(folder / "parallel_adam.pth", names)

    averaged = torch.optim.swa_utils.AveragedModel(net)
    averaged.update_parameters(net)

    def compiled(loaded):
        for key, value in loaded["model"].items():
            yield key.removeprefix("_orig_mod."), value, "model." + key
        for key, value in loaded["model_ema"].items():
            yield "model_ema." + key.removeprefix("module."), value, "model_ema." + key

    save(folder / "compiled_ema.pth",
         {"model": prefixed(state, "_orig_mod."), "model_ema": averaged.state_dict(), "step": 30}, compiled)
    save(folder / "averaged.pth", averaged.state_dict(),
         lambda loaded: [(k.removeprefix("module."), v, k) for k, v in loaded.items()])

    def lightning(loaded):
        for key, value in loaded["state_dict"].items():
            yield key, value, "state_dict." + key
        for i, each in enumerate(loaded["optimizer_states"]):
            yield from slots(f"optimizer_states.{i}", each)

    save(folder / "lightning.ckpt",
         {"epoch": 3, "global_step": 30, "pytorch-lightning_version": "2.4.0", "state_dict": prefixed(state, "model."),
          "loops": {}, "callbacks": {"ModelCheckpoint": {"best": pathlib.PurePosixPath("a/b.ckpt")}},
          "optimizer_states": [optimizer], "lr_schedulers": [],
          "hyper_parameters": argparse.Namespace(lr=0.1)}, lightning)
    two_groups = torch.optim.SGD([{"params": net.head.parameters()}, {"params": net.conv1.parameters()}],
                                 lr=0.1, momentum=0.9)
    trained(net, two_groups, 2)

    def groups(loaded):
        for key, value in loaded["model"].items():
            yield key, value, "model." + key
        yield from slots("optimizer", loaded["optimizer"])

    save(folder / "two_groups.pth", {"model": net.state_dict(), "optimizer": two_groups.state_dict()}, groups)


def write_slots(path, names):
    """Adds the parameter that each number of the optimizer stands for."""
    file = pathlib.Path(f"{path}.expected.json")
    content = json.loads(file.read_text())
    write_expected(path, content["tensors"], parameters=names)


def six_values(dtype):
    values = torch.tensor([0, 1, 2, 3, 5, 7]).reshape(2, 3)
    if dtype.is_floating_point and torch.finfo(dtype).bits == 8 or dtype in (torch.uint16, torch.uint32, torch.uint64):
        return values.to(torch.float32).to(dtype) if dtype.is_floating_point else values.to(dtype)
    return values.to(dtype) * (1 if dtype == torch.bool else torch.ones((), dtype=dtype))


def containers(folder):
    save(folder / "dtypes.pt", {str(dtype).removeprefix("torch."): six_values(dtype) for dtype in DTYPES})
    legacy = DTYPES[:12]
    save(folder / "dtypes_legacy.pth", {str(dtype).removeprefix("torch."): six_values(dtype) for dtype in legacy},
         _use_new_zipfile_serialization=False)
    save(folder / "shapes.pt", {"scalar": torch.tensor(2.5), "zero": torch.zeros(0), "zero_2d": torch.zeros(3, 0, 2),
                                "rank8": torch.arange(256.).reshape(*[2] * 8), "ünïcode": torch.arange(3),
                                "ones": torch.ones(1, 1, 1)})
    base = torch.arange(120.).reshape(2, 3, 4, 5)
    rows = torch.arange(1000.).reshape(25, 40)
    tied = torch.randn(3, 3)
    views = {"base": base, "transposed": base.permute(3, 1, 0, 2), "channels_last":
             torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last), "expanded": torch.arange(3.)[:, None]
             .expand(3, 4), "slice": rows[3:5, 7:], "steps": rows[::3, ::7], "column": rows[:, 11], "tied_a": tied,
             "tied_b": tied, "part": base.reshape(-1)[10:20], "complex_t": torch.randn(3, 4, dtype=torch.complex64).t()}
    save(folder / "views.pt", views)
    save(folder / "views_legacy.pth", views, _use_new_zipfile_serialization=False)
    save(folder / "parameters.pt", {"weight": nn.Parameter(torch.randn(3, 2)), "frozen":
                                    nn.Parameter(torch.randn(2), requires_grad=False)})
    quantised = torch.quantize_per_tensor(torch.randn(4, 3), 0.1, 3, torch.qint8)
    torch.save({"q": quantised, "plain": torch.arange(4.)}, folder / "quantised.pt")
    torch.save({"sparse": torch.eye(3).to_sparse(), "meta": torch.empty(2, 3, device="meta"),
                "conj": torch.randn(3, dtype=torch.complex64).conj(), "plain": torch.arange(4.)},
               folder / "not_plain.pt")
    rows = torch.arange(1100.)
    torch.save({f"layers.{i}.bias": rows[i] for i in range(1100)}, folder / "many.pt")


def modules(folder, net):
    """Whole modules and TorchScript; the names are those of the state dict."""
    state = net.state_dict()
    torch.save(net, folder / "whole_module.pt")
    write_expected(folder / "whole_module.pt", [describe(k, v) for k, v in state.items()])
    torch.save(net, folder / "whole_module_legacy.pth", _use_new_zipfile_serialization=False)
    write_expected(folder / "whole_module_legacy.pth", [describe(k, v) for k, v in state.items()])
    for kind, module in (("scripted", torch.jit.script(net)),
                         ("traced", torch.jit.trace(net, torch.randn(1, 3, 9, 9)))):
        torch.jit.save(module, folder / f"{kind}.pt")
        loaded = torch.jit.load(folder / f"{kind}.pt").state_dict()
        write_expected(folder / f"{kind}.pt", [describe(k, v) for k, v in loaded.items()])


def norms(folder):
    """Weights that are computed from others, and norms that are no batch norm."""
    old = nn.Sequential(torch.nn.utils.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), nn.Flatten(),
                        nn.Linear(4 * 49, 5))
    new = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), nn.Flatten(),
                        nn.Linear(4 * 49, 5))
    spectral = nn.Sequential(torch.nn.utils.spectral_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), nn.Flatten(),
                             nn.Linear(4 * 49, 5))
    new_spectral = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4),
                                 nn.Flatten(), nn.Linear(4 * 49, 5))
    for name, net in (("weight_norm_old", old), ("weight_norm", new), ("spectral_norm_old", spectral),
                      ("spectral_norm", new_spectral)):
        save(folder / f"{name}.pt", trained(net).state_dict())
    instance = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.Conv2d(4, 4, 3),
                             nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(4 * 25, 5))
    save(folder / "instance_norm.pt", trained(instance).state_dict())


def rewritten(folder):
    """Archives that no PyTorch here writes: big-endian, and the records of PyTorch 1.6."""
    source = zipfile.ZipFile(folder / "dtypes.pt")
    state = torch.load(folder / "dtypes.pt", weights_only=True)
    order = list(state)
    with zipfile.ZipFile(folder / "big_endian.pt", "w") as out:
        for info in source.infolist():
            data = source.read(info)
            name = info.filename.removeprefix("dtypes/")
            if name == "byteorder":
                data = b"big"
            if name.startswith("data/"):
                tensor = state[order[int(name[5:])]]
                unit = tensor.element_size() // (2 if tensor.is_complex() else 1)
                data = b"".join(data[i:i + unit][::-1] for i in range(0, len(data), unit))
            if not name.startswith("."):
                out.writestr(zipfile.ZipInfo("archive/" + name), data)
    loaded = torch.load(folder / "big_endian.pt", weights_only=True)
    same = [k for k in state if torch.equal(loaded[k].view(torch.uint8), state[k].view(torch.uint8))]
    # PyTorch does not swap what it has no storage class for.
    assert set(order) - set(same) <= {"uint16", "uint32", "uint64"}, set(order) - set(same)
    write_expected(folder / "big_endian.pt", [describe(k, v) for k, v in state.items()])

    source = zipfile.ZipFile(folder / "state_dict.pt")
    with zipfile.ZipFile(folder / "records_of_1_6.pt", "w") as out:
        for info in source.infolist():
            name = info.filename.removeprefix("state_dict/")
            if name == "data.pkl" or name == "version" or name.startswith("data/"):
                out.writestr(zipfile.ZipInfo("archive/" + name), source.read(info))
    loaded = torch.load(folder / "records_of_1_6.pt", weights_only=True)
    write_expected(folder / "records_of_1_6.pt", [describe(k, v) for k, v in loaded.items()])

    source = zipfile.ZipFile(folder / "views.pt")
    with zipfile.ZipFile(folder / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as out:
        for info in source.infolist():
            out.writestr(zipfile.ZipInfo(info.filename), source.read(info), zipfile.ZIP_DEFLATED)
    loaded = torch.load(folder / "deflated.pt", weights_only=True)
    write_expected(folder / "deflated.pt", [describe(k, v) for k, v in loaded.items()])


def sharded(folder):
    folder.mkdir(exist_ok=True)
    state = trained(Net()).state_dict()
    names, half = list(state), len(state) // 2
    weight_map = {}
    for number, part in enumerate((names[:half], names[half:]), 1):
        shard = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: state[name] for name in part}, folder / shard)
        weight_map.update({name: shard for name in part})
    total = sum(value.numel() * value.element_size() for value in state.values())
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2))
    write_expected(index, [describe(k, v) for k, v in state.items()])


def main():
    folder = paths.folder("torch")
    torch.manual_seed(7)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    net = state_dicts(folder)
    training_checkpoints(folder)
    containers(folder)
    modules(folder, net)
    norms(folder)
    rewritten(folder)
    sharded(folder / "sharded")


if __name__ == "__main__":
    main()
