// The page: takes videos, sends one after the other, and wires what `upload.js` hears to what `card.js` shows.
import { Card } from "./card.js";
import { shrink } from "./shrink.js";
import { measureUplink, upload, uplinkOf } from "./upload.js";

const $ = (id) => document.getElementById(id);
const waiting = [];
const shortSides = new Map(); // by model
let isSending = false;
let uplink = 0; // bytes a second; 0: not known yet

async function loadModels() {
  const answer = await fetch("v1/models").catch(() => null);
  if (!answer?.ok) {
    $("notice").textContent = "The models cannot be listed yet: is Triton still starting? Reload in a moment.";
    return;
  }
  const { models, default: usual } = await answer.json();
  for (const model of models) {
    shortSides.set(model.name, model.sampling.short_side);
    $("model").add(new Option(model.name, model.name, model.name === usual, model.name === usual));
  }
}

function query() {
  const chosen = new URLSearchParams();
  for (const name of ["model", "views"]) {
    if ($(name).value) chosen.set(name, $(name).value);
  }
  return chosen;
}

function add(files) {
  for (const file of files) {
    const job = { file, query: query(), mode: $("shrink").value, card: new Card(file) };
    job.card.onCancel = () => {
      waiting.splice(waiting.indexOf(job), 1);
      job.card.say("Cancelled.");
      job.card.end();
    };
    job.card.onRetry = () => add([file]);
    $("videos").prepend(job.card.element);
    waiting.push(job);
  }
  sendNext();
}

async function sendNext() {
  if (isSending || waiting.length === 0) return;
  isSending = true;
  const job = waiting.shift();
  const body = await shrunk(job);
  if (body) await sent(job, body);
  job.card.end();
  isSending = false;
  sendNext();
}

/** What to send for a job; null where it was cancelled meanwhile. */
async function shrunk({ file, mode, query, card }) {
  const shortSide = shortSides.get(query.get("model"));
  if (!shortSide) return file; // the models could not be listed
  const abort = new AbortController();
  const cancelled = new Promise((_, leave) => {
    card.onCancel = () => { abort.abort(); leave(abort.signal.reason); };
  });
  const shrinking = shrink(file, {
    mode, shortSide, signal: abort.signal, progress: (part) => card.showShrinking(part),
    uplink: async () => (uplink ||= await measureUplink()),
  });
  try {
    const done = await Promise.race([shrinking, cancelled]);
    card.showShrunk(done);
    return done.body;
  } catch {
    card.say("Cancelled.");
    return null;
  }
}

async function sent({ query, card }, body) {
  await new Promise((ended) => {
    const listeners = card.listeners(query);
    card.onCancel = upload(body, query, {
      ...listeners,
      ended,
      result: (result) => {
        uplink = uplinkOf(result, body.size) || uplink;
        listeners.result(result);
      },
    });
  });
}

$("form").onsubmit = (event) => {
  event.preventDefault();
  add($("files").files);
  $("files").value = ""; // and the choices stay for the next ones
  $("chosen").textContent = "Drop videos here, or choose some";
};
$("files").onchange = () => {
  const names = [...$("files").files].map((file) => file.name);
  $("chosen").textContent = names.join(", ") || "Drop videos here, or choose some";
};
for (const name of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") add(event.dataTransfer.files);
  });
}
loadModels();
