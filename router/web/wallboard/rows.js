// Thousands of rows, of which only those on the screen are drawn.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../page/view.js";

const SPARE = 4;

/**
 * A scrolling list of `items` with rows of one height. Sizes are for 16 px text and grow with it.
 * `across`: least width of a cell for a grid, 0 for a list.
 * `draw(item)` gives the row; `keyOf(item)` its key.
 */
export function Rows({ items, height: rowHeight, across = 0, draw, keyOf, className, label }) {
  const own = useRef(null);
  const [seen, setSeen] = useState({ top: 0, height: 600, width: 800, scale: 1 });
  const measure = () => {
    if (!own.current) return; // observed once more on its way out
    const { scrollTop: top, clientHeight, clientWidth } = own.current;
    const scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
    const now = { top, height: clientHeight, width: clientWidth, scale };
    setSeen((before) => (Object.keys(now).every((key) => before[key] === now[key]) ? before : now));
  };
  useLayoutEffect(measure, []);
  useEffect(() => {
    const watcher = new ResizeObserver(measure);
    watcher.observe(own.current);
    return () => watcher.disconnect();
  }, []);
  const height = rowHeight * seen.scale;
  const columns = across ? Math.max(1, Math.floor(seen.width / (across * seen.scale))) : 1;
  const lines = Math.ceil(items.length / columns);
  const first = Math.max(0, Math.min(lines - 1, Math.floor(seen.top / height) - SPARE));
  const last = Math.min(lines, Math.ceil((seen.top + seen.height) / height) + SPARE);
  const shown = items.slice(Math.max(0, first) * columns, last * columns);
  return html`<div class=${`rows ${className}`} ref=${own} onScroll=${measure} tabindex="-1">
    <ul
      aria-label=${label}
      style=${{
        height: `${lines * height}px`,
        paddingTop: `${Math.max(0, first) * height}px`,
        gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
        gridAutoRows: `${height}px`,
      }}
    >
      ${shown.map((item) => html`<li key=${keyOf(item)}>${draw(item)}</li>`)}
    </ul>
  </div>`;
}
