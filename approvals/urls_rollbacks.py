"""URLs of rollbacks and executions."""

from __future__ import annotations

from django.urls import URLPattern, path

from .views import changes, comments, decisions, deployments, drafts, executions, partly, rollbacks, scripts

urlpatterns: list[URLPattern] = [
    path("rollbacks/", rollbacks.rollback_list, name="rollback_list"),
    path("rollbacks/new/", drafts.rollback_new, name="rollback_new"),
    path("rollbacks/<int:pk>/", rollbacks.rollback_detail, name="rollback_detail"),
    path("rollbacks/<int:pk>/next-deployment/", deployments.rollback_ahead, name="rollback_ahead"),
    path("rollbacks/<int:pk>/files/<slug:kind>/", deployments.rollback_files, name="rollback_files"),
    path("rollbacks/<int:pk>/edit/", drafts.rollback_edit, name="rollback_edit"),
    path("rollbacks/<int:pk>/form/<slug:step>/", drafts.rollback_form, name="rollback_form"),
    path("rollbacks/<int:pk>/form/<slug:step>/<slug:field>/", drafts.rollback_field, name="rollback_field"),
    path("rollbacks/<int:pk>/items/<int:position>/", scripts.rollback_script, name="rollback_script"),
    path("rollbacks/<int:pk>/items/<int:position>/trial/", scripts.rollback_trial, name="rollback_trial"),
    path("rollbacks/<int:pk>/submit/", rollbacks.rollback_submit, name="rollback_submit"),
    path("rollbacks/<int:pk>/withdraw/", rollbacks.rollback_withdraw, name="rollback_withdraw"),
    path("rollbacks/<int:pk>/reopen/", rollbacks.rollback_reopen, name="rollback_reopen"),
    path("rollbacks/<int:pk>/facts/", rollbacks.rollback_facts, name="rollback_facts"),
    path("rollbacks/<int:pk>/rehearse/", rollbacks.rollback_rehearse, name="rollback_rehearse"),
    path("rollbacks/<int:pk>/confirm/<slug:point>/", rollbacks.rollback_confirm, name="rollback_confirm"),
    path("rollbacks/<int:pk>/comments/", comments.rollback_comments, name="rollback_comments"),
    path("rollbacks/<int:pk>/comment/", comments.rollback_comment, name="rollback_comment"),
    path("rollbacks/<int:pk>/threads/<int:thread>/reply/", comments.thread_reply, name="thread_reply"),
    path("rollbacks/<int:pk>/threads/<int:thread>/resolve/", comments.thread_resolve, name="thread_resolve"),
    path("rollbacks/<int:pk>/start/", executions.rollback_start, name="rollback_start"),
    path("rollbacks/<int:pk>/decide/<slug:decision>/", decisions.rollback_decide, name="rollback_decide"),
    path("executions/<uuid:pk>/", executions.execution_detail, name="execution_detail"),
    path("executions/<uuid:pk>/live/", executions.execution_live, name="execution_live"),
    path("executions/<uuid:pk>/changes/", changes.execution_changes, name="execution_changes"),
    path("rollbacks/<int:pk>/changes/", changes.rollback_changes, name="rollback_changes"),
    path("changes/", changes.dashboard_changes, name="dashboard_changes"),
    path("executions/<uuid:pk>/log/", executions.execution_log, name="execution_log"),
    path("executions/<uuid:pk>/alarm/", executions.execution_answer, name="execution_answer"),
    path("executions/<uuid:pk>/continue/", partly.execution_continue, name="execution_continue"),
    path("executions/<uuid:pk>/sign/", partly.execution_sign, name="execution_sign"),
    path("executions/<uuid:pk>/carry-on/", partly.execution_carry_on, name="execution_carry_on"),
    path("executions/<uuid:pk>/restarted/", partly.execution_restarted, name="execution_restarted"),
    path("executions/<uuid:pk>/cancel/", executions.execution_cancel, name="execution_cancel"),
]
