"""The real Flyway, to be asked: fetched by Maven, driven by one Java process for the whole session."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.environment import ESTATE

HERE = Path(__file__).resolve().parent / "flyway"
PLACE = HERE.parents[2] / ".local" / "flyway"
TOML = HERE / "toml" / "Toml.java"


OPTIONS = ("-XX:+UseSerialGC", "-Dfile.encoding=UTF-8")


class Refused(Exception):
    """Flyway refused; the message is Flyway's, `code` the name of its error."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def missing() -> str | None:
    """Why the real Flyway can't be asked on this machine, or None if it can."""
    absent = [tool for tool in ("java", "javac", "mvn") if shutil.which(tool) is None]
    return f"{', '.join(absent)} not installed (Debian: default-jdk-headless maven)" if absent else None


def prepared(source: Path = HERE / "Driver.java") -> str:
    """Fetch what the `pom.xml` beside the source says and compile it, where one of them changed; returns the
    class path. Of two processes that ask at once, one waits for the other."""
    place = PLACE / source.stem
    PLACE.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _prepare(source, place)
    return f"{place / 'classes'}:{place / 'jars'}/*"


def _prepare(source: Path, place: Path) -> None:
    pom = source.with_name("pom.xml")
    stamp = hashlib.sha256(pom.read_bytes() + source.read_bytes()).hexdigest()
    jars, classes, done = place / "jars", place / "classes", place / "stamp"
    if done.exists() and done.read_text() == stamp:
        return
    shutil.rmtree(place, ignore_errors=True)
    copy = ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    for command in (copy, ["javac", "-nowarn", "-proc:none", "-cp", f"{jars}/*", "-d", classes, source]):
        made = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{made.stdout}{made.stderr}")
    done.write_text(stamp)


def read_toml(texts: Sequence[str]) -> list[dict[str, Any]]:
    """What the real Flyway takes from each text as a flyway.toml: a `value`, or a `refusal`."""
    done = subprocess.run(
        ["java", *OPTIONS, "-cp", prepared(TOML), TOML.stem],
        input="".join(json.dumps(text) + "\n" for text in texts),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(texts)
    return answers


class RealFlyway:
    """One JVM that answers one request after the other; `close` ends it."""

    def __init__(self) -> None:
        class_path = prepared()
        self.log = (ESTATE.directory / "flyway.log").open("w")
        self.process = subprocess.Popen(
            ["java", *OPTIONS, "-cp", class_path, "Driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            encoding="utf-8",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(PLACE)},
        )

    def ask(self, verb: str, settings: Mapping[str, str] | None = None, **more: Any) -> Any:
        """What Flyway says. Raises Refused with its own message."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"verb": verb, "settings": dict(settings or {}), **more}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"failure": "the JVM is gone; see its log"}')
        if "refusal" in answer:
            raise Refused(answer["refusal"], answer["code"])
        if "failure" in answer:
            raise RuntimeError(answer["failure"])
        return answer["value"]

    def close(self) -> None:
        """End the JVM."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()
