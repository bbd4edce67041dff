// What a supervisor can do, each with a confirmation that says what will happen.

import { t, word } from "../page/texts.js";
import { shortId } from "../page/words.js";
import { html, useLayoutEffect, useRef, useState } from "../page/view.js";

const MINUTE_US = 60_000_000;

/**
 * Send after confirmation; refusals are said in words beside the button. `after`: when it was done.
 * `input` of what is asked ({ name, label, most }): a field that may be written, and goes along.
 */
export function useActing(wall, after = () => {}) {
  const [asked, setAsked] = useState(null);
  const [busy, setBusy] = useState(null); // what was confirmed last and is not answered yet
  const [problem, setProblem] = useState("");
  const latest = useRef(asked);
  latest.current = asked;
  const [written, setWritten] = useState("");
  const from = useRef(null); // where the focus was: there it goes back to
  const close = () => {
    setAsked(null);
    from.current?.focus?.();
  };
  const left = (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.stopPropagation(); // elsewhere it closes the whole panel
    if (!busy) close();
  };
  const ask = (type, fields, words, value = "", input = null) => {
    from.current = document.activeElement;
    setProblem("");
    setWritten("");
    setAsked({ type, fields, words, value, input });
  };
  const go = async () => {
    setBusy(asked);
    try {
      const more = asked.input && written.trim() ? { [asked.input.name]: written.trim() } : {};
      await wall.connection.command(asked.type, { ...asked.fields, ...more });
      wall.say("good", t("action_done", { words: asked.words }));
      // The answer may come late: what was asked meanwhile stays.
      setAsked((now) => (now === asked ? null : now));
      after();
    } catch (error) {
      const why = t("refused", { what: t(`act_${asked.type}`), why: error.message || word("code", error.code) });
      if (latest.current === asked) setProblem(why);
      else wall.say("bad", why);
    } finally {
      setBusy((now) => (now === asked ? null : now));
    }
  };
  const confirmation = asked
    ? html`<div class="confirmation" role="alertdialog" aria-label=${asked.words} onKeyDown=${left}>
        <p>${asked.words}</p>
        ${asked.input &&
        html`<${Written} input=${asked.input} value=${written} onInput=${setWritten} go=${busy ? () => {} : go} />`}
        ${problem && html`<p class="problem" role="alert">${problem}</p>`}
        <div class="line">
          <button disabled=${busy === asked} onClick=${close}>${t("cancel")} <kbd>Esc</kbd></button>
          <${Confirm} key=${asked.words} busy=${busy === asked} go=${go} takesFocus=${!asked.value && !asked.input} />
        </div>
      </div>`
    : null;
  const chosen = (type) => (asked?.type === type ? asked.value : "");
  return [ask, confirmation, chosen];
}

/**
 * After a button it takes the focus, so that the keyboard goes on from here. After a list it does not: arrow keys
 * walk through a list, and each step is a choice.
 */
function Confirm({ busy, go, takesFocus }) {
  const own = useRef(null);
  useLayoutEffect(() => void (takesFocus && own.current.focus()), []);
  return html`<button ref=${own} class="primary" disabled=${busy} onClick=${go}>${t("confirm")}</button>`;
}

/** A field that goes along; it takes the focus, and Enter in it confirms. */
function Written({ input, value, onInput, go }) {
  const own = useRef(null);
  useLayoutEffect(() => own.current.focus(), []);
  return html`<label class="written">
    <span>${input.label}</span>
    <input ref=${own} value=${value} maxlength=${input.most} onInput=${(event) => onInput(event.target.value)} onKeyDown=${(event) => event.key === "Enter" && go()} />
  </label>`;
}

function Choice({ id, label, options, value, onChange }) {
  return html`<select id=${id} aria-label=${label} value=${value} onChange=${(event) => onChange(event.target.value)}>
    <option value="">${label}</option>
    ${options.map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}
  </select>`;
}

function Move({ wall, contact, ask, chosen }) {
  const queues = [...wall.board.queues.keys()].filter((each) => each !== contact.queue).sort();
  const choose = (queue) => queue && ask("move", { contact: contact.id, queue }, t("ask_move", { contact: shortId(contact.id), from: contact.queue, to: queue }), queue);
  return html`<${Choice} id="move" label=${t("act_move")} options=${queues.map((each) => [each, each])} value=${chosen("move")} onChange=${choose} />`;
}

function Reprioritize({ contact, ask, chosen }) {
  const minutes = (contact.head_start_us || 0) / MINUTE_US;
  const options = [1, 5, 15, 60].map((each) => [String(each), t("head_start_minutes", { n: each })]);
  const choose = (value) => {
    if (!value) return;
    if (value === "first") {
      ask("reprioritize", { contact: contact.id, tier: 0, head_start_us: contact.head_start_us || 0 }, t("ask_tier", { contact: shortId(contact.id), tier: 0 }), value);
    } else {
      const more = Number(value);
      const head = (contact.head_start_us || 0) + more * MINUTE_US;
      ask("reprioritize", { contact: contact.id, tier: contact.tier || 0, head_start_us: head }, t("ask_head_start", { contact: shortId(contact.id), n: more, whole: minutes + more }), value);
    }
  };
  const all = contact.tier ? [["first", t("tier_first")], ...options] : options;
  return html`<${Choice} id="reprioritize" label=${t("act_reprioritize")} options=${all} value=${chosen("reprioritize")} onChange=${choose} />`;
}

function Pull({ wall, contact, ask, chosen }) {
  const ready = [...wall.board.agents.values()]
    .filter((each) => each.presence === "ready")
    .sort((a, b) => (a.load || 0) - (b.load || 0) || (a.name || a.id).localeCompare(b.name || b.id))
    .slice(0, 100)
    .map((each) => [each.id, `${each.name || each.id} · ${each.load || 0}/${each.capacity || 0}`]);
  const nameOf = (id) => wall.board.agents.get(id)?.name || id;
  const choose = (agent) => agent && ask("pull", { contact: contact.id, agent }, t("ask_pull", { contact: shortId(contact.id), agent: nameOf(agent) }), agent);
  return html`<${Choice} id="pull" label=${t("act_pull_to")} options=${ready} value=${chosen("pull")} onChange=${choose} />`;
}

/** Move, re-prioritise, give to an agent, watch, cancel: what the contact's state allows. */
export function ContactActions({ wall, contact }) {
  const [ask, confirmation, chosen] = useActing(wall);
  const waiting = contact.state === "queued";
  const free = waiting || contact.state === "scheduled" || contact.state === "parked";
  return html`<div class="actions">
    <div class="action-row">
      ${waiting &&
      html`<${Move} wall=${wall} contact=${contact} ask=${ask} chosen=${chosen} />
        <${Reprioritize} contact=${contact} ask=${ask} chosen=${chosen} />
        <${Pull} wall=${wall} contact=${contact} ask=${ask} chosen=${chosen} />`}
      <button onClick=${() => ask("watch", { contact: contact.id, watched: !contact.watched }, t(contact.watched ? "ask_unwatch" : "ask_watch", { contact: shortId(contact.id) }))}>
        ${t(contact.watched ? "act_unwatch" : "act_watch")}
      </button>
      ${free && html`<button class="danger" onClick=${() => ask("cancel", { contact: contact.id, reason: "supervisor" }, t("ask_cancel", { contact: shortId(contact.id) }))}>${t("act_cancel")}</button>`}
    </div>
    ${confirmation}
  </div>`;
}

/** An agent's presence, changed by a supervisor. */
export function AgentActions({ wall, agent }) {
  const [ask, confirmation] = useActing(wall);
  const name = agent.name || agent.id;
  const others = ["ready", "not_ready", "offline"].filter((each) => each !== agent.presence);
  const change = (presence) =>
    ask("presence", { agent: agent.id, presence, ...(presence === "not_ready" && { reason: "supervisor" }) }, t("ask_presence", { agent: name, presence: t(`presence_${presence}`) }));
  return html`<div class="actions">
    <div class="action-row">${others.map((each) => html`<button key=${each} onClick=${() => change(each)}>${t("set_presence", { presence: t(`presence_${each}`) })}</button>`)}</div>
    ${confirmation}
  </div>`;
}
