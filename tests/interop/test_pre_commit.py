"""The hook of .pre-commit-hooks.yaml, run by pre-commit itself in a real repository."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("pre_commit")
if os.environ.get("CKPT_WORLD", "torch") != "torch":
    pytest.skip("once is enough", allow_module_level=True)
TESTDATA = pathlib.Path(os.environ["CKPT_TESTDATA"])
GOOD, BAD = (TESTDATA / "safetensors" / f"{name}.safetensors" for name in ("torch_good", "torch_never_updated_tracked_0"))
# Of git alone, so that who commits here, and to which hooks, is no matter of the machine.
WHO = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "core.hooksPath=.git/hooks"]


class Repository:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        (folder.parent / "bin").mkdir(exist_ok=True)
        ckpt = folder.parent / "bin" / "ckpt"
        if not ckpt.exists():
            ckpt.symlink_to(os.environ["CKPT_BINARY"])
        self.environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "PRE_COMMIT_COLOR": "never",
                            "PRE_COMMIT_HOME": str(folder.parent / "cache"), "PATH": f"{ckpt.parent}:{os.environ['PATH']}"}
        self.git("init", "-q")

    def run(self, *command):
        return subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=120)

    def git(self, *words):
        run = self.run("git", *WHO, *words)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    def commit(self, *names):
        self.git("add", *names)
        return self.run("git", *WHO, "commit", "-q", "-m", "a change")


@pytest.fixture
def repository(tmp_path):
    hooks = Repository(tmp_path / "hooks")
    shutil.copy(TESTDATA.parent / ".pre-commit-hooks.yaml", hooks.folder)
    assert hooks.commit(".pre-commit-hooks.yaml").returncode == 0
    own = Repository(tmp_path / "own")
    (own.folder / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {hooks.folder}\n    rev: {hooks.git('rev-parse', 'HEAD')}\n    hooks:\n      - id: ckpt-audit\n")
    installed = own.run(sys.executable, "-m", "pre_commit", "install")
    assert installed.returncode == 0, installed.stderr
    assert own.commit(".pre-commit-config.yaml").returncode == 0
    return own


def test_a_checkpoint_with_findings_is_not_committed_and_a_good_one_is(repository):
    shutil.copy(GOOD, repository.folder / "good.safetensors")
    good = repository.commit("good.safetensors")
    assert good.returncode == 0, good.stdout + good.stderr
    shutil.copy(BAD, repository.folder / "bad.safetensors")
    (repository.folder / "README.md").write_text("no checkpoint")
    refused = repository.commit("bad.safetensors", "README.md")
    assert refused.returncode == 1
    assert "BN011" in refused.stdout + refused.stderr and "bad.safetensors" in refused.stdout + refused.stderr
    assert "good.safetensors" not in refused.stdout + refused.stderr
    assert repository.git("log", "--oneline").count("\n") == 1


def test_what_is_no_checkpoint_is_not_looked_at(repository):
    (repository.folder / "notes.txt").write_text("no checkpoint")
    committed = repository.commit("notes.txt")
    assert committed.returncode == 0
    assert "Skipped" in committed.stdout + committed.stderr


def test_the_settings_of_the_repository_hold(repository):
    shutil.copy(BAD, repository.folder / "bad.safetensors")
    (repository.folder / "ckpt.toml").write_text('[audit]\nno-rule = "BN011"\n')
    committed = repository.commit("bad.safetensors", "ckpt.toml")
    assert committed.returncode == 0, committed.stdout + committed.stderr
