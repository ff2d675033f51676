"""The approvals app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ApprovalsConfig(AppConfig):
    name = "approvals"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import signins  # noqa: F401 (listens to who signs in)
        from .dbroles import grant_portal_roles

        # Sent for every app once all are migrated; ours is enough.
        post_migrate.connect(grant_portal_roles, sender=self, dispatch_uid="grant_portal_roles")
