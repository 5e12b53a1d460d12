#!/usr/bin/env python3
"""Many checkpoints: the plain shell beside Spark, in one run on the same files.

    bench/spark.py --ckpt build/release/ckpt [--files 1000] [--folder FOLDER]

Needs what tests/spark/requirements.txt lists, and Java 17. Says for each way files a second and what it found; the last
one loses an executor on the way. All must find the same.
"""
import argparse
import collections
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("integrations/spark", "tests/page", "tests/spark")]
os.environ["PYSPARK_PYTHON"] = sys.executable

import made_network  # noqa: E402
import two_workers  # noqa: E402


def bytes_read(command, names):
    """What the one process reads, by the kernel's count; its end is waited for before it is reaped."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.stdin.write(names)
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    counts = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
    process.wait()
    return int(counts["rchar"])


def shell(command, names):
    """What `command` prints for the names on its stdin, and the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(command, input=names, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return run.stdout.splitlines(), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def states(lines):
    return {one["path"]: one["state"] for one in map(json.loads, lines)}


def report(name, files, seconds, found, expected, processor=None):
    assert found == expected, f"{name}: {collections.Counter(found.values())}"
    own = f"{1000 * processor / files:6.2f} ms of processor a file" if processor is not None else ""
    print(f"{name:44} {seconds:7.2f} s {files / seconds:8.0f} files/s  {own}", flush=True)


def shells(ckpt, names, files, expected):
    """The same list by one process, by two jobs of one, and by xargs."""
    records = ["audit", "--format", "records", "-q"]
    ways = {
        "ckpt --files-from -": [ckpt, *records, "--files-from", "-", "-0"],
        "ckpt --files-from - --jobs 2": [ckpt, *records, "--files-from", "-", "-0", "--jobs", "2"],
        "xargs -P2 -n 50 ckpt": ["xargs", "-0", "-P2", "-n", "50", ckpt, *records],
        "xargs -P2 -n 1 ckpt": ["xargs", "-0", "-P2", "-n", "1", ckpt, *records],
    }
    for name, command in ways.items():
        start = time.monotonic()
        found, processor = shell(command, names)
        report(name, files, time.monotonic() - start, states(found), expected, processor)


def resumed(ckpt, names, files, expected, folder):
    journal = str(folder / "report.jsonl")
    command = [ckpt, "audit", "-q", "--files-from", "-", "-0", "--resume", journal]
    for name in ("ckpt --files-from - --resume, the first time", "ckpt --files-from - --resume, all recorded"):
        start = time.monotonic()
        _, processor = shell(command, names)
        seconds = time.monotonic() - start
        with open(journal) as lines:
            found = states(lines)
        report(name, files, seconds, found, expected, processor)
    print(f"  {os.path.getsize(journal) / files:.0f} bytes of report a file")


def on_spark(ckpt, expected, folder):
    import ckpt_spark

    start = time.monotonic()
    with two_workers.session() as spark:
        paths = spark.createDataFrame([(path,) for path in expected], "path string")
        spark.range(100).repartition(4).mapInArrow(lambda batches: batches, "id long").collect()  # processes are there
        print(f"  Spark {spark.version}, two workers of one core; {time.monotonic() - start:.1f} s until they are there")
        for name, kills in (("Spark, 40 tasks", False), ("Spark, 40 tasks, an executor killed", True)):
            out, start = folder / f"records-{kills}", time.monotonic()
            if kills:
                threading.Timer(1.5, two_workers.kill_one_executor, [spark]).start()
            ckpt_spark.audit(paths, program=ckpt, tasks=40).write.parquet(str(out))
            seconds = time.monotonic() - start
            rows = spark.read.parquet(str(out)).select("input", "state").collect()
            assert len(rows) == len(expected)
            report(name, len(expected), seconds, {row["input"]: row["state"] for row in rows}, expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ckpt", required=True)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--batch-norms", type=int, default=20)
    parser.add_argument("--folder", help="where the checkpoints are made; a temporary folder")
    given = parser.parse_args()
    ckpt = str(Path(given.ckpt).resolve())
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder = Path(temporary)
        expected = two_workers.make_zoo(folder / "files", given.files, made_network, given.batch_norms)
        names = b"".join(os.fsencode(path) + b"\0" for path in expected)
        size = sum(os.path.getsize(path) for path in expected)
        read = bytes_read([ckpt, "audit", "-q", "--files-from", "-", "-0"], names)
        print(f"{given.files} files, {size / given.files / 1000:.0f} KB each, {read / given.files / 1000:.1f} KB read of each")
        shells(ckpt, names, given.files, expected)
        resumed(ckpt, names, given.files, expected, folder)
        on_spark(ckpt, expected, folder)


if __name__ == "__main__":
    main()
