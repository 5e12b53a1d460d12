"""Every report of ours follows its schema, and SARIF that of OASIS where CKPT_SARIF_SCHEMA names a copy of it."""

import json
import os
import pathlib
import subprocess

import pytest

jsonschema = pytest.importorskip("jsonschema")
from schemas import FOLDER as SCHEMAS, schema_of, validator  # noqa: E402

CKPT = os.environ["CKPT_BINARY"]
TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])
GOOD, BAD = "safetensors/torch_good.safetensors", "safetensors/torch_never_updated_tracked_0.safetensors"
FOLD = ["--bn", "fold", "keras_h5/bn_conv_same_no_shift.h5"]

RUNS = {
    "inspect": [["inspect", GOOD, "no/such"], ["inspect", "--stats", GOOD], ["inspect", "torch", "safetensors", "onnx"],
                ["inspect", "--stats", "--only", "*bn1*", GOOD, "bad_values/inf_mean.h5"]],
    "audit": [["audit", BAD, "no/such"], ["audit", "bad_values"], ["audit", "-r", "torch", "malformed"]],
    "convert": [["convert", "--dry-run", *FOLD, "o.npz"], ["convert", "--dry-run", "no/such", "o.npz"]],
    "diff": [["diff", GOOD, BAD], ["diff", GOOD, BAD, GOOD], ["diff", GOOD, BAD, GOOD, "no/such"], ["diff", GOOD, "no/such"]],
    "verify": [["verify", FOLD[2], FOLD[2]], ["verify", "no/such", FOLD[2]], ["verify", GOOD, GOOD]],
    "trend": [["trend", "tf1/mnist/updates_not_run", "tf1/mnist/correct"], ["trend", GOOD, BAD, "no/such"]],
    "explain": [["explain"], ["explain", "BN001"]],
}


def run(*arguments):
    return subprocess.run([CKPT, *arguments], cwd=TESTDATA, capture_output=True, check=False).stdout


@pytest.mark.parametrize("command", RUNS)
def test_reports_follow_their_schema(command):
    check = validator(command)
    for arguments in RUNS[command]:
        check.validate(json.loads(run(*arguments, "--format", "json")))
        lines = run(*arguments, "--format", "jsonl").splitlines()
        assert lines
        for line in lines:
            check.validate(json.loads(line))


def test_records_and_a_resumed_report_follow_theirs(tmp_path):
    for arguments in RUNS["audit"]:
        lines = run(*arguments, "--format", "records").splitlines()
        assert lines
        for line in lines:
            validator("audit").validate(json.loads(line))
    for taken in (0, 1):  # an absent file is looked for again
        report = json.loads(run("audit", BAD, "no/such", "--resume", str(tmp_path / "r.jsonl"), "--format", "json"))
        validator("audit").validate(report)
        assert report["summary"]["resumed"]["inputs"] == taken


def test_reports_with_settings_and_a_baseline_follow_theirs(tmp_path):
    baseline, settings = tmp_path / "baseline.json", tmp_path / "ckpt.toml"
    settings.write_text('[audit]\nno-rule = "BN040"\nseverity = {BN041 = "warning"}\n')
    gate = ["audit", "--config", str(settings)]
    write = ["--write-baseline", str(baseline), "--reason", "known"]
    validator("audit").validate(json.loads(run(*gate, BAD, "bad_values", *write, "--format", "json")))
    validator("baseline").validate(json.loads(baseline.read_text()))
    entries = json.loads(baseline.read_text())
    entries["findings"][0]["rule"] = "BN001"  # which is found no more
    baseline.write_text(json.dumps(entries))
    known = [*gate, BAD, "bad_values", "--baseline", str(baseline)]
    report = json.loads(run(*known, "--format", "json"))
    validator("audit").validate(report)
    assert report["summary"]["baseline"]["stale"] and report["summary"]["config"]["hidden"]["infos"]
    for line in run(*known, "--format", "jsonl").splitlines():
        validator("audit").validate(json.loads(line))


def test_records_follow_their_schema(tmp_path):
    run("convert", *FOLD, str(tmp_path / "o.npz"))
    validator("record").validate(json.loads((tmp_path / "o.npz.ckpt.json").read_text()))


def test_a_key_that_no_schema_names_is_found_here():
    report = json.loads(run("audit", BAD, "--format", "json"))
    report["inputs"][0]["findings"][0]["new_key"] = 1
    assert not validator("audit").is_valid(report)
    assert jsonschema.Draft202012Validator(schema_of("audit")).is_valid(report)  # readers ignore it


@pytest.mark.parametrize("schema", sorted(path.name for path in SCHEMAS.glob("*.json")))
def test_a_schema_refuses_what_it_does_not_describe(schema):
    check = jsonschema.Draft202012Validator(json.loads((SCHEMAS / schema).read_text()))
    assert not check.is_valid({})
    assert not check.is_valid({"schema": "ckpt.other/1"})


def test_sarif_follows_the_schema_of_oasis():
    if "CKPT_SARIF_SCHEMA" not in os.environ:
        pytest.skip("CKPT_SARIF_SCHEMA names no copy of the schema")
    schema = json.loads(pathlib.Path(os.environ["CKPT_SARIF_SCHEMA"]).read_text())
    for inputs in ([BAD, "no/such"], [GOOD], ["bad_values", "malformed"]):
        jsonschema.validate(json.loads(run("audit", "--format", "sarif", *inputs)), schema)
