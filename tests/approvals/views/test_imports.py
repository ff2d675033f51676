"""Imports as people see them: asked for, watched, their results and their history; tokens; pipelines."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from approvals import import_tokens, imports, jobs, limits
from approvals.errors import Denied
from approvals.models import ImportRequest, ImportRun, ImportToken, Job, Migration, User
from tests.approvals.factories import World, body, trail
from tests.approvals.test_imports import FILES, done, packed
from tests.approvals.test_imports import repository as repository
from tests.approvals.test_repositories import Repository
from tests.approvals.views.visits import Page, as_, see, send

pytestmark = pytest.mark.integration

HERE = "/services/ledger-service/imports/"
TOKENS = "/services/ledger-service/tokens/"
HOOK = "/hooks/imports/"


def zipped(files: dict[str, str]) -> SimpleUploadedFile:
    return SimpleUploadedFile("release.zip", packed(files), "application/zip")


def test_from_upload_to_result(world: World) -> None:
    client = as_(world.eve)
    assert see(client, "/services/ledger-service/").leads_to(f"{HERE}new/")
    broken = FILES | {"V3__bad.sql": "SELECT 1;\nCREATE TABEL x;\n", "V04_x.sql": "SELECT 1;\n"}
    page = send(client, f"{HERE}new/", way="zip", **{"zip-archive": zipped(broken), "zip-folder": ""})
    assert "no worker has taken it yet" in page
    asked = ImportRequest.objects.get(service=world.foreign)
    assert "no worker has taken it yet" in see(client, HERE)
    part = client.get(f"{HERE}asked/{asked.pk}/", headers={"HX-Request": "true"})
    assert b"<html" not in part.content
    assert b'hx-trigger="every 1s"' in part.content
    done(asked)
    run = ImportRun.objects.get(service=world.foreign)
    told = client.get(f"{HERE}asked/{asked.pk}/", headers={"HX-Request": "true"})
    assert told["HX-Redirect"] == f"{HERE}{run.pk}/"
    page = Page(client.get(f"{HERE}asked/{asked.pk}/", follow=True))
    assert "2 problems in 5 files." in page
    assert "V3__bad.sql 2:8" in page, "file, line and column"
    assert "V04_x.sql" in page
    migration = Migration.objects.get(service=world.foreign, version="2")
    assert page.leads_to(f"/migrations/{migration.pk}/")
    assert "V1__create.sql" not in see(client, f"{HERE}{run.pk}/", q="own")
    assert "V3__bad.sql" not in see(client, f"{HERE}{run.pk}/problems/", code="malformed-name")


def test_the_history_says_what_each_import_changed_and_whose_commit_it_read(
    world: World, repository: Repository
) -> None:
    first = repository.commit(dict(FILES))
    done(imports.ask(world.foreign, actor=world.eve, source=str(repository.path)))
    second = repository.commit({"V2__own.sql": "ALTER TABLE accounts ADD COLUMN owner int;\n"})
    client = as_(world.eve)
    form = {"way": "git", "git-source": str(repository.path), "git-revision": "main", "git-folder": ""}
    send(client, f"{HERE}new/", **form)
    done(ImportRequest.objects.filter(service=world.foreign).latest("id"))
    page = see(as_(world.axel), HERE)
    assert page.text.index(second[:12]) < page.text.index(first[:12])
    assert "Ada <ada@example.com>" in page
    assert "1 changed" in page
    assert first[:12] not in see(client, HERE, q=second[:7])
    result = see(client, f"{HERE}{world.foreign.import_runs.latest('at').pk}/")
    assert second[:12] in result
    assert "V2__own.sql Changed" in result
    migration = Migration.objects.get(service=world.foreign, version="2")
    shown = see(client, f"/migrations/{migration.pk}/")
    assert second[:12] in shown
    assert "Ada" in shown
    older = see(client, f"/migrations/{migration.pk}/", revision="1")
    assert first[:12] in older


def test_callbacks_are_told_since_flyway_runs_them_by_itself(world: World) -> None:
    found = FILES | {"afterMigrate.sql": "SELECT 1;\n", "beforeEachMigrate__look.sql": "SELECT 2;\n"}
    done(imports.ask(world.foreign, actor=world.eve, archive=packed(found), source="release.zip"))
    run = ImportRun.objects.get(service=world.foreign)
    assert (run.summary["callbacks"], run.problems) == (2, [])
    assert "no rollback takes back what they do" in see(as_(world.eve), f"{HERE}{run.pk}/")


def test_what_went_wrong_is_told_where_it_was_asked_for(world: World) -> None:
    client = as_(world.eve)
    nothing = send(client, f"{HERE}new/", way="zip", **{"zip-folder": "db"})
    assert nothing.status == 400
    assert nothing.fields["zip-folder"] == "db"
    elsewhere = {"git-source": "https://git.example.com/x", "git-revision": "", "git-folder": ""}
    refused = send(client, f"{HERE}new/", way="git", **elsewhere)
    assert refused.status == 409
    assert "is not among the places that this installation imports from" in refused
    assert refused.fields["git-source"] == "https://git.example.com/x"
    send(client, f"{HERE}new/", way="zip", **{"zip-archive": SimpleUploadedFile("x.zip", b"none")})
    asked = ImportRequest.objects.get(service=world.foreign)
    job = imports.job_of(asked)
    assert job is not None
    jobs.finish(job, failed=True, sentence="x.zip cannot be read as a .zip.")
    page = see(client, f"{HERE}asked/{asked.pk}/")
    assert "Nothing was imported. x.zip cannot be read as a .zip." in page
    assert page.leads_to(f"{HERE}new/")


def test_an_installation_without_repositories_asks_for_none(world: World, settings: Any) -> None:
    settings.IMPORT_GIT_URLS = []
    page = see(as_(world.eve), f"{HERE}new/")
    assert "reads no repositories yet" in page
    assert "git-source" not in page.fields
    assert "source" not in see(as_(world.eve), TOKENS).fields


@pytest.mark.parametrize("name", ["dora", "olga", "axel"])
def test_whoever_only_sees_the_service_reads_and_does_not_import(world: World, name: str) -> None:
    client = as_(world.people[name])
    assert not see(client, HERE).leads_to(f"{HERE}new/")
    for address in (f"{HERE}new/", TOKENS):
        assert client.get(address).status_code == 403


def test_a_senior_dba_who_is_an_engineer_of_another_team_does_not_import(world: World) -> None:
    client = as_(world.ada)
    assert client.get(HERE).status_code == 200
    for address in (f"{HERE}new/", TOKENS):
        assert client.get(address).status_code == 403
        assert client.post(address, {"name": "mine"}).status_code == 403
    assert not ImportToken.objects.exists()


# Tokens


def made(world: World, **fields: str) -> str:
    """The text of a new token, as its page shows it."""
    return import_tokens.make(world.foreign, name="main", actor=world.eve, **fields)[1]


def test_a_token_is_shown_once_and_only_its_digest_is_kept(world: World) -> None:
    client = as_(world.eve)
    page = send(client, TOKENS, name="on every push", source="", folder="db")
    text = next(word for word in page.text.split() if word.startswith(import_tokens.PREFIX))
    token = ImportToken.objects.get()
    assert text not in json.dumps(list(ImportToken.objects.values()), default=str)
    assert text not in see(client, TOKENS)
    assert "on every push" in see(client, TOKENS)
    assert import_tokens.holder(text) == token
    again = send(client, TOKENS, name="on every push", source="", folder="")
    assert (again.status, ImportToken.objects.count()) == (409, 1)
    assert text not in str(body("import_token.made"))
    assert "Revoke on every push of ledger-service?" in see(client, f"{TOKENS}{token.pk}/revoke/")
    assert "The token on every push is revoked." in send(client, f"{TOKENS}{token.pk}/revoke/")
    assert import_tokens.holder(text) is None
    assert trail()[-2:] == ["import_token.revoked", "import.requested.denied"]


def test_a_revoked_token_does_not_fill_the_record(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    text = made(world)
    import_tokens.revoke(ImportToken.objects.get(), actor=world.eve)
    monkeypatch.setattr("approvals.limits.allows", lambda *_who, **_often: False)
    before = trail()
    assert import_tokens.holder(text) is None
    assert trail() == before


def test_a_token_of_another_service_is_nobody_s_to_revoke(world: World) -> None:
    made(world)
    token = ImportToken.objects.get()
    address = f"/services/wallet-service/tokens/{token.pk}/revoke/"
    assert as_(world.alice).post(address).status_code == 404
    assert as_(world.alice).post(f"{TOKENS}{token.pk}/revoke/").status_code == 404


# Pipelines


def push(token: str, **more: Any) -> Any:
    """What a pipeline sends: no session, no cookie, and a server that checks every form's token."""
    client = Client(enforce_csrf_checks=True)
    return client.post(HOOK, headers={"Authorization": f"Bearer {token}"}, **more)


def test_a_pipeline_imports_the_revision_that_was_pushed(world: World, repository: Repository) -> None:
    first = repository.commit({f"db/{name}": text for name, text in FILES.items()})
    repository.commit({"db/V3__bad.sql": "SELECT 1;\nCREATE TABEL x;\n"})
    token = made(world, source=str(repository.path), folder="db")
    answer = push(token, data=json.dumps({"revision": first}), content_type="application/json")
    assert answer.status_code == 202
    assert answer.json()["state"] == "waiting"
    asked = ImportRequest.objects.get(service=world.foreign)
    assert (asked.by, asked.revision) == (None, first)
    done(asked)
    run = ImportRun.objects.get(service=world.foreign)
    assert (run.commit, run.by, run.token) == (first, None, ImportToken.objects.get())
    assert "token main" in see(as_(world.axel), HERE)
    assert body("catalog.imported")["facts"]["token"] == asked.token_id
    push(token, data="", content_type="application/json")
    last = ImportRequest.objects.latest("id")
    done(last)
    told = Client().get(f"{HOOK}{last.pk}/", headers={"X-Gitlab-Token": token}).json()
    assert (told["state"], told["summary"]["new"]) == ("done", 1)
    assert [(each["path"], each["line"]) for each in told["problems"]] == [("V3__bad.sql", 2)]


def test_a_pipeline_hands_in_an_archive(world: World) -> None:
    answer = push(made(world), data=packed(FILES), content_type="application/zip")
    assert answer.status_code == 202
    done(ImportRequest.objects.get(service=world.foreign))
    assert Migration.objects.filter(service=world.foreign).count() == 2


BAD: list[tuple[int, Any, str]] = [
    (400, "[]", "has to be a JSON object"),
    (400, "{", "no JSON"),
    (400, '{"revision": 7}', "has to be a text"),
    (400, " " * 70_000, "longer than 64 kB"),
    (409, '{"revision": "--output=x"}', "is no branch, tag or commit"),
]


@pytest.mark.parametrize(("status", "data", "says"), BAD)
def test_what_a_pipeline_must_not_send_is_refused(
    status: int, data: str, says: str, world: World, repository: Repository
) -> None:
    answer = push(made(world, source=str(repository.path)), data=data, content_type="application/json")
    assert answer.status_code == status
    assert says in answer.json()["error"]
    assert not Job.objects.filter(kind="import").exists()


def test_nobody_gets_in_without_a_token_in_force(world: World) -> None:
    token = made(world)
    for text in ("", "wrong", token[:-1]):
        answer = push(text, data=packed(FILES), content_type="application/zip")
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    signed_in = as_(world.eve).post(HOOK, headers={"Authorization": f"Bearer {token}"})
    assert signed_in.status_code == 403, "a browser's session opens nothing here"
    assert push(token, data=b"", content_type="text/plain").status_code == 400
    foreign = ImportRequest.objects.create(service=world.service, source="x")
    of_others = Client().get(f"{HOOK}{foreign.pk}/", headers={"Authorization": f"Bearer {token}"})
    assert of_others.status_code == 404


def disabled(user: User) -> None:
    user.is_active = False
    user.save()


def without_role(user: User) -> None:
    user.groups.clear()


def out_of_the_team(user: User) -> None:
    user.teams.clear()


@pytest.mark.parametrize("loses", [disabled, without_role, out_of_the_team])
def test_a_token_is_worth_no_more_than_whoever_made_it(world: World, loses: Callable[[User], None]) -> None:
    token = made(world)
    assert push(token, data=packed(FILES), content_type="application/zip").status_code == 202
    asked = ImportRequest.objects.get(service=world.foreign)
    loses(world.eve)
    answer = push(token, data=packed(FILES), content_type="application/zip")
    assert (answer.status_code, trail()[-1]) == (401, "import.requested.denied")
    assert "may no longer import" in answer.json()["error"]
    with pytest.raises(Denied, match="may no longer import"):
        done(asked)
    asked.refresh_from_db()
    assert (asked.run, asked.archive) == (None, None), "what was handed in before is not imported any more"
    assert trail()[-1] == "catalog.imported.denied"
    assert "not in force" in see(as_(world.adam), TOKENS)


def test_a_pipeline_that_asks_too_often_has_to_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token, now = made(world), timezone.now()
    monkeypatch.setattr(limits, "timezone", SimpleNamespace(now=lambda: now))  # the same minute, however slow
    answers = [push(token, data=b"", content_type="text/plain").status_code for _ in range(11)]
    assert answers == [400] * 10 + [429]
