// The sound of an offer. Browsers allow it after the first gesture only; until then the bell says so.

import { useEffect, useRef, useState } from "../page/view.js";

const KEY = "contact-router.sound";
let context = null;

/** Two soft notes, not an alarm: it is heard all day. */
function ring() {
  if (!context || context.state !== "running") return;
  const at = context.currentTime;
  for (const [delay, pitch] of [[0, 659], [0.16, 880]]) {
    const tone = context.createOscillator();
    const volume = context.createGain();
    tone.type = "sine";
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0, at + delay);
    volume.gain.linearRampToValueAtTime(0.12, at + delay + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, at + delay + 0.4);
    tone.connect(volume).connect(context.destination);
    tone.start(at + delay);
    tone.stop(at + delay + 0.45);
  }
}

/** Rings every 3 s while there are offers. Gives [on, toggle, allowed]. */
export function useRinging(offerCount) {
  const [on, setOn] = useState(localStorage.getItem(KEY) !== "off");
  const [allowed, setAllowed] = useState(false);
  const timer = useRef(0);
  useEffect(() => {
    const gesture = () => {
      context ??= new AudioContext();
      context.resume().then(() => setAllowed(true));
    };
    addEventListener("pointerdown", gesture, { once: true });
    addEventListener("keydown", gesture, { once: true });
    return () => {
      removeEventListener("pointerdown", gesture);
      removeEventListener("keydown", gesture);
    };
  }, []);
  const ringing = on && allowed && offerCount > 0;
  useEffect(() => {
    if (!ringing) return undefined;
    ring();
    timer.current = setInterval(ring, 3000);
    return () => clearInterval(timer.current);
  }, [ringing]);
  const toggle = () => {
    localStorage.setItem(KEY, on ? "off" : "on");
    setOn(!on);
  };
  return [on, toggle, allowed];
}
