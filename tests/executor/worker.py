"""A worker process for tests to kill: runs one attempt and says on stdout how far it has come.

Usage: worker.py FILE, where FILE holds a pickled (spec, endpoint, stop_at). At the event `stop_at` it waits
to be killed. The last line is the outcome, if it lives that long.
"""

from __future__ import annotations

import pickle
import sys
import time
from pathlib import Path
from typing import Any

from executor.run import run
from tests.executor.target import Recording


class Speaking(Recording):
    """Prints every event, and stops for ever at one."""

    stop_at = ""

    def _tell(self, name: str, *args: Any) -> None:
        word = f"{name} {args[0]}" if name in ("phase", "step_started") else name
        print(word, flush=True)
        if word == self.stop_at:
            time.sleep(600)
        super()._tell(name, *args)


if __name__ == "__main__":
    spec, endpoint, stop_at = pickle.loads(Path(sys.argv[1]).read_bytes())
    recorder = Speaking()
    recorder.stop_at = stop_at
    print("outcome", run(spec, endpoint, recorder).outcome.value, flush=True)
