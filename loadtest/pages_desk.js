// One part of a day at a desk: contacts `from` to `to`, each offered, talked over and wrapped up.
async ([from, to]) => {
  const { html, render } = await import("/page/view.js");
  const { Desk } = await import("/desk/desk.js");
  const { DeskState } = await import("/desk/state.js");
  const now = () => Date.now() * 1000;
  if (!window.desk) {
    const desk = new DeskState({ workspace: "w", agent: "ana", token: "t" });
    desk.connect({ name: "live", heardAt: Date.now(), lagUs: 0, tell() {}, command: async () => true });
    const agent = { id: "ana", name: "Ana", presence: "ready", presence_at_us: now(), capacity: 100, load: 0 };
    const channels = [{ name: "chat", parks: true, cost: 33, maximum: 3 }];
    desk.welcome({ agent, directory: { queues: [{ id: "care" }], agents: [], channels }, reservations: [], contacts: [] });
    render(html`<${Desk} desk=${desk} />`, document.getElementById("page"));
    window.desk = { desk, agent, seq: 0 };
  }
  const { desk, agent } = window.desk;
  const tell = async (event, more) => {
    window.desk.seq += 1;
    desk.push({ type: "event", epoch: 1, seq: window.desk.seq, now_us: now(), event: { at_us: now(), ...event }, agent: { ...agent }, ...more });
    desk.store.touch();
    await new Promise((next) => setTimeout(next));
  };
  for (let turn = from; turn < to; turn += 1) {
    const contact = { id: `c${turn}`, channel: "chat", state: "offered", queue: "care", mine: true, created_at_us: now(),
      peer: { address: `site/${turn}`, name: `Customer ${turn}` }, visit_at_us: now(), last_agent: "ana" };
    const held = { id: `r${turn}`, contact: contact.id, agent: "ana", queue: "care", channel: "chat", units: 33,
      offered_at_us: now(), deadline_at_us: now() + 2e7 };
    const said = { contact: contact.id, reservation: held.id, agent: "ana" };
    await tell({ type: "ContactOffered", ...said }, { contact, reservation: { ...held, state: "offered" } });
    const served = { ...held, state: "connected", accepted_at_us: now(), connected_at_us: now() };
    await tell({ type: "OfferAccepted", ...said }, { contact: { ...contact, state: "active" }, reservation: served });
    desk.choose(contact.id);
    for (let word = 0; word < 20; word += 1) {
      const message = { id: `m${turn}.${word}`, contact: contact.id, at_us: now(), from: word % 2 ? "agent" : "customer",
        text: `The ${word}th thing that is said about matter ${turn}.` };
      desk.drafts.write(contact.id, message.text);
      await tell({ type: "MessageReceived", contact: contact.id, message: message.id }, { message, contact: { ...contact, state: "active" } });
      await tell({ type: "EffectSettled", contact: contact.id, message: message.id, result: "done" }, {});
    }
    desk.drafts.write(contact.id, "");
    await tell({ type: "WrapUpStarted", ...said }, { contact: { ...contact, state: "closed" }, reservation: { ...served, state: "wrapping", wrap_at_us: now() } });
    await tell({ type: "ReservationEnded", ...said }, { contact: { id: contact.id, state: "closed", mine: false }, reservation: { id: held.id, state: "done" } });
  }
  return desk.known.contacts.size + desk.known.messages.size;
}
