"""Celery: workers import the executor's tasks, everybody else only sends names."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "waqiti_rollback.settings")

from celery import Celery
from celery.signals import celeryd_init, worker_before_create_process, worker_process_init
from django.conf import settings

from waqiti_rollback.safety import refuse_trust_authentication

app = Celery("waqiti_rollback")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Imported when a worker starts, not when this module is: the web process must never load the executor.
app.conf.imports = ["executor.tasks"]
BEAT = {  # what it does: (task, seconds between two ticks)
    "resolve executions without an outcome": ("executor.resolve_stale", 5.0),
    "send waiting jobs again": ("executor.send_waiting_jobs", 15.0),
    "look for restarts that are waited for": ("executor.look_for_restarts", 5.0),
    "watch the history after rollbacks": ("executor.watch_histories", 60.0),
    "start what is scheduled": ("executor.start_scheduled", 5.0),
    "expire rollbacks": ("executor.expire_rollbacks", 60.0),
    "drop rehearsal clones": ("executor.drop_clones", 300.0),
    "remove old backups": ("executor.remove_old_backups", 3600.0),
}
# A late tick is worthless, the next one does the same work. Assigned whole: reading app.conf would load the
# settings, and the embedded servers are started before anybody can know DATABASE_URL.
app.conf.beat_schedule = {
    name: {"task": task, "schedule": seconds, "options": {"expires": seconds * 2, "queue": "facts"}}
    for name, (task, seconds) in BEAT.items()
}


@celeryd_init.connect
def refuse_insecure_start(**_kwargs: object) -> None:
    """A production worker refuses to start on a portal database that trusts everybody."""
    if settings.IS_PRODUCTION:
        refuse_trust_authentication(settings.DATABASE_URL)


@worker_before_create_process.connect
def share_what_is_loaded(**_kwargs: object) -> None:
    """What a worker has loaded when it makes a process stays shared with it: a collection within the process
    would write into all of it, and so copy some 35 MiB that nobody changes."""
    gc.freeze()


@worker_process_init.connect
def die_with_worker(**_kwargs: object) -> None:
    """Killing a worker must end its pool processes: one that lived on would hold locks on a target."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@worker_process_init.connect
def take_only_so_much_memory(**_kwargs: object) -> None:
    """What a script's statements return must not fill the machine."""
    from executor import memory  # not above: the web process reads this module, too

    memory.bound(settings.WORKER_MEMORY_MIB)
