// One video on the page: its preview, its progress, its result.
import { hasKey } from "./key.js";
import { segmentCells, segmentRows } from "./segments.js";
import { warningInWords } from "./words.js";

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1)} MB`;
const NONE = { label: "no label", score: 0 }; // none reaches its threshold
const bestOf = ({ predictions }) => predictions[0] ?? NONE;
const inWords = (best) => best === NONE ? best.label : `${best.label}, ${percent(best.score)}`;
const percent = (score) => `${(100 * score).toFixed(1)} %`;
const COLOURS = ["#0b62c4", "#b3531e", "#2c7a3f", "#7a3fa0", "#a3253b", "#1f7a86", "#6b6b1a", "#8a4b6f", "#4a5a6a"];

// What a person can do next, by the problem's type.
const CONVERT = "The file may be damaged. Try to play it, or convert it to an MP4.";
const SMALLER = "Cut the video, or choose to shrink it always.";
const SHORTER = "Cut the video, or ask for fewer views.";
const WAIT = "Try again in a few seconds.";
const LONG = "Others' long videos are being watched. Try again in a while.";
const ADVICE = {
  "not-a-video": "Choose a video file: MP4, MOV, WebM, Matroska, AVI, a camera's MTS, …",
  "undecodable-video": CONVERT, "unsupported-codec": CONVERT, "decoder-crashed": CONVERT,
  "over-limit": SMALLER, "body-too-large": SMALLER, "upload-too-slow": SMALLER,
  "decode-timeout": SHORTER, "infer-timeout": SHORTER, "out-of-time": SHORTER,
  "long-requests-full": LONG,
  "busy": WAIT, "starting": WAIT, "not-ready": WAIT, "triton-unavailable": WAIT, "lane-died": WAIT,
  "decoder-out-of-memory": WAIT, "decoder-out-of-threads": WAIT,
  "unauthorized": "Sign in with a key, then try again.",
  "unknown-model": "Reload the page: the models may have changed.",
  "unreachable": "Check the connection and whether the server runs, then try again.",
};

export class Card {
  /** `meaning(model, label)`: what a label means, or "". */
  constructor(file, meaning) {
    this.file = file;
    this.meaning = meaning;
    this.element = document.getElementById("video").content.firstElementChild.cloneNode(true);
    this.views = [];
    this.segments = [];
    this.warnings = [];
    this.durationS = 0;
    this.$("name").textContent = file.name;
    this.$("cancel").onclick = () => this.onCancel();
    this.$("retry").onclick = () => { this.element.remove(); this.onRetry(); };
    this.playhead = document.createElement("div");
    this.playhead.className = "playhead";
    this.$("player").ontimeupdate = () => this.movePlayhead();
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
  listeners(address) {
    return {
      progress: (part) => {
        this.$("progress").value = part;
        this.say(part < 1 ? `Uploading: ${percent(part)}` : "Decoding …");
      },
      video: (video) => { this.durationS = video.duration_s; },
      warning: (warning) => this.showWarnings([...this.warnings, warning]),
      view: (view) => this.showView(view),
      window: ({ end_s: seen }) => this.say(`${percent(seen / this.durationS)} of the video watched …`),
      segment: (segment) => this.addSegment(segment),
      result: (result) => (result.segments ? this.showSegmented(result, address) : this.showResult(result, address)),
      failed: ({ type = "", title, detail, request_id: id }) => {
        const advice = ADVICE[type.split(":").pop()] ?? (id ? `Whoever runs the server finds it as ${id}.` : "");
        const why = detail && detail !== "Try again." ? ` (${detail})` : "";
        this.say(`${title}${why}. ${advice}`, true);
      },
      cancelled: () => this.say("Cancelled."),
    };
  }

  end() {
    this.$("cancel").hidden = this.$("progress").hidden = true;
    this.$("retry").hidden = !this.$("result").hidden;
    this.$("timeline").hidden = this.views.length + this.segments.length === 0;
  }

  showView(view) {
    this.views.push(view);
    this.say(`${this.views.length} view${this.views.length > 1 ? "s" : ""} classified …`);
    this.drawTimeline();
  }

  drawTimeline() {
    this.views.sort((a, b) => a.start_s - b.start_s);
    this.durationS = Math.max(this.durationS, ...this.views.map((view) => view.end_s));
    const labels = [...new Set(this.views.map((view) => bestOf(view).label))];
    const seconds = shares(this.views, this.durationS);
    const bars = this.views.map((view, k) => {
      const best = bestOf(view);
      const bar = document.createElement("button");
      bar.type = "button";
      bar.textContent = best.label;
      bar.title = `${view.start_s.toFixed(2)} to ${view.end_s.toFixed(2)} s: ${inWords(best)}`;
      bar.setAttribute("aria-label", bar.title);
      bar.style.background = COLOURS[labels.indexOf(best.label) % COLOURS.length];
      bar.style.flexGrow = seconds[k];
      bar.onclick = () => { this.$("player").currentTime = view.start_s; };
      return bar;
    });
    this.$("timeline").replaceChildren(...bars, this.playhead);
    this.movePlayhead();
  }

  movePlayhead() {
    const part = this.$("player").currentTime / this.durationS || 0;
    this.playhead.style.left = `${100 * Math.min(part, 1)}%`;
  }

  /** Drawn once a frame, however many come: an hour may have thousands. */
  addSegment(segment) {
    this.segments.push(segment);
    this.drawing ??= requestAnimationFrame(() => this.showSegments(this.segments));
  }

  showSegments(segments) {
    this.drawing = null;
    this.segments = segments;
    const labels = [...new Set(segments.map((segment) => segment.label))];
    const colour = (label) => COLOURS[labels.indexOf(label) % COLOURS.length];
    const seek = (second) => { this.$("player").currentTime = second; };
    this.$("timeline").classList.add("rows");
    this.$("timeline").replaceChildren(...segmentRows(segments, this.durationS, colour, seek), this.playhead);
    this.movePlayhead();
  }

  showSegmented(result, address) {
    this.showSegments(result.segments);
    this.showWarnings(result.warnings);
    this.$("seen-title").textContent = "Segment by segment";
    this.$("views-seen").replaceChildren(...result.segments.map((segment) => tableRow(segmentCells(segment))));
    this.showTiming(result);
    this.$("copy").onclick = () => this.copyCurl(address);
    this.$("result").hidden = false;
    this.say(`${result.segments.length} segment${result.segments.length === 1 ? "" : "s"} in ${result.windows} windows`);
  }

  showResult(result, address) {
    const best = bestOf(result);
    this.views = result.views;
    this.drawTimeline();
    this.showWarnings(result.warnings ?? []);
    const means = ({ label }) => this.meaning(result.model, label);
    this.$("predictions").replaceChildren(...result.predictions.map((one) => prediction(one, means(one))));
    this.$("views-seen").replaceChildren(...result.views.map(row));
    this.showTiming(result);
    this.$("copy").onclick = () => this.copyCurl(address);
    this.$("result").hidden = false;
    const used = result.auto ? `, ${result.auto.used} of ${result.auto.planned} views were enough` : "";
    this.say(`${inWords(best)}${result.auto?.reason === "decided" ? used : ""}`);
  }

  /** What was doubtful in the file: the labels may be wrong for it. */
  showWarnings(warnings) {
    this.warnings = warnings;
    this.$("warnings").hidden = warnings.length === 0;
    this.$("warnings").replaceChildren(...warnings.map((warning) => {
      const item = document.createElement("li");
      item.textContent = warningInWords(warning);
      return item;
    }));
  }

  showTiming({ timing_ms: timing, handoff }) {
    // Inference hides behind decoding: the bar shows what each adds to the total.
    const stages = { upload: timing.spool, decode: timing.decode };
    stages["rest of infer"] = Math.max(0, timing.total - timing.spool - timing.decode);
    const entries = Object.entries(stages);
    this.$("stages").replaceChildren(...entries.map(([, ms], k) => {
      const part = document.createElement("span");
      part.style.flexGrow = ms;
      part.style.background = COLOURS[k];
      return part;
    }));
    const names = [...entries, ["total", timing.total]].map(([stage, ms], k) => {
      const name = document.createElement("span");
      name.textContent = `${stage} ${ms.toFixed(0)} ms`;
      name.className = k < entries.length ? "stage" : "";
      name.style.setProperty("--colour", COLOURS[k]);
      return name;
    });
    this.$("stage-names").replaceChildren(...names, `handed over by ${handoff}`);
  }

  async copyCurl(path) {
    const address = new URL(path, location.href);
    const key = hasKey() ? `-H "Authorization: Bearer $CLIPLANE_KEY" ` : "";
    const command = `curl ${key}--data-binary '@${this.file.name.replaceAll("'", "'\\''")}' '${address}'`;
    try {
      await navigator.clipboard.writeText(command);
      this.$("copy").textContent = "Copied";
    } catch { // no HTTPS, or no leave: to be copied by hand
      this.$("curl").textContent = command;
      this.$("curl").hidden = false;
    }
  }
}

/** Seconds of the video for which each view stands, sorted by time: from half way to the one before to half way to the
 * next. The crops of one clip share its seconds. */
function shares(views, durationS) {
  const middles = views.map((view) => (view.start_s + view.end_s) / 2);
  const clips = [...new Set(middles)];
  const edges = [0, ...clips.slice(1).map((middle, k) => (clips[k] + middle) / 2), durationS];
  return middles.map((middle) => {
    const k = clips.indexOf(middle);
    return (edges[k + 1] - edges[k]) / middles.filter((other) => other === middle).length;
  });
}

function prediction({ label, score }, meaning) {
  const item = document.createElement("li");
  const [name, bar, value] = ["span", "meter", "span"].map((tag) => document.createElement(tag));
  name.textContent = label;
  bar.value = score;
  bar.setAttribute("aria-label", label);
  value.textContent = percent(score);
  item.append(name, bar, value);
  if (meaning) {
    const text = document.createElement("span");
    text.className = "meaning";
    text.textContent = meaning;
    item.append(text);
  }
  return item;
}

function row(view) {
  const best = bestOf(view);
  return tableRow([`${view.start_s.toFixed(2)} s`, `${view.end_s.toFixed(2)} s`, best.label, percent(best.score)]);
}

function tableRow(texts) {
  const line = document.createElement("tr");
  for (const text of texts) line.insertCell().textContent = text;
  return line;
}
