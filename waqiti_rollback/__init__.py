"""The Django project: settings, urls, celery, asgi, embedded servers, demo."""

from .celery import app as celery_app

__all__ = ["celery_app"]
