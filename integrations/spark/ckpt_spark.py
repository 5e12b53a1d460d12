"""ckpt over a DataFrame of checkpoints, on Apache Spark 3.3 or newer.

    import ckpt_spark
    records = ckpt_spark.audit(spark.read.text("list.txt").withColumnRenamed("value", "path"))
    records.write.parquet("records")
    ckpt_spark.findings(records).write.parquet("findings")

Each task hands the paths of its partition to one process of the program `ckpt` and reads a line of JSON for each. A file
that ends the program, or that it does not get done with, becomes a row of `status` "error" and `error_code` "crashed" or
"timeout"; an executor that is lost costs the tasks it was at, which Spark runs again. Nothing is kept between tasks.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading

# What a record of the program becomes: a row for each checkpoint, its findings in a list.
_FINDING = "rule string, name string, severity string, subject string, message string, fix string, fingerprint string"
SCHEMA = (
    "input string, path string, resolved string, format string, status string, state string, error_code string, "
    f"error_message string, batch_norms long, findings array<struct<{_FINDING.replace(' string', ':string')}>>, "
    "files array<struct<path:string,size:long,mtime:string>>, options string, tool string"
)

_FINDING_KEYS = [part.split()[0] for part in _FINDING.split(", ")]
_AT_ONCE = 256  # rows that a task hands on together


def audit(checkpoints, column="path", program="ckpt", options=(), tasks=200, patience=600):
    """A DataFrame of SCHEMA with a row for each checkpoint that `column` of the DataFrame `checkpoints` names.

    program:  the name or path of ckpt on the executors.
    options:  of `ckpt audit`, such as ["--checksums", "--no-rule", "BN040"].
    tasks:    how many the work is cut into, several for each core of the cluster; None: as `checkpoints` is partitioned.
    patience: seconds that one checkpoint may take.
    """
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # executors need no copy of this file
    paths = checkpoints.select(checkpoints[column].alias("input")).distinct()
    if tasks is not None:
        paths = paths.repartition(tasks)
    command = [program, "audit", *options, "--format", "records", "--files-from", "-", "--null", "--quiet"]
    return paths.mapInArrow(_Task(command, patience), SCHEMA)


def findings(records):
    """A row for each finding of `records`; a checkpoint that could not be read is one, without a rule."""
    from pyspark.sql import functions as f

    each = records.select("*", f.explode_outer("findings").alias("finding")).where("finding is not null or status = 'error'")
    return each.select("input", "path", "format", "status", "error_code", "error_message", "finding.*")


class _Task:
    """What an executor does with a partition: from batches of paths to batches of rows."""

    def __init__(self, command, patience):
        self.command, self.patience = command, patience

    def __call__(self, batches):
        import pyarrow

        paths = [path for batch in batches for path in batch.column(0).to_pylist() if path]
        rows, schema = [], _arrow_schema(pyarrow)
        for row in _rows(paths, self.command, self.patience):
            rows.append(row)
            if len(rows) == _AT_ONCE:
                yield pyarrow.RecordBatch.from_pylist(rows, schema=schema)
                rows = []
        yield pyarrow.RecordBatch.from_pylist(rows, schema=schema)


def _arrow_schema(arrow):
    text, number = arrow.string(), arrow.int64()
    finding = arrow.struct([(key, text) for key in _FINDING_KEYS])
    file = arrow.struct([("path", text), ("size", number), ("mtime", text)])
    others = {"batch_norms": number, "findings": arrow.list_(finding), "files": arrow.list_(file)}
    names = ("input path resolved format status state error_code error_message batch_norms findings files options tool").split()
    return arrow.schema([(name, others.get(name, text)) for name in names])


def _rows(paths, command, patience):
    """The rows of `paths`. After a run that did not end by itself the others have another one."""
    while paths:
        run = _Run(command, paths, patience)
        yield from run.rows()
        if not run.died:
            # A second name of a checkpoint that has its rows: it has none in the same run.
            left = [path for path in paths if path not in run.done]
            if left and len(left) == len(paths):
                raise RuntimeError(f"{command[0]} says nothing of {left[0]}: {run.complaint()}")
            paths = left
            continue
        culprit = next(path for path in paths if path not in run.done)
        if len(paths) == 1:
            yield _lost(culprit, run)
            return
        # On its own: it may be that another one took the memory.
        yield from _rows([culprit], command, patience)
        paths = [path for path in paths if path not in run.done and path != culprit]


class _Run:
    """A run of the program over paths, in their order."""

    def __init__(self, command, paths, patience):
        self.named, self.patience = {path.rstrip("/"): path for path in paths}, patience
        self.done, self.timed_out = set(), False
        names, self.said = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        names.write(b"".join(os.fsencode(path) + b"\0" for path in paths))
        names.seek(0)
        with names:
            self.process = subprocess.Popen(command, stdin=names, stdout=subprocess.PIPE, stderr=self.said)

    def rows(self):
        """Those of a path together, when it is done with: a folder may hold several checkpoints."""
        current, held = None, []
        try:
            for record in self._records():
                path = self._input_of(record)
                if path != current:
                    yield from held
                    self.done.add(current)
                    current, held = path, []
                held.append(_row(path, record))
            if not self.died or (held and held[-1]["path"] == current):
                yield from held
                self.done.add(current)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.process.stdout.close()
            self.process.wait()
        if self.process.returncode == 2:
            raise RuntimeError(f"ckpt was called in a way that it does not know: {self.complaint()}")

    @property
    def died(self):
        """Ended by a signal, out of patience, or by an error of its own."""
        return self.process.wait() not in (0, 1, 2, 3, 4)

    def complaint(self):
        self.said.seek(0)
        return self.said.read()[-2000:].decode(errors="replace").strip()

    def _records(self):
        watch = _Watch(self.patience, self._give_up)
        try:
            for line in self.process.stdout:
                if line.endswith(b"\n"):  # else it is torn
                    watch.again()
                    yield json.loads(line)
        finally:
            watch.end()

    def _give_up(self):
        self.timed_out = True
        self.process.kill()

    def _input_of(self, record):
        """What the user named: the path, or a folder that it lies in."""
        path = record["path"].rstrip("/")
        while path and path not in self.named:
            path = os.path.dirname(path)
        return self.named.get(path or ".", record["path"])


class _Watch:
    """Calls `act` once nothing happened for so many seconds."""

    def __init__(self, seconds, act):
        self.seconds, self.act, self.timer = seconds, act, None
        self.again()

    def again(self):
        self.end()
        self.timer = threading.Timer(self.seconds, self.act)
        self.timer.daemon = True
        self.timer.start()

    def end(self):
        if self.timer is not None:
            self.timer.cancel()


def _row(path, record):
    error = record["error"] or {}
    return {
        **{key: record[key] for key in ("path", "resolved", "format", "status", "state", "options", "tool", "files")},
        "input": path,
        "error_code": error.get("code"),
        "error_message": error.get("message"),
        "batch_norms": record["batch_norms"],
        "findings": [{key: finding[key] for key in _FINDING_KEYS} for finding in record["findings"]],
    }


def _lost(path, run):
    how = f"nothing for {run.patience} s" if run.timed_out else f"ckpt ended with {run.process.returncode}"
    said = run.complaint()
    return {
        "input": path,
        "path": path,
        "status": "error",
        "state": "unreadable",
        "error_code": "timeout" if run.timed_out else "crashed",
        "error_message": how + (f": {said}" if said else ""),
        "findings": [],
        "files": [],
    }


def main():
    from pyspark.sql import SparkSession

    parser = argparse.ArgumentParser(description="Audits the checkpoints of a list, on Spark.")
    parser.add_argument("list", help="a text file of paths, one a line")
    parser.add_argument("records", help="the folder of Parquet files to write; one that is there is added to")
    parser.add_argument("--program", default="ckpt", help="ckpt, as the executors find it")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--patience", type=float, default=600, help="seconds that one checkpoint may take")
    parser.add_argument("options", nargs="*", help="of ckpt audit, behind --")
    given = parser.parse_args()
    spark = SparkSession.builder.appName("ckpt audit").getOrCreate()
    paths = spark.read.text(given.list).withColumnRenamed("value", "path")
    records = audit(paths, "path", given.program, given.options, given.tasks, given.patience)
    records.write.mode("append").parquet(given.records)
    spark.stop()


if __name__ == "__main__":
    main()
