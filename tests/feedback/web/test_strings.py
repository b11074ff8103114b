"""Both languages have a text for every key, and every key that a page uses is there."""

from __future__ import annotations

import re

import pytest

from zj.feedback.web.site import FOLDER
from zj.feedback.web.strings import STRINGS

PLACES = re.compile(r"\{\w+\}")
TEMPLATES = {file.name: file.read_text(encoding="utf-8") for file in (FOLDER / "templates").glob("*.html")}
SCRIPTS = {file.name: file.read_text(encoding="utf-8") for file in (FOLDER / "static").glob("*.js")}


def test_both_languages_have_the_same_keys_and_the_same_places_to_fill_in():
    chinese, english = STRINGS["zh"], STRINGS["en"]
    assert chinese.keys() == english.keys() and all(chinese.values()) and all(english.values())
    for key in chinese:
        assert set(PLACES.findall(chinese[key])) == set(PLACES.findall(english[key])), key


@pytest.mark.parametrize("name", [*TEMPLATES, *SCRIPTS])
def test_pages_use_no_key_that_is_missing(name):
    text = TEMPLATES.get(name) or SCRIPTS[name]
    used = re.findall(r"\bt\.(\w+)", text) if name in TEMPLATES else re.findall(r'\bsay\("(\w+)"', text)
    assert not set(used) - {"get"} - STRINGS["en"].keys()


def test_no_key_is_of_no_use():
    text = "\n".join([*TEMPLATES.values(), *SCRIPTS.values()])
    families = tuple(re.findall(r'"(\w+_)" ~|`(?:say\()?(\w+_)\$\{|"(\w+_)"', text))
    prefixes = {prefix for group in families for prefix in group if prefix}
    suffixes = ("_title", "_hint")  # say(`${kind}_title`)
    unused = [
        key
        for key in STRINGS["en"]
        if not re.search(rf"\b{key}\b", text) and not key.startswith(tuple(prefixes)) and not key.endswith(suffixes)
    ]
    server = "".join(file.read_text(encoding="utf-8") for file in FOLDER.glob("*.py"))
    assert unused and all(f'"{key}"' in server for key in unused), "the server names the errors"


@pytest.mark.parametrize("name", [*TEMPLATES, *SCRIPTS])
def test_pages_have_no_inline_script_or_style_and_write_no_html(name):
    """The content policy would stop the first two; nothing would stop the third."""
    text = TEMPLATES.get(name) or SCRIPTS[name]
    assert not re.search(
        r"\son\w+=|\sstyle=|<style|javascript:|innerHTML|outerHTML|insertAdjacentHTML|\beval\(|https?://", text
    )
    assert "|safe" not in text.replace(" ", "") and "autoescape" not in text
