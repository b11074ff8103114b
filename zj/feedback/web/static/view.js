// The ranking page as DOM: built once from the page's data, then shown anew after each change.
// Texts of doctors and models enter by textContent alone, so nothing in them is ever HTML.

import { completed, finalOrder, missing } from "./judgement.js";
import { inWords, letters } from "./ranks.js";
import { read, write } from "./saving.js";

export const element = (id) => document.getElementById(id);
export const page = JSON.parse(element("page").textContent);
const strings = JSON.parse(element("strings").textContent);
const readOnly = page.mode === "view";

/** A text of the page's language, with {names} filled in. */
export function say(key, values = {}) {
  return (strings[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// ---- built once

/** `on` has a function for each thing that one can do to an answer. */
export function build(on) {
  buildDialogue();
  buildReasons();
  buildOthers(on);
  page.answers.forEach((text, place) => element("answers").append(answerCard(text, place, on)));
  page.dimensions.forEach(({ name }, index) => {
    const tab = make("button", { type: "button" }, make("span", { textContent: name }), " ", make("small"));
    tab.addEventListener("click", () => on.dimension(index));
    element("dimensions").append(tab);
  });
  element("answers").classList.toggle("explained", Boolean(read("zj/explain")));
  element("notes").readOnly = readOnly;
  showPace();
  for (const text of document.querySelectorAll("#answers .text")) {
    if (text.scrollHeight > text.clientHeight) text.tabIndex = 0; // a long one scrolls, by keys too
  }
}

function buildDialogue() {
  const dialogue = element("dialogue");
  const turn = (kind, who, text) =>
    make("div", { className: `turn ${kind}` }, make("strong", { textContent: who }), make("p", { textContent: text }));
  if (page.system) dialogue.append(turn("system", say("system"), page.system));
  for (const [user, answer] of page.history) {
    dialogue.append(turn("patient", say("patient"), user), turn("doctor", say("doctor"), answer));
  }
  const last = turn("patient last", say("question"), page.user);
  dialogue.append(last);
}

/** The end of the dialogue first; of a question that is longer than its window, the beginning. */
export function showQuestion() {
  const dialogue = element("dialogue");
  dialogue.scrollTop = dialogue.lastElementChild.offsetTop - dialogue.offsetTop - 8;
}

function buildReasons() {
  element("reasons").hidden = !page.reasons.length;
  for (const { name, kind, reason } of page.reasons) {
    const values = { name: otherName(name), reason: kind === "disagreement" ? say(`disagreement_${reason}`) : reason };
    element("reasons").append(make("p", { textContent: say(`reason_${kind}`, values) }));
  }
}

function buildOthers(on) {
  element("others").hidden = !page.others.length;
  page.others.forEach(({ name, judgement }) => {
    const label = { name: otherName(name) };
    const key = make("kbd", { textContent: name.toLowerCase(), hidden: !"AB".includes(name) });
    const take = make("button", { type: "button" }, `${say("take_over", label)} `, key);
    take.addEventListener("click", () => on.take(name));
    const panel = make("section", { className: "panel" });
    panel.append(make("h2", { textContent: say("their_final", label) }));
    const final = finalOrder(completed(judgement, page), page);
    panel.append(make("p", { className: "order", textContent: inWords(final) }));
    if (judgement.notes) {
      panel.append(make("h3", { textContent: say("their_notes", label) }));
      panel.append(make("p", { className: "quoted", textContent: judgement.notes }));
    }
    if (!readOnly) panel.append(take);
    element("others").append(panel);
  });
}

/** Annotator A is called otherwise on the screen, where letters are those of answers. */
function otherName(name) {
  return strings[`other_${letters.indexOf(name)}`] ?? name;
}

function answerCard(text, place, on) {
  const card = element("answer").content.cloneNode(true).firstElementChild;
  const letter = letters[place];
  const part = (selector) => card.querySelector(selector);
  part(".letter").textContent = letter;
  card.setAttribute("aria-label", `${say("answer")} ${letter}`);
  Object.assign(part(".text"), { textContent: text, role: "region", ariaLabel: say("long_text", { letter }) });
  page.dimensions.forEach((dimension, index) => part(".ranks").append(rankRow(dimension, index, place, on)));

  part(".abilities").append(...page.dimensions.map((dimension) => faultGroup(dimension, place, on)));
  part(".explain").checked = Boolean(read("zj/explain"));
  part(".explain").addEventListener("change", (event) => explain(event.target.checked));

  const rewrite = part(".rewrite textarea");
  Object.assign(rewrite, { readOnly, ariaLabel: say("rewrite_label", { letter }) });
  rewrite.addEventListener("input", () => on.rewrite(place, rewrite.value));
  const admission = part(".admission");
  Object.assign(admission, { textContent: say("insert_admission", { text: page.admission }), hidden: readOnly });
  admission.addEventListener("click", () => on.rewrite(place, page.admission));

  part(".theirs").append(...theirs(place, on));
  card.addEventListener("focusin", () => on.answer(place));
  card.addEventListener("click", () => on.answer(place));
  return card;
}

function rankRow({ key, name }, index, place, on) {
  const row = make("div", { className: "row", role: "group" }, make("span", { className: "name", textContent: name }));
  row.ariaLabel = say("rank_of", { letter: letters[place], dimension: name });
  const buttons = make("span", { className: "digits" });
  page.answers.forEach((_, other) => {
    const rank = other + 1;
    const button = make("button", { type: "button", textContent: rank, disabled: readOnly });
    button.ariaLabel = say("rank_n", { rank });
    button.addEventListener("click", (event) => {
      event.stopPropagation(); // ranking selects the next answer; a click on the card would select this one
      on.rank(index, place, rank);
    });
    buttons.append(button);
  });
  row.append(buttons);
  const rankOf = ({ ranks }) => (ranks[key] ?? ranks.overall)[place];
  const theirs = page.others.map(({ name, judgement }) => [name, rankOf(judgement)]);
  const differ = theirs.some(([, rank]) => rank !== theirs[0][1]) ? "differ" : "";
  const texts = theirs.map(([name, rank]) => make("span", { textContent: `${otherName(name)} ${rank}` }));
  if (texts.length) row.append(make("span", { className: `their-ranks ${differ}` }, ...texts));
  return row;
}

function faultGroup(dimension, place, on) {
  const group = make("fieldset", {}, make("legend", { textContent: dimension.name }));
  for (const ability of page.abilities.filter((ability) => ability.dimension === dimension.key)) {
    const box = make("input", { type: "checkbox", value: ability.key, disabled: readOnly });
    box.addEventListener("change", () => on.fault(place, ability.key, box.checked));
    group.append(make("label", {}, box, " ", make("span", { textContent: ability.name })));
    group.append(make("p", { className: "explanation", textContent: ability.explanation }));
  }
  return group;
}

/** What both annotators found wrong with an answer, and what they would have written. */
function theirs(place, on) {
  return page.others.flatMap(({ name, judgement }) => {
    const label = { name: otherName(name) };
    const faults = abilityNames(judgement.faults[place] ?? []);
    const rewrite = judgement.rewrites[place];
    const use = make("button", { type: "button", textContent: say("use_rewrite"), hidden: readOnly });
    use.addEventListener("click", () => on.rewrite(place, rewrite));
    const heading = make("strong", { textContent: say("their_rewrite", label) });
    return [
      ...(faults ? [make("p", {}, make("strong", { textContent: `${say("their_faults", label)} ` }), faults)] : []),
      ...(rewrite ? [heading, make("p", { className: "quoted", textContent: rewrite }), use] : []),
    ];
  });
}

function abilityNames(keys) {
  const chosen = page.abilities.filter(({ key }) => keys.includes(key));
  return chosen.map(({ name }) => name).join(document.documentElement.lang === "en" ? ", " : "、");
}

function explain(wished) {
  write("zj/explain", wished);
  element("answers").classList.toggle("explained", wished);
  for (const box of document.querySelectorAll(".explain")) box.checked = wished;
}

function showPace() {
  const { done, left, today, per_hour: count } = page.progress;
  Object.assign(element("progress"), { max: done + left || 1, value: done });
  const pace = count === null ? [] : [say("per_hour", { count: Math.round(count) })];
  element("pace").textContent = [say("done_left", { done, left, today }), ...pace].join(" · ");
}

// ---- shown after each change

export function show(judgement, cursor) {
  const final = finalOrder(judgement, page);
  const gaps = missing(judgement);
  document.querySelectorAll("#answers > .answer").forEach((card, place) => {
    const selected = place === cursor.place;
    card.classList.toggle("selected", selected);
    card.setAttribute("aria-current", selected);
    card.querySelector(".place").textContent = gaps ? "" : say("rank_n", { rank: final[place] });
    card.querySelectorAll(".row").forEach((row, index) => {
      row.classList.toggle("current", index === cursor.dimension);
      const given = judgement.ranks[page.dimensions[index].key][place];
      for (const button of row.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", Number(button.textContent) === given);
      }
    });
    for (const box of card.querySelectorAll(".abilities input")) {
      box.checked = judgement.faults[place].includes(box.value);
    }
    card.querySelector(".faults .chosen").textContent = abilityNames(judgement.faults[place]);
    const rewrite = judgement.rewrites[place] ?? "";
    fill(card.querySelector(".rewrite textarea"), rewrite);
    card.querySelector(".rewrite .chosen").textContent = rewrite.trim() ? say("rewritten") : "";
  });
  [...element("dimensions").children].forEach((tab, index) => {
    const ranks = judgement.ranks[page.dimensions[index].key];
    const given = ranks.filter((rank) => rank !== null).length;
    tab.setAttribute("aria-pressed", index === cursor.dimension);
    tab.classList.toggle("complete", given === ranks.length);
    tab.querySelector("small").textContent = given === ranks.length ? "✓" : `${given}/${ranks.length}`;
  });
  fill(element("notes"), judgement.notes);
  element("order").textContent = final ? inWords(final) : "–";
  element("missing").textContent = gaps ? say("missing", { count: gaps }) : "";
  element("submit")?.classList.toggle("ready", !gaps);
}

/** Texts that are equal stay untouched, so that the caret stays where it is. */
function fill(field, text) {
  if (field.value !== text) field.value = text;
}

/** A short word above the bar. One that has actions stays; another one goes by itself. */
export function message(text, kind = "info", actions = []) {
  const note = make("p", { className: `message ${kind}` }, make("span", { textContent: text }));
  for (const [label, act] of actions) {
    const button = make("button", { type: "button", textContent: label });
    button.addEventListener("click", () => (note.remove(), act()));
    note.append(" ", button);
  }
  element("messages").replaceChildren(note);
  if (!actions.length) setTimeout(() => note.remove(), 6000);
}
