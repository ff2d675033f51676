"""URLs of the portal. Who may open them is in `approvals.permissions`, which answers nobody at any other."""

from __future__ import annotations

from django.urls import include, path

from .views import account, catalog, coverage, dashboard, generations, kept, proofs, scripts, search

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("account/", account.account, name="account"),
    path("account/keys/", account.account_keys, name="account_keys"),
    path("account/zone/", account.account_zone, name="account_zone"),
    path("confirm/", account.confirm, name="confirm"),
    path("kept/", kept.kept_input, name="kept"),
    path("search/", search.find, name="search"),
    path("services/", catalog.service_list, name="service_list"),
    path("services/<slug:name>/", catalog.service_detail, name="service_detail"),
    path("services/<slug:name>/problems/", catalog.service_problems, name="service_problems"),
    path("services/<slug:name>/coverage/", coverage.service_coverage, name="service_coverage"),
    path("targets/", catalog.target_list, name="target_list"),
    path("targets/<slug:name>/", catalog.target_detail, name="target_detail"),
    path("targets/<slug:name>/sync/", catalog.target_sync, name="target_sync"),
    path("targets/<slug:name>/setup.sql", catalog.target_setup, name="target_setup"),
    path("migrations/<int:pk>/", catalog.migration_detail, name="migration_detail"),
    path("migrations/<int:pk>/script/", scripts.script_new, name="script_new"),
    path("migrations/<int:pk>/script/plan/", scripts.script_analysis, name="script_analysis"),
    path("migrations/<int:pk>/script/<int:number>/proof/", proofs.script_proof, name="script_proof"),
    path("migrations/<int:pk>/generate/", generations.script_generate, name="script_generate"),
    path("migrations/<int:pk>/fix/", generations.migration_fix, name="migration_fix"),
    path(
        "migrations/<int:pk>/fix/<int:number>/<slug:part>/",
        generations.migration_fix_file,
        name="migration_fix_file",
    ),
    path("", include("approvals.urls_imports")),
    path("", include("approvals.urls_masking")),
    path("", include("approvals.urls_record")),
    path("", include("approvals.urls_rollbacks")),
    path("", include("approvals.urls_windows")),
]
