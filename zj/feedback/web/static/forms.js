// Forms of the other pages that send JSON: <form data-post="/api/reopen">. Their fields and data-content are the body.

import { newId, sendUntilAnswered } from "./requests.js";

for (const form of document.querySelectorAll("form[data-post]")) {
  const client = newId();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true; // a second click is the same action
    const content = { ...JSON.parse(form.dataset.content), ...Object.fromEntries(new FormData(form)), client };
    const { status, body } = await sendUntilAnswered(form.dataset.post, content, () => {});
    if (status === 200) return location.reload();
    if (status === 401) return location.assign("/login");
    button.disabled = false;
    const message = document.createElement("p");
    message.className = "message error";
    message.setAttribute("role", "alert");
    message.textContent = body.error ?? status;
    form.querySelector(".message")?.remove();
    form.append(message);
  });
}
