"""ckpt over a DataFrame of checkpoints, on Apache Spark 3.3 or newer.

    import ckpt_spark
    records = ckpt_spark.audit(spark.read.text("list.txt").withColumnRenamed("value", "path"))
    records.write.parquet("records")
    ckpt_spark.findings(spark.read.parquet("records")).write.parquet("findings")

Each task hands the paths of its partition to one process of the program `ckpt` and reads a line of JSON for each. A file
that ends the program, or that it does not get done with, becomes a row of `status` "error" and `error_code` "crashed" or
"timeout"; an executor that is lost costs the tasks it was at, which Spark runs again. Nothing is kept between tasks.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

# What a record of the program becomes: a row for each checkpoint, its findings in a list. `input` is what was named, of a
# URL without user, password, query and fragment; `record` is the line of JSON, with all that the other columns leave out.
SCHEMA = (
    "input string, path string, resolved string, format string, status string, state string, error_code string, "
    "error_message string, batch_norms long, findings array<struct<rule:string,name:string,severity:string,subject:string,"
    "tensors:array<string>,message:string,fix:string,fingerprint:string>>, options string, tool string, record string"
)

_SECRETS = [(r"^(https?://)[^/?#]*@", "{}1"), (r"^(https?://[^?#]*)[?#][\s\S]*$", "{}1")]
_AT_ONCE = 256  # rows that a task hands on together


def audit(checkpoints, column="path", program="ckpt", options=(), tasks=200, patience=600, previous=None):
    """A DataFrame of SCHEMA with a row for each checkpoint that `column` of the DataFrame `checkpoints` names.

    program:  the name or path of ckpt on the executors.
    options:  of `ckpt audit`, such as ["--checksums", "--no-rule", "BN040"].
    tasks:    how many the work is cut into, several for each core of the cluster; None: as `checkpoints` is partitioned.
    patience: seconds that one checkpoint may take.
    previous: a DataFrame that this function made before. A row of it is taken over where the program's --resume would:
              files, options and version are as they were.
    """
    from pyspark import cloudpickle
    from pyspark.sql import functions as f

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # executors need no copy of this file
    paths = checkpoints.select(checkpoints[column].alias("path")).where("path != ''").distinct()
    if previous is None:
        paths = paths.withColumn("record", f.lit(None).cast("string"))
    else:
        # What a folder holds is found anew, so that a checkpoint that is gone has no row.
        held = previous.where("input = path and record is not null").groupBy("input").agg(f.first("record").alias("record"))
        paths = paths.withColumn("input", _shown_column(f, "path")).join(held, "input", "left").select("path", "record")
    if tasks is not None:
        paths = paths.repartition(tasks)
    command = [program, "audit", *options, "--format", "records", "--files-from", "-", "--null", "--quiet"]
    return paths.mapInArrow(_Task(command, patience), SCHEMA)


def findings(records):
    """A row for each finding of `records`; a checkpoint that could not be read is one, without a rule."""
    from pyspark.sql import functions as f

    each = records.select("*", f.explode_outer("findings").alias("finding")).where("finding is not null or status = 'error'")
    return each.select("input", "path", "format", "status", "error_code", "error_message", "finding.*")


def without(checkpoints, records, column="path"):
    """The rows of `checkpoints` that have no row in `records` yet."""
    from pyspark.sql import functions as f

    done = records.select(f.col("input").alias("_done")).distinct()
    return checkpoints.join(done, _shown_column(f, column) == f.col("_done"), "left_anti")


def _shown(path):
    for secret, kept in _SECRETS:
        path = re.sub(secret, kept.format("\\"), path)
    return path


def _shown_column(functions, name):
    column = functions.col(name)
    for secret, kept in _SECRETS:
        column = functions.regexp_replace(column, secret, kept.format("$"))
    return column


class _Task:
    """What an executor does with a partition: from batches of paths, and earlier records, to batches of rows."""

    def __init__(self, command, patience):
        self.command, self.patience = command, patience

    def __call__(self, batches):
        import pyarrow

        held = {}
        for batch in batches:
            held.update(zip(batch.column(0).to_pylist(), batch.column(1).to_pylist()))
        rows, schema = [], _arrow_schema(pyarrow)
        for row in _rows(held, self.command, self.patience):
            rows.append(row)
            if len(rows) == _AT_ONCE:
                yield pyarrow.RecordBatch.from_pylist(rows, schema=schema)
                rows = []
        yield pyarrow.RecordBatch.from_pylist(rows, schema=schema)


def _arrow_schema(arrow):
    text = arrow.string()
    keys = re.findall(r"(\w+) (?:string|long|array)", SCHEMA)
    finding = arrow.struct([(key, arrow.list_(text) if key == "tensors" else text) for key in _FINDING_KEYS])
    others = {"batch_norms": arrow.int64(), "findings": arrow.list_(finding)}
    return arrow.schema([(key, others.get(key, text)) for key in keys])


_FINDING_KEYS = re.findall(r"(\w+):", SCHEMA)


def _rows(held, command, patience):
    """The rows of the paths, which are the keys of `held`. What a run leaves open has another one."""
    left = []
    for path in held:
        if "\0" in path:
            yield _error(path, "invalid-argument", "no path has a NUL in it")
        else:
            left.append(path)
    while left:
        run = _Run(command, _told_apart(left), held, patience)
        yield from run.rows()
        if run.died:
            culprit = next(path for path in run.paths if path not in run.done)
            if len(run.paths) == 1:
                yield run.lost(culprit)
                run.done.add(culprit)
            else:  # on its own: it may be that another one took the memory
                yield from _rows({culprit: None}, command, patience)
                run.done.add(culprit)
                held = dict.fromkeys(held)  # how far the run got with records that hold is not known
        elif not run.done:
            raise RuntimeError(f"{command[0]} says nothing of {_shown(run.paths[0])}: {run.complaint()}")
        left = [path for path in left if path not in run.done]


def _told_apart(paths):
    """The first ones of those that a record calls by one name."""
    return list({_shown(path): path for path in reversed(paths)}.values())[::-1]


class _Run:
    """A run of the program over paths, in their order."""

    def __init__(self, command, paths, held, patience):
        self.paths, self.patience = paths, patience
        self.named = {_shown(path).rstrip("/"): path for path in paths}
        self.done, self.timed_out = set(), False
        self.said, self.journal = tempfile.TemporaryFile(), None
        self.held = {path: held[path] for path in paths if held[path] is not None}
        if self.held:
            self.journal = tempfile.NamedTemporaryFile()
            self.journal.write("".join(line + "\n" for line in self.held.values()).encode())
            self.journal.flush()
            command = [*command, "--resume", self.journal.name]
        with tempfile.TemporaryFile() as names:
            names.write(b"".join(_bytes(path) + b"\0" for path in paths))
            names.seek(0)
            self.process = subprocess.Popen(command, stdin=names, stdout=subprocess.PIPE, stderr=self.said)

    def rows(self):
        """Those of a path together, when it is done with: a folder may hold several checkpoints."""
        current, rows, lines = None, [], 0
        try:
            for line in self._lines():
                lines += 1
                record = json.loads(line)
                path = self._input_of(record)
                if path != current and current is not None:
                    self.done.add(current)
                    yield from rows
                    rows = []
                current = path
                rows.append(_row(path, line, record))
            # A folder may have had more; a file that is named has one.
            if current is not None and (not self.died or rows[-1]["path"] == rows[-1]["input"]):
                self.done.add(current)
                yield from rows
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.process.stdout.close()
            self.process.wait()
        if self.process.returncode == 2 and lines == 0:
            raise RuntimeError(f"ckpt was called in a way that it does not know: {self.complaint()}")
        if not self.died:
            yield from self._kept()

    def _kept(self):
        """Rows of earlier records that hold: the program left the files out, and the lines where they were."""
        if not self.held:
            return
        with open(self.journal.name, encoding="utf-8") as lines:
            there = {line.rstrip("\n") for line in lines}
        # Of a file with two names the program sees one; the other one's record stays in any case.
        names = collections.Counter(os.path.realpath(path) for path in self.paths)
        for path, line in self.held.items():
            if path not in self.done and line in there and names[os.path.realpath(path)] == 1:
                self.done.add(path)
                yield _row(path, line, json.loads(line))

    @property
    def died(self):
        """Ended by a signal, out of patience, or by an error of its own."""
        return self.process.wait() not in (0, 1, 2, 3, 4)

    def lost(self, path):
        how = f"nothing for {self.patience} s" if self.timed_out else f"ckpt ended with {self.process.returncode}"
        said = self.complaint()
        return _error(path, "timeout" if self.timed_out else "crashed", how + (f": {said}" if said else ""))

    def complaint(self):
        self.said.seek(0)
        return self.said.read()[-2000:].decode(errors="replace").strip()

    def _lines(self):
        watch = _Watch(self.patience, self._give_up)
        try:
            for line in self.process.stdout:
                if line.endswith(b"\n"):  # else it is torn
                    watch.again()
                    yield line[:-1].decode()
        finally:
            watch.end()

    def _give_up(self):
        self.timed_out = True
        self.process.kill()

    def _input_of(self, record):
        """What the user named: the path, or a folder that it lies in."""
        path = record["path"].rstrip("/")
        while path not in self.named and os.path.dirname(path) != path:
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


def _bytes(path):
    return path.encode(errors="surrogateescape")


def _row(path, line, record):
    error = record["error"] or {}
    return {
        **{key: record[key] for key in ("path", "resolved", "format", "status", "state", "batch_norms", "options", "tool")},
        "input": _shown(path),
        "error_code": error.get("code"),
        "error_message": error.get("message"),
        "findings": [{key: finding[key] for key in _FINDING_KEYS} for finding in record["findings"]],
        "record": line,
    }


def _error(path, code, message):
    shown = _shown(path)
    return {"input": shown, "path": shown, "status": "error", "state": "unreadable", "error_code": code,
            "error_message": message, "findings": []}


def go_on(spark, given):
    """Adds the rows of a part of the list after the other, so that a run that ends early has lost one part."""
    from pyspark.sql import functions as f
    from pyspark.sql.utils import AnalysisException

    paths = spark.read.text(given.list).select(f.col("value").alias("path")).where("path != ''").distinct()
    try:
        there = spark.read.parquet(given.records)
    except AnalysisException:
        there = None  # not yet
    if there is not None:
        paths = without(paths, there)
    previous = spark.read.parquet(given.previous) if given.previous else None
    parts = -(-paths.count() // given.part)
    for part in range(parts):
        some = paths.where(f.pmod(f.xxhash64("path"), f.lit(parts)) == part)
        rows = audit(some, "path", given.program, given.options, given.tasks, given.patience, previous)
        rows.write.mode("append").parquet(given.records)


def main():
    from pyspark.sql import SparkSession

    parser = argparse.ArgumentParser(description="Audits the checkpoints of a list, on Spark.")
    parser.add_argument("list", help="a text file of paths or URLs, one a line")
    parser.add_argument("records", help="the folder of Parquet files; inputs that have a row in it are left out")
    parser.add_argument("--previous", help="the records of an earlier list: rows that still hold are taken over")
    parser.add_argument("--program", default="ckpt", help="ckpt, as the executors find it")
    parser.add_argument("--part", type=int, default=100_000, help="how many inputs are written together")
    parser.add_argument("--tasks", type=int, default=200, help="how many each part is cut into")
    parser.add_argument("--patience", type=float, default=600, help="seconds that one checkpoint may take")
    parser.add_argument("options", nargs="*", help="of ckpt audit, behind --")
    given = parser.parse_args()
    spark = SparkSession.builder.appName("ckpt audit").getOrCreate()
    go_on(spark, given)
    spark.stop()


if __name__ == "__main__":
    main()
