// The server's clock as the page knows it, and one heartbeat for everything that counts.
// Moments are integer microseconds since 1970 UTC, as in the protocol.

import { html, useEffect, useState } from "./view.js";
import { countdown, duration, momentTitle } from "./format.js";

let offset = 0;

/** Not Date.now: the machine's clock may be set while the page is open. */
const since = () => (performance.timeOrigin + performance.now()) * 1000;

/** Set from a welcome: the server's `now_us` when the frame was made. */
export function setServerClock(nowUs) {
  offset = nowUs - since();
}

/** Now, by the server's clock, in microseconds. */
export function now() {
  return Math.round(since() + offset);
}

const beats = new Set();
let timer = 0;

function beat() {
  for (const each of [...beats]) each();
  // On the second, so that all counters of a page move together.
  timer = setTimeout(beat, 1000 - ((now() / 1000) % 1000) + 5);
}

/** Call `each` once a second until the returned function is called. */
export function onBeat(each) {
  beats.add(each);
  if (beats.size === 1) timer = setTimeout(beat, 1000 - ((now() / 1000) % 1000) + 5);
  return () => {
    beats.delete(each);
    if (beats.size === 0) clearTimeout(timer);
  };
}

/** Draw this component once a second. Gives now in microseconds. */
export function useBeat() {
  const [, draw] = useState(0);
  useEffect(() => onBeat(() => draw((n) => n + 1)), []);
  return now();
}

/** Time since a moment, counting up where it stands. */
export function Since({ at, title }) {
  const time = useBeat();
  if (!at) return html`<span class="time">–</span>`;
  return html`<span class="time" title=${title || momentTitle(at)}>${duration(time - at)}</span>`;
}

/** Time until a moment, counting down to 0. */
export function Until({ at, title }) {
  const time = useBeat();
  return html`<span class="time" title=${title || momentTitle(at)}>${countdown(at - time)}</span>`;
}
