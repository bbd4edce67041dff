// The week of a customer: weekday by hour, one table per channel. Darker is likelier; hatched = not permitted.

import { share, weekday } from "../page/format.js";
import { t, word } from "../page/texts.js";
import { shade, SHADES, Week } from "../page/week.js";
import { html, useMemo, useRef, useState } from "../page/view.js";

const NO_CELLS = [];
const MORNING = { day: 0, hour: 9 };

/** "9–10" */
export const hours = (hour) => `${hour}–${hour + 1}`;

/** How a cell of a channel's week looks and reads. */
function look(cells, best, day, hour) {
  const value = cells[day]?.[hour] ?? null;
  const said = value === null ? t("heat_shut") : share(value);
  const isBest = !!best && best.day === day && best.hour === hour;
  const words = t("heat_cell", { day: weekday(day, "long"), hours: hours(hour), said });
  return { shade: value === null ? null : shade(value), words: isBest ? `${words}, ${t("heat_best")}` : words, best: isBest };
}

/** One channel's week. */
function ChannelWeek({ channel, cells, best }) {
  const drawn = useMemo(() => (day, hour) => look(cells, best, day, hour), [cells, best]);
  return html`<${Week} label=${t("heat_title", { channel: word("channel", channel) })} look=${drawn} start=${best || MORNING} told=${!!best} />`;
}

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
    <${ChannelWeek} key=${`${shown.channel}${key}`} channel=${shown.channel} cells=${shown.cells || NO_CELLS} best=${useSame(mark)} />
    <${Legend} />
  </div>`;
}

/** The same object as long as it says the same: what is drawn from it is then not drawn again. */
function useSame(value) {
  const own = useRef(value);
  if (JSON.stringify(own.current) !== JSON.stringify(value)) own.current = value;
  return own.current;
}
