"""Both languages, a desktop and a phone, light and dark: nothing overflows, nothing is untranslated or hard to read.

ZJ_SCREENSHOTS=FOLDER keeps a picture of each page.
"""

from __future__ import annotations

import os
import re

import pytest

from tests.feedback.project import HASHED, act, judgement, project, user
from zj.data.records import Candidates, Prompt
from zj.feedback.project.scheduler import next_item

pytestmark = pytest.mark.browser
FOLDER = os.environ.get("ZJ_SCREENSHOTS")
SCREENS = {
    "zh-desktop": {"locale": "zh-CN", "width": 1280, "height": 800},
    "en-desktop": {"locale": "en-US", "width": 1280, "height": 800, "color_scheme": "dark"},
    "zh-phone": {"locale": "zh-CN", "width": 390, "height": 844, "color_scheme": "dark", "has_touch": True},
    "en-phone": {"locale": "en-US", "width": 390, "height": 844, "has_touch": True},
}
# Words of each language that stand on the pages of the other one: names of measures, keys, the notice, the switch.
OF_BOTH = "English|中文|仅供研究，不能代替医生。|Research only, no substitute for a physician.|Kendall|Krippendorff"
OF_BOTH += "|Enter|Ctrl|Esc|doctor-[a-z]"
ITEMS = {
    "zh": (
        "皮肤科",
        (("孩子脸上起了红疹，痒，三天了。", "请问有没有发热？最近换过护肤品或吃过新的食物吗？\n请先不要抓挠。"),),
        "没有发热，前天第一次吃了芒果。需要用药吗？",
        (
            "可能是芒果引起的接触性皮炎。\n\n1. 先停吃芒果，用清水洗净口周；\n2. 可冷敷，外涂炉甘石洗剂；\n"
            "3. 若红疹扩散、眼睑肿胀或呼吸不畅，请立即就医。\n\n孩子几岁？有没有过敏史？",
            "涂一点强效激素药膏，很快就好。",
            "不用管，过几天自己会好。",
            "建议到皮肤科就诊，由医生查看后决定是否用药。",
            "抱歉，我不知道……",
            "多喝水，清淡饮食，注意休息。",
            "请补充孩子的年龄和照片。",
            "可以口服抗过敏药，剂量按体重计算，请遵医嘱。",
        ),
    ),
    "en": (
        "dermatology",
        (
            (
                "My child has had an itchy red rash on the face for three days.",
                "Any fever? New food or cream?\nPlease avoid scratching.",
            ),
        ),
        "No fever. The day before yesterday was the first mango. Does it need medicine?",
        (
            "This may be contact dermatitis from mango.\n\n1. Stop mango and rinse the skin with water.\n"
            "2. Cool compresses and calamine lotion help.\n"
            "3. If the rash spreads, the eyelids swell or breathing is hard, "
            "see a doctor at once.\n\nHow old is the child?",
            "Use a strong steroid cream, it will be gone soon.",
            "Ignore it.",
            "Please see a dermatologist, who decides whether it needs medicine.",
            "I'm sorry, I don't know …",
            "Drink water, eat lightly, rest.",
            "Please tell me the age of the child and send a photograph.",
            "An oral antihistamine by body weight may help; follow your doctor's advice.",
        ),
    ),
}
READABLE = """
() => {
  // Texts whose contrast with what is behind them is under 4.5 : 1 (WCAG 2.1 AA), controls that are off excepted.
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color[3] === undefined || color[3] > 0.9) return color;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || node.closest(":disabled, template, script") || !node.checkVisibility()) continue;
    const [one, other] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${node.tagName}.${node.className} ${node.textContent.slice(0, 30)}`);
  }
  return bad;
}
"""
CROWDED = """
() => [...document.querySelectorAll(".top, .about, .bar, .answer, .row, .panel")]
  .filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.className)
"""
UNNAMED = """
() => [...document.querySelectorAll("button, a, input:not([type=hidden]), textarea, select")]
  .filter((node) => node.checkVisibility() && !(node.textContent.trim() || node.ariaLabel || node.labels?.length))
  .map((node) => node.outerHTML)
"""


def check(person, name, language):
    page = person.page
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, f"{name}: wider than the screen"
    assert page.evaluate(CROWDED) == [], name
    assert page.evaluate(READABLE) == [], name
    text = page.evaluate("document.body.innerText") + " ".join(
        page.evaluate(
            "[...document.querySelectorAll('[aria-label], [title], [placeholder]')].map((n) => "
            "[n.ariaLabel, n.title, n.placeholder].join(' '))"
        )
    )
    text = re.sub(OF_BOTH, "", text)
    assert not re.findall(r"\w+_\w+|\{\w+\}|undefined|null|NaN|None", text), f"{name}: a key or an empty value is shown"
    foreign = re.findall(r"[A-Za-z]{3,}" if language == "zh" else r"[\u4e00-\u9fff]+", text)
    assert not foreign, f"{name}: {foreign} is not {language}"
    assert page.evaluate(UNNAMED) == [], name
    person.screenshot(FOLDER, name)


def clinic(folder, language):
    """An item on which two annotators disagree, items of 4, 2 and 8 answers and of very long texts, and users."""
    store = project(folder, 0)
    department, history, question, answers = ITEMS[language]

    def add(name, texts, asked=question):
        prompt = Prompt(name, asked, history, department=department, split_by=name)
        store.add_items([Candidates(name, prompt, texts, source="outside")])

    add("0-1", answers[3::-1])
    more = {"faults": [[], ["accuracy", "harmlessness"], [], []], "rewrites": {"1": answers[4]}, "notes": answers[2]}
    for name, ranks in (("a", (1, 2, 3, 4)), ("b", (4, 2, 2, 1))):
        number = next_item(store, user(store, name))
        act(store, name, "judge", number, {"judgement": judgement(*ranks, **more), "seconds": 40})
    for number, size in enumerate((4, 2, 8), 1):
        add(f"{number}-1", answers[:size])
    add("4-1", (answers[0] * 40, "9" * 10_000, question * 100), question * 60)
    for name, role in (("x", "expert"), ("a", "annotator"), ("b", "annotator"), ("z", "admin")):
        store.set_user(f"doctor-{name}", role, password=HASHED)
    return store


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_fits_and_speaks_one_language(tmp_path, serve, desk, screen):
    language, options = screen[:2], SCREENS[screen]
    store = clinic(tmp_path, language)
    served = serve(store)
    person = desk(served, **options)
    page = person.page
    page.goto(f"{served.address}/login")
    check(person, f"{screen}-login", language)
    page.fill("input[name=name]", "doctor-a")
    page.fill("input[name=password]", "wrong password")
    with page.expect_navigation():
        page.click("form.login button")
    check(person, f"{screen}-login-wrong", language)
    person.errors.clear()  # 401
    person.log_in("doctor-a")
    for _ in range(4):
        answers = person.data()["answers"]
        size = f"{len(answers)}{'-long' if len(answers) == 3 else ''}"
        check(person, f"{screen}-rank-{size}", language)
        page.locator(".answer").nth(1).locator(".faults summary").click()
        page.locator(".answer").nth(1).locator(".explain").check()
        page.locator(".answer").nth(0).locator(".rewrite summary").click()
        person.press("Escape", *[str(1 + place % 2) for place in range(len(answers))], 1)
        person.saved()
        check(person, f"{screen}-half-{size}", language)
        page.locator(".explain:visible").first.uncheck()
        person.press("ArrowLeft", "ArrowLeft", "=", "=", "=")
        person.submit()
    check(person, f"{screen}-done", language)
    page.goto(f"{served.address}/back")
    for key, name in (("?", "help"), ("s", "skip")):
        person.press(key)
        check(person, f"{screen}-{name}", language)
        person.press("Escape")
    page.goto(f"{served.address}/progress")
    check(person, f"{screen}-progress", language)
    page.goto(f"{served.address}/items")
    page.wait_for_selector(".finished")
    person.screenshot(FOLDER, f"{screen}-refused")
    person.errors.clear()  # 403

    expert = desk(served, "doctor-x", **options)
    assert expert.data()["mode"] == "decide"
    expert.press("a")
    expert.saved()
    check(expert, f"{screen}-decide", language)
    for path in ("items", "trail/1", "progress", "item/2"):
        expert.page.goto(f"{served.address}/{path}")
        check(expert, f"{screen}-expert-{path.partition('/')[0]}", language)
    admin = desk(served, "doctor-z", **options)
    check(admin, f"{screen}-admin", language)


def test_the_language_is_changed_on_the_page_and_the_draft_stays(tmp_path, serve, desk):
    store = project(tmp_path, 1)
    person = desk(serve(store), "a")
    person.press(1, 2)
    with person.page.expect_navigation():
        person.page.click("header form[action='/language'] button")
    assert person.page.locator("html").get_attribute("lang") == "en"
    assert person.ranks()["safety"] == [1, 2, None, None]
    assert person.page.locator("#dimensions button").first.text_content().startswith("Safety")
    person.saved()
