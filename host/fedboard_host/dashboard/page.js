// Puts pushed fragments into their places, and sends what the buttons ask for.
"use strict";
const token = new URLSearchParams(location.search).get("token") || "";
const query = token ? "?token=" + encodeURIComponent(token) : "";
const shown = new Map();
const byId = (id) => document.getElementById(id);

function show(told) {
  for (const [id, html] of Object.entries(told.fragments)) {
    const place = byId(id);
    if (!place || shown.get(id) === html) continue;
    const top = place.scrollTop;
    const left = place.scrollLeft;
    place.innerHTML = html; // made and escaped by our server
    shown.set(id, html);
    place.scrollTo(left, top);
  }
  const pause = byId("pause");
  pause.textContent = told.paused ? "Go on" : "Pause";
  pause.dataset.paused = told.paused ? "1" : "";
  const select = byId("board");
  const names = told.boards.join("\n");
  if (select.dataset.names !== names) {
    const chosen = select.value;
    select.replaceChildren(...told.boards.map((name) => new Option(name, name)));
    if (told.boards.includes(chosen)) select.value = chosen;
    select.dataset.names = names;
  }
}

async function ask(action, values) {
  const said = byId("said");
  said.textContent = "…";
  try {
    const answer = await fetch("act/" + action + query, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Fedboard": "1" },
      body: JSON.stringify(values),
    });
    said.textContent = (await answer.json()).said;
  } catch (error) {
    said.textContent = "The host does not answer: is it still running?";
  }
}

byId("pause").addEventListener("click", (event) =>
  ask("pause", { paused: !event.currentTarget.dataset.paused }));
byId("personalize").addEventListener("click", () =>
  ask("personalize", { board: byId("board").value }));
byId("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("record", {
    board: byId("board").value,
    label: Number(byId("label").value),
    seconds: Number(byId("seconds").value),
  });
});

const stream = new EventSource("events" + query);
stream.onmessage = (event) => show(JSON.parse(event.data));
stream.onopen = () => { byId("link").textContent = "live"; };
stream.onerror = () => { byId("link").textContent = "the host does not answer; trying again"; };
