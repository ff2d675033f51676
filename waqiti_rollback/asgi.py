"""The web process. It holds no credentials of a target and never imports the executor."""

import gc
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "waqiti_rollback.settings")

import django
from django.conf import settings

from waqiti_rollback.handler import Handler
from waqiti_rollback.safety import refuse_target_credentials, refuse_trust_authentication

refuse_target_credentials()
if settings.IS_PRODUCTION:
    refuse_trust_authentication(settings.DATABASE_URL)
django.setup(set_prefix=False)
application = Handler()
# What was loaded by now stays for ever, and a page makes many objects that die together: without this the
# collector walks all of Django every few requests, and a long page's own objects while it is made (a tenth of
# its time).
gc.collect()
gc.freeze()
gc.set_threshold(60_000, 20, 20)
