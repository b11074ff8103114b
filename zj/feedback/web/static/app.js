// The ranking page: what one can do, by keys, mouse or touch. view.js shows it, saving.js brings it to the server.

import { canonical, completed } from "./judgement.js";
import { Saver, read, remove, write } from "./saving.js";
import { build, element, message, page, say, show, showQuestion } from "./view.js";

const user = document.querySelector(".user").title;
const readOnly = page.mode === "view";
const dimensionKeys = page.dimensions.map(({ key }) => key);
const places = page.answers.map((_, place) => place);

let judgement = completed(page.saved, page);
let cursor = { dimension: 0, place: 0 };
let sending = false; // an action is on its way; it is sent once
const changes = []; // judgement and cursor before each change, the last one at the end
let textInHand = null; // the text field that was changed last: its letters are undone together

// ---- ranking

function rank(dimension, place, given) {
  const ranks = () => judgement.ranks[dimensionKeys[dimension]];
  const wasComplete = !ranks().includes(null);
  change(() => {
    ranks()[place] = given;
    cursor = { dimension, place };
    moveOn(wasComplete);
  });
  reveal();
}

/** To the next answer without a rank, and after the last one to the next dimension. A correction goes place by place. */
function moveOn(wasComplete) {
  const { dimension, place } = cursor;
  const ranks = judgement.ranks[dimensionKeys[dimension]];
  const after = [...places.slice(place + 1), ...places.slice(0, place)];
  const next = wasComplete ? places[place + 1] : after.find((other) => ranks[other] === null);
  if (next !== undefined) cursor = { dimension, place: next };
  else toDimension(dimension + 1);
}

function toDimension(dimension) {
  if (dimension >= dimensionKeys.length) return; // the last one is done: Enter submits
  const gap = judgement.ranks[dimensionKeys[dimension]].indexOf(null);
  cursor = { dimension, place: Math.max(gap, 0) };
}

/** The first dimension in which a rank is missing; -1 if there is none. */
function firstGap() {
  return dimensionKeys.findIndex((key) => judgement.ranks[key].includes(null));
}

function tieAll() {
  change(() => {
    judgement.ranks[dimensionKeys[cursor.dimension]].fill(1);
    toDimension(cursor.dimension + 1);
  });
}

function copyBefore() {
  const before = judgement.ranks[dimensionKeys[cursor.dimension - 1]];
  if (!before || before.includes(null)) return message(say("nothing_to_copy"));
  change(() => {
    judgement.ranks[dimensionKeys[cursor.dimension]] = [...before];
    toDimension(cursor.dimension + 1);
  });
}

/** The ranks of one of the annotators, who disagree. */
function take(name) {
  const theirs = page.others.find((other) => other.name === name);
  if (theirs) change(() => (judgement.ranks = completed(theirs.judgement, page).ranks));
}

// ---- every change goes through here: it can be undone, is shown, and is saved

function change(edit, field = null) {
  if (readOnly || sending) return show(judgement, cursor);
  if (saver.stopped) return show(judgement, cursor), onState("conflict"); // nothing more is saved from here
  const before = structuredClone({ judgement, cursor });
  edit();
  if (canonical(before.judgement) !== canonical(judgement)) {
    if (!field || field !== textInHand) changes.push(before);
    textInHand = field;
    saver.change(judgement);
  }
  show(judgement, cursor);
}

function undo() {
  if (sending || (saver.stopped && !readOnly)) return;
  const before = changes.pop();
  textInHand = null;
  if (before) {
    ({ judgement, cursor } = before);
    saver.change(judgement);
    show(judgement, cursor);
    reveal();
  } else if (!readOnly && canonical(judgement) === canonical(completed(null, page))) {
    location.assign("/back");
  } else {
    message(say("nothing_to_undo"));
  }
}

function select(place, dimension = cursor.dimension) {
  if (cursor.place === place && cursor.dimension === dimension) return;
  cursor = { dimension, place };
  show(judgement, cursor);
}

/** Bring the selected answer into view; Tab goes on from there. */
function reveal() {
  const card = element("answers").children[cursor.place];
  card.focus({ preventScroll: true });
  const target = card.offsetHeight > innerHeight / 2 ? card.querySelector(".row.current") : card;
  target.scrollIntoView({ block: "nearest" });
}

function move(down, right) {
  const within = (value, length) => Math.min(Math.max(value, 0), length - 1);
  select(within(cursor.place + down, places.length), within(cursor.dimension + right, dimensionKeys.length));
  reveal();
}

// ---- actions

async function submit() {
  const gap = firstGap();
  if (readOnly || sending) return;
  if (gap >= 0) {
    toDimension(gap);
    show(judgement, cursor);
    reveal();
    return message(element("missing").textContent);
  }
  const content = { judgement, seconds: activeSeconds() };
  if (page.mode === "rank") return act("/api/judge", content);
  const reason = element("decision").value.trim();
  if (reason) return act("/api/decide", { ...content, reason });
  element("decision").focus();
  message(say("reason_needed"), "error");
}

async function act(url, content) {
  if (sending) return;
  sending = true;
  element("submit").disabled = true;
  element("saved").textContent = say("submitting");
  const reply = await saver.act(url, content);
  if (reply) {
    forgetHere();
    return location.assign(reply.next || page.next);
  }
  sending = false;
  element("submit").disabled = false;
}

/** Skip and flag ask for a reason first. */
function ask(kind) {
  element("ask-title").textContent = say(`${kind}_title`);
  element("ask-hint").textContent = say(`${kind}_hint`);
  element("ask-send").textContent = say(kind);
  element("ask-reason").value = "";
  element("ask").dataset.kind = kind;
  element("ask").showModal();
}

function answerAsk(event) {
  const reason = element("ask-reason").value.trim();
  if (reason) return act(`/api/${element("ask").dataset.kind}`, { reason });
  event.preventDefault();
  element("ask-reason").focus();
}

// ---- keys

const digit = (text) => rank(cursor.dimension, cursor.place, Number(text));
const keys = {
  ArrowUp: () => move(-1, 0),
  ArrowDown: () => move(1, 0),
  ArrowLeft: () => move(0, -1),
  ArrowRight: () => move(0, 1),
  "=": tieAll,
  c: copyBefore,
  u: undo,
  Enter: submit,
  s: () => element("skip")?.click(),
  f: () => element("flag")?.click(),
  n: () => element("notes").focus(),
  e: () => open(".rewrite", "textarea"),
  x: () => open(".faults", ".abilities input"),
  a: () => take("A"),
  b: () => take("B"),
  "?": help,
  "？": help, // of a Chinese keyboard
};
for (const place of places) keys[place + 1] = digit;

/** Open a part of the selected answer and put the focus into it. */
function open(part, target) {
  const details = element("answers").children[cursor.place].querySelector(part);
  details.open = true;
  details.querySelector(target).focus();
}

function help() {
  element("keys").showModal();
  element("keys").scrollTop = 0; // the button that has the focus is at the end
}

function onKey(event) {
  const { key, target } = event;
  if (event.isComposing) return; // Enter and Esc are the input method's
  if (target.closest("dialog")) {
    if (key === "Enter" && (event.ctrlKey || event.metaKey)) target.form?.requestSubmit(element("ask-send"));
    return;
  }
  if (target.matches("textarea, select, input:not([type=checkbox])")) {
    if (key === "Escape") reveal();
    if (key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
    return;
  }
  const action = keys[key.length === 1 ? key.toLowerCase() : key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === "Enter" && target.closest("button, a, summary")) return; // the browser presses it
  if (event.repeat && !key.startsWith("Arrow")) return event.preventDefault(); // a key that is held down acts once
  event.preventDefault();
  action(key);
}

/** A click leaves the focus where it was, so that Enter after it submits; it leaves a text field, though. */
function onMouseDown(event) {
  if (!event.target.closest("#content button, #content summary") || event.target.closest("dialog")) return;
  event.preventDefault();
  if (document.activeElement.matches("textarea")) document.activeElement.blur();
}

// ---- time at work: pauses over a minute do not count

const LONGEST_PAUSE = 60_000; // ms
const hereKey = (name) => `zj/${name}/${user}/${page.item}`; // of this device: outlives a reload
let active = read(hereKey("active")) ?? 0; // ms
let lastInput = Date.now();

function onInput() {
  const pause = Date.now() - lastInput;
  if (pause <= LONGEST_PAUSE) active += pause;
  lastInput += pause;
}

function activeSeconds() {
  onInput();
  return Math.round(active / 1000);
}

function forgetHere() {
  for (const name of ["active", "reason"]) remove(hereKey(name));
}

// ---- what the saver reports

function onState(name, detail) {
  const reload = [say("reload"), () => location.reload()];
  if (name === "conflict") message(say("conflict"), "error", [reload]);
  else if (name === "forbidden") message(say("forbidden"), "error", [reload]);
  else if (name === "refused") message(say("refused", { error: detail }), "error");
  else if (name === "busy") message(say("too_many"));
  const time = new Date().toTimeString().slice(0, 5);
  const texts = { saving: say("saving"), saved: say("saved", { time }), offline: say("offline"), busy: say("offline") };
  element("saved").textContent = texts[name] ?? "";
  element("saved").dataset.state = name;
}

const saver = new Saver(page, user, canonical, onState);

function restore() {
  const kept = saver.restore(judgement);
  if (kept) {
    judgement = completed(kept, page);
    saver.change(judgement);
    message(say("restored"));
  }
  const other = saver.other();
  if (!other) return;
  const forget = () => saver.forgetOther();
  const bringBack = () => sending || (forget(), change(() => (judgement = completed(other, page))));
  message(say("kept_here"), "error", [[say("restore"), bringBack], [say("discard"), forget]]);
}

// ---- start

build({
  rank,
  take,
  answer: (place) => select(place),
  dimension: (dimension) => (toDimension(dimension), show(judgement, cursor), reveal()),
  fault(place, key, present) {
    const others = judgement.faults[place].filter((other) => other !== key);
    change(() => (judgement.faults[place] = present ? [...others, key] : others));
  },
  rewrite(place, text) {
    change(() => (judgement.rewrites[place] = text), `rewrite ${place}`);
  },
});
if (readOnly) saver.stopped = true;
else restore();
toDimension(Math.max(firstGap(), 0)); // one comes back where one was
show(judgement, cursor);
showQuestion();

element("notes").addEventListener("input", (event) => change(() => (judgement.notes = event.target.value), "notes"));
const decision = element("decision");
if (decision) {
  decision.value = read(hereKey("reason")) ?? "";
  decision.addEventListener("input", () => write(hereKey("reason"), decision.value));
}
element("submit")?.addEventListener("click", submit);
element("undo")?.addEventListener("click", undo);
element("skip")?.addEventListener("click", () => ask("skip"));
element("flag")?.addEventListener("click", () => ask("flag"));
element("help").addEventListener("click", help);
element("ask").addEventListener("submit", answerAsk);
element("ask-cancel").addEventListener("click", () => element("ask").close());
document.addEventListener("keydown", onKey);
document.addEventListener("mousedown", onMouseDown);
for (const kind of ["keydown", "pointerdown", "pointermove", "wheel", "touchmove"]) {
  document.addEventListener(kind, onInput, { passive: true });
}
document.addEventListener("visibilitychange", () => document.hidden && saver.timer && saver.save());
addEventListener("pagehide", () => {
  saver.leave();
  if (!saver.stopped) write(hereKey("active"), active);
});
addEventListener("pageshow", (event) => event.persisted && location.reload()); // the browser's back shows an old state
