"""Files with very many names: seconds and peak memory of `ckpt inspect` and `ckpt audit`. Each has to stay below 10 s
and 1 GB.

    build/envs/torch/bin/python bench/many_names.py --ckpt build/release/ckpt --folder /tmp/ckpt-many

Made once, kept in the folder: adam.pt, 100,000 parameters with Adam's state after one step, as torch.save writes it; and
a sharded safetensors index of a million names, by the format alone.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import struct
import subprocess
import sys
import time

PARAMETERS, NAMES, SHARDS = 100_000, 1_000_000, 100
SECONDS, BYTES = 10, 10**9


def make_adam(path):
    import torch

    torch.manual_seed(0)
    parameters = {f"blocks.{i // 4}.linear{i % 4}.weight": torch.nn.Parameter(torch.randn(2, 2))
                  for i in range(PARAMETERS)}
    optimizer = torch.optim.Adam(parameters.values())
    for parameter in parameters.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    model = {name: parameter.detach() for name, parameter in parameters.items()}
    torch.save({"model": model, "optimizer": optimizer.state_dict(), "step": 1}, path)


def make_index(folder):
    folder.mkdir()
    weight_map = {}
    each = NAMES // SHARDS
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        names = [f"model.layers.{i}.experts.mlp.weight" for i in range(shard * each, (shard + 1) * each)]
        header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]}
                  for i, name in enumerate(names)}
        text = json.dumps(header, separators=(",", ":")).encode()
        (folder / file).write_bytes(struct.pack("<Q", len(text)) + text + struct.pack("<f", 1) * each)
        weight_map.update(dict.fromkeys(names, file))
    index = {"metadata": {"total_size": 4 * NAMES}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def in_child(make, path):
    """The peak of a process that is started counts what its parent held: this one has to stay small."""
    child = multiprocessing.Process(target=make, args=(path,))
    child.start()
    child.join()
    if child.exitcode != 0:
        sys.exit(f"{path} could not be made")


def measure(command):
    """Seconds, those of the processor, peak bytes and exit code of a command whose output goes nowhere."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    return (time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024,
            os.waitstatus_to_exitcode(status))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ckpt", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    adam, index = options.folder / "adam.pt", options.folder / "index"
    if not adam.exists():
        in_child(make_adam, adam)
    if not index.exists():
        in_child(make_index, index)
    too_much = False
    for path in (adam, index / "model.safetensors.index.json"):
        for command in ("inspect", "audit"):
            seconds, busy, size, code = measure([options.ckpt, command, str(path)])
            fits = seconds < SECONDS and size < BYTES and code in (0, 1)
            too_much |= not fits
            print(f"{command:8} {path.name:30} {seconds:6.2f} s ({busy:5.2f} busy) {size / 1e6:7.0f} MB  exit {code}"
                  f"{'' if fits else '  TOO MUCH'}", flush=True)
    return too_much


if __name__ == "__main__":
    sys.exit(main())
