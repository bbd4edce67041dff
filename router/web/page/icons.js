// Small drawings. Meaning is never colour alone: each meaning has its own shape.

import { html } from "./view.js";

const paths = {
  voice:
    "M5.2 2.5 7 2l1.4 3-1.6 1.3a8 8 0 0 0 2.9 2.9L11 7.6 14 9l-.5 1.8c-.2.8-.9 1.3-1.7 1.2A11 11 0 0 1 4 4.2c-.1-.8.4-1.5 1.2-1.7Z",
  chat: "M3 3.5h10a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1H7l-3 2.5v-2.5H3a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1Z",
  sms: "M5 1.5h6a1 1 0 0 1 1 1v11a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1v-11a1 1 0 0 1 1-1ZM6 5h4M6 7.5h4M7.2 12h1.6",
  email: "M2 3.5h12v9H2ZM2 4.2 8 9l6-4.8",
  other: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11ZM8 5.5V8l2 1.5",
  hold: "M5.5 3.5v9M10.5 3.5v9",
  resume: "M5 3.2 12.5 8 5 12.8Z",
  transfer: "M2.5 5.5h10M9.5 2.5l3 3-3 3M13.5 10.5h-10M6.5 7.5l-3 3 3 3",
  consult: "M6 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM1.8 13.5c.3-2.6 2-4 4.2-4s3.9 1.4 4.2 4M11 7.2a2.2 2.2 0 0 0 0-4.2M12 9.7c1.3.6 2.1 1.9 2.3 3.8",
  requeue: "M3 8a5 5 0 1 0 1.6-3.7M3 2.5v2.8h2.8",
  conference: "M8 6.2a2.1 2.1 0 1 0 0-4.2 2.1 2.1 0 0 0 0 4.2ZM3.6 14a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM12.4 14a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM7 6.3 4.6 9.8M9 6.3l2.4 3.5M6 12h4",
  record: "M8 2.6a5.4 5.4 0 1 0 0 10.8A5.4 5.4 0 0 0 8 2.6ZM8 5.8a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4Z",
  channel: "M2 4.5h7.5M7 2l2.5 2.5L7 7M14 11.5H6.5M9 9l-2.5 2.5L9 14",
  callback: "M5 6.5 3.6 7.9a9 9 0 0 0 4.5 4.5L9.5 11l2.8 1.3-.4 1.5c-.2.7-.8 1.1-1.5 1A10 10 0 0 1 1.7 5.6c-.1-.7.3-1.3 1-1.5l1.5-.4L5 6.5ZM13.5 2 9.5 6M9.2 2.8v3.5h3.5",
  park: "M5.5 13.5v-11h3a3.2 3.2 0 0 1 0 6.4h-3",
  done: "M3 8.5 6.5 12 13 4.5",
  close: "M4 4l8 8M12 4l-8 8",
  help: "M6 6a2 2 0 1 1 2.8 1.9c-.6.3-.8.7-.8 1.4M8 11.8v.2",
  bell: "M4 11V7a4 4 0 0 1 8 0v4l1 1.2H3L4 11ZM7 14h2",
  mute: "M4 11V7a4 4 0 0 1 8 0v4l1 1.2H3L4 11ZM7 14h2M2 2l12 12",
  info: "M8 7.2v4M8 4.6v.2M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8Z",
  back: "M9.5 3.5 5 8l4.5 4.5",
  beside: "M2 3h12v10H2ZM8 3v10",
  watch: "M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8ZM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6Z",
  down: "M4 6l4 4 4-4",
};

/** An icon that decorates a text beside it. */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    <path d=${paths[name] || paths.other} />
  </svg>`;
}

/** The drawing of a channel; an adapter's own channel gets the neutral one. */
export function ChannelIcon({ channel }) {
  return html`<span class="channel-icon" title=${channel}><${Icon} name=${channel in paths ? channel : "other"} /></span>`;
}

const shapes = {
  good: html`<circle cx="6" cy="6" r="4.5" />`,
  attention: html`<path d="M6 1.2 11.2 10.6H.8Z" />`,
  bad: html`<path d="M6 .8 11.2 6 6 11.2.8 6Z" />`,
  neutral: html`<circle cx="6" cy="6" r="3.8" class="hollow" />`,
  still: html`<rect x="1.8" y="1.8" width="8.4" height="8.4" rx="1" />`,
};

/** Good is a disc, attention a triangle, bad a diamond, neutral a ring; `still` is a square (not ready). */
export function Mark({ meaning, shape, label }) {
  return html`<svg class=${`mark ${meaning}`} viewBox="0 0 12 12" role=${label ? "img" : "presentation"} aria-label=${label}>
    ${shapes[shape || meaning]}
  </svg>`;
}

/** Which meaning and shape a presence has. */
export function presenceMark(presence, reason) {
  if (presence === "ready") return { meaning: "good" };
  if (presence === "not_ready" && (reason === "rona" || reason === "lost")) return { meaning: "bad" };
  if (presence === "not_ready") return { meaning: "attention", shape: "still" };
  return { meaning: "neutral" };
}

/** A ring that empties until a deadline. `left` is 0..1. */
export function Ring({ left, children }) {
  const round = 2 * Math.PI * 17;
  return html`<span class="ring">
    <svg viewBox="0 0 40 40" aria-hidden="true">
      <circle class="track" cx="20" cy="20" r="17" />
      <circle class="left" cx="20" cy="20" r="17" stroke-dasharray=${round} stroke-dashoffset=${round * (1 - left)} />
    </svg>
    <span class="ring-text">${children}</span>
  </span>`;
}
