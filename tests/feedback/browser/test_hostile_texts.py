"""Texts that try to be HTML or scripts are texts, on every page and in every field."""

from __future__ import annotations

import pytest

from tests.feedback.project import HASHED, judgement, project
from zj.data.records import Candidates, Prompt
from zj.feedback.project.scheduler import next_item
from zj.feedback.project.store import Store

pytestmark = pytest.mark.browser
SCRIPT = "<script>window.__xss=1</script>"
HOSTILE = (
    f"{SCRIPT}</script>{SCRIPT}<img src=x onerror='window.__xss=1'>\"><svg onload=window.__xss=1>"
    "' autofocus onfocus=window.__xss=1 x='{{7*7}}${7*7}<!--</textarea></title><b>"
)
NAME = "<img src=x onerror=window.__xss=1>"  # of a user
COUNT = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.__violations.push(event.violatedDirective));
"""


def hostile(kind: str) -> str:
    return f"{kind} {HOSTILE}"


def hostile_project(folder) -> Store:
    store = project(folder, 0)
    prompt = Prompt(
        "p", hostile("user"), ((hostile("asked"), hostile("answered")),), hostile("system"), department=hostile("dept")
    )
    answers = tuple(hostile(f"answer {k}") for k in range(4))
    store.add_items([Candidates(hostile("id"), prompt, answers, source=hostile("source"))])
    store.set_user(NAME, "annotator", password=HASHED)
    store.set_user(NAME + "x", "expert", password=HASHED)
    return store


def check(person) -> None:
    assert person.page.evaluate("window.__xss") is None
    assert person.page.evaluate("window.__violations") == []
    assert person.page.locator("main img, main svg, main script:not([type='application/json'], [src])").count() == 0


@pytest.fixture
def people(serve, desk):
    def sit(store, *names):
        served, found = serve(store), []
        for name in names:
            person = desk(served)
            person.page.context.add_init_script(COUNT)
            person.log_in(name)
            found.append(person)
        return found

    return sit


def test_stored_scripts_are_shown_and_never_run(tmp_path, people):
    store = hostile_project(tmp_path)
    annotator, other, expert, admin = people(store, NAME, "b", NAME + "x", "admin")
    check(annotator)
    assert sorted(annotator.texts()) == sorted(store.item(1).answers)
    turns = annotator.page.locator("#dialogue p").all_text_contents()
    assert turns == [hostile(kind) for kind in ("system", "asked", "answered", "user")]
    assert annotator.page.text_content(".about .chip") == hostile("dept")
    assert annotator.page.locator(".user").get_attribute("title") == NAME

    annotator.press(*"1234" * 3, "n")
    annotator.page.keyboard.insert_text(hostile("notes"))
    annotator.press("Escape", "e")
    annotator.page.keyboard.insert_text(hostile("rewrite"))
    annotator.saved()
    annotator.page.reload()
    check(annotator)
    assert annotator.page.input_value("#notes") == hostile("notes")
    annotator.submit()
    check(annotator)

    other.press("f")
    other.page.keyboard.insert_text(hostile("flag"))
    with other.page.expect_navigation():
        other.press("Control+Enter")

    expert.page.goto(f"{expert.address}/")
    check(expert)
    page = expert.page
    assert hostile("flag") in page.text_content("#reasons") and hostile("notes") in page.text_content("#others")
    assert hostile("rewrite") in "".join(page.locator(".theirs").all_text_contents())
    assert page.locator(".about .chip").nth(1).text_content() == hostile("source")
    expert.press("a", "b")  # one of them has judged
    page.fill("#decision", hostile("reason"))
    page.reload()
    check(expert)
    assert page.input_value("#decision") == hostile("reason")
    with page.expect_navigation():
        page.press("#decision", "Control+Enter")

    for path in ("/trail/1", "/items", "/items?query=%3Cscript%3E%22%27", "/progress", "/item/1", "/item/99"):
        for person in (expert, admin):
            person.page.goto(person.address + path)
            check(person)
    admin.page.goto(f"{admin.address}/trail/1")
    for kind in ("notes", "rewrite", "flag", "reason"):
        assert hostile(kind) in admin.page.text_content("table.trail")
    admin.page.fill("textarea[name=reason]", hostile("reopen"))
    with admin.page.expect_navigation():
        admin.page.click("form.reopen button")
    check(admin)
    assert hostile("reopen") in admin.page.text_content("table.trail")
    for person in (expert, admin):
        person.errors[:] = [error for error in person.errors if "403" not in error]  # /item/99 is nobody's


def test_a_text_that_became_html_would_be_noticed(tmp_path, people):
    """Control: the policy stops such a script, and both the count and the browser's complaints show it."""
    (annotator,) = people(hostile_project(tmp_path), "a")
    annotator.page.evaluate("(text) => document.body.insertAdjacentHTML('beforeend', text)", HOSTILE)
    annotator.page.wait_for_function("window.__violations.length > 0")
    with pytest.raises(AssertionError):
        check(annotator)
    assert annotator.errors and annotator.page.evaluate("window.__xss") is None
    annotator.errors.clear()


def test_a_draft_of_this_device_is_data_too(tmp_path, people):
    """What localStorage holds is shown as text, and nonsense there is no obstacle."""
    store = hostile_project(tmp_path)
    (annotator,) = people(store, "a")
    entry = {"version": annotator.data()["version"], "judgement": judgement(1, 2, 3, 4, notes=hostile("kept"))}
    key = f"zj/draft/a/{next_item(store, store.user('a'))}"
    annotator.page.evaluate("([key, value]) => localStorage.setItem(key, JSON.stringify(value))", [key, entry])
    annotator.page.reload()
    check(annotator)
    assert annotator.page.input_value("#notes") == hostile("kept")
    annotator.saved()
    annotator.page.evaluate("(key) => localStorage.setItem(key, '{nonsense')", key)
    annotator.page.reload()
    assert annotator.page.input_value("#notes") == hostile("kept")
