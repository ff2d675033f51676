"""Places for scripts in one worker: never more than there are, and given back by whoever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# In a process without threads, which may fork.
STORY = """
import os, signal
import django
django.setup()
from executor.slots import Slot

def child(act):
    if (pid := os.fork()) == 0:
        act()
        os._exit(0)
    return pid

def never():
    return False

told, tell = os.pipe()
wait, go_on = os.pipe()

def holds():
    with Slot(2) as slot:
        slot.take(never, never)
        os.write(tell, b"had ")
        os.read(wait, 1)

def asks():
    with Slot(2) as slot:
        waited = slot.take(lambda: True, never)
        os.write(tell, b"waited " if waited else b"at once ")

first, second = child(holds), child(holds)
print(os.read(told, 4), os.read(told, 4))
os.waitpid(child(asks), 0)
print(os.read(told, 9))
os.kill(first, signal.SIGKILL)
os.waitpid(first, 0)
os.waitpid(child(asks), 0)
print(os.read(told, 9))
os.write(go_on, b"x")
os.waitpid(second, 0)
with Slot(0) as free, Slot(1) as one:
    print(free.take(never, never), one.take(never, never), one.take(never, never))
"""


def test_there_are_so_many_places_and_who_is_killed_gives_his_back() -> None:
    environ = os.environ | {"WAQITI_ENV": "test", "DJANGO_SETTINGS_MODULE": "waqiti_rollback.settings"}
    ran = subprocess.run(
        [sys.executable, "-c", STORY], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert ran.stdout.splitlines() == [
        "b'had ' b'had '",
        "b'waited '",
        "b'at once '",
        "0.0 0.0 0.0",
    ], ran.stderr
