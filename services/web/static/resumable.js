// A large file on its way by tus 1.0.0 (https://tus.io/protocols/resumable-upload): where its connection is cut, it goes
// on from what has arrived. Knows nothing of the page.

import { authorization } from "./key.js";

const TUS = { "Tus-Resumable": "1.0.0" };
const MAX_PAUSES = 5; // in a row, without a byte more: 0.5 s, 1 s … 8 s

/** Sends `file`, and returns its upload's id. `progress`: part of 1. Throws a problem, as `upload.js` tells one. */
export async function sendResumably(file, progress, signal) {
  let id = "";
  let most = 0;
  for (let pauses = 0; ; ) {
    try {
      id ||= (await ask("POST", "v1/uploads", { "Upload-Length": file.size }, signal)).location.split("/").at(-1);
      const address = `v1/uploads/${id}`;
      const offset = (await ask("HEAD", address, {}, signal)).offset;
      if (offset > most) [most, pauses] = [offset, 0];
      if (offset < file.size) await append(address, file, offset, progress, signal);
      return id;
    } catch (problem) {
      if (problem.status === 404) [id, most] = ["", 0]; // the server has forgotten it
      const passes = [404, 408, 409, 429, 502, 503, 507, undefined].includes(problem.status);
      if (signal.aborted || !passes || pauses === MAX_PAUSES) throw problem;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** pauses++));
    }
  }
}

function append(address, file, offset, progress, signal) {
  const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": offset };
  return ask("PATCH", address, headers, signal, file.slice(offset), (sent) => progress((offset + sent) / file.size));
}

// XMLHttpRequest and not fetch: only it reports the upload's progress.
function ask(method, address, headers, signal, body = null, sent = () => {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, address);
    for (const [name, value] of Object.entries({ ...TUS, ...authorization(), ...headers })) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded }) => sent(loaded);
    request.onload = () => {
      if (request.status >= 300) return reject(problemOf(request));
      resolve({ location: request.getResponseHeader("Location") ?? "", offset: Number(request.getResponseHeader("Upload-Offset")) });
    };
    request.onerror = () => reject({ type: "unreachable", title: "The server cannot be reached" });
    request.onabort = () => reject({ type: "cancelled", title: "Cancelled" });
    signal.addEventListener("abort", () => request.abort(), { once: true });
    if (signal.aborted) reject({ type: "cancelled", title: "Cancelled" });
    else request.send(body);
  });
}

/** What an answer tells of an error; a proxy's page has nothing but its status. */
export function problemOf(request) {
  try {
    return { ...JSON.parse(request.responseText), status: request.status };
  } catch {
    return { title: `The server answered ${request.status}`, status: request.status };
  }
}
