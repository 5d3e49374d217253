// What a browser client of the first wire does, as far as a server notices: when it asks what, with which words it
// connects, what it remembers of an event, and that it shows whatever it gets, twice if it gets it twice.
import { io } from "/assets/socket.io.esm.min.js";

const LOOK_AGAIN = 30_000;
const LOOK_AGAIN_SOON = 3_000; // while it starts, and while the server is away
const NOT_SHOWN = ["websocket error", "timeout"];
const ENVELOPE = ["id", "source", "message", "timestamp"];
const PRESELECTED = "openhands/claude-sonnet-4-20250514"; // by a client that was shown no settings

// For tests to read: all events, in the order in which they came; each connection with the cursor it asked for; why
// connections ended; what the server refused with; what was told of the conversation, each time it was looked at.
const held = {
  events: [],
  visits: [],
  ends: [],
  refusals: [],
  conversation: null,
  connected: false,
  failed: 0,
  looks: [],
  banners: [],
};
window.held = held;

const sid = location.pathname.match(/^\/conversations\/([^/]+)$/)?.[1];
const here = `/api/conversations/${sid}`;
let socket = null;
let lastEvent = null;
let lookingAgain = 0;
let openedFor = null;

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
    const first = held.conversation === null;
    held.conversation = found;
    held.looks.push(found.status);
    status = found.status;
    document.querySelector("h1").textContent = found.title;
    if (status === "STOPPED" && first) {
      await ask("POST", `${here}/start`, { providers_set: [] });
      return look();
    }
    follow(found);
  } catch (error) {
    console.info(String(error));
  }
  lookingAgain = setTimeout(look, ["STARTING", null].includes(status) ? LOOK_AGAIN_SOON : LOOK_AGAIN);
}

// A connection is for one state of the conversation: when that is told otherwise, it is given up.
function follow(found) {
  const { url, status, runtime_status: runtime } = found;
  const wanted = JSON.stringify([url, status, runtime]);
  if (wanted === openedFor) return;
  openedFor = wanted;
  if (socket !== null) {
    socket.off();
    socket.close();
    socket = null;
    connected(false);
  }
  if (status === "STOPPED") document.querySelector("[role=status]").textContent = "Stopped";
  if (status === "RUNNING" && runtime && runtime !== "STATUS$STOPPED") open(found);
}

function open(conversation) {
  socket = io(location.origin, {
    transports: ["websocket"],
    path: "/socket.io",
    forceNew: true,
    query: {
      latest_event_id: lastEvent?.id ?? -1,
      conversation_id: sid,
      providers_set: "",
      session_api_key: conversation.session_api_key,
    },
  });
  const { io: manager } = socket;
  manager.on("open", () => held.visits.push({ after: manager.opts.query.latest_event_id, ids: [] }));
  socket.on("connect", () => {
    banner("");
    connected(true);
  });
  socket.on("disconnect", (reason) => {
    held.ends.push(reason);
    connected(false);
    manager.opts.query.latest_event_id = lastEvent?.id;
  });
  socket.on("connect_error", refused);
  socket.on("oh_event", take);
}

function connected(yes) {
  held.connected = yes;
  document.querySelector("[role=status]").textContent = yes ? "Connected" : "Disconnected";
}

function banner(text) {
  if (text) held.banners.push(text);
  document.querySelector("[role=alert]").textContent = text;
}

function refused(error) {
  if (NOT_SHOWN.includes(error.message)) {
    held.failed += 1;
  } else {
    held.refusals.push({ message: error.message, data: error.data });
    banner(error.message);
  }
  look(); // something may have become of the conversation
}

function take(value) {
  if (ENVELOPE.every((name) => name in value)) {
    if (value.status_update && value.type === "error") return banner(value.message);
    if ("action" in value || "observation" in value) show(value);
  }
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
  if (state === "error") banner(reason);
  else if (event.observation !== "error") banner("");
  if (event.action && event.llm_metrics) showUsage(event.llm_metrics.accumulated_token_usage);
}

function showUsage({ per_turn_token: used, context_window: window }) {
  document.querySelector("#usage").textContent = `${used} / ${window} (${((used / window) * 100).toFixed(2)}%)`;
}

function send(action, args) {
  socket.emit("oh_user_action", { action, args });
}

function begin(form, then) {
  form.hidden = false;
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const words = form.elements.words.value;
    then(words);
    form.reset();
  });
}

async function home() {
  const answer = await fetch("/api/settings");
  if (answer.status === 404) return chooseModel();
  const { llm_model: model, llm_api_key_set: keySet } = await answer.json();
  document.querySelector("#model").textContent = `${model}, ${keySet ? "with a key" : "without a key"}`;
  begin(document.querySelector("#launch"), async (words) => {
    const made = await ask("POST", "/api/conversations", words ? { initial_user_msg: words } : {});
    location.assign(`/conversations/${made.conversation_id}`);
  });
}

// The dialog that a new user cannot leave without a model.
async function chooseModel() {
  const [preselected] = PRESELECTED.split("/");
  const form = document.querySelector("#settings");
  for (const name of await ask("GET", "/api/options/models"))
    if (name.startsWith(`${preselected}/`)) form.elements.model.add(new Option(name));
  form.elements.model.value = PRESELECTED;
  form.hidden = false;
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const { model, key } = form.elements;
    await ask("POST", "/api/settings", { llm_model: model.value, llm_api_key: key.value });
    location.reload();
  });
}

async function images() {
  const chosen = [...document.querySelector("#images").files];
  return Promise.all(
    chosen.map(
      (file) =>
        new Promise((done) => {
          const reader = new FileReader();
          reader.onload = () => done(reader.result);
          reader.readAsDataURL(file);
        }),
    ),
  );
}

async function rate() {
  const given = { version: "1.0", email: "a@b.c", polarity: "positive", permissions: "private" };
  const { body } = await ask("POST", `${here}/submit-feedback`, { ...given, trajectory: [], token: "" });
  const { message, feedback_id: made, password } = body;
  document.querySelector("#receipt").textContent = `${message} (${made}) Password: ${password}`;
}

function conversation() {
  document.querySelector("main").hidden = false;
  begin(document.querySelector("#chat"), async (content) =>
    send("message", {
      content,
      image_urls: await images(),
      file_urls: [],
      timestamp: new Date().toISOString(),
    }),
  );
  for (const button of document.querySelectorAll("[data-state]"))
    button.addEventListener("click", () => send("change_agent_state", { agent_state: button.dataset.state }));
  document.querySelector("#stop").addEventListener("click", async () => {
    await ask("POST", `${here}/stop`);
    location.assign("/");
  });
  document.querySelector("#rate").addEventListener("click", rate);
  look();
}

if (sid === undefined) home();
else conversation();
