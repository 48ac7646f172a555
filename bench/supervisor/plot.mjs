// Lines in an SVG, without a library: colours that both light and dark backgrounds show.
const WIDTH = 720;
const HEIGHT = 360;
const AT = { left: 56, right: 130, top: 36, bottom: 46 };
const COLOURS = ["#1b7f4d", "#2f6fbf", "#8a5cc2", "#c77700", "#c0392b"];

const text = (x, y, words, more = "") =>
  `<text x="${x}" y="${y}" ${more}>${words.replace(/&/g, "&amp;").replace(/</g, "&lt;")}</text>`;

/**
 * @param series `{ name, points: [x, y][] }`, x and y from 0 to 1
 * @param level `{ name, y }`, a line across
 */
export function plot({ title, x, y, series, level }) {
  const px = (at) => AT.left + at * (WIDTH - AT.left - AT.right);
  const py = (at) => HEIGHT - AT.bottom - at * (HEIGHT - AT.top - AT.bottom);
  const num = (value) => value.toFixed(1);
  const parts = [text(AT.left, 20, title, 'font-weight="bold"')];
  for (let k = 0; k <= 5; k++) {
    const at = k / 5;
    parts.push(
      `<line x1="${px(0)}" x2="${px(1)}" y1="${num(py(at))}" y2="${num(py(at))}" stroke="#888" stroke-opacity=".25"/>`,
    );
    parts.push(text(AT.left - 8, num(py(at) + 4), `${k * 20} %`, 'text-anchor="end"'));
    parts.push(text(num(px(at)), HEIGHT - AT.bottom + 18, String(at), 'text-anchor="middle"'));
  }
  parts.push(text(num(px(0.5)), HEIGHT - 8, x, 'text-anchor="middle"'));
  parts.push(text(0, 0, y, `text-anchor="middle" transform="translate(14 ${num(py(0.5))}) rotate(-90)"`));
  parts.push(
    `<line x1="${px(0)}" x2="${px(1)}" y1="${num(py(level.y))}" y2="${num(py(level.y))}" stroke="#888" stroke-dasharray="6 4"/>`,
  );
  // Names stand at the ends of their lines, moved apart where these meet.
  const ends = [
    { name: level.name, y: level.y, colour: "#888" },
    ...series.map(({ name, points }, k) => ({ name, y: points.at(-1)[1], colour: COLOURS[k % COLOURS.length] })),
  ];
  let last = Number.POSITIVE_INFINITY;
  for (const end of ends.sort((a, b) => a.y - b.y)) {
    const place = Math.min(py(end.y) + 4, last - 14);
    last = place;
    parts.push(text(num(px(1) + 8), num(place), end.name, `fill="${end.colour}"`));
  }
  for (const [k, { points }] of series.entries()) {
    const colour = COLOURS[k % COLOURS.length];
    parts.push(
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map(([a, b]) => `${num(px(a))},${num(py(b))}`).join(" ")}"/>`,
    );
    for (const [a, b] of points) parts.push(`<circle cx="${num(px(a))}" cy="${num(py(b))}" r="3" fill="${colour}"/>`);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" fill="#777">\n<title>${title}</title>\n${parts.join("\n")}\n</svg>\n`;
}
