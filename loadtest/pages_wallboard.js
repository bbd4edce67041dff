// One part of a day on the wallboard: deltas `from` to `to`, in each of which three contacts come and three go.
async ([whole, from, to]) => {
  const { html, render } = await import("/page/view.js");
  const { Store, useStore } = await import("/page/store.js");
  const { Board } = await import("/wallboard/board.js");
  const { applyBoardWelcome, applyDelta, emptyBoard } = await import("/wallboard/model.js");
  if (!window.day) {
    const board = emptyBoard();
    applyBoardWelcome(board, { board: whole, now_us: Date.now() * 1000 });
    const store = new Store(board);
    const wall = { board, store, connection: { name: "live", heardAt: Date.now(), lagUs: 0 },
      session: { workspace: "w" }, place: { queue: "care" }, notices: [], go() {} };
    const Page = () => (useStore(store), html`<${Board} wall=${wall} />`);
    render(html`<${Page} />`, document.getElementById("page"));
    window.day = { board, store, line: whole.contacts.map((each) => each.id), count: 0 };
  }
  const { board, store, line } = window.day;
  for (let turn = from; turn < to; turn += 1) {
    const gone = line.splice(0, 3);
    const model = whole.contacts[turn % whole.contacts.length];
    const come = gone.map(() => ({ ...model, id: `d${(window.day.count += 1)}`, visit_at_us: Date.now() * 1000 }));
    line.push(...come.map((each) => each.id));
    const agents = whole.agents.slice(turn % 1900, (turn % 1900) + 20);
    applyDelta(board, structuredClone({
      now_us: Date.now() * 1000, queues: whole.queues, totals: { ...whole.totals, waiting: turn },
      agents: agents.map((each) => ({ ...each, load: turn % 100 })),
      contacts: come, gone: { contacts: gone },
      events: gone.map((contact) => ({ type: "ContactClosed", contact, at_us: Date.now() * 1000, outcome: "completed" })),
    }));
    if (turn % 20) continue;
    store.touch();
    await new Promise((next) => setTimeout(next));
  }
  return board.contacts.size;
}
