"""A Spark cluster of two workers on this machine, and checkpoints for it. Tests and bench/spark.py share it."""
import contextlib
import os
import signal
from pathlib import Path


@contextlib.contextmanager
def session(cores=1):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local-cluster[2,{cores},768]").appName("ckpt")
    options = {"spark.executor.memory": "512m", "spark.driver.memory": "512m", "spark.ui.enabled": "false",
               "spark.sql.adaptive.enabled": "false", "spark.sql.shuffle.partitions": "4", "spark.log.level": "ERROR",
               "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    for name, value in options.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def executors(spark):
    """The processes of this application's executors."""
    application, found = spark.sparkContext.applicationId, []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"CoarseGrainedExecutorBackend") for word in words) and application.encode() in words:
                found.append(int(entry.name))
    return sorted(found)


def kill_one_executor(spark):
    os.kill(executors(spark)[0], signal.SIGKILL)


def make_zoo(folder, count, made_network, batch_norms=8):
    """`count` checkpoints: in each 20 one with a NaN and one that is none. path -> the state that an audit gives it."""
    folder.mkdir(parents=True)
    good = [made_network.network(batch_norms, seed=seed, batches=5000) for seed in range(5)]
    bad = made_network.network(batch_norms, batches=5000, faults=(3,))
    states = {}
    for i in range(count):
        path = folder / f"model{i:05}.safetensors"
        if i % 20 == 11:
            path.write_bytes(b"\x10\0\0\0\0\0\0\0no header at all")
            states[str(path)] = "unreadable"
        else:
            made_network.write(path, bad if i % 20 == 7 else good[i % len(good)])
            states[str(path)] = "errors" if i % 20 == 7 else "clean"
    return states
