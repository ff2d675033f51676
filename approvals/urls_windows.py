"""URLs of windows and freezes of targets, of scheduled starts, and of preflights."""

from __future__ import annotations

from django.urls import URLPattern, path

from .views import preflights, windows

urlpatterns: list[URLPattern] = [
    path("targets/<slug:name>/calendar/", windows.window_list, name="window_list"),
    path("targets/<slug:name>/calendar/new/<slug:entry_kind>/", windows.window_new, name="window_new"),
    path("calendar/<int:pk>/confirm/", windows.window_confirm, name="window_confirm"),
    path("calendar/<int:pk>/dismiss/", windows.window_dismiss, name="window_dismiss"),
    path("calendar/<int:pk>/remove/", windows.window_remove, name="window_remove"),
    path("rollbacks/<int:pk>/preflight/", preflights.rollback_preflight, name="rollback_preflight"),
    path("rollbacks/<int:pk>/schedule/", preflights.rollback_schedule, name="rollback_schedule"),
    path("rollbacks/<int:pk>/unschedule/", preflights.rollback_unschedule, name="rollback_unschedule"),
]
