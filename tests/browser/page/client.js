// What a browser client of the first wire does, as far as a server notices: when it asks what, with which words it
// connects, what it remembers of an event, and that it shows whatever it gets, twice if it gets it twice.
import { io } from "/assets/socket.io.esm.min.js";

const LOOK_AGAIN = 30_000;
const LOOK_AGAIN_SOON = 3_000; // while it starts, and while the server is away
const NOT_SHOWN = ["websocket error", "timeout"];
const ENVELOPE = ["id", "source", "message", "timestamp"];

// For tests to read: all events, in the order in which they came; each connection with the cursor it asked for; why
// connections ended; what the server refused with.
const held = { events: [], visits: [], ends: [], refusals: [], conversation: null, connected: false, failed: 0 };
window.held = held;

const sid = location.pathname.match(/^\/conversations\/([^/]+)$/)?.[1];
const here = `/api/conversations/${sid}`;
let socket = null;
let lastEvent = null;
let lookingAgain = 0;
let startAsked = false;

async function ask(method, path, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const answer = await fetch(path, { method, headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path} was answered with ${answer.status}`);
  return answer.json();
}

async function look() {
  clearTimeout(lookingAgain);
  let status = null;
  try {
    const found = await ask("GET", here);
    if (found === null) return location.assign("/");
    held.conversation = found;
    status = found.status;
    document.querySelector("h1").textContent = found.title;
    if (status === "STOPPED" && !startAsked) {
      startAsked = true;
      await ask("POST", `${here}/start`, { providers_set: [] });
      return look();
    }
    if (status === "RUNNING" && found.runtime_status && found.runtime_status !== "STATUS$STOPPED") open(found);
  } catch (error) {
    console.info(String(error));
  }
  lookingAgain = setTimeout(look, ["STARTING", null].includes(status) ? LOOK_AGAIN_SOON : LOOK_AGAIN);
}

function open(conversation) {
  if (socket !== null) return;
  socket = io(location.origin, {
    transports: ["websocket"],
    path: "/socket.io",
    query: {
      latest_event_id: lastEvent?.id ?? -1,
      conversation_id: sid,
      providers_set: "",
      session_api_key: conversation.session_api_key,
    },
  });
  socket.io.on("open", () => held.visits.push({ after: socket.io.opts.query.latest_event_id, ids: [] }));
  socket.on("connect", () => connected(true));
  socket.on("disconnect", (reason) => {
    held.ends.push(reason);
    connected(false);
    socket.io.opts.query.latest_event_id = lastEvent?.id;
  });
  socket.on("connect_error", refused);
  socket.on("oh_event", take);
}

function connected(yes) {
  held.connected = yes;
  document.querySelector("[role=status]").textContent = yes ? "Connected" : "Disconnected";
}

function refused(error) {
  if (NOT_SHOWN.includes(error.message)) {
    held.failed += 1;
    return;
  }
  held.refusals.push({ message: error.message, data: error.data });
  document.querySelector("[role=alert]").textContent = error.message;
  look();
}

function take(value) {
  if (ENVELOPE.every((name) => name in value) && ("action" in value || "observation" in value)) show(value);
  if (!Number.isNaN(parseInt(value.id, 10))) lastEvent = value;
  if (value.status_update && value.conversation_title) look();
}

function show(event) {
  held.events.push(event);
  held.visits.at(-1).ids.push(event.id);
  const row = document.createElement("li");
  row.textContent = event.message || event.content;
  row.dataset.kind = event.action ?? event.observation;
  row.dataset.source = event.source;
  row.dataset.confirmation = event.args?.confirmation_state ?? "";
  document.querySelector("ol").append(row);
  const { agent_state: state, reason } = event.observation === "agent_state_changed" ? event.extras : {};
  if (state === "error") document.querySelector("[role=alert]").textContent = reason;
}

function send(action, args) {
  socket.emit("oh_user_action", { action, args });
}

function begin(form, then) {
  form.hidden = false;
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const words = form.elements.words.value;
    form.reset();
    then(words);
  });
}

function home() {
  begin(document.querySelector("#launch"), async (words) => {
    const made = await ask("POST", "/api/conversations", words ? { initial_user_msg: words } : {});
    location.assign(`/conversations/${made.conversation_id}`);
  });
}

function conversation() {
  document.querySelector("main").hidden = false;
  begin(document.querySelector("#chat"), (content) =>
    send("message", { content, image_urls: [], file_urls: [], timestamp: new Date().toISOString() }),
  );
  for (const button of document.querySelectorAll("[data-state]"))
    button.addEventListener("click", () => send("change_agent_state", { agent_state: button.dataset.state }));
  document.querySelector("#stop").addEventListener("click", async () => {
    await ask("POST", `${here}/stop`);
    location.assign("/");
  });
  look();
}

if (sid === undefined) home();
else conversation();
