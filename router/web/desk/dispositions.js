// How a contact ended: the words of its queue as buttons, for the sheet that completes and for wrap-up.

import { t, word } from "../page/texts.js";
import { html } from "../page/view.js";

/** One can be chosen, by mouse, by its digit, or by arrows; the chosen one again takes it back. */
export function Dispositions({ known, value, missing, onChoose }) {
  if (!known.length) return null;
  const at = Math.max(0, known.indexOf(value));
  const pressed = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const place = by ? (at + (value ? by : 0) + known.length) % known.length : Number(event.key) - 1;
    if (!known[place]) return;
    event.preventDefault();
    event.stopPropagation(); // here a digit is a disposition, elsewhere it is a contact
    onChoose(known[place]);
    event.currentTarget.querySelectorAll("[role=radio]")[place].focus();
  };
  return html`<div class="dispositions" role="radiogroup" aria-label=${t("disposition")} aria-required=${missing} onKeyDown=${pressed}>
    ${known.map(
      (each, place) => html`<button
        key=${each}
        type="button"
        role="radio"
        tabindex=${place === at ? "0" : "-1"}
        aria-checked=${value === each}
        class=${value === each ? "chosen" : ""}
        onClick=${() => onChoose(value === each ? "" : each)}
      >
        ${place < 9 && html`<kbd>${place + 1}</kbd>`} ${word("disposition", each)}
      </button>`,
    )}
    ${missing && html`<span class="attention">${t("disposition_missing")}</span>`}
  </div>`;
}
