"""The web process. It holds no credentials of a target and never imports the executor."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "waqiti_rollback.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

from waqiti_rollback.safety import refuse_target_credentials, refuse_trust_authentication

refuse_target_credentials()
if settings.IS_PRODUCTION:
    refuse_trust_authentication(settings.DATABASE_URL)
application = get_asgi_application()
