# One image for web, worker, beat and migrate; docker-compose.yml says which is which.
FROM python:3.13-slim
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements.txt .
# Migrations are imported from git repositories too.
RUN apt-get update && apt-get install -y --no-install-recommends git openssh-client && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .
# Nothing may be written here later, so that without this each process would compile all of it at each start.
RUN python -m compileall -q approvals executor waqiti_rollback
# Settings are production's, so the values below only have to look like some; nothing of them stays in the image.
RUN SECRET_KEY="$(head -c 60 /dev/urandom | base64 -w0)" ALLOWED_HOSTS=build.invalid \
    DATABASE_URL=postgres://build:only-here@build.invalid/none CELERY_BROKER_URL=redis://:only-here@build.invalid \
    python manage.py collectstatic --no-input \
    && useradd --system --create-home waqiti && install -d -o waqiti -m 0700 /backups
USER waqiti
