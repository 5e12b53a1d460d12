"""Servers that misbehave: each ends in one error, in bounded time, and none is believed."""

import shutil
import socket
import subprocess
import threading
import time

import pytest

import sparse_models
from conftest import TESTDATA
from range_server import RangeServer


@pytest.fixture
def model(server):
    """A file whose batch norms are not in the first bytes that are fetched."""
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(6, 256))
    return f"{server.url}/m.safetensors"


def test_200_to_a_range_of_a_large_file_is_refused_at_its_head(ckpt, server):
    with open(server.root / "m.safetensors", "wb") as file:
        file.truncate(10 << 30)
    server.behaviour.ignore_ranges = True
    begun = time.monotonic()
    run = ckpt("audit", f"{server.url}/m.safetensors")
    assert run.code == 3 and "no parts of files" in run.err, run.all
    assert server.body_bytes < 64 << 20 and time.monotonic() - begun < 10


def test_200_without_a_length_stops_at_the_bound(ckpt, server):
    with open(server.root / "m.safetensors", "wb") as file:
        file.truncate(10 << 30)
    server.behaviour.ignore_ranges = server.behaviour.hide_length = True
    run = ckpt("audit", f"{server.url}/m.safetensors")
    assert run.code == 4 and "more bytes" in run.err, run.all
    assert server.body_bytes < 128 << 20


def test_a_small_file_of_a_server_without_ranges_is_read_whole_and_once(ckpt, server):
    shutil.copy(TESTDATA / "keras_h5/trained_functional_adam.h5", server.root / "m.h5")
    server.behaviour.ignore_ranges = True
    run = ckpt("audit", f"{server.url}/m.h5")
    assert run.code == 0, run.all
    assert server.paths().count("/m.h5") == 1


def test_200_to_a_later_range_is_an_error(ckpt, server, model):
    server.behaviour.delay = 0.2
    done = []
    thread = threading.Thread(target=lambda: done.append(ckpt("audit", model)))
    thread.start()
    while not server.log:
        time.sleep(0.01)
    time.sleep(0.3)
    server.behaviour.ignore_ranges = True
    thread.join()
    assert done[0].code == 4 and "whole file" in done[0].err, done[0].all


def test_a_file_that_changes_between_two_ranges_is_an_error_and_no_mixture(ckpt, server, model):
    server.behaviour.change_tag_after = 1
    run = ckpt("audit", model)
    assert run.code == 4 and "changed or replaced" in run.err, run.all


def test_a_file_that_changes_its_length_is_an_error(ckpt, server, model):
    server.behaviour.other_total = True
    run = ckpt("audit", model)
    assert run.code == 4 and "changed or replaced" in run.err, run.all


def test_bodies_that_are_cut_are_continued(ckpt, server, model):
    server.behaviour.cut = 3
    run = ckpt("audit", model)
    assert run.code == 0, run.all
    assert server.behaviour.cut == 0


def test_a_server_that_cuts_every_body_at_once_ends(ckpt, server, model):
    server.behaviour.cut = 10 ** 6
    run = ckpt("audit", model)
    assert run.code == 4 and "cuts its answer" in run.err, run.all


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_after_a_pause(ckpt, server, model, status):
    server.behaviour.refuse, server.behaviour.refuse_status = 2, status
    begun = time.monotonic()
    run = ckpt("audit", model)
    assert run.code == 0, run.all
    assert time.monotonic() - begun > 0.5


def test_a_server_that_stays_busy_is_given_up(ckpt, server, model):
    server.behaviour.refuse = 10 ** 6
    begun = time.monotonic()
    run = ckpt("audit", model)
    assert run.code == 4 and "503" in run.err, run.all
    assert server.paths().count("/m.safetensors") <= 5 and time.monotonic() - begun < 20


def test_retry_after_is_heeded_and_bounded(ckpt, server, model):
    server.behaviour.refuse, server.behaviour.retry_after = 1, 2
    begun = time.monotonic()
    assert ckpt("audit", model).code == 0
    assert time.monotonic() - begun > 2
    server.behaviour.refuse, server.behaviour.retry_after = 1, 86400
    run = ckpt("audit", model)
    assert run.code == 4 and "86400" in run.err, run.all


@pytest.mark.parametrize("lie", ["wrong_range", "other_length"])
def test_lies_about_the_range_are_errors(ckpt, server, model, lie):
    setattr(server.behaviour, lie, True)
    run = ckpt("audit", model)
    assert run.code == 4, run.all


def test_more_bytes_than_were_promised_are_an_error(ckpt, server, model):
    server.behaviour.longer_body = True
    run = ckpt("audit", model)
    assert run.code == 4 and "more bytes" in run.err, run.all


def test_a_head_without_end_is_an_error(ckpt, server, model):
    server.behaviour.endless_head = True
    assert ckpt("audit", model).code == 4


def test_a_server_that_hangs_up_is_given_up(ckpt):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def hang_up():
            try:
                while True:
                    listener.accept()[0].close()
            except OSError:
                pass

        threading.Thread(target=hang_up, daemon=True).start()
        run = ckpt("audit", f"http://127.0.0.1:{listener.getsockname()[1]}/m.safetensors")
        assert run.code == 4, run.all


# ---- redirects ----


def test_a_redirect_to_another_host_leaves_the_token_behind_and_is_read(ckpt, server):
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(6, 256))
    with RangeServer(server.root) as hub:
        hub.behaviour.redirect_to = lambda path: f"{server.url}/{path.split('/')[-1]}?X-Signature=abc"
        hub.behaviour.need = "Bearer hf_secret"
        run = ckpt("audit", "hf://org/repo@v1/m.safetensors", env={"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_secret"})
        assert run.code == 0, run.all
        assert "/org/repo/resolve/v1/m.safetensors" in hub.paths()
        assert set(hub.headers_of("Authorization")) == {"Bearer hf_secret"}
        # The signed place is asked for the ranges, and the hub but once for each file.
        assert hub.paths().count("/org/repo/resolve/v1/m.safetensors") == 1
    assert len(server.log) > 1 and set(server.headers_of("Authorization")) == {None}
    for secret in ("hf_secret", "X-Signature", "abc"):
        assert secret not in run.all


def test_a_signed_place_that_expired_is_asked_for_again(ckpt, server):
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(6, 256))
    server.behaviour.change_tag_after = None
    with RangeServer(server.root) as hub:
        def place(path):
            return f"{server.url}{path}?n={hub.paths().count('/m.safetensors')}"

        hub.behaviour.redirect_to = place
        answer = server.answer

        def only_the_newest(request):
            used = sum(1 for entry in server.log if entry[4] == "/m.safetensors?n=1")
            if request.path == "/m.safetensors?n=1" and used >= 1:
                request.send_response(403)
                request.send_header("Content-Length", "0")
                return request.end_headers()
            return answer(request)

        server.answer = only_the_newest
        run = ckpt("audit", f"{hub.url}/m.safetensors")
        assert run.code == 0, run.all
        assert hub.paths().count("/m.safetensors") >= 2


def test_a_circle_of_redirects_ends_after_five(ckpt, server, model):
    server.behaviour.redirect_to = lambda path: f"{server.url}/again{path}"
    run = ckpt("audit", model)
    assert run.code == 4 and "five times" in run.err, run.all
    assert len([p for p in server.paths() if p.endswith("m.safetensors")]) == 6


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://u:p@127.0.0.1/x"])
def test_redirects_out_of_the_web_are_not_followed(ckpt, server, model, place):
    server.behaviour.redirect_to = lambda path: place
    run = ckpt("audit", model)
    assert run.code in (3, 4) and "root:" not in run.all, run.all


# ---- https ----


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate for loopback and 198.51.100.7, that only who is told so trusts."""
    folder = tmp_path_factory.mktemp("authority")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=loopback", "-addext",
                    "subjectAltName=IP:127.0.0.1,IP:198.51.100.7", "-keyout", folder / "key.pem", "-out",
                    folder / "cert.pem"], check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return folder


def test_https_wants_a_certificate_that_is_trusted(ckpt, server, authority):
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(2, 64))
    with RangeServer(server.root, authority / "both.pem") as secure:
        run = ckpt("audit", f"{secure.url}/m.safetensors")
        assert run.code == 4 and "certificate" in run.err and secure.log == [], run.all
        run = ckpt("audit", f"{secure.url}/m.safetensors", env={"SSL_CERT_FILE": str(authority / "cert.pem")})
        assert run.code == 0, run.all


def test_https_is_never_left_for_http(ckpt, server, authority):
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(2, 64))
    with RangeServer(server.root, authority / "both.pem") as secure:
        secure.behaviour.redirect_to = lambda path: f"{server.url}/m.safetensors"
        run = ckpt("audit", f"{secure.url}/m.safetensors", env={"SSL_CERT_FILE": str(authority / "cert.pem")})
        assert run.code == 3 and "plain http" in run.err, run.all
    assert server.log == []


def test_plain_http_is_read_from_this_machine_alone(ckpt):
    run = ckpt("audit", "http://example.org/m.safetensors")
    assert run.code == 2 and "use https" in run.err, run.all


INSIDE = """
import sys, subprocess
sys.path.insert(0, sys.argv[1])
from range_server import RangeServer
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "addr", "add", "198.51.100.7/32", "dev", "lo"], check=True)
folder, both, cert, binary = sys.argv[2:6]
with RangeServer(folder, both, "198.51.100.7") as public, RangeServer(folder, both) as private:
    env = {"SSL_CERT_FILE": cert, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    ok = subprocess.run([binary, "audit", public.url + "/m.safetensors"], env=env, capture_output=True, text=True)
    assert ok.returncode == 0, ok.stderr
    public.behaviour.redirect_to = lambda path: private.url + path
    run = subprocess.run([binary, "audit", public.url + "/m.safetensors"], env=env, capture_output=True, text=True)
    assert run.returncode == 3 and "private network" in run.stderr, run.stdout + run.stderr
    assert private.log == []
    print("held")
"""


def test_a_public_host_does_not_lead_to_private_addresses(server, authority):
    """In a network namespace in which 198.51.100.7, a public address, is ours."""
    import os
    import pathlib
    import sys
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(2, 64))
    unshare = ["unshare", "-n"] if os.getuid() == 0 else ["unshare", "-rn"]
    if subprocess.run([*unshare, "ip", "link"], capture_output=True).returncode != 0:
        pytest.skip("no network namespaces, or no ip, here")
    run = subprocess.run([*unshare, sys.executable, "-c", INSIDE, str(pathlib.Path(__file__).parent),
                          str(server.root), str(authority / "both.pem"), str(authority / "cert.pem"),
                          os.environ["CKPT_BINARY"]], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "held", run.stdout + run.stderr
