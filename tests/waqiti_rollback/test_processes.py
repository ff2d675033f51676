"""Our own programs as children: started, waited for, stopped."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from waqiti_rollback.embedded import free_port
from waqiti_rollback.embedded.processes import ChildEnded, Children, http_answers

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def web_server(port: int) -> list[str]:
    return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]


def test_a_child_is_there_when_it_answers_and_gone_after_stop(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    assert not http_answers(url)
    with Children(tmp_path) as children:
        children.start("web", web_server(port)).wait_until(lambda: http_answers(url), seconds=60)
        assert http_answers(url)
    assert not http_answers(url)


def test_the_youngest_is_stopped_first(tmp_path: Path) -> None:
    said: list[str] = []
    children = Children(tmp_path, say=said.append)
    for name in ("web", "worker", "beat"):
        children.start(name, SLEEP)
    children.stop()
    assert said == ["Stopping beat …", "Stopping worker …", "Stopping web …"]


def test_a_child_that_ends_instead_of_answering_is_named_with_its_last_words(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("worker", [sys.executable, "-c", "raise SystemExit('no broker there')"])
        with pytest.raises(
            ChildEnded, match=r"worker ended with code 1\.\nno broker there\n\(from .*worker\.log\)"
        ):
            child.wait_until(lambda: False, seconds=60)


def test_a_child_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("web", SLEEP)
        with pytest.raises(ChildEnded, match="web did not answer within 0 s"):
            child.wait_until(lambda: False, seconds=0)


def test_the_environment_is_added_to_ours(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        show = "import os; print(os.environ['ADDED'], 'PATH' in os.environ)"
        child = children.start("show", [sys.executable, "-c", show], env={"ADDED": "yes"})
        assert child.process.wait() == 0
        assert child.log.read_text() == "yes True\n"


def test_waiting_ends_with_an_error_when_a_child_ends(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        children.start("web", SLEEP)
        children.start("worker", [sys.executable, "-c", "print('bye')"])
        with pytest.raises(ChildEnded, match=r"worker ended with code 0\.\nbye"):
            children.wait()


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_waiting_ends_quietly_at_ctrl_c_and_at_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: signal.Signals
) -> None:
    with Children(tmp_path) as children:
        child = children.start("web", SLEEP)
        monkeypatch.setattr(child, "must_run", lambda: os.kill(os.getpid(), wish))  # while it waits
        children.wait()
        assert child.process.poll() is None
    assert child.process.returncode == -signal.SIGTERM
