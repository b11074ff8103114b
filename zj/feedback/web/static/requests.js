// Requests to the server. Each action has an id of its own, so a request that is repeated does nothing twice.

const csrf = document.querySelector("meta[name=csrf]").content;
const LARGEST_KEEPALIVE = 60_000; // bytes; a browser refuses more than 64 KiB in requests that outlive their page

/** A random id. `crypto.randomUUID` is missing where a page comes by plain HTTP from another machine. */
export function newId() {
  const bytes = [...crypto.getRandomValues(new Uint8Array(16))];
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** One try. Rejects if the network fails. The request goes on when the page is left, unless it is too large. */
export function send(url, content, signal) {
  const body = JSON.stringify(content);
  const keepalive = new TextEncoder().encode(body).length < LARGEST_KEEPALIVE;
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrf };
  return fetch(url, { method: "POST", headers, body, keepalive, signal, redirect: "error" });
}

/**
 * Try until the server answers, and return {status, body}. A lost connection, a busy server (5xx) and too many
 * requests (429) are tried again; `onFailure(status)` hears of each, with status 0 for the network.
 */
export async function sendUntilAnswered(url, content, onFailure) {
  for (let pause = 1000; ; pause = Math.min(2 * pause, 30_000)) {
    let status = 0;
    try {
      const reply = await send(url, content, AbortSignal.timeout(20_000));
      status = reply.status;
      if (status === 200) return { status, body: await reply.json() };
      if (status < 500 && status !== 429) return { status, body: await reply.json().catch(() => ({})) };
    } catch {
      status = 0; // also a reply that broke off
    }
    onFailure(status);
    await untilOnline(pause);
  }
}

/** After `pause` ms, or as soon as the browser says that it is online again. */
function untilOnline(pause) {
  return new Promise((resolve) => {
    setTimeout(resolve, pause);
    addEventListener("online", resolve, { once: true });
  });
}
