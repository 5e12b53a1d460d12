"""URLs in scans of many files: what is unchanged is left out, and small tensors come together."""

import json
import shutil

import sparse_models
from conftest import TESTDATA


def records(path):
    return {record["path"]: record for record in map(json.loads, path.read_text().splitlines())}


def test_a_url_is_audited_again_where_its_etag_is_another_one(ckpt, server, tmp_path):
    names = [f"m{i}.safetensors" for i in range(3)]
    for name in names:
        sparse_models.write_safetensors(server.root / name, sparse_models.layers(3, 64))
    urls = [f"{server.url}/{name}" for name in names]
    report = tmp_path / "report.jsonl"
    assert ckpt("audit", *urls, "--resume", report).code == 0
    first = records(report)
    assert [file["etag"][0] for url in urls for file in first[url]["files"] if file["path"] == url] == ['"'] * 3
    server.log.clear()
    again = ckpt("audit", *urls, "--resume", report)
    assert again.code == 0 and "3 of 3 files as recorded" in again.all, again.all
    assert len(server.log) == 3  # one request of each, no vector
    assert records(report) == first
    server.behaviour.change_tag_after = 0
    assert "0 of 3 files as recorded" in ckpt("audit", *urls, "--resume", report).all
    assert all(records(report)[url]["files"] != first[url]["files"] for url in urls)


def test_a_line_of_a_list_that_is_no_url_of_a_file_costs_itself(ckpt, server):
    shutil.copy(TESTDATA / "safetensors/torch_good.safetensors", server.root / "good.safetensors")
    listed = f"https://me:hidden@host.example\n{server.url}/good.safetensors\nhttps://host.example/a b\n"
    run = ckpt("audit", "--files-from", "-", "--format", "records", stdin=listed)
    assert run.code == 2, run.all
    found = [json.loads(line) for line in run.out.splitlines()]
    assert [record["status"] for record in found] == ["error", "ok", "error"]
    assert "hidden" not in run.all


def test_a_list_behind_a_url_is_handed_over_by_curl(ckpt, server):
    (server.root / "list.txt").write_text("a.pt\n")
    run = ckpt("audit", "--files-from", f"{server.url}/list.txt")
    assert run.code == 2 and "curl -sL URL" in run.err, run.all
    assert server.log == []


def test_small_tensors_come_side_by_side_for_every_command_that_reads_values(ckpt, server):
    layers = 30
    for name in ("epoch_1.safetensors", "epoch_2.safetensors"):
        sparse_models.write_safetensors(server.root / name, sparse_models.layers(layers, 64))
    one, two = (f"{server.url}/epoch_{i}.safetensors" for i in (1, 2))
    server.behaviour.delay = 0.05
    asked, at_once = {}, {}
    for command in (["inspect", "--stats", one], ["trend", one, two], ["audit", one, "--since", two],
                    ["audit", two, "--parents", one, two], ["inspect", "--report", "html:page.html", one],
                    ["diff", one, two, one], ["convert", "--force", one, "out.safetensors"]):
        server.log.clear()
        server.most_running = 0
        run = ckpt(*command)
        assert run.code in (0, 1), run.all
        for file in ("/epoch_1.safetensors", "/epoch_2.safetensors"):
            asked[command[0], command[-2], file] = server.paths().count(file)
        at_once[command[0], command[-2]] = server.most_running
    # The four vectors and the counter of a layer lie side by side: one request, many at once. A trend and merged parents
    # need the kernels, too.
    assert max(asked.values()) < 2 * layers + 10, asked
    assert min(at_once.values()) >= 4, at_once
