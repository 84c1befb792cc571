// The page: takes videos, sends one after the other, and wires what `upload.js` hears to what `card.js` shows.
import { Card } from "./card.js";
import { upload } from "./upload.js";

const $ = (id) => document.getElementById(id);
const waiting = [];
let isSending = false;

async function loadModels() {
  const answer = await fetch("v1/models").catch(() => null);
  if (!answer?.ok) {
    $("notice").textContent = "The models cannot be listed yet: is Triton still starting? Reload in a moment.";
    return;
  }
  const { models, default: usual } = await answer.json();
  for (const model of models) {
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
    const job = { file, query: query(), card: new Card(file) };
    job.card.onCancel = () => {
      if (job.abort) return job.abort();
      waiting.splice(waiting.indexOf(job), 1);
      job.card.say("Cancelled.");
      job.card.end();
    };
    $("videos").prepend(job.card.element);
    waiting.push(job);
  }
  sendNext();
}

async function sendNext() {
  if (isSending || waiting.length === 0) return;
  isSending = true;
  const job = waiting.shift();
  await new Promise((ended) => {
    job.abort = upload(job.file, job.query, { ...job.card.listeners(job.query), ended });
  });
  job.card.end();
  isSending = false;
  sendNext();
}

$("form").onsubmit = (event) => {
  event.preventDefault();
  add($("files").files);
  $("form").reset();
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
