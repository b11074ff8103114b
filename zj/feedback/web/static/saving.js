// What the doctor did reaches the server: one request at a time, kept on this device until the server has it.

import { newId, send, sendUntilAnswered } from "./requests.js";

const DELAY = 400; // ms after the last change

export class Saver {
  /** `onState(name, detail)` hears "saving", "saved", "offline", "busy", "conflict", "forbidden", "refused". */
  constructor(page, user, canonical, onState) {
    this.item = page.item;
    this.version = page.version;
    this.canonical = canonical; // judgement → text that is equal for equal judgements
    this.onState = onState;
    this.key = `zj/draft/${user}/${page.item}`;
    this.otherKey = `zj/other/${user}/${page.item}`; // of a window that another one has overtaken
    this.judgement = null; // the newest one
    this.onServer = ""; // canonical text of what the server has
    this.inFlight = null; // {judgement, client} of the draft that is on its way
    this.lost = null; // the same of one that was on its way when the page was left
    this.queue = Promise.resolve();
    this.acting = false; // an action is on its way, and no draft may follow it
    this.stopped = false; // this window has nothing more to save: submitted, or overtaken
  }

  /** The judgement that this device kept because the server had not got it; null if there is none, or an older one. */
  restore(saved) {
    this.judgement = saved;
    this.onServer = this.canonical(saved);
    const kept = read(this.key);
    remove(this.key);
    if (!kept || this.canonical(kept.judgement) === this.onServer) return null;
    // The server's draft is the one that ours was made from, or the one that was on its way when the page was left.
    const arrived = kept.inFlight && this.canonical(kept.inFlight.judgement) === this.onServer;
    if (kept.version === this.version || arrived) {
      this.lost = kept.inFlight;
      return kept.judgement;
    }
    write(this.otherKey, kept);
    return null;
  }

  /** A judgement of a window that was overtaken by another one. */
  other() {
    const kept = read(this.otherKey);
    return kept && this.canonical(kept.judgement) !== this.onServer ? kept.judgement : null;
  }

  forgetOther() {
    remove(this.otherKey);
  }

  /** Save a changed judgement soon. */
  change(judgement) {
    if (this.stopped) return;
    this.judgement = structuredClone(judgement);
    this.keep();
    this.onState("saving");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), DELAY);
  }

  /** Submit, decide, skip or flag: the server's reply; null if it refused, and `onState` has heard why. */
  async act(url, content) {
    clearTimeout(this.timer); // a judgement is sent whole
    if (this.lost) await this.save(); // the action needs its version
    if (!content.judgement && !this.saved()) this.inTurn("/api/draft", () => ({ judgement: this.judgement }));
    this.acting = true; // a draft that comes after it would take the item up again
    const reply = await this.inTurn(url, () => content);
    this.acting = false;
    if (reply.status !== 200) {
      this.report(reply);
      this.save(); // what the action carried is not on the server
      return null;
    }
    this.stopped = true;
    remove(this.key);
    return reply.body;
  }

  /**
   * The page is being left: send at once what is not saved. While an older draft is on its way the server would refuse
   * it, because the version that it needs is not known yet; then this device keeps it. So it does beside an action.
   */
  leave() {
    if (this.stopped || this.acting || this.inFlight || this.lost || this.saved()) return;
    this.inFlight = { judgement: this.judgement, client: newId() };
    this.keep();
    send("/api/draft", { item: this.item, version: this.version, ...this.inFlight }).catch(() => {}); // nobody listens
  }

  saved() {
    return this.canonical(this.judgement) === this.onServer;
  }

  async save() {
    if (this.inFlight || this.acting || this.stopped) return; // the reply to the one on its way sends the newest
    if (!this.lost && this.saved()) return this.done();
    // A lost one goes first, with its old id: the server says of which version it is, whether it had come or not.
    const sent = this.lost ?? { judgement: this.judgement, client: newId() };
    this.lost = null;
    this.inFlight = sent;
    this.keep();
    const reply = await this.inTurn("/api/draft", () => ({ judgement: sent.judgement }), sent.client);
    this.inFlight = null;
    if (this.stopped) return;
    if (reply.status !== 200) return this.report(reply);
    this.onServer = this.canonical(sent.judgement);
    this.save(); // the newest one, if it is another
  }

  done() {
    this.timer = 0;
    const kept = read(this.key);
    if (kept && this.canonical(kept.judgement) === this.onServer) remove(this.key); // not that of another window
    this.onState("saved");
  }

  /** Send after all that was sent before, with the version that their replies gave. */
  inTurn(url, content, client = newId()) {
    const turn = this.queue.then(async () => {
      const body = { item: this.item, version: this.version, client, ...content() };
      const reply = await sendUntilAnswered(url, body, (status) => this.onState(status === 429 ? "busy" : "offline"));
      // The reply to a repeated request has the version of its first time.
      if (reply.status === 200) this.version = Math.max(this.version, reply.body.version);
      return reply;
    });
    this.queue = turn;
    return turn;
  }

  report({ status, body }) {
    if (status === 401) {
      this.stopped = true;
      location.assign("/login"); // the judgement waits on this device
    } else if (status === 409) {
      this.stopped = true;
      write(this.otherKey, { judgement: this.judgement });
      remove(this.key);
      this.onState("conflict");
    } else if (status === 403) {
      this.onState("forbidden");
    } else {
      this.onState("refused", body.error ?? status);
    }
    return null;
  }

  keep() {
    write(this.key, { version: this.version, judgement: this.judgement, inFlight: this.inFlight ?? this.lost });
  }
}

// A browser may forbid storage, or have none left. Then the server alone keeps the draft.

export function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

export function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    return;
  }
}

export function remove(key) {
  try {
    localStorage.removeItem(key);
  } catch {
    return;
  }
}
