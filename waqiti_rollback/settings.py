"""Settings, all from the environment; docs/settings.md is their table. Insecure ones refuse to start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from waqiti_rollback import dumps
from waqiti_rollback.safety import insecure_settings

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# production | demo | test. Only production is held to `insecure_settings`; it is the default on purpose.
WAQITI_ENV = env.str("WAQITI_ENV", default="production")
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
DATABASE_URL = env.str("DATABASE_URL", default="")
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="")
TRUST_PROXY_HTTPS = env.bool("TRUST_PROXY_HTTPS", default=False)
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")

IS_PRODUCTION = WAQITI_ENV not in {"demo", "test"}
if IS_PRODUCTION and (
    wrong := insecure_settings(DEBUG, SECRET_KEY, ALLOWED_HOSTS, DATABASE_URL, CELERY_BROKER_URL)
):
    raise ImproperlyConfigured(
        "Refusing to start with insecure settings:\n" + "\n".join(f"- {w}" for w in wrong)
    )
if not SECRET_KEY:
    SECRET_KEY = "only for demo and tests; production refuses to start without SECRET_KEY"  # noqa: S105

INSTALLED_APPS = [
    "approvals.apps.ApprovalsConfig",
    "waqiti_rollback",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "csp",
    "django_htmx",
    "template_partials",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "approvals.middleware.RequestIdMiddleware",
    "approvals.middleware.BrokerMiddleware",
    "approvals.middleware.TimeZoneMiddleware",
    "approvals.middleware.AccessMiddleware",
]

ROOT_URLCONF = "waqiti_rollback.urls"
ASGI_APPLICATION = "waqiti_rollback.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "approvals.context_processors.portal",
            ],
        },
    }
]

DATABASES = {
    "default": {
        **env.db_url_config(DATABASE_URL or "postgres://nobody@127.0.0.1:1/missing"),
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "application_name": "waqiti-rollback",
            "connect_timeout": 5,
            # A portal write that hangs must not hold a target's locks: the executor allows it two seconds.
            "options": "-c lock_timeout=10s -c statement_timeout=60s",
        },
    }
}
# Whatever is counted against somebody counts in all web processes, and as long as the portal itself lives.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "portal_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},  # above it counts are forgotten at random
    }
}
AUTH_USER_MODEL = "approvals.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]

# Accounts are made by an admin, never by signing up.
ACCOUNT_ADAPTER = "approvals.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_FORMS = {"login": "approvals.forms.signing_in.LoginForm"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/300s/key", "reauthenticate": "5/m/user"}
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
# Proof of identity before a decision may be at most this old, in seconds.
STEP_UP_SECONDS = 300
# How long a break-glass lets a rollback skip window or rehearsal, from asking on; at most a day, 0: never.
BREAK_GLASS_HOURS = env.float("BREAK_GLASS_HOURS", default=4.0)
# How long an exception instead of a backup counts, from asking on; at most three days, 0: never.
BACKUP_EXCEPTION_HOURS = env.float("BACKUP_EXCEPTION_HOURS", default=24.0)
# A worker says every second that it lives; this long without a word, and the resolver asks the target.
WORKER_SILENCE_SECONDS = env.float("WORKER_SILENCE_SECONDS", default=15.0)
# Git repositories that migrations may be imported from: URLs, or their beginnings; none unless named.
IMPORT_GIT_URLS = env.list("IMPORT_GIT_URLS", default=[])
IMPORT_GIT_SECONDS = env.float("IMPORT_GIT_SECONDS", default=300.0)
IMPORT_GIT_MEGABYTES = env.int("IMPORT_GIT_MEGABYTES", default=1024)
IMPORT_PROCESSES = env.int("IMPORT_PROCESSES", default=min(os.cpu_count() or 1, 4))

SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_PRODUCTION
SECURE_SSL_REDIRECT = IS_PRODUCTION
SECURE_HSTS_SECONDS = 31_536_000 if IS_PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_PRODUCTION
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUST_PROXY_HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "approvals.views.errors.csrf_failure"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# A worker takes no message that it can't begin at once: another one may be free, and what one that is killed
# had taken is sent again only after half a minute.
CELERY_WORKER_DISABLE_PREFETCH = True
# Celery's 4 s are too short under load: a new process that has not reported by then is ended, for ever.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 60.0
CELERY_TASK_DEFAULT_QUEUE = "facts"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_ENABLE_UTC = True
CELERY_TIMEZONE = "UTC"
# A broker that is down must not keep a person waiting: the job's row stays, and beat sends it again.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 10, "max_retries": 1}
CELERY_TASK_PUBLISH_RETRY = False

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
# Texts are written in the one language there is; to look each up in catalogs takes a tenth of a long page.
USE_I18N = len(LANGUAGES) > 1
STATIC_URL = "static/"
# Elsewhere WhiteNoise finds the files where they are, and warns of a root that nobody collected into.
STATIC_ROOT = BASE_DIR / "staticfiles" if IS_PRODUCTION else None
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not IS_PRODUCTION
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    # Encrypted dumps: only workers open it, and only they are told where it is and hold the key.
    "backups": dumps.storage(
        env("BACKUP_STORAGE", default=dumps.FOLDER),
        env.json("BACKUP_STORAGE_OPTIONS", default={}),
        env("BACKUP_DIR", default="backups"),
    ),
}
if IS_PRODUCTION:
    STORAGES["staticfiles"]["BACKEND"] = "whitenoise.storage.CompressedManifestStaticFilesStorage"
# Encrypted dumps older than this are removed; of each target the newest verified one always stays.
BACKUP_KEEP_DAYS = env.int("BACKUP_KEEP_DAYS", default=90)
# Of each process of a worker's pool.
WORKER_MEMORY_MIB = env.int("WORKER_MEMORY_MIB", default=2048)
# So many scripts run at once in a worker, whose other processes prepare what comes next; 0: one in each.
WORKER_SCRIPTS_AT_ONCE = env.int("WORKER_SCRIPTS_AT_ONCE", default=0)

# A rehearsal relies on a verified backup that is this young, and takes one where there is none; 0: always.
REHEARSAL_BACKUP_HOURS = env.float("REHEARSAL_BACKUP_HOURS", default=24.0)
# Masked clones of which copies are made: how long one rests unused, and how much all on a server may take.
REHEARSAL_KEEP_HOURS = env.float("REHEARSAL_KEEP_HOURS", default=72.0)
REHEARSAL_KEEP_BYTES = env.int("REHEARSAL_KEEP_BYTES", default=50 * 1024**3)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
}
