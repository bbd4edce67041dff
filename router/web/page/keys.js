// Keys. A single letter works while nothing is typed; with Alt it works everywhere.

import { t } from "./texts.js";
import { html, useLayoutEffect, useRef } from "./view.js";

const TYPING_MS = 1500;
const typing = (element) => element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);

/**
 * Bind keys while the component lives. `bindings`: [{ key, text, act, hidden }]; `act` returns false for "not now".
 * `key` is a character ("a", "?") or a name ("ArrowDown"); letters work with Alt as well, also while typing.
 */
export function useKeys(bindings) {
  const latest = useRef(bindings);
  latest.current = bindings;
  // Not an effect after the drawing: what is on the screen hears its keys.
  useLayoutEffect(() => {
    // A field may vanish under somebody who types (the customer left): the rest of the word must not
    // become commands. Leaving on purpose (mouse, Tab, Esc, Enter) ends that at once.
    let typedAt = -TYPING_MS;
    const left = () => (typedAt = -TYPING_MS);
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.isComposing) return;
      const field = typing(event.target);
      if (/^(Escape|Enter|Tab)$/.test(event.key)) left();
      else if (field || event.timeStamp - typedAt < TYPING_MS) typedAt = event.timeStamp;
      // With Alt, layouts type other characters: the key's place counts.
      const place = /^Key([A-Z])$/.exec(event.code);
      const key = event.altKey ? (place ? place[1].toLowerCase() : event.key) : event.key;
      if (!event.altKey && (field || typedAt === event.timeStamp)) return;
      const binding = latest.current.find((each) => each.key === key);
      if (binding && binding.act(event) !== false) event.preventDefault();
    };
    addEventListener("keydown", pressed);
    addEventListener("pointerdown", left);
    return () => {
      removeEventListener("keydown", pressed);
      removeEventListener("pointerdown", left);
    };
  }, []);
}

const shown = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc", Enter: "↵" };

/** A key as it looks on a keyboard. */
export function Key({ name }) {
  return html`<kbd>${shown[name] || (name.length === 1 ? name.toUpperCase() : name)}</kbd>`;
}

/** The sheet behind `?`. */
export function KeySheet({ bindings, more = [], onClose }) {
  const own = useRef(null);
  useLayoutEffect(() => own.current.showModal(), []);
  return html`<dialog ref=${own} class="sheet keys" onClose=${onClose} aria-labelledby="keys-title">
    <header>
      <h2 id="keys-title">${t("keys_title")}</h2>
      <button class="icon-button" aria-label=${t("close")} onClick=${() => own.current.close()}>×</button>
    </header>
    <dl>
      ${[...bindings.filter((each) => each.text), ...more].map(
        (each) => html`<div key=${each.key}>
          <dt><${Key} name=${each.key} /></dt>
          <dd>${each.text}</dd>
        </div>`,
      )}
    </dl>
    <p class="quiet">${t("keys_alt")}</p>
  </dialog>`;
}
