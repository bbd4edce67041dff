/**
 * A telephone exchange that is only simulated: callers and agents' phones, driven by a script.
 *
 * In a product this file is the one to replace: by your exchange's own interface.
 */

export class Exchange {
  #tell;
  #calls = new Map();
  #phones = new Map();
  onCall = () => {};
  onHangUp = () => {};
  onAnswer = () => {};
  onDecline = () => {};
  onPutDown = () => {};

  /** @param {(event: object) => void} tell  what can be seen from outside */
  constructor(tell) {
    this.#tell = tell;
  }

  get calls() {
    return [...this.#calls.values()];
  }

  call(id) {
    return this.#calls.get(id);
  }

  // -- callers -----------------------------------------------------------------------------------

  arrive(id, from, to) {
    if (this.#calls.has(id)) return;
    const call = { id, from, to, phone: '', keys: [], waiter: null, isHeld: false, data: {} };
    this.#calls.set(id, call);
    this.onCall(call);
  }

  press(id, key) {
    const call = this.#calls.get(id);
    if (!call) return;
    if (call.waiter) call.waiter(key);
    else call.keys.push(key);
  }

  /** The caller hangs up. */
  hangUp(id) {
    const call = this.#over(id, 'caller');
    if (call) this.onHangUp(call);
  }

  /** We hang up. */
  end(id) {
    this.#over(id, 'us');
  }

  say(id, text) {
    if (this.#calls.has(id)) this.#tell({ event: 'heard', call: id, text });
  }

  /** The next keys, as many as asked for; empty when there is nothing within `ms`, or they go. */
  async collect(id, count, ms) {
    const call = this.#calls.get(id);
    if (!call) return '';
    const until = Date.now() + ms;
    let pressed = '';
    while (pressed.length < count && this.#calls.has(id)) {
      const key = call.keys.shift() ?? (await this.#nextKey(call, until - Date.now()));
      if (key === '') return '';
      pressed += key;
    }
    return pressed;
  }

  #nextKey(call, ms) {
    return new Promise((resolve) => {
      const done = (key) => {
        clearTimeout(timer);
        call.waiter = null;
        resolve(key);
      };
      const timer = setTimeout(() => done(''), Math.max(0, ms));
      call.waiter = done;
    });
  }

  #over(id, by) {
    const call = this.#calls.get(id);
    if (!call) return null;
    this.#calls.delete(id);
    call.waiter?.('');
    if (call.phone) this.#phones.delete(call.phone);
    this.#tell({ event: 'over', call: id, by });
    return call;
  }

  // -- agents' phones ----------------------------------------------------------------------------

  /** False: it is busy. The same reservation again rings once. */
  ring(phone, reservation, callId) {
    const known = this.#phones.get(phone);
    if (known) return known.reservation === reservation;
    this.#phones.set(phone, { reservation, callId, isTalking: false });
    this.#tell({ event: 'rings', phone, reservation });
    return true;
  }

  /** No more ringing, or the agent is taken out of the call; the caller stays. */
  release(reservation) {
    for (const [phone, leg] of this.#phones) {
      if (leg.reservation !== reservation) continue;
      this.#phones.delete(phone);
      const call = this.#calls.get(leg.callId);
      if (call?.phone === phone) call.phone = '';
      this.#tell({ event: 'stops', phone, reservation });
    }
  }

  /** The phone is picked up, or answers by itself: caller and agent hear each other. */
  answer(phone) {
    const leg = this.#phones.get(phone);
    const call = leg && this.#calls.get(leg.callId);
    if (!leg || leg.isTalking || !call) return false;
    leg.isTalking = true;
    call.phone = phone;
    this.#tell({ event: 'talks', call: call.id, phone });
    this.onAnswer(leg.reservation);
    return true;
  }

  decline(phone) {
    const leg = this.#phones.get(phone);
    if (!leg || leg.isTalking) return;
    this.#phones.delete(phone);
    this.onDecline(leg.reservation);
  }

  /** The agent hangs up; what becomes of the caller is the router's to say. */
  putDown(phone) {
    const leg = this.#phones.get(phone);
    if (!leg?.isTalking) return;
    this.release(leg.reservation);
    this.onPutDown(leg.reservation);
  }

  hold(id, isHeld) {
    const call = this.#calls.get(id);
    if (!call || call.isHeld === isHeld) return;
    call.isHeld = isHeld;
    this.#tell({ event: isHeld ? 'music' : 'music_stops', call: id });
  }
}
