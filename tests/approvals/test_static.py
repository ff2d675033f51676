"""What pages load: small, from here, and every shape that a template names is there."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from django.contrib.staticfiles import finders

from approvals.pages.audit_words import WORDS
from approvals.templatetags.portal import STATES

ROOT = Path(__file__).resolve().parents[2]
BUDGET = 150_000


def templates() -> dict[Path, str]:
    return {path: path.read_text() for path in (ROOT / "templates").rglob("*.html")}


def shapes() -> set[str]:
    tree = ElementTree.parse(ROOT / "static" / "icons.svg")
    return {each.attrib["id"] for each in tree.iter() if "id" in each.attrib}


def test_styles_and_scripts_stay_within_their_budget() -> None:
    own = [path for path in (ROOT / "static").rglob("*") if path.suffix in (".css", ".js")]
    htmx = Path(finders.find("django_htmx/htmx-2.min.js"))
    assert sum(path.stat().st_size for path in [*own, htmx]) <= BUDGET


def test_every_shape_that_is_named_is_drawn() -> None:
    named = {name for text in templates().values() for name in re.findall(r'{% icon "([\w-]+)"', text)}
    named |= {shape for shape, _tone in STATES.values()} | {shape for _says, shape, _tone in WORDS.values()}
    assert named <= shapes()


def test_every_stylesheet_belongs_to_a_layer() -> None:
    for path in (ROOT / "static").rglob("*.css"):
        assert "@layer" in path.read_text(), path


def test_nothing_moves_for_whoever_asked_for_less_motion() -> None:
    allowed = re.compile(r"@media \(prefers-reduced-motion: no-preference\) \{(?:[^{}]|\{[^{}]*\})*\}")
    for path in (ROOT / "static").rglob("*.css"):
        left = allowed.sub("", path.read_text())
        assert not re.search(r"\b(animation|transition|scroll-behavior)(-[a-z]+)?\s*:", left), path


def test_templates_load_nothing_from_elsewhere_and_hold_no_inline_code() -> None:
    for path, text in templates().items():
        assert not re.search(r'(src|href)="(https?:)?//', text), path
        assert not re.search(r'<style|<script(?![^>]*\bsrc=)|\sstyle="|\son\w+="', text), path


def test_every_file_that_a_template_names_exists() -> None:
    for path, text in templates().items():
        for name in re.findall(r"{% static '([^']+)' %}", text):
            assert finders.find(name), f"{path} names {name}"
