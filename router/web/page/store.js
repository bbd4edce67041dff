// A value that components watch. Many changes by the server within one frame are drawn once.

import { useEffect, useState } from "./view.js";

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
    // A hidden page gets no animation frames, but its title and sounds must go on.
    const later = document.hidden ? (draw) => setTimeout(draw, 50) : requestAnimationFrame;
    later(() => {
      this.waiting = false;
      this.touch();
    });
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
