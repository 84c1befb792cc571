// The page: uploads one video and shows each view's label as it comes. No library; one request.
const $ = (id) => document.getElementById(id);
const percent = (score) => `${(100 * score).toFixed(1)} %`;
let request = null;

async function loadModels() {
  const answer = await fetch("v1/models");
  if (!answer.ok) return say("The models cannot be listed yet: is Triton still starting? Reload in a moment.", true);
  const { models, default: usual } = await answer.json();
  for (const model of models) {
    $("model").add(new Option(model.name, model.name, model.name === usual, model.name === usual));
  }
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

// What a person can do next, by the problem's type.
const ADVICE = {
  "not-a-video": "Choose an MP4, MOV, Matroska, WebM or AVI file.",
  "undecodable-video": "The file may be damaged. Try to play it, or convert it.",
  "body-too-large": "Cut the video or make it smaller.",
  "busy": "Try again in a few seconds.",
  "not-ready": "Try again in a few seconds.",
  "triton-unavailable": "Try again in a few seconds.",
};

function fail(problem) {
  const advice = ADVICE[(problem.type ?? "").split(":").pop()] ?? "";
  say([problem.title, problem.detail, advice].filter(Boolean).join(". "), true);
}

function showView(view) {
  const best = view.predictions[0];
  const row = $("views-seen").insertRow();
  for (const text of [`${view.start_s.toFixed(2)} s`, `${view.end_s.toFixed(2)} s`, best.label, percent(best.score)]) {
    row.insertCell().textContent = text;
  }
  $("result").hidden = false;
}

function showResult(result) {
  for (const { label, score } of result.predictions) {
    const item = document.createElement("li");
    const name = document.createElement("span");
    const bar = document.createElement("meter");
    const value = document.createElement("span");
    name.textContent = label;
    bar.value = score;
    bar.setAttribute("aria-label", label);
    value.textContent = percent(score);
    item.append(name, bar, value);
    $("predictions").append(item);
  }
  const timing = Object.entries(result.timing_ms).map(([stage, ms]) => `${stage} ${ms.toFixed(0)} ms`);
  $("timing").textContent = `${timing.join(" · ")} · ${result.handoff}`;
  $("result").hidden = false;
  say(`${result.predictions[0].label}, ${percent(result.predictions[0].score)}`);
}

// XMLHttpRequest and not fetch: only it reports the upload's progress.
function classify(file) {
  $("predictions").replaceChildren();
  $("views-seen").replaceChildren();
  $("result").hidden = true;
  const query = new URLSearchParams();
  if ($("model").value) query.set("model", $("model").value);
  if ($("views").value) query.set("views", $("views").value);
  request = new XMLHttpRequest();
  request.open("POST", `v1/classify?${query}`);
  request.setRequestHeader("Accept", "text/event-stream, application/json;q=0.5");
  let read = 0, seen = 0;
  request.upload.onprogress = (event) => {
    $("progress").value = event.loaded / event.total;
    say(event.loaded < event.total ? `Uploading: ${percent(event.loaded / event.total)}` : "Decoding …");
  };
  request.onprogress = () => {
    if (request.status !== 200) return;
    for (let end; (end = request.responseText.indexOf("\n\n", read)) >= 0; read = end + 2) {
      const [, name, data] = request.responseText.slice(read, end).match(/^event: (.*)\ndata: (.*)$/);
      const value = JSON.parse(data);
      if (name === "view") { showView(value); say(`${++seen} views classified …`); }
      if (name === "result") showResult(value);
      if (name === "error") fail(value);
    }
  };
  request.onload = () => { if (request.status !== 200) fail(JSON.parse(request.responseText)); };
  request.onerror = () => say("The server cannot be reached.", true);
  request.onabort = () => say("Cancelled.");
  request.onloadend = () => busy(false);
  busy(true);
  request.send(file);
}

function busy(isBusy) {
  $("cancel").hidden = $("progress").hidden = !isBusy;
  $("classify").disabled = isBusy;
}

$("form").onsubmit = (event) => { event.preventDefault(); classify($("file").files[0]); };
$("cancel").onclick = () => request.abort();
$("file").onchange = () => { $("file-name").textContent = $("file").files[0]?.name ?? "Drop a video here, or choose one"; };
for (const name of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) {
      $("file").files = event.dataTransfer.files;
      $("file").onchange();
      classify($("file").files[0]);
    }
  });
}
loadModels();
