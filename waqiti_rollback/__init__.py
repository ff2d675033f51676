"""The Django project: settings, urls, celery, asgi, embedded servers, demo."""
