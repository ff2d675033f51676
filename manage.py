#!/usr/bin/env python
"""Django's command line."""

import os
import sys

# Read files and nothing else: they need neither secrets nor servers, so nobody has to set any up for them.
WITHOUT_PORTAL = {"analyze"}

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "waqiti_rollback.settings")
    if WITHOUT_PORTAL.intersection(sys.argv[1:2]):
        os.environ.setdefault("WAQITI_ENV", "demo")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
