// The one text table: every word on every page goes through `t`.
//
// A text may have {names} to fill in. "one | other" picks by `n`: "{n} contact | {n} contacts".

import { de } from "../texts/de.js";
import { en } from "../texts/en.js";

export const tables = { en, de };

function wanted() {
  try {
    const chosen = localStorage.getItem("language");
    if (chosen in tables) return chosen;
  } catch {
    // Storage may be forbidden; the browser's language is good enough.
  }
  const own = (navigator.language || "en").slice(0, 2);
  return own in tables ? own : "en";
}

let current = wanted();
document.documentElement.lang = current;

/** The language in use: "en" or "de". */
export function language() {
  return current;
}

/** Use another language from now on. */
export function setLanguage(name) {
  current = name;
  document.documentElement.lang = name;
  try {
    localStorage.setItem("language", name);
  } catch {
    // It then lasts until the page is closed.
  }
}

/** Is there a text of this name? For words made from ids, such as reasons and event types. */
export function has(key) {
  return key in tables[current];
}

/** The text `key`, filled with `values`. A missing one shows its name: a test finds it. */
export function t(key, values = {}) {
  let text = tables[current][key] ?? tables.en[key];
  if (text === undefined) return key;
  if ("n" in values && text.includes(" | ")) {
    const [one, other] = text.split(" | ");
    text = new Intl.PluralRules(current).select(values.n) === "one" ? one : other;
  }
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A word for an id that people chose (a reason, a disposition): its text, or the id, readable. */
export function word(prefix, id) {
  const key = `${prefix}_${id}`;
  return has(key) ? t(key) : String(id).replaceAll("_", " ");
}
