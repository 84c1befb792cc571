// One request: a file up, events down; and how fast "up" is. Knows nothing of the page.

import { authorization } from "./key.js";
import { problemOf, sendResumably } from "./resumable.js";

const RESUMABLE_BYTES = 16 * 1024 * 1024; // so large a file is worth the two short requests more

const PROBE_BYTES = 256 * 1024;
const PROBES = 3;
const LONG_PROBE_MS = 200;

/**
 * Sends `file` to `address` and calls the listeners as things happen; returns what aborts it.
 * listeners: progress(part of 1), video(data), warning(data), view(data), window(data), segment(data), result(data),
 * failed(problem), cancelled(), ended().
 */
export function upload(file, address, listeners) {
  if (file.size < RESUMABLE_BYTES) return post(file, address, listeners);
  const cancel = new AbortController();
  let abort = () => cancel.abort();
  sendResumably(file, listeners.progress, cancel.signal).then(
    (id) => { abort = post(JSON.stringify({ upload: id }), address, { ...listeners, progress: () => {} }, "application/json"); },
    (problem) => {
      if (cancel.signal.aborted) listeners.cancelled();
      else listeners.failed(problem);
      listeners.ended();
    },
  );
  return () => abort();
}

function post(body, address, listeners, type = null) {
  // XMLHttpRequest and not fetch: only it reports the upload's progress.
  const request = new XMLHttpRequest();
  let read = 0;
  request.open("POST", address);
  if (type) request.setRequestHeader("Content-Type", type);
  request.setRequestHeader("Accept", "text/event-stream, application/json;q=0.5");
  for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
  request.upload.onprogress = ({ loaded, total }) => listeners.progress(loaded / total);
  request.onprogress = () => {
    if (request.status !== 200) return;
    for (let end; (end = request.responseText.indexOf("\n\n", read)) >= 0; read = end + 2) {
      const [, name, data] = request.responseText.slice(read, end).match(/^event: (.*)\ndata: (.*)$/);
      listeners[name === "error" ? "failed" : name]?.(JSON.parse(data)); // names of later servers are passed over
    }
  };
  request.onload = () => { if (request.status !== 200) listeners.failed(problemOf(request)); };
  request.onerror = () => listeners.failed({ type: "unreachable", title: "The server cannot be reached" });
  request.onabort = () => listeners.cancelled();
  request.onloadend = () => listeners.ended();
  request.send(body);
  return () => request.abort();
}

/**
 * Bytes a second towards the server, by sending it a little that is no video, which it refuses.
 *
 * What disturbs a measurement, a busy machine or a new connection's slow start, makes it longer and never shorter: the
 * quickest counts. Where one takes long in any case, the disturbance is a small part of it.
 */
export async function measureUplink() {
  let quickestMs = Infinity;
  for (let probe = 0; probe < PROBES; probe++) {
    const tookMs = await probeMs();
    quickestMs = Math.min(quickestMs, tookMs);
    if (tookMs > LONG_PROBE_MS) break;
  }
  return (1000 * PROBE_BYTES) / quickestMs;
}

/** How long the server says a probe was on its way: its own clock knows nothing of what it did with it afterwards. */
async function probeMs() {
  const began = performance.now();
  const response = await fetch("v1/classify", { method: "POST", headers: authorization(), body: new Uint8Array(PROBE_BYTES) });
  const tookMs = performance.now() - began;
  const told = response.headers.get("Server-Timing")?.match(/\bspool;dur=(\d+)/);
  // Busy lanes tell nothing: nginx answers for them, and at once. It counts whole milliseconds.
  return Math.max(told ? Number(told[1]) : tookMs, 1);
}

/** The same from an answer to so many bytes, or 0: they were too few to say, or came before the request. */
export function uplinkOf(result, bytes) {
  const seconds = result.timing_ms.spool / 1000;
  return bytes >= PROBE_BYTES && bytes < RESUMABLE_BYTES && seconds > 0 ? bytes / seconds : 0;
}
