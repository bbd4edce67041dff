// A week as a table: weekday by hour, one shade for each cell. One stop of the Tab key; arrows move within.

import { weekday } from "./format.js";
import { t } from "./texts.js";
import { html, memo, useRef, useState } from "./view.js";

const DAYS = [0, 1, 2, 3, 4, 5, 6];
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const QUARTERS = [0, 6, 12, 18];

/** The shades from nothing to all. */
export const SHADES = [0, 1, 2, 3, 4, 5, 6, 7];

/** The place of a share 0..1 on the scale: eighths. */
export function shade(part) {
  return Math.min(SHADES.length - 1, Math.floor(part * SHADES.length));
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * `look(day, hour)` gives {shade, words, best} of a cell (shade null: hatched; day 0 = Monday). It is drawn again
 * only when `look` is another function. `start` is where the Tab key stops first; `told` says its words at once.
 */
export const Week = memo(function Week({ label, look, start, told = false }) {
  const [at, setAt] = useState(start);
  const [shown, setShown] = useState(null);
  const own = useRef(null);
  const placeOf = (event) => {
    const found = event.target.closest?.("[data-cell]")?.dataset.cell.split("-").map(Number);
    return found && { day: found[0], hour: found[1] };
  };
  const pressed = (event) => {
    const step = STEPS[event.key];
    let { day, hour } = at;
    if (step) [day, hour] = [(day + step[0] + 7) % 7, (hour + step[1] + 24) % 24];
    else if (event.key === "Home") hour = 0;
    else if (event.key === "End") hour = 23;
    else if (event.key === "Escape") return void event.target.blur();
    else return;
    event.preventDefault();
    setAt({ day, hour });
    own.current.querySelector(`[data-cell="${day}-${hour}"]`).focus();
  };
  const place = shown || (told && start);
  return html`<div class="heat">
    <table
      ref=${own}
      role="grid"
      aria-label=${label}
      onKeyDown=${pressed}
      onMouseOver=${(event) => setShown(placeOf(event) || shown)}
      onMouseLeave=${() => setShown(null)}
      onFocusIn=${(event) => (setShown(placeOf(event)), setAt(placeOf(event) || at))}
      onFocusOut=${() => setShown(null)}
    >
      <thead>
        <tr>
          <th scope="col"><span class="unseen">${t("heat_weekday")}</span></th>
          ${QUARTERS.map((hour) => html`<th scope="colgroup" colspan="6">${hour}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${DAYS.map(
          (day) => html`<tr>
            <th scope="row">${weekday(day, "short")}</th>
            ${HOURS.map((hour) => html`<${Cell} ...${look(day, hour)} day=${day} hour=${hour} stop=${at.day === day && at.hour === hour} />`)}
          </tr>`,
        )}
      </tbody>
    </table>
    <p class="heat-told" aria-hidden="true">${place ? look(place.day, place.hour).words : ""}</p>
  </div>`;
});

function Cell({ shade: dark, words, best, day, hour, stop }) {
  return html`<td
    role="gridcell"
    data-cell=${`${day}-${hour}`}
    data-best=${best ? "yes" : undefined}
    class=${dark === null ? "shut" : `heat-${dark}`}
    tabindex=${stop ? 0 : -1}
    aria-label=${words}
  ></td>`;
}
