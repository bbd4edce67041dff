// A value that components watch. Many changes within one frame are drawn once.

import { useEffect, useState } from "./view.js";

export class Store {
  constructor(state) {
    this.state = state;
    this.version = 0;
    this.watchers = new Set();
    this.waiting = false;
  }

  /** Merge `change` into the state and draw in the next frame. */
  set(change) {
    Object.assign(this.state, change);
    this.touch();
  }

  /** The state was changed in place: draw in the next frame. */
  touch() {
    this.version += 1;
    if (this.waiting) return;
    this.waiting = true;
    // A hidden page gets no animation frames, but its title and sounds must go on.
    const later = document.hidden ? (draw) => setTimeout(draw, 50) : requestAnimationFrame;
    later(() => {
      this.waiting = false;
      for (const watcher of [...this.watchers]) watcher(this.version);
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
