// Queues as rows: level with its mark, who waits and how long, the estimate, arrivals.

import { now, onBeat, Since } from "../page/clock.js";
import { countdown, share } from "../page/format.js";
import { ChannelIcon, Mark } from "../page/icons.js";
import { t, word } from "../page/texts.js";
import { html, memo, useEffect, useState } from "../page/view.js";
import { LevelBar } from "./headline.js";
import { ages, arrivals, levelMeaning } from "./model.js";

const SHOWN = 200;
const NOBODY = [];

/** Waiting by age: four shades, from fresh to twice the target and more. */
function AgeBar({ list }) {
  const counts = ages(list, now());
  const title = t("ages", { a: counts[0], b: counts[1], c: counts[2], d: counts[3] });
  return html`<span class="ages" role="img" aria-label=${title} title=${title}>
    ${counts.map((count, place) => count > 0 && html`<span key=${place} class=${`age-${place}`} style=${{ flexGrow: count }} />`)}
  </span>`;
}

/** Arrivals of the last hour, a bar for each quarter. */
function Spark({ counts, title }) {
  const most = Math.max(1, ...counts);
  return html`<span class="spark" role="img" aria-label=${title} title=${title}>
    ${counts.map((count, place) => html`<span key=${place} class=${place === counts.length - 1 ? "running" : ""} style=${{ height: `${Math.max(4, (count / most) * 100)}%` }} />`)}
  </span>`;
}

function Channels({ queue }) {
  return html`<span class="by-channel">
    ${Object.entries(queue.by_channel || {})
      .filter(([, line]) => line.waiting)
      .map(([name, line]) => html`<span key=${name} class="line" title=${word("channel", name)}><${ChannelIcon} channel=${name} /> ${line.waiting}</span>`)}
  </span>`;
}

/** A key that opens a row. The button that takes the focus then must not be pressed by it as well. */
function opens(event) {
  const isKey = event.key === "Enter" || event.key === " ";
  if (isKey) event.preventDefault();
  return isKey;
}

const Row = memo(function Row({ queue, list, chosen, minute, formula, onOpen }) {
  const { service_level: level, goal } = queue;
  const meaning = levelMeaning(level, goal);
  const counts = arrivals(queue);
  return html`<tr class="queue-row" tabindex="0" data-queue=${queue.id} aria-selected=${chosen} onClick=${onOpen} onKeyDown=${(event) => opens(event) && onOpen()}>
    <th scope="row">
      <span class="line"><span class="cut">${queue.id}</span>${queue.open === false && html`<span class="chip">${t("queue_closed")}</span>`}</span>
      <${Channels} queue=${queue} />
    </th>
    <td class="level-cell" title=${goal ? `${formula}\n${t("goal", { share: share(goal) })}` : formula}><span class=${`number ${meaning}-text`}><${Mark} meaning=${meaning} /> ${share(level)}${goal > 0 && html` <span class="goal">/ ${share(goal)}</span>`}</span><${LevelBar} level=${level} goal=${goal} /></td>
    <td class="number">${queue.waiting || 0}</td>
    <td class="ages-cell"><${AgeBar} list=${list} minute=${minute} /></td>
    <td class="number"><${Since} at=${queue.oldest_at_us} /></td>
    <td class="number" title=${t("ewt_long")}>${queue.ewt_us >= 0 ? countdown(queue.ewt_us) : "–"}</td>
    <td class="number">${queue.active || 0}</td>
    <td class="number">${queue.agents_ready || 0}</td>
    <td class="spark-cell"><${Spark} counts=${counts} title=${t("arrivals_title", { list: counts.join(", ") })} /></td>
  </tr>`;
});

/** Opening a row: one function per queue, so that rows stay the same. */
const openers = new Map();
function opener(wall, id) {
  if (!openers.has(id)) openers.set(id, () => wall.go({ queue: id }));
  return openers.get(id);
}

/** The queues with most waiting first; in a calm moment by name. */
export function Queues({ wall, board, chosen }) {
  const [minute, setMinute] = useState(0);
  // Ages and sparks move by themselves: every 5 s is often enough.
  useEffect(() => onBeat(() => setMinute(Math.floor(now() / 5e6))), []);
  const queues = [...board.queues.values()].sort((a, b) => (b.waiting || 0) - (a.waiting || 0) || (a.id < b.id ? -1 : 1));
  const formula = t("formula", { formula: board.formulas.service_level || "" });
  return html`<section class="panel queues" aria-label=${t("queues")}>
    <table>
      <thead>
        <tr>
          <th scope="col">${t("queue_column")}</th>
          <th scope="col">${t("service_level")}</th>
          <th scope="col" class="number">${t("waiting")}</th>
          <th scope="col">${t("by_age")}</th>
          <th scope="col" class="number" title=${t("longest")}>${t("longest_column")}</th>
          <th scope="col" class="number" title=${t("ewt_long")}>${t("ewt")}</th>
          <th scope="col" class="number">${t("active")}</th>
          <th scope="col" class="number">${t("ready_column")}</th>
          <th scope="col">${t("arrivals")}</th>
        </tr>
      </thead>
      <tbody>
        ${queues.slice(0, SHOWN).map(
          (queue) => html`<${Row}
            key=${queue.id}
            queue=${queue}
            list=${board.waiting.get(queue.id) || NOBODY}
            chosen=${chosen === queue.id}
            minute=${queue.waiting ? minute : 0}
            formula=${formula}
            onOpen=${opener(wall, queue.id)}
          />`,
        )}
      </tbody>
    </table>
    ${!queues.length && html`<div class="empty"><p>${t("no_queues")}</p></div>`}
    ${queues.length > SHOWN && html`<p class="quiet more">${t("more_queues", { n: queues.length - SHOWN })}</p>`}
  </section>`;
}
