// One video on the page: its preview, its progress, its result.

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1)} MB`;
const percent = (score) => `${(100 * score).toFixed(1)} %`;
const COLOURS = ["#0b62c4", "#b3531e", "#2c7a3f", "#7a3fa0", "#a3253b", "#1f7a86", "#6b6b1a", "#8a4b6f", "#4a5a6a"];

// What a person can do next, by the problem's type.
const ADVICE = {
  "not-a-video": "Choose an MP4, MOV, Matroska, WebM, AVI or MPEG-TS file.",
  "undecodable-video": "The file may be damaged. Try to play it, or convert it.",
  "over-limit": "Cut the video, or make it smaller.",
  "body-too-large": "Cut the video, or make it smaller.",
  "busy": "Try again in a few seconds.",
  "not-ready": "Try again in a few seconds.",
  "triton-unavailable": "Try again in a few seconds.",
};

export class Card {
  constructor(file) {
    this.file = file;
    this.element = document.getElementById("video").content.firstElementChild.cloneNode(true);
    this.views = [];
    this.durationS = 0;
    this.$("name").textContent = file.name;
    this.$("cancel").onclick = () => this.onCancel();
    this.address = URL.createObjectURL(file);
    this.$("player").src = this.address;
    // Not every browser plays every container that the server reads.
    this.$("player").onerror = () => { this.$("player").hidden = true; };
  }

  $(name) { return this.element.querySelector(`.${name}`); }

  say(text, isError = false) {
    this.$("status").textContent = text;
    this.$("status").classList.toggle("error", isError);
  }

  showShrinking(part) {
    this.$("progress").value = part;
    this.say(`Shrinking: ${percent(part)}`);
  }

  /** What `shrink` did; nothing is shown where it was not asked to, or this browser cannot. */
  showShrunk({ wasShrunk, reason, rawBytes, sentBytes, encodeS, uplink }) {
    if (!wasShrunk) {
      this.$("shrunk").textContent = reason && `Sent as it is, ${megabytes(rawBytes)}: ${reason}`;
      return;
    }
    const savedS = (rawBytes - sentBytes) / uplink - encodeS;
    const gain = savedS > 0 ? `about ${savedS.toFixed(1)} s saved` : `about ${(-savedS).toFixed(1)} s lost`;
    this.$("shrunk").textContent =
      `${megabytes(sentBytes)} sent instead of ${megabytes(rawBytes)} (${reason}, in ${encodeS.toFixed(1)} s): ${gain}`;
  }

  /** What `upload` calls. */
  listeners(query) {
    return {
      progress: (part) => {
        this.$("progress").value = part;
        this.say(part < 1 ? `Uploading: ${percent(part)}` : "Decoding …");
      },
      video: (video) => { this.durationS = video.duration_s; },
      view: (view) => this.showView(view),
      result: (result) => this.showResult(result, query),
      failed: (problem) => {
        const advice = ADVICE[(problem.type ?? "").split(":").pop()] ?? "";
        this.say([problem.title, problem.detail, advice].filter(Boolean).join(". "), true);
      },
      cancelled: () => this.say("Cancelled."),
    };
  }

  end() {
    this.$("cancel").hidden = this.$("progress").hidden = true;
  }

  showView(view) {
    this.views.push(view);
    this.views.sort((a, b) => a.start_s - b.start_s);
    this.say(`${this.views.length} view${this.views.length > 1 ? "s" : ""} classified …`);
    this.drawTimeline();
  }

  drawTimeline() {
    const labels = [...new Set(this.views.map((view) => view.predictions[0].label))];
    const bars = this.views.map((view) => {
      const best = view.predictions[0];
      const bar = document.createElement("button");
      bar.type = "button";
      bar.textContent = best.label;
      bar.title = `${view.start_s.toFixed(2)} to ${view.end_s.toFixed(2)} s: ${best.label}, ${percent(best.score)}`;
      bar.setAttribute("aria-label", bar.title);
      bar.style.background = COLOURS[labels.indexOf(best.label) % COLOURS.length];
      bar.style.flexGrow = Math.max(view.end_s - view.start_s, 0.01);
      bar.onclick = () => { this.$("player").currentTime = view.start_s; };
      return bar;
    });
    this.$("timeline").replaceChildren(...bars);
  }

  showResult(result, query) {
    const best = result.predictions[0];
    this.views = result.views;
    this.drawTimeline();
    this.$("predictions").replaceChildren(...result.predictions.map(prediction));
    this.$("views-seen").replaceChildren(...result.views.map(row));
    this.showTiming(result);
    this.$("copy").onclick = () => this.copyCurl(query);
    this.$("result").hidden = false;
    const used = result.auto ? `, ${result.auto.used} of ${result.auto.planned} views were enough` : "";
    this.say(`${best.label}, ${percent(best.score)}${result.auto?.reason === "decided" ? used : ""}`);
  }

  showTiming({ timing_ms: timing, handoff }) {
    // Inference hides behind decoding: the bar shows what each adds to the total.
    const stages = { upload: timing.spool, decode: timing.decode };
    stages["rest of infer"] = Math.max(0, timing.total - timing.spool - timing.decode);
    const parts = Object.values(stages).map((ms, k) => {
      const part = document.createElement("span");
      part.style.flexGrow = ms;
      part.style.background = COLOURS[k];
      return part;
    });
    const text = Object.entries(timing).map(([stage, ms]) => `${stage} ${ms.toFixed(0)} ms`).join(" · ");
    this.$("stages").replaceChildren(...parts);
    this.$("stages").setAttribute("aria-label", text);
    this.$("stage-names").textContent = `${text} · ${handoff}`;
  }

  async copyCurl(query) {
    const address = new URL(`v1/classify?${query}`, location.href);
    const name = this.file.name.replaceAll("'", "'\\''");
    await navigator.clipboard?.writeText(`curl --data-binary '@${name}' '${address}'`);
    this.$("copy").textContent = navigator.clipboard ? "Copied" : "Copying needs HTTPS or localhost";
  }
}

function prediction({ label, score }) {
  const item = document.createElement("li");
  const [name, bar, value] = ["span", "meter", "span"].map((tag) => document.createElement(tag));
  name.textContent = label;
  bar.value = score;
  bar.setAttribute("aria-label", label);
  value.textContent = percent(score);
  item.append(name, bar, value);
  return item;
}

function row(view) {
  const best = view.predictions[0];
  const line = document.createElement("tr");
  for (const text of [`${view.start_s.toFixed(2)} s`, `${view.end_s.toFixed(2)} s`, best.label, percent(best.score)]) {
    line.insertCell().textContent = text;
  }
  return line;
}
