// What the right column reads over HTTP: asked for when a contact is chosen, never waited for by anything else.

import { get } from "../page/session.js";
import { useEffect, useState } from "../page/view.js";

const KEPT = 60;
const PAUSE_MS = 120;
/** Answers of this tab, the latest last: who comes back to a contact sees at once what was known. */
const kept = new Map();

function keep(path, answer) {
  kept.delete(path);
  kept.set(path, answer);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

/**
 * The answer to a GET, and a function that asks again:
 * `{ loading }`, then `{ answer }`, or `{ error, missing }` (missing: there is no such thing).
 * What was known before is shown meanwhile. An empty path asks nothing.
 */
export function useLoaded(path) {
  const [state, setState] = useState(() => (kept.has(path) ? { answer: kept.get(path) } : { loading: true }));
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (!path) return undefined;
    let current = true;
    const known = kept.get(path);
    setState(known ? { answer: known } : { loading: true });
    const ask = () =>
      get(path).then(
        (answer) => {
          keep(path, answer);
          if (current) setState({ answer });
        },
        (error) => current && setState({ answer: known, error: error.message, missing: error.status === 404 }),
      );
    // Who steps through the list with J and K does not ask about everybody on the way.
    const timer = setTimeout(ask, round ? 0 : PAUSE_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [path, round]);
  return [state, () => setRound(round + 1)];
}
