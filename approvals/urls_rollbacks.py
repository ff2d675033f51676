"""URLs of rollbacks and executions."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
