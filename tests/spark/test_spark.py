"""ckpt over a DataFrame, on a real cluster of two workers: nothing is lost, nothing is there twice."""
import argparse
import collections
import json
import os
import subprocess
import threading
import time

import pytest

import ckpt_spark
import two_workers


def script(folder, name, text):
    path = folder / name
    path.write_text("#!/usr/bin/env python3\n" + text)
    path.chmod(0o755)
    return str(path)


def states(rows):
    counts = collections.Counter(row["input"] for row in rows)
    assert set(counts.values()) == {1}, "a row for each input"
    return {row["input"]: row["state"] for row in rows}


def test_every_checkpoint_is_a_row_and_every_finding_is_one(spark, paths, zoo, program, folder):
    ckpt_spark.audit(paths, program=program, tasks=6).write.parquet(str(folder / "records"))
    records = spark.read.parquet(str(folder / "records"))
    rows = records.collect()
    assert states(rows) == zoo
    found = ckpt_spark.findings(records).collect()
    bad = {path for path, state in zoo.items() if state == "errors"}
    assert {row["input"] for row in found if row["severity"] == "error"} == bad
    assert {row["rule"] for row in found if row["severity"] == "error"} == {"BN020"}
    assert {row["input"] for row in found if row["rule"] is None} == {path for path, state in zoo.items() if state == "unreadable"}
    # As the program says it by itself.
    run = subprocess.run([program, "audit", "--format", "json", *zoo], capture_output=True, check=False)
    alone = {one["path"]: one for one in json.loads(run.stdout)["inputs"]}
    for row in rows:
        one = alone[row["path"]]
        assert (row["status"], row["format"], row["batch_norms"]) == (one["status"], one["format"], len(one["batch_norm"]))
        assert [(f["rule"], f["subject"], f["fingerprint"], f["tensors"]) for f in row["findings"]] == [
            (f["rule"], f["subject"], f["fingerprint"], f["tensors"]) for f in one["findings"]]
        assert (row["error_code"], row["error_message"]) == ((one["error"]["code"], one["error"]["message"]) if one["error"] else (None, None))


def test_options_reach_the_program_and_a_wrong_one_ends_the_job(spark, few_paths, few, program):
    rows = ckpt_spark.audit(few_paths, program=program, options=["--no-rule", "BN020"], tasks=2).collect()
    assert states(rows) == {path: "clean" if state == "errors" else state for path, state in few.items()}
    assert {row["options"] for row in rows if row["options"] is not None} == {"--no-rule BN020"}
    with pytest.raises(Exception, match="no-such-option"):
        ckpt_spark.audit(few_paths, program=program, options=["--no-such-option"], tasks=2).collect()


def stopped_at(poison, act, folder, program):
    """A program that audits what is named before `poison`, and then acts."""
    return script(folder, "stopped", f"""
import os, signal, subprocess, sys, time
names = sys.stdin.buffer.read().split(b"\\0")[:-1]
before = names[:names.index({poison.encode()!r})] if {poison.encode()!r} in names else names
if before:
    subprocess.run([{program!r}, *sys.argv[1:]], input=b"".join(name + b"\\0" for name in before))
if before != names:
    {act}
""")


def test_a_file_that_ends_the_program_costs_itself_alone(spark, few_paths, few, program, folder):
    poison = sorted(few)[5]
    deadly = stopped_at(poison, "os.kill(os.getpid(), signal.SIGSEGV)", folder, program)
    rows = ckpt_spark.audit(few_paths, program=deadly, tasks=3).collect()
    assert states(rows) == {**few, poison: "unreadable"}
    lost = next(row for row in rows if row["input"] == poison)
    assert (lost["error_code"], lost["error_message"]) == ("crashed", "ckpt ended with -11")


def test_a_file_that_the_program_does_not_get_done_with_costs_itself_alone(spark, few_paths, few, program, folder):
    poison = sorted(few)[2]
    slow = stopped_at(poison, "time.sleep(1000)", folder, program)
    rows = ckpt_spark.audit(few_paths, program=slow, tasks=2, patience=3).collect()
    assert states(rows) == {**few, poison: "unreadable"}
    assert next(row["error_code"] for row in rows if row["input"] == poison) == "timeout"


def test_a_folder_and_a_second_name_have_their_rows(spark, few, program, folder):
    good = next(path for path, state in few.items() if state == "clean")
    for name in ("run/epoch_1.safetensors", "run/epoch_2.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(open(good, "rb").read())
    (folder / "link.safetensors").symlink_to(good)
    inputs = [str(folder / "run"), good, str(folder / "link.safetensors"), str(folder / "absent.pt")]
    rows = ckpt_spark.audit(spark.createDataFrame([(path,) for path in inputs], "path string"), program=program, tasks=1).collect()
    assert sorted((row["input"], row["path"], row["state"]) for row in rows) == sorted([
        (inputs[0], inputs[0] + "/epoch_1.safetensors", "clean"), (inputs[0], inputs[0] + "/epoch_2.safetensors", "clean"),
        (good, good, "clean"), (inputs[2], inputs[2], "clean"), (inputs[3], inputs[3], "unreadable")])


def test_rows_of_an_earlier_run_are_taken_over_where_the_file_is_the_same(spark, few, program, folder):
    (folder / "again").mkdir()
    inputs = {}
    for path in sorted(few)[:12]:  # a NaN and one that is unreadable among them
        copy = folder / "again" / os.path.basename(path)
        copy.write_bytes(open(path, "rb").read())
        inputs[str(copy)] = few[path]
    paths = spark.createDataFrame([(path,) for path in inputs], "path string").cache()
    counting = script(folder, "counting", f"""
import subprocess, sys
with open({str(folder)!r} + "/audited", "ab") as log:
    out = subprocess.run([{program!r}, *sys.argv[1:]], stdout=subprocess.PIPE)
    log.write(out.stdout)
sys.stdout.buffer.write(out.stdout)
sys.exit(out.returncode)
""")
    ckpt_spark.audit(paths, program=program, tasks=2).write.parquet(str(folder / "earlier"))
    earlier = spark.read.parquet(str(folder / "earlier"))
    changed, gone = sorted(inputs)[0], sorted(inputs)[1]
    os.utime(changed)
    os.remove(gone)
    rows = ckpt_spark.audit(paths, program=counting, tasks=2, previous=earlier).collect()
    assert states(rows) == {**inputs, gone: "unreadable"}
    audited = [json.loads(line)["path"] for line in (folder / "audited").read_text().splitlines()]
    assert sorted(audited) == [changed, gone]
    kept = {row["input"]: row for row in earlier.collect()}
    assert all(row == kept[row["input"]] for row in rows if row["input"] not in (changed, gone))


def test_a_job_that_ended_early_goes_on_and_its_rows_are_there_once(spark, few, program, folder):
    inputs = sorted(few)[:40]
    listed = folder / "list.txt"
    given = argparse.Namespace(list=str(listed), records=str(folder / "going_on"), previous=None, program=program, part=15,
                               tasks=2, patience=60, options=[])
    for some in (inputs[:25], inputs, inputs):
        listed.write_text("\n".join(some) + "\n")
        ckpt_spark.go_on(spark, given)
        assert states(spark.read.parquet(given.records).collect()) == {path: few[path] for path in some}


def test_a_row_holds_no_secret_of_a_url(spark, program):
    urls = ["http://me:hidden@host.example/a.pt?sig=hidden", "http://host.example/a.pt?sig=hidden2#x"]  # never asked: no https
    urls = spark.createDataFrame([(url,) for url in urls], "path string")
    rows = ckpt_spark.audit(urls, program=program, tasks=1).collect()
    assert [(row["input"], row["path"], row["error_code"]) for row in rows] == [
        ("http://host.example/a.pt", "http://host.example/a.pt", "invalid-argument")] * 2
    assert "hidden" not in str(rows)
    assert ckpt_spark.without(urls, spark.createDataFrame(rows, ckpt_spark.SCHEMA)).count() == 0


def test_a_killed_executor_costs_a_task_and_not_the_job(spark, paths, zoo, program, folder):
    tasks, started = 8, folder / "started"
    started.mkdir()
    marking = script(folder, "marking", f"""
import os, sys, time
open({str(started)!r} + "/" + str(os.getpid()), "w").close()
time.sleep(1)
os.execv({program!r}, [{program!r}, *sys.argv[1:]])
""")
    rows = []
    job = threading.Thread(target=lambda: rows.extend(ckpt_spark.audit(paths, program=marking, tasks=tasks).collect()))
    job.start()
    while len(list(started.iterdir())) < 3:
        assert job.is_alive()
        time.sleep(0.05)
    two_workers.kill_one_executor(spark)
    job.join()
    assert states(rows) == zoo
    runs = len(list(started.iterdir()))
    assert tasks < runs <= tasks + 2, "what the lost executor was at was done again, and nothing else"
