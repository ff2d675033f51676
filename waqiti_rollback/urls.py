"""Every URL of the portal."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("approvals.urls")),
    path("accounts/", include("allauth.urls")),
]

handler400 = "approvals.views.errors.bad_request"
handler500 = "approvals.views.errors.server_error"
