"""Object stores and hubs: what is signed, with what, and that no secret is printed or recorded."""

import hashlib
import hmac
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

import sparse_models
from conftest import TESTDATA
from range_server import RangeServer

KEY = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


def signature4(entry, secret, host):
    """AWS Signature Version 4 of a request as it came, from the documentation of the algorithm; no shared code."""
    _, _, _, headers, target = entry
    headers = {name.lower(): value for name, value in headers.items()}
    fields = dict(part.strip().split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(","))
    _, date, region, service, _ = fields["Credential"].split("/", 4)
    signed = fields["SignedHeaders"].split(";")
    canonical = "\n".join(["GET", target, "", *(f"{name}:{headers[name].strip()}" for name in signed), "",
                           ";".join(signed), headers["x-amz-content-sha256"]])
    scope = f"{date}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    assert headers["host"] == host
    return fields["Signature"], hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), region


@pytest.fixture
def bucket(server):
    (server.root / "bucket/runs a").mkdir(parents=True)
    sparse_models.write_sharded(server.root / "bucket/runs a", sparse_models.layers(4, 64), 2)
    return "s3://bucket/runs a/model.safetensors.index.json"


def test_requests_to_s3_are_signed(ckpt, server, bucket):
    env = {**KEY, "AWS_ENDPOINT_URL": server.url, "AWS_REGION": "eu-central-1", "AWS_SESSION_TOKEN": "session+token="}
    run = ckpt("audit", bucket, env=env)
    assert run.code == 0, run.all
    assert len(server.log) >= 3
    for entry in server.log:
        stated, right, region = signature4(entry, KEY["AWS_SECRET_ACCESS_KEY"], server.url.split("//")[1])
        assert stated == right and region == "eu-central-1"
        assert entry[3]["x-amz-security-token"] == "session+token="
        assert entry[4].startswith("/bucket/runs%20a/")


def test_keys_come_from_the_profile_too(ckpt, server, bucket):
    (ckpt.home / ".aws").mkdir()
    (ckpt.home / ".aws/credentials").write_text(
        "[default]\naws_access_key_id = OTHER\naws_secret_access_key = other\n"
        "[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = work/secret\n")
    (ckpt.home / ".aws/config").write_text("[profile work]\nregion = ap-south-1\n")
    run = ckpt("audit", bucket, env={"AWS_PROFILE": "work", "AWS_ENDPOINT_URL": server.url})
    assert run.code == 0, run.all
    for entry in server.log:
        stated, right, region = signature4(entry, "work/secret", server.url.split("//")[1])
        assert stated == right and region == "ap-south-1" and "AKIDWORK/" in entry[3]["Authorization"]


def test_without_a_key_s3_is_asked_without_a_signature(ckpt, server, bucket):
    run = ckpt("audit", bucket, env={"AWS_ENDPOINT_URL": server.url})
    assert run.code == 0, run.all
    assert set(server.headers_of("Authorization")) == {None}


def test_gs_takes_a_token_or_an_hmac_key(ckpt, server, bucket):
    url = bucket.replace("s3://", "gs://")
    run = ckpt("audit", url, env={"STORAGE_EMULATOR_HOST": server.url, "GOOGLE_OAUTH_ACCESS_TOKEN": "ya29.token"})
    assert run.code == 0, run.all
    assert set(server.headers_of("Authorization")) == {"Bearer ya29.token"}
    server.log.clear()
    run = ckpt("audit", url, env={"STORAGE_EMULATOR_HOST": server.url, "GS_ACCESS_KEY_ID": "GOOG1E",
                                  "GS_SECRET_ACCESS_KEY": "hmac-secret"})
    assert run.code == 0, run.all
    for entry in server.log:
        stated, right, _ = signature4(entry, "hmac-secret", server.url.split("//")[1])
        assert stated == right


def test_hf_names_repository_revision_and_file(ckpt, server):
    for repository, revision in (("org/repo", "main"), ("org/repo", "refs%2Fpr%2F3")):
        folder = server.root / repository / "resolve" / urllib.parse.unquote(revision) / "sub"
        folder.mkdir(parents=True)
        sparse_models.write_safetensors(folder / "m.safetensors", sparse_models.layers(1, 16))
    env = {"HF_ENDPOINT": server.url}
    assert ckpt("audit", "hf://org/repo/sub/m.safetensors", env=env).code == 0
    assert "/org/repo/resolve/main/sub/m.safetensors" in server.paths()
    assert ckpt("audit", "hf://org/repo@refs/pr/3/sub/m.safetensors", env=env).code == 0
    assert any("/resolve/refs%2Fpr%2F3/sub/" in entry[4] for entry in server.log)
    (ckpt.home / ".cache/huggingface").mkdir(parents=True)
    (ckpt.home / ".cache/huggingface/token").write_text("hf_of_the_file\n")
    server.log.clear()
    assert ckpt("audit", "hf://org/repo/sub/m.safetensors", env=env).code == 0
    assert set(server.headers_of("Authorization")) == {"Bearer hf_of_the_file"}


def test_secrets_are_in_no_report_record_or_error(ckpt, server):
    shutil.copy(TESTDATA / "keras_h5/trained_functional_adam.h5", server.root / "m.h5")
    host = server.url.split("//")[1]
    url = f"http://anna:pass%40word@{host}/m.h5?X-Amz-Signature=5ec3e7&X-Amz-Credential=AKID"
    secrets = ("anna", "pass", "5ec3e7", "X-Amz", "AKID")
    forms = [f"{form}:out.{form}" for form in ("json", "jsonl", "sarif", "junit", "markdown", "html", "gitlab")]
    run = ckpt("audit", "-v", *(word for form in forms for word in ("--report", form)), url)
    assert run.code == 0, run.all
    made = ckpt("convert", "--bn", "fold", "--format", "json", url, "out.h5")
    assert made.code == 0, made.all
    failed = [ckpt("audit", url.replace("m.h5", "absent.h5")), ckpt("audit", "--no-network", url),
              ckpt("audit", url.replace(host, "no host")), ckpt("audit", "--config", url, url),
              ckpt("inspect", "--color", url, url), ckpt("convert", "x.h5", url)]
    assert all(one.code not in (0, 1) for one in failed)
    server.behaviour.refuse = 99
    failed.append(ckpt("diff", url, url))
    texts = [one.all for one in [run, made, *failed]]
    texts += [path.read_text() for path in ckpt.home.parent.glob("out.*") if path.suffix != ".h5"]
    assert len(texts) > 14
    for text in texts:
        for secret in secrets:
            assert secret not in text, text
    assert server.headers_of("Authorization")[0].startswith("Basic ")
    assert any("X-Amz-Signature=5ec3e7" in entry[4] for entry in server.log)


def test_two_urls_that_differ_in_their_query_are_two_files(ckpt, server):
    for number in (1, 2):
        sparse_models.write_safetensors(server.root / f"{number}", sparse_models.layers(number, 16))
    answer = server.answer

    def by_query(request):
        request.path = "/" + request.path.split("v=")[-1]
        return answer(request)

    server.answer = by_query
    run = ckpt("diff", f"{server.url}/m?v=1", f"{server.url}/m?v=2")
    assert run.code == 1 and "5 added" in run.out.replace("6 added", "5 added"), run.all


def test_the_process_that_parses_holds_no_credentials(ckpt, server, tmp_path):
    """While a slow server lets it wait: the environment and the arguments of the parent, as the kernel shows them."""
    sparse_models.write_safetensors(server.root / "m.safetensors", sparse_models.layers(1, 16))
    server.behaviour.delay = 1.5
    host = server.url.split("//")[1]
    env = {"PATH": os.environ["PATH"], "HOME": str(ckpt.home), **KEY, "HF_TOKEN": "hf_secret"}
    process = subprocess.Popen([os.environ["CKPT_BINARY"], "audit", f"http://u:passw@{host}/m.safetensors?sig=5ec3e7"],
                               env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not server.log:
        time.sleep(0.02)
    shown = open(f"/proc/{process.pid}/environ", "rb").read() + open(f"/proc/{process.pid}/cmdline", "rb").read()
    loaded = open(f"/proc/{process.pid}/maps").read()
    process.communicate(timeout=30)
    assert process.returncode == 0
    for secret in (b"wJalr", b"AKIDEXAMPLE", b"hf_secret", b"passw", b"5ec3e7"):
        assert secret not in shown
    assert "libcurl" not in loaded and "libssl" not in loaded


def test_the_program_is_linked_with_no_http_stack():
    linked = subprocess.run(["ldd", os.environ["CKPT_BINARY"]], capture_output=True, text=True, check=True).stdout
    assert "curl" not in linked and "libssl" not in linked and "nghttp" not in linked


# ---- real servers ----


def free_port():
    import socket
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def wait_for(url):
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


def test_moto(ckpt, tmp_path):
    boto3 = pytest.importorskip("boto3")
    port = free_port()
    env = {**os.environ, "MOTO_PORT": str(port)}
    moto = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], env=env,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        wait_for(endpoint)
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a",
                              aws_secret_access_key="b")
        client.create_bucket(Bucket="models")
        folder = tmp_path / "set"
        folder.mkdir()
        sparse_models.write_sharded(folder, sparse_models.layers(4, 64), 2)
        for file in folder.iterdir():
            client.upload_file(str(file), "models", "run/" + file.name)
        run = ckpt("audit", "s3://models/run/model.safetensors.index.json",
                   env={"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
        assert run.code == 0, run.all
        signed = client.generate_presigned_url("get_object", Params={"Bucket": "models",
                                                                     "Key": "run/model-00001-of-00002.safetensors"})
        run = ckpt("audit", signed)
        assert run.code == 0 and "Signature" not in run.all, run.all
        assert ckpt("audit", "s3://models/run/none.safetensors", env={"AWS_ENDPOINT_URL": endpoint}).code == 4
    finally:
        moto.terminate()
        moto.wait()


NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{ }}
http {{
  access_log {folder}/access.log; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  log_format moved '$body_bytes_sent';
  server {{ listen 127.0.0.1:{port}; root {root}; access_log {folder}/moved.log moved; }}
}}
"""


def test_nginx(ckpt, tmp_path):
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    root, folder, port = tmp_path / "root", tmp_path / "nginx", free_port()
    root.mkdir()
    folder.mkdir()
    index, norms, _ = sparse_models.write_sharded(root, sparse_models.layers(20, 1024), 5)
    (folder / "conf").write_text(NGINX.format(folder=folder, port=port, root=root))
    command = [nginx, "-c", folder / "conf", "-e", folder / "error.log"]
    if os.getuid() == 0:
        command += ["-g", "user root;"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url)
        run = ckpt("audit", f"{url}/model.safetensors.index.json")
        assert run.code == 0, run.all
    finally:
        process.terminate()
        process.wait()
    moved = sum(int(line) for line in (folder / "moved.log").read_text().split())
    assert norms < moved < index + norms + (1 << 20)
