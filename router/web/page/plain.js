// What customers write, shown as text. Links are shown for what they are and open without our address.

import { t } from "./texts.js";
import { html } from "./view.js";

// Only these schemes; everything else stays text. Trailing punctuation belongs to the sentence.
const LINK = /\b(?:https?:\/\/|mailto:|tel:)[^\s<>"']*[^\s<>"'.,;:!?)\]]/gi;

/** Split a text into strings and {href}. Pure, so that a test can feed it anything. */
export function pieces(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(LINK)) {
    if (!URL.canParse(found[0])) continue;
    const { protocol } = new URL(found[0]);
    if (!["http:", "https:", "mailto:", "tel:"].includes(protocol)) continue;
    if (found.index > from) parts.push(text.slice(from, found.index));
    parts.push({ href: found[0] });
    from = found.index + found[0].length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

/** A customer's text with its lines kept. */
export function PlainText({ text }) {
  return html`<span class="plain" dir="auto">
    ${pieces(String(text)).map((part) =>
      typeof part === "string"
        ? part
        : html`<a href=${part.href} target="_blank" rel="noopener noreferrer nofollow" title=${t("link_leaves", { href: part.href })}>${part.href}</a>`,
    )}
  </span>`;
}
