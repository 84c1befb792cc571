// What the server says in numbers and names, in words.

/** A model's sampling: "16 frames, every 4th at 30 a second: 2.1 s". */
export function samplingInWords({ clip_length: frames, mode = "stride", temporal_stride: stride, frame_rate: rate }) {
  if (mode !== "stride") return `${frames} frames, spread over the whole video`;
  const steps = stride === 1 ? `${frames} frames in a row` : `${frames} frames, every ${ordinal(stride)}`;
  return rate ? `${steps} at ${rate} a second: ${((frames * stride) / rate).toFixed(1)} s` : steps;
}

/** What `make engines` found: "openvino_bf16, 24 ms a view, top label as trained in 99.2 % of 500 clips". */
export function measuredInWords(measured) {
  if (!measured) return "";
  const { engine, view_ms: ms, agreement, clips } = measured;
  return `${engine}, ${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms a view, top label as trained in ${(100 * agreement).toFixed(1)} % of ${clips} clips`;
}

/** What was doubtful in a file: { type, detail } as a sentence. */
export function warningInWords({ type, detail }) {
  const name = type.replaceAll("-", " ");
  return `${name[0].toUpperCase()}${name.slice(1)}${detail ? `: ${detail}` : ""}`;
}

function ordinal(n) {
  const endings = { 1: "st", 2: "nd", 3: "rd" };
  return `${n}${(n % 100 > 10 && n % 100 < 14) ? "th" : endings[n % 10] ?? "th"}`;
}
