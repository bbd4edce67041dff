// What every component is made of: preact, its hooks, and templates without a build step.

import { Component, Fragment, h, render } from "../vendor/preact.mjs";
import htm from "../vendor/htm.mjs";

export { Fragment, render };
export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.mjs";

/** Templates: html`<p class="x">${text}</p>`. Values become text nodes, never markup. */
export const html = htm.bind(h);

/** A component that is drawn again only when one of its properties is another object. */
export function memo(draw) {
  return class extends Component {
    shouldComponentUpdate(next) {
      const now = this.props;
      for (const key in next) if (key !== "children" && next[key] !== now[key]) return true;
      for (const key in now) if (!(key in next)) return true;
      return false;
    }
    render(props) {
      return h(draw, props);
    }
  };
}
