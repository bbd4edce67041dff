// The wallboard as a whole: headline, queues, agents, and at the right what needs attention or was opened.

import { ConnectionState, StoreAway, useOld } from "../page/connection.js";
import { clockTime } from "../page/format.js";
import { Mark } from "../page/icons.js";
import { KeySheet, useKeys } from "../page/keys.js";
import { Pauses } from "../page/pauses.js";
import { signOut } from "../page/session.js";
import { language, setLanguage, t, tables } from "../page/texts.js";
import { html, useEffect, useRef, useState } from "../page/view.js";
import { Agents } from "./agents.js";
import { Arrivals } from "./arrivals.js";
import { Attention } from "./attention.js";
import { Drill } from "./drill.js";
import { Headline } from "./headline.js";
import { Queues } from "./queues.js";
import { Reports } from "./reports.js";
import { TryRule } from "./try_rule.js";

const PAUSING = { channels: "all" };
const WALL = "contact-router.wall";

const VIEWS = { board: {}, arrivals: { view: "arrivals" }, reports: { view: "reports" }, rules: { view: "rules" } };

function Views({ wall }) {
  const shown = wall.place.view || "board";
  return html`<nav class="views" aria-label=${t("views")}>
    ${Object.entries(VIEWS).map(([name, place]) => html`<button key=${name} class="plain" aria-current=${name === shown ? "page" : undefined} onClick=${() => wall.go(place)}>${t(`view_${name}`)}</button>`)}
  </nav>`;
}

function Left({ wall, board, place }) {
  if (place.view === "reports") return html`<main class="left one"><${Reports} wall=${wall} /></main>`;
  if (place.view === "rules") return html`<main class="left one"><${TryRule} wall=${wall} /></main>`;
  if (place.view === "arrivals") return html`<main class="left one"><${Arrivals} wall=${wall} /></main>`;
  return html`<main class="left">
    <${Queues} wall=${wall} board=${board} chosen=${place.queue} />
    <${Agents} wall=${wall} agents=${board.agents} chosen=${place.agent} />
  </main>`;
}

function Top({ wall, onKeys, big, onBig }) {
  const speak = (name) => {
    setLanguage(name);
    // Rows are drawn when their object changes; a new language changes them all.
    location.reload();
  };
  const leave = async () => {
    await signOut();
    location.reload();
  };
  return html`<header class="top">
    <h1 class="unseen">${t("title_wallboard")}</h1>
    <span class="brand">contact-router</span>
    <span class="quiet">${wall.session.workspace}</span>
    <${Views} wall=${wall} />
    <span class="grow" />
    <${ConnectionState} connection=${wall.connection} />
    <span class="tools">
      ${Object.keys(tables)
        .filter((each) => each !== language())
        .map((each) => html`<button key=${each} class="icon-button" lang=${each} title=${t(`language_${each}`)} onClick=${() => speak(each)}><span class="language">${each.toUpperCase()}</span></button>`)}
      <button class="icon-button" aria-pressed=${big} title=${t("wall_big")} aria-label=${t("wall_big")} onClick=${onBig}>⤢</button>
      <button class="icon-button" title=${t("keys_title")} aria-label=${t("keys_title")} onClick=${onKeys}>?</button>
      <button class="plain" onClick=${leave}>${t("sign_out")}</button>
    </span>
  </header>`;
}

/** Read from across the room: no figure of a wall that has lost its server looks like one of now. */
function Old({ connection }) {
  const since = useOld(connection);
  return html`<div class="old" role="status">${since > 0 && html`<${Mark} meaning="bad" /> <span>${t("wall_old", { time: clockTime(since) })}</span>`}</div>`;
}

export function Board({ wall }) {
  const [keysShown, setKeysShown] = useState(false);
  const [big, setBig] = useState(localStorage.getItem(WALL) === "big");
  const { board, place } = wall;
  const open = place.queue || place.contact || place.agent || place.channels;
  const toggleBig = () => {
    localStorage.setItem(WALL, big ? "" : "big");
    setBig(!big);
  };
  useEffect(() => {
    document.documentElement.dataset.size = big ? "big" : "";
  }, [big]);
  useEffect(() => {
    const { waiting = 0 } = board.totals;
    document.title = `${waiting ? `(${waiting}) ` : ""}${t("title_wallboard")} · contact-router`;
  }, [board.totals.waiting]);
  const before = useRef(place);
  useEffect(() => {
    // Out of what was opened: on from where one came from.
    const [[kind, id] = []] = Object.entries(before.current);
    before.current = place;
    if (open || document.activeElement !== document.body || !/^(queue|agent)$/.test(kind)) return;
    document.querySelector(`[data-${kind}="${CSS.escape(id)}"]`)?.focus({ preventScroll: true });
  }, [open]);
  const focus = (selector) => () => void document.querySelector(selector)?.focus();
  const bindings = [
    { key: "q", text: t("key_queues"), act: focus(".queue-row") },
    { key: "g", text: t("key_agents"), act: focus("#agent-filter") },
    { key: "n", text: t("key_attention"), act: focus(".attention-list button") },
    { key: "b", text: t("wall_big"), act: toggleBig },
    { key: "Escape", text: t("key_back"), act: () => (open || place.view ? void wall.go({}) : false) },
    { key: "w", text: t("key_board"), act: () => void wall.go({}) },
    { key: "a", text: t("key_arrivals"), act: () => void wall.go(VIEWS.arrivals) },
    { key: "p", text: t("key_pauses"), act: () => void wall.go(PAUSING) },
    { key: "r", text: t("key_reports"), act: () => void wall.go(VIEWS.reports) },
    { key: "t", text: t("key_rules"), act: () => void wall.go(VIEWS.rules) },
    { key: "?", text: t("key_help"), act: () => setKeysShown(true) },
  ];
  useKeys(bindings);
  return html`<div class="wall" data-open=${open ? "yes" : "no"}>
    <${Top} wall=${wall} big=${big} onBig=${toggleBig} onKeys=${() => setKeysShown(true)} />
    <div class="store-row">
      <${Old} connection=${wall.connection} />
      <${StoreAway} connection=${wall.connection} />
      <${Pauses} pauses=${board.pauses} more=${() => html`<button class="link" onClick=${() => wall.go(PAUSING)}>${t("pause_change")}</button>`} />
    </div>
    <${Headline} board=${board} onPause=${() => wall.go(PAUSING)} />
    <${Left} wall=${wall} board=${board} place=${place} />
    <aside class="right" aria-label=${t("wall_side")}>
      ${wall.notices.length > 0 &&
      html`<div class="said-notices" role="log" aria-live="polite">
        ${wall.notices.map(
          (each) => html`<p key=${each.at} class=${`line ${each.meaning}-soft`}>
            <span class="grow">${each.text}</span>
            <button class="icon-button" aria-label=${t("dismiss")} onClick=${() => wall.dismiss(each)}>×</button>
          </p>`,
        )}
      </div>`}
      ${open ? html`<${Drill} key=${open} wall=${wall} />` : html`<${Attention} wall=${wall} />`}
    </aside>
    ${keysShown && html`<${KeySheet} bindings=${bindings} onClose=${() => setKeysShown(false)} />`}
  </div>`;
}
