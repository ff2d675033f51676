"""Git repositories: read at a revision, with the commits of each file, and only where that is allowed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from approvals import repositories
from approvals.repositories import in_repository
from approvals.sources import SourceRefused

WHO = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com"}
WHO |= {"GIT_COMMITTER_NAME": "Bob", "GIT_COMMITTER_EMAIL": "bob@example.com"}


class Repository:
    """A repository of this test's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        config = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=os.environ | WHO | config, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, files: dict[str, str | None]) -> str:
        """Write (None: remove) and commit; the commit's name."""
        for name, text in files.items():
            file = self.path / name
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "x")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, settings: Any) -> Repository:
    """A repository in a place that is allowed."""
    settings.IMPORT_GIT_URLS = [f"{tmp_path}/mirrors/"]
    (tmp_path / "mirrors").mkdir()
    return Repository(tmp_path / "mirrors" / "wallets")


def files(repository: Repository, **where: str) -> dict[str, str]:
    with in_repository(str(repository.path), **where) as source:
        return {
            str(path.relative_to(source.directory)): path.read_text()
            for path in source.directory.rglob("*")
            if path.is_file()
        }


def test_each_file_knows_the_commit_that_changed_it_last(repository: Repository) -> None:
    first = repository.commit({"db/V1__a.sql": "SELECT 1;\n", "db/V2__b.sql": "SELECT 2;\n", "README": "x"})
    second = repository.commit({"db/V2__b.sql": "SELECT 3;\n"})
    last = repository.commit({"README": "y"})
    with in_repository(str(repository.path), folder="db") as source:
        assert source.head is not None
        assert (source.head.id, source.head.author) == (last, "Ada <ada@example.com>")
        assert {path: commit.id for path, commit in source.commits.items()} == {
            "V1__a.sql": first,
            "V2__b.sql": second,
        }
        assert source.commits["V1__a.sql"].author == "Ada <ada@example.com>"
        assert source.commits["V1__a.sql"].at.tzinfo is not None
        assert (source.directory / "V2__b.sql").read_text() == "SELECT 3;\n"
        assert sorted(path.name for path in source.directory.iterdir()) == ["V1__a.sql", "V2__b.sql"]


def test_a_revision_is_a_branch_a_tag_or_a_commit(repository: Repository) -> None:
    old = repository.commit({"V1__a.sql": "SELECT 1;\n"})
    repository.git("tag", "v1.0")
    repository.git("branch", "release/1")
    repository.commit({"V1__a.sql": None, "V2__b.sql": "SELECT 2;\n"})
    assert list(files(repository)) == ["V2__b.sql"]
    for revision in ("v1.0", "release/1", old, old[:10]):
        assert list(files(repository, revision=revision)) == ["V1__a.sql"], revision
    with pytest.raises(SourceRefused, match="The repository has no revision nowhere"):
        files(repository, revision="nowhere")


def test_bytes_are_those_of_the_commit_whatever_attributes_say(repository: Repository) -> None:
    repository.commit(
        {".gitattributes": "*.sql export-subst text eol=crlf\n", "V1__a.sql": "-- $Format:%H$\n"}
    )
    assert files(repository)["V1__a.sql"] == "-- $Format:%H$\n"


def test_names_that_are_not_ascii_are_read(repository: Repository) -> None:
    repository.commit({"ü/V1__größer als.sql": "SELECT 1;\n"})
    with in_repository(str(repository.path), folder="ü") as source:
        assert list(source.commits) == ["V1__größer als.sql"]
        assert (source.directory / "V1__größer als.sql").exists()


def test_links_are_refused(repository: Repository) -> None:
    (repository.path / "V1__a.sql").symlink_to("/etc/passwd")
    repository.commit({"V2__b.sql": "SELECT 1;\n"})
    with pytest.raises(SourceRefused, match=r"V1__a\.sql is a link or a submodule"):
        files(repository)


def test_hooks_and_settings_of_the_repository_do_nothing(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"V1__a.sql": "SELECT 1;\n"})
    for hook in ("post-checkout", "reference-transaction", "post-upload-pack"):
        script = repository.path / ".git/hooks" / hook
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        script.chmod(0o755)
    repository.git("config", "uploadpack.packObjectsHook", f"touch {tmp_path}/ran; exec")
    assert list(files(repository)) == ["V1__a.sql"]
    assert not (tmp_path / "ran").exists()


REFUSED = [
    "https://git.example.com/other/wallets.git",
    "https://git.example.com.evil.org/wallets/x.git",
    "https://git.example.com/wallets/../other/x.git",
    "https://git.example.com/wallets/%2e%2e/other/x.git",
    "https://git.example.com:8443/wallets/x.git",
    "http://git.example.com/wallets/x.git",
    "https://user:secret@git.example.com/wallets/x.git",
    "https://token@git.example.com/wallets/x.git",
    "ext::sh -c touch% /tmp/x",
    "git@git.example.com:wallets/x.git",
    "--upload-pack=touch /tmp/x",
    "file:///etc",
    "/etc",
    "https://git.example.com/wallets/x.git?a=b",
    "https://git.example.com/wallets-of-others/x.git",
    "https://[::1",
    "",
]


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_not_allowed_is_not_even_asked(
    url: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.IMPORT_GIT_URLS = ["https://git.example.com/wallets/", "ssh://git@git.example.com/wallets"]

    def never(*_arguments: object, **_options: object) -> None:
        raise AssertionError("git was started")

    monkeypatch.setattr(subprocess, "Popen", never)
    with pytest.raises(SourceRefused) as refusal, in_repository(url):
        pass
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/wallets/x.git",
        "HTTPS://GIT.example.com/wallets/",
        "ssh://git@git.example.com/wallets/a/b",
    ],
)
def test_what_is_allowed_is_what_begins_like_it(url: str, settings: Any) -> None:
    settings.IMPORT_GIT_URLS = ["https://git.example.com/wallets/", "ssh://git@git.example.com/wallets"]
    assert repositories.require_allowed(url) in ("https", "ssh")


def test_nothing_is_allowed_unless_the_installation_says_so(settings: Any, tmp_path: Path) -> None:
    settings.IMPORT_GIT_URLS = []
    with pytest.raises(SourceRefused, match="IMPORT_GIT_URLS"):
        repositories.require_allowed(str(tmp_path))


@pytest.mark.parametrize(
    "revision", ["--output=/tmp/x", "-x", "a b", "a..b", "main@{1}", "x:y", "^main", "~", "a\n"]
)
def test_a_revision_is_a_name_and_nothing_else(revision: str, repository: Repository) -> None:
    repository.commit({"V1__a.sql": "SELECT 1;\n"})
    with pytest.raises(SourceRefused, match="is no branch, tag or commit"):
        files(repository, revision=revision)


def test_a_repository_that_does_not_answer_in_time_is_given_up(repository: Repository, settings: Any) -> None:
    settings.IMPORT_GIT_SECONDS = 0.0
    with pytest.raises(SourceRefused, match="took more than 0 seconds"):
        files(repository)


def test_what_git_started_is_ended_with_it(
    repository: Repository, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ssh that hangs keeps git's pipes open: ending git alone would wait for it."""
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nsleep 60\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    settings.IMPORT_GIT_URLS = ["ssh://git@127.0.0.1/"]
    settings.IMPORT_GIT_SECONDS = 0.5
    with pytest.raises(SourceRefused, match="took more than"), in_repository("ssh://git@127.0.0.1/x"):
        pass


def test_a_repository_that_grows_too_large_is_ended_and_removed_while_it_grows(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git that would go on for ever: only being watched ends it."""
    git = tmp_path / "git"
    git.write_text(
        "#!/bin/sh\nfor where; do :; done\nmkdir -p $where/objects\n"
        "while :; do head -c 100000 /dev/zero >> $where/objects/pack; done\n"
    )
    git.chmod(0o755)
    (tmp_path / "places").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "places"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    settings.IMPORT_GIT_URLS, settings.IMPORT_GIT_MEGABYTES = ["https://git.example.com/"], 1
    with pytest.raises(SourceRefused, match="The repository is larger than 1 MB"):
        in_repository("https://git.example.com/wallets").__enter__()
    assert list((tmp_path / "places").iterdir()) == []


def test_a_repository_that_was_copied_before_anybody_looked_is_measured_too(
    repository: Repository, settings: Any
) -> None:
    repository.commit({"V1__a.sql": "SELECT 1;\n"})
    settings.IMPORT_GIT_MEGABYTES = 0
    with pytest.raises(SourceRefused, match="The repository is larger than 0 MB"):
        files(repository)


def test_a_small_repository_that_unfolds_into_files_without_end_is_refused(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({"V1__a.sql": "SELECT 1;\n"})
    tree = repository.git("rev-parse", "HEAD^{tree}")
    for _ in range(10):  # ten times the folder before in each: ten thousand million files
        entries = "".join(f"040000 tree {tree}\tfolder_{n}\n" for n in range(10))
        (repository.path / "entries").write_text(entries)
        tree = repository.git("-c", "alias.made=!git mktree < entries", "made")
    commit = repository.git("commit-tree", tree, "-m", "unfolds")
    repository.git("update-ref", "refs/heads/main", commit)
    monkeypatch.setattr(repositories, "LONGEST_ANSWER", 1024**2)
    with pytest.raises(SourceRefused, match="What git says of the repository is larger than 1 MB"):
        files(repository)


def test_what_git_says_is_passed_on_in_a_sentence(repository: Repository) -> None:
    with pytest.raises(SourceRefused, match="git refused"), in_repository(f"{repository.path}-gone"):
        pass


def test_nobody_can_write_commits_into_the_name_of_a_file_or_of_a_person(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = f"V0__\x01{'f' * 40}\x02Mallory\x022001-01-01T00:00:00+00:00"
    repository.commit({"V1__a.sql": "SELECT 1;\n", f"{forged}\n.sql": "SELECT 0;\n"} | {"sub/x.sql": ""})
    monkeypatch.setitem(WHO, "GIT_AUTHOR_NAME", "Ada\x01b\x02//c")
    second = repository.commit({"V1__a.sql": "SELECT 2;\n"})
    git = repositories._Git(repository.path / ".git", "file")
    found = git.last_commits(second, PurePosixPath())
    assert {commit.id for commit in found.values()} == {second, repository.git("rev-parse", "HEAD~1")}
    assert found[PurePosixPath("V1__a.sql")].author == "Adab//c <ada@example.com>"


def test_a_commit_whose_date_means_nothing_is_told(repository: Repository) -> None:
    repository.commit({"V1__a.sql": "SELECT 1;\n"})
    text = repository.git("cat-file", "commit", "HEAD")
    lines = [
        f"{line.rpartition('> ')[0]}> 99999999999999 +0000" if line.startswith("committer") else line
        for line in text.split("\n")
    ]
    raw = repository.path / "raw"
    raw.write_text("\n".join(lines) + "\n")
    made = repository.git("hash-object", "-t", "commit", "-w", "--literally", str(raw))
    repository.git("update-ref", "refs/heads/main", made)
    with pytest.raises(SourceRefused, match="date of the commit"):
        files(repository)
