// The week of a customer: weekday by hour, one table per channel. Darker is likelier; hatched = not permitted.

import { share, weekday } from "../page/format.js";
import { t, word } from "../page/texts.js";
import { html, memo, useRef, useState } from "../page/view.js";

const DAYS = [0, 1, 2, 3, 4, 5, 6];
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const QUARTERS = [0, 6, 12, 18];
const SHADES = [0, 1, 2, 3, 4, 5, 6, 7];

/** The place of a probability on the scale: eighths of 0-1, as in the picture. */
export function shade(probability) {
  return Math.min(SHADES.length - 1, Math.floor(probability * SHADES.length));
}

/** "9–10" */
export const hours = (hour) => `${hour}–${hour + 1}`;

function cellWords(cells, best, day, hour) {
  const value = cells[day]?.[hour] ?? null;
  const said = value === null ? t("heat_shut") : share(value);
  const isBest = best && best.day === day && best.hour === hour;
  return `${t("heat_cell", { day: weekday(day, "long"), hours: hours(hour), said })}${isBest ? `, ${t("heat_best")}` : ""}`;
}

function Cell({ cells, best, day, hour, at }) {
  const value = cells[day]?.[hour] ?? null;
  const isBest = best && best.day === day && best.hour === hour;
  return html`<td
    role="gridcell"
    data-cell=${`${day}-${hour}`}
    data-best=${isBest ? "yes" : undefined}
    class=${value === null ? "shut" : `heat-${shade(value)}`}
    tabindex=${at.day === day && at.hour === hour ? 0 : -1}
    aria-label=${cellWords(cells, best, day, hour)}
  ></td>`;
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** One channel's week. One stop of the Tab key; arrows, Home and End move within. */
const Week = memo(function Week({ channel, cells, best }) {
  const start = best || { day: 0, hour: 9 };
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
  const told = shown || (best && start);
  return html`<div class="heat">
    <table
      ref=${own}
      role="grid"
      aria-label=${t("heat_title", { channel: word("channel", channel) })}
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
            ${HOURS.map((hour) => html`<${Cell} cells=${cells} best=${best} day=${day} hour=${hour} at=${at} />`)}
          </tr>`,
        )}
      </tbody>
    </table>
    <p class="heat-told" aria-hidden="true">${told ? cellWords(cells, best, told.day, told.hour) : ""}</p>
  </div>`;
});

function Legend() {
  return html`<p class="heat-legend" aria-label=${t("heat_legend")}>
    <span>0 %</span>
    <span class="heat-scale" aria-hidden="true">${SHADES.map((each) => html`<span class=${`heat-${each}`}></span>`)}</span>
    <span>100 %</span>
    <span class="line"><span class="heat-key shut" aria-hidden="true"></span>${t("heat_shut")}</span>
    <span class="line"><span class="heat-key" data-best="yes" aria-hidden="true"></span>${t("heat_best")}</span>
  </p>`;
}

/** The weeks of all channels, one at a time; begins with the channel that is recommended. */
export function Heat({ channels, best }) {
  const [chosen, setChosen] = useState(best?.channel || channels[0]?.channel);
  const shown = channels.find((each) => each.channel === chosen) || channels[0];
  if (!shown) return null;
  const mark = best && best.channel === shown.channel ? { day: best.weekday || 0, hour: best.hour || 0 } : null;
  const key = mark ? `${mark.day}-${mark.hour}` : "";
  return html`<div class="heat-maps">
    <div class="segments" role="group" aria-label=${t("heat_channels")}>
      ${channels.map(
        (each) => html`<button key=${each.channel} aria-pressed=${each === shown} title=${t("heat_tried", { successes: each.successes || 0, attempts: each.attempts || 0 })} onClick=${() => setChosen(each.channel)}>
          ${word("channel", each.channel)} <span class="quiet">${each.successes || 0}/${each.attempts || 0}</span>
        </button>`,
      )}
    </div>
    <${Week} key=${`${shown.channel}${key}`} channel=${shown.channel} cells=${shown.cells || []} best=${useSame(mark)} />
    <${Legend} />
  </div>`;
}

/** The same object as long as it says the same: what is drawn from it is then not drawn again. */
function useSame(value) {
  const own = useRef(value);
  if (JSON.stringify(own.current) !== JSON.stringify(value)) own.current = value;
  return own.current;
}
