// Numbers and times as people read them. Everything here is pure; widths stay the same while counting.

import { language } from "./texts.js";

const SECOND = 1e6;

const two = (n) => String(n).padStart(2, "0");

/** 42 s as "0:42", an hour as "1:00:00", days as "2 d 4 h". Below zero counts as zero. */
export function duration(us) {
  const s = Math.max(0, Math.floor(us / SECOND));
  if (s >= 172800) return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
  if (s >= 3600) return `${Math.floor(s / 3600)}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}`;
  return `${Math.floor(s / 60)}:${two(s % 60)}`;
}

/** Time left, rounded up, so that 0:00 means over. */
export function countdown(us) {
  return duration(Math.ceil(Math.max(0, us) / SECOND) * SECOND);
}

/** A length in words short enough for a sentence: "42 s", "4 min 12 s", "2 h 5 min". */
export function length(us) {
  const s = Math.max(0, Math.round(us / SECOND));
  if (s < 60) return `${s} s`;
  if (s < 3600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d`;
}

/** A share 0..1 as "87 %"; nothing measured is a dash. */
export function share(value) {
  return value === null || value === undefined ? "–" : `${Math.floor(value * 100 + 1e-9)} %`;
}

const formats = new Map();

function dateFormat(name, options) {
  const key = `${language()}/${name}`;
  // The reader's own region, if it speaks the language of the page: 21 Nov or Nov 21.
  const region = navigator.languages.find((each) => each.startsWith(language())) || language();
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(region, options));
  return formats.get(key);
}

/** "14:02" of a moment, in the reader's zone. */
export function clockTime(us) {
  return dateFormat("time", { hour: "2-digit", minute: "2-digit", hour12: false }).format(us / 1000);
}

/** "14:02:09" of a moment. */
export function clockSeconds(us) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  return dateFormat("seconds", options).format(us / 1000);
}

/** "Tue 3 Nov" of a moment. */
export function day(us) {
  return dateFormat("day", { weekday: "short", day: "numeric", month: "short" }).format(us / 1000);
}

/** "Tue 3 Nov" of a moment of this year, "3 Nov 2024" of another. */
export function date(us) {
  if (new Date(us / 1000).getFullYear() === new Date().getFullYear()) return day(us);
  return dateFormat("date", { day: "numeric", month: "short", year: "numeric" }).format(us / 1000);
}

/** The whole moment, for a tooltip. */
export function momentTitle(us) {
  if (!us) return "";
  return dateFormat("whole", { dateStyle: "medium", timeStyle: "medium" }).format(us / 1000);
}

/** Are two moments on one local day? */
export function sameDay(a, b) {
  return new Date(a / 1000).toDateString() === new Date(b / 1000).toDateString();
}

const MONDAY_MS = Date.UTC(2024, 0, 1);

/** "Tuesday" or "Tue" of a number, 0 = Monday. */
export function weekday(number, style = "short") {
  const format = dateFormat(`weekday-${style}`, { weekday: style, timeZone: "UTC" });
  return format.format(MONDAY_MS + number * 86_400_000);
}

/** "14:02" of a moment in an IANA zone; empty for a zone that this browser does not know. */
export function timeIn(zone, us) {
  const options = { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: zone };
  try {
    return dateFormat(`time-${zone}`, options).format(us / 1000);
  } catch {
    return "";
  }
}
