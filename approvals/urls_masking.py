"""URLs of the masking of rehearsal clones."""

from __future__ import annotations

from django.urls import URLPattern, path

from .views import masking

urlpatterns: list[URLPattern] = [
    path("services/<slug:name>/masking/", masking.masking_rules, name="masking_rules"),
    path("masking/<int:pk>/confirm/", masking.masking_confirm, name="masking_confirm"),
    path("masking/<int:pk>/dismiss/", masking.masking_dismiss, name="masking_dismiss"),
    path("masking/<int:pk>/remove/", masking.masking_remove, name="masking_remove"),
]
