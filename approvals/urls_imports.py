"""URLs of imports of migrations: for people, and for pipelines with a token."""

from __future__ import annotations

from django.urls import URLPattern, path

from .views import hooks, imports

urlpatterns: list[URLPattern] = [
    path("services/<slug:name>/imports/", imports.import_list, name="import_list"),
    path("services/<slug:name>/imports/new/", imports.import_new, name="import_new"),
    path("services/<slug:name>/imports/asked/<int:pk>/", imports.import_asked, name="import_asked"),
    path("services/<slug:name>/imports/<int:pk>/", imports.import_detail, name="import_detail"),
    path("services/<slug:name>/imports/<int:pk>/problems/", imports.import_problems, name="import_problems"),
    path("services/<slug:name>/tokens/", imports.import_tokens_of, name="import_tokens"),
    path(
        "services/<slug:name>/tokens/<int:pk>/revoke/",
        imports.import_token_revoke,
        name="import_token_revoke",
    ),
    path("hooks/imports/", hooks.import_hook, name="import_hook"),
    path("hooks/imports/<int:pk>/", hooks.import_hook_state, name="import_hook_state"),
]
