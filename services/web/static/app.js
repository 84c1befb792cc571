// The page: takes videos, sends one after the other, and wires what `upload.js` hears to what `card.js` shows.
import { Card } from "./card.js";
import { authorization, hasKey, keep } from "./key.js";
import { shrink } from "./shrink.js";
import { measureUplink, upload, uplinkOf } from "./upload.js";
import { measuredInWords, samplingInWords } from "./words.js";

const $ = (id) => document.getElementById(id);
const waiting = [];
const models = new Map(); // by name
let isSending = false;
let uplink = 0; // bytes a second; 0: not known yet

async function loadModels() {
  const response = await fetch("v1/models", { headers: authorization() }).catch(() => null);
  if (response?.status === 401) {
    askForKey();
    return;
  }
  if (!response?.ok) {
    $("notice").textContent = "The models cannot be listed yet: is Triton still starting? Reload in a moment.";
    return;
  }
  $("sign-in").hidden = true;
  $("notice").textContent = "";
  const { models: offered, default: usual } = await response.json();
  $("model").replaceChildren();
  for (const model of offered) {
    models.set(model.name, model);
    $("model").add(new Option(model.name, model.name, model.name === usual, model.name === usual));
  }
  showModel();
}

function showModel() {
  const { description, sampling, measured } = models.get($("model").value) ?? {};
  const parts = sampling ? [description, samplingInWords(sampling), measuredInWords(measured)] : [];
  $("model-card").textContent = parts.filter(Boolean).join(". ");
}

function askForKey() {
  $("notice").textContent = hasKey() ? "The server does not accept this key." : "This server asks for a key.";
  $("sign-in").hidden = false;
  $("key").focus();
}

/** What a label means, or "". */
const meaning = (model, label) => models.get(model)?.descriptions?.[label] ?? "";

/** Where a video goes: to be classified, or cut into segments. */
function chosenAddress() {
  const isOverTime = $("views").value === "segments";
  const query = new URLSearchParams();
  for (const name of isOverTime ? ["model"] : ["model", "views"]) {
    if ($(name).value) query.set(name, $(name).value);
  }
  return `v1/${isOverTime ? "segments" : "classify"}?${query}`;
}

function add(files) {
  for (const file of files) {
    const job = { file, address: chosenAddress(), model: $("model").value, mode: $("shrink").value, card: new Card(file, meaning) };
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
async function shrunk({ file, mode, model, card }) {
  const shortSide = models.get(model)?.sampling.short_side;
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

async function sent({ address, card }, body) {
  await new Promise((ended) => {
    const listeners = card.listeners(address);
    card.onCancel = upload(body, address, {
      ...listeners,
      ended,
      failed: (problem) => {
        if (problem.status === 401) askForKey();
        listeners.failed(problem);
      },
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
$("sign-in").onsubmit = (event) => {
  event.preventDefault();
  keep($("key").value.trim());
  $("key").value = "";
  loadModels();
};
$("example").onclick = async () => {
  const response = await fetch("example.mp4").catch(() => null);
  if (response?.ok) add([new File([await response.blob()], "example.mp4", { type: "video/mp4" })]);
  else $("notice").textContent = "The example cannot be fetched. Check the connection and try again.";
};
$("model").onchange = showModel;
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
