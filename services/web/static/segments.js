// Labels over time: a row a label, a bar a segment, each where it is in the video.

const clock = (second) => `${Math.floor(second / 60)}:${(second % 60).toFixed(1).padStart(4, "0")}`;

/** The rows as elements. `colour(label)`; `seek(second)` is called when a bar is chosen. */
export function segmentRows(segments, durationS, colour, seek) {
  const labels = [...new Set(segments.map((segment) => segment.label))];
  return labels.map((label) => {
    const row = document.createElement("div");
    row.className = "segments";
    row.append(...segments.filter((segment) => segment.label === label).map((segment) => {
      const bar = document.createElement("button");
      bar.type = "button";
      bar.textContent = label;
      bar.title = `${clock(segment.start_s)} to ${clock(segment.end_s)}: ${label}, ${(100 * segment.score).toFixed(1)} %`;
      bar.setAttribute("aria-label", bar.title);
      bar.style.left = `${(100 * segment.start_s) / durationS}%`;
      bar.style.width = `${(100 * (segment.end_s - segment.start_s)) / durationS}%`;
      bar.style.background = colour(label);
      bar.onclick = () => seek(segment.start_s);
      return bar;
    }));
    return row;
  });
}

/** What stands in a table's row: from, to, label, score. */
export const segmentCells = ({ start_s: from, end_s: to, label, score }) =>
  [clock(from), clock(to), label, `${(100 * score).toFixed(1)} %`];
