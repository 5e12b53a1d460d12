"""What is moved, in which requests, and that a URL gives what the file gives."""

import json
import os
import pty
import shutil
import subprocess

import pytest

import sparse_models
from conftest import BINARY, CLEAN, TESTDATA

MEGABYTE = 1 << 20


def report(run):
    return json.loads(run.out)["inputs"][0]


def findings(run):
    return [(f["rule"], f["severity"]) for f in report(run)["findings"]]


@pytest.fixture(scope="module")
def hundred_gigabytes():
    return sparse_models.layers(166, 4096)


def test_audit_of_a_sharded_set_of_100_gb_moves_its_indexes_and_batch_norms(ckpt, server, hundred_gigabytes):
    index, norms, total = sparse_models.write_sharded(server.root, hundred_gigabytes, 9)
    assert total > 100e9
    run = ckpt("audit", "--format", "json", f"{server.url}/model.safetensors.index.json")
    assert run.code == 0, run.all
    assert server.body_bytes < index + norms + MEGABYTE
    assert norms < server.body_bytes  # the vectors were read
    local = ckpt("audit", "--format", "json", server.root / "model.safetensors.index.json")
    assert findings(local) == findings(run)
    print(f"moved {server.body_bytes}, index {index}, norms {norms}, {len(server.log)} requests")


def test_audit_of_a_pytorch_file_of_100_gb_moves_its_directory_and_batch_norms(ckpt, server, hundred_gigabytes):
    index, norms = sparse_models.write_torch(server.root / "model.pt", hundred_gigabytes)
    assert (server.root / "model.pt").stat().st_size > 100e9
    run = ckpt("audit", "--format", "json", f"{server.url}/model.pt")
    assert run.code == 0, run.all
    assert norms < server.body_bytes < index + norms + MEGABYTE
    print(f"moved {server.body_bytes}, index {index}, norms {norms}, {len(server.log)} requests")


def test_ranges_of_many_batch_norms_are_asked_for_side_by_side(ckpt, server):
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(40, 256))
    server.behaviour.delay = 0.1
    run = ckpt("audit", f"{server.url}/m.safetensors")
    assert run.code == 0, run.all
    assert server.most_running >= 4
    # The four vectors of a layer lie side by side: one request.
    assert len(server.log) < 40 + 12


def test_of_a_file_that_is_no_archive_48_bytes_of_the_end_are_asked_for(ckpt, server):
    file = server.root / "m.safetensors"
    sparse_models.write_safetensors(file, sparse_models.layers(20, 128))
    assert ckpt("inspect", f"{server.url}/m.safetensors").code == 0
    size = file.stat().st_size
    assert [entry[1] for entry in server.log if entry[1].endswith(f"-{size - 1}")] == [f"bytes={size - 48}-{size - 1}"]


def test_no_byte_is_asked_for_twice(ckpt, server):
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(20, 128))
    run = ckpt("inspect", "--stats", f"{server.url}/m.safetensors")
    assert run.code == 0, run.all
    assert server.body_bytes <= (server.root / "m.safetensors").stat().st_size


KINDS = ["keras_h5/trained_functional_adam.h5", "tf1/mnist/correct/model.ckpt-700"]


@pytest.mark.parametrize("name", KINDS)
def test_a_url_reports_what_the_file_does(ckpt, server, name):
    source = TESTDATA / name
    for file in source.parent.glob(source.name + "*"):
        shutil.copy(file, server.root)
    for command in ("inspect", "audit"):
        far = ckpt(command, "--format", "json", f"{server.url}/{source.name}")
        near = ckpt(command, "--format", "json", server.root / source.name)
        assert far.code == near.code, far.all
        assert far.out.replace(server.url, str(server.root)) == near.out


def test_every_command_that_reads_takes_urls(ckpt, server):
    source = TESTDATA / "keras_h5/trained_functional_adam.h5"
    shutil.copy(source, server.root / "model.h5")
    url = f"{server.url}/model.h5"
    assert ckpt("diff", url, source).code == 0
    assert ckpt("verify", url, source).code == 0
    made = ckpt("convert", "--bn", "fold", url, "folded.h5", "--record", "record.json")
    assert made.code == 0, made.all
    here = ckpt("convert", "--bn", "fold", source, "here.h5")
    assert here.code == 0
    assert ckpt("diff", "--bytes", "folded.h5", "here.h5").code == 0
    assert ckpt("verify", url, "folded.h5").code == 0
    assert ckpt("audit", "--since", url, source).code == ckpt("audit", "--since", source, source).code
    listed = ckpt("inspect", "--files-from", "-", stdin=url + "\n")
    assert listed.code == 0 and url in listed.out


def test_no_network_refuses_urls_wherever_they_stand(ckpt, server):
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(1, 8))
    url = f"{server.url}/m.safetensors"
    for arguments, stdin in (([url], None), (["--files-from", "-"], url), (["--since", url, "x.npz"], None)):
        run = ckpt("audit", "--no-network", *arguments, stdin=stdin)
        assert run.code == 2 and "--no-network" in run.err, run.all
    assert server.log == []


def test_output_is_never_a_url(ckpt, server):
    shutil.copy(TESTDATA / "keras_h5/trained_functional_adam.h5", server.root / "a.h5")
    for arguments in (["a.h5", f"{server.url}/b.h5"], ["a.h5", "b.h5", "--record", f"{server.url}/r.json"],
                      ["a.h5", "b.h5", "--report", f"json:{server.url}/r.json"]):
        run = ckpt("convert", *arguments, folder=server.root)
        assert run.code == 2 and "this machine" in run.err, run.all
    assert server.log == []


def test_names_inside_a_file_are_fetched_from_its_folder_alone(ckpt, server):
    for name in ("https://example.org/x.safetensors", "../x.safetensors", "/x.safetensors", "a/../../x.safetensors"):
        text = json.dumps({"weight_map": {"w": name}})
        (server.root / "model.safetensors.index.json").write_text(text)
        server.log.clear()
        run = ckpt("audit", f"{server.url}/model.safetensors.index.json")
        assert run.code == 3, run.all
        assert {path for path in server.paths() if "x.safetensors" in path} == set()


def test_what_does_not_exist_is_said_so(ckpt, server):
    run = ckpt("audit", f"{server.url}/none.safetensors")
    assert run.code == 4 and "404" in run.err, run.all
    assert server.body_bytes == 0


def test_a_terminal_is_told_how_much_has_come(ckpt, server):
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(6, 512))
    server.behaviour.delay = 0.2
    told, _ = on_a_terminal("inspect", "--stats", f"{server.url}/m.safetensors")
    assert "fetched " in told and "of m.safetensors" in told
    quiet, _ = on_a_terminal("inspect", "-q", "--stats", f"{server.url}/m.safetensors")
    assert "fetched" not in quiet
    assert "fetched" not in ckpt("inspect", "--stats", f"{server.url}/m.safetensors").all


def on_a_terminal(*arguments):
    """What is on stderr, which is a terminal, and on stdout, which is none."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([BINARY, *arguments], env=CLEAN, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # the end, as Linux tells it
        pass
    out = process.communicate(timeout=60)[0]
    os.close(ours)
    return seen.decode(), out.decode()
