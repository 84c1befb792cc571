// Makes a video small before its upload, by WebCodecs, where that is faster. Knows nothing of the page.
//
// It decides as services/client's shrinking.py does: a short side of MARGIN times what the model looks at, and every
// frame kept, and its time: another frame rate would be another speed. Where a clock leaps, or the beginning has no
// keyframe, the server is to judge what the file shows: it goes as it is.

const MARGIN = 1.5;
// Bits of a pixel of a frame.
const BITS_PER_PIXEL = 0.3;
const MIN_BITRATE = 100_000;
// The first of them that the browser can encode.
const CODECS = { avc: "H.264", vp9: "VP9", av1: "AV1" };

// auto: a file that is smaller than this, or goes up in less time, is not worth the library's loading.
const WORTH_BYTES = 1_000_000;
const WORTH_S = 1;
// auto: so much of the video is shrunk before it is decided whether to go on.
const TRIAL_S = 1.5;
// No picture for longer: a clock that leaps, perhaps.
const MAX_PAUSE_S = 1;
// auto: shrinking must be expected to take less than this part of the time.
const GAIN = 0.9;

/**
 * What to send of `file`: { body, wasShrunk, reason, rawBytes, sentBytes, encodeS, uplink }.
 *
 * `mode` is "off", "auto" or "on"; `uplink()` resolves to bytes a second; `progress(part of 1)` is called while it
 * shrinks. Where the browser cannot, `body` is the file and `reason` is empty. Throws only when `signal` aborts.
 */
export async function shrink(file, { shortSide, mode, uplink, progress, signal }) {
  const asItIs = (reason = "") => ({
    body: file, wasShrunk: false, reason, rawBytes: file.size, sentBytes: file.size, encodeS: 0, uplink: 0,
  });
  if (mode === "off" || !("VideoEncoder" in window) || !("VideoDecoder" in window)) return asItIs();
  if (mode === "auto" && file.size < WORTH_BYTES) return asItIs();
  try {
    if (await isJoined(file)) return asItIs("the server shall judge what is joined");
    const speed = await uplink();
    signal.throwIfAborted();
    const sendS = file.size / speed;
    if (mode === "auto" && sendS < WORTH_S) return asItIs(`sending takes ${sendS.toFixed(1)} s`);
    const work = await prepare(file, Math.round(shortSide * MARGIN));
    if (!work) return asItIs();
    if (work.isSmall) return asItIs("it is small already");
    if (!(await isSteady(work.track, work.media, signal))) return asItIs("the server shall judge its times");
    const cancel = () => work.conversion.cancel();
    signal.addEventListener("abort", cancel);
    try {
      work.conversion.onProgress = progress;
      const began = performance.now();
      const tookS = () => (performance.now() - began) / 1000;
      if (mode === "auto") {
        await work.conversion.execute({ until: TRIAL_S });
        const expectedS = tookS() * Math.max(1, work.durationS / TRIAL_S) + work.expectedBytes / speed;
        if (expectedS > GAIN * sendS) {
          await work.conversion.cancel();
          return asItIs(`sending takes ${sendS.toFixed(1)} s, shrinking and sending about ${expectedS.toFixed(1)} s`);
        }
      }
      await work.conversion.execute();
      const body = new Blob([work.output.target.buffer], { type: "video/mp4" });
      if (body.size >= file.size) return asItIs("it would not be smaller");
      return {
        body, wasShrunk: true, reason: work.form, rawBytes: file.size, sentBytes: body.size,
        encodeS: tookS(), uplink: speed,
      };
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  } catch (error) {
    signal.throwIfAborted();
    console.info("sent as it is:", error);
    return asItIs();
  }
}

/** The conversion of a file, ready to run; null where this browser can read or write no such thing. */
async function prepare(file, side) {
  const media = await import("./vendor/mediabunny.js");
  const input = new media.Input({ source: new media.BlobSource(file), formats: media.ALL_FORMATS });
  const track = await input.getPrimaryVideoTrack();
  if (!track || !(await track.canDecode())) return null;
  const [width, height] = [await track.getDisplayWidth(), await track.getDisplayHeight()];
  if (Math.min(width, height) <= side) return { isSmall: true };
  const scale = side / Math.min(width, height);
  const size = { width: even(width * scale), height: even(height * scale) };
  const { averagePacketRate } = await track.computePacketStats(60);
  const bitrate = Math.max(MIN_BITRATE, BITS_PER_PIXEL * size.width * size.height * averagePacketRate);
  const quality = new media.Quality({ bitrate });
  const codec = await media.getFirstEncodableVideoCodec(Object.keys(CODECS), { ...size, quality });
  if (!codec) return null;
  const output = new media.Output({
    format: new media.Mp4OutputFormat({ fastStart: "in-memory" }),
    target: new media.BufferTarget(),
  });
  const conversion = await media.Conversion.init({
    input, output, tracks: "primary", audio: { discard: true }, showWarnings: false,
    video: { ...size, fit: "fill", codec, quality, forceTranscode: true },
  });
  if (!conversion.isValid) return null;
  const durationS = (await track.getDurationFromMetadata()) ?? (await track.computeDuration());
  return {
    media, track, conversion, output, durationS, expectedBytes: durationS * bitrate / 8,
    form: `${size.width} × ${size.height}, ${CODECS[codec]}`,
  };
}

/** Whether a track leaves no doubt of what it shows and when: only its packets' headers are read. */
async function isSteady(track, media, signal) {
  const packets = new media.EncodedPacketSink(track).packets(undefined, undefined, { metadataOnly: true });
  let latest = null;
  for await (const { type, timestamp } of packets) {
    signal.throwIfAborted();
    if (latest === null && type !== "key") return false;
    // Pictures are stored in the order of decoding: their times go back a little, and forth.
    if (latest !== null && Math.abs(timestamp - latest) > MAX_PAUSE_S) return false;
    latest = Math.max(latest ?? timestamp, timestamp);
  }
  return latest !== null;
}

/** Whether another MP4 stands behind this one: players show the first. Only the heads of the outermost boxes are read. */
async function isJoined(file) {
  let hasMovie = false;
  for (let at = 0, length; at + 8 <= file.size; at += length) {
    const head = new DataView(await file.slice(at, at + 16).arrayBuffer());
    const kind = String.fromCharCode(...new Uint8Array(head.buffer, 4, 4));
    if (kind === "ftyp" && hasMovie) return true;
    hasMovie ||= kind === "moov";
    length = head.getUint32(0);
    if (length === 1 && head.byteLength === 16) length = Number(head.getBigUint64(8));
    if (length < 8) break; // as long as the file, or no box
  }
  return false;
}

const even = (pixels) => 2 * Math.round(pixels / 2);
