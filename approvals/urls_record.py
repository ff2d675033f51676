"""URLs of the record (audit, incidents) and of what one looks up (matrix, policies, people, contacts)."""

from __future__ import annotations

from django.urls import URLPattern, path

from .views import audit, contacts, followups, incidents, matrix, people, policies, post_mortems

urlpatterns: list[URLPattern] = [
    path("audit/", audit.audit_list, name="audit_list"),
    path("audit/<int:seq>/", audit.audit_event, name="audit_event"),
    path("audit/verify/", audit.audit_verify, name="audit_verify"),
    path("audit/verifier/", audit.audit_verifier, name="audit_verifier"),
    path("audit/export/<slug:form>/", audit.audit_export, name="audit_export"),
    path("audit/report/", audit.audit_report, name="audit_report"),
    path("audit/rollback/<int:pk>/", audit.rollback_story, name="rollback_story"),
    path("incidents/", incidents.incident_list, name="incident_list"),
    path("incidents/new/", incidents.incident_new, name="incident_new"),
    path("incidents/actions/", followups.incident_action_list, name="incident_action_list"),
    path("incidents/actions/<int:pk>/", followups.incident_action, name="incident_action"),
    path("incidents/actions/<int:pk>/done/", followups.incident_action_done, name="incident_action_done"),
    path("incidents/<int:pk>/", incidents.incident_detail, name="incident_detail"),
    path("incidents/<int:pk>/notes/", incidents.incident_note, name="incident_note"),
    path("incidents/<int:pk>/actions/", followups.incident_action_new, name="incident_action_new"),
    path("incidents/<int:pk>/references/", followups.incident_references, name="incident_references"),
    path("incidents/<int:pk>/post-mortem/", post_mortems.post_mortem, name="post_mortem"),
    path("incidents/<int:pk>/post-mortem/reopen/", post_mortems.incident_reopen, name="incident_reopen"),
    path("matrix/", matrix.matrix, name="matrix"),
    path("policies/", policies.policy, name="policy"),
    path("people/", people.people, name="people"),
    path("people/<str:username>/", people.person, name="person"),
    path("contacts/", contacts.contact_list, name="contact_list"),
    path("contacts/new/", contacts.contact_new, name="contact_new"),
    path("contacts/<int:pk>/", contacts.contact_edit, name="contact_edit"),
    path("contacts/<int:pk>/remove/", contacts.contact_remove, name="contact_remove"),
]
