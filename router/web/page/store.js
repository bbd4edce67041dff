// A value that components watch. Many changes by the server within one frame are drawn once.

import { useEffect, useState } from "./view.js";

const UNSEEN_MS = 100;

export class Store {
  constructor(state) {
    this.state = state;
    this.version = 0;
    this.watchers = new Set();
    this.waiting = false;
  }

  /** The state was changed in place by the reader: draw before their next key. */
  touch() {
    this.version += 1;
    for (const watcher of [...this.watchers]) watcher(this.version);
  }

  /** The state was changed in place by the server: draw in the next frame. */
  soon() {
    if (this.waiting) return;
    this.waiting = true;
    const draw = () => {
      if (!this.waiting) return;
      this.waiting = false;
      this.touch();
    };
    requestAnimationFrame(draw);
    // A page that is hidden, or covered in this moment, gets no frames, but its title and sounds must go on.
    setTimeout(draw, UNSEEN_MS);
  }

  watch(watcher) {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }
}

/** Draw the component again when the store changes; gives the state. */
export function useStore(store) {
  const [, draw] = useState(store.version);
  useEffect(() => {
    draw(store.version);
    return store.watch(draw);
  }, [store]);
  return store.state;
}
