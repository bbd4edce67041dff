// For stress runs alone (LATE_MS=300 pytest tests/web): each answer of the server, each drawing and
// each effect that follows a drawing comes late by a drawn time of up to MOST milliseconds.
{
  const draw = requestAnimationFrame.bind(window);
  const drawn = () => Math.random() * MOST;
  window.requestAnimationFrame = (told) => draw(() => setTimeout(() => told(performance.now()), drawn()));

  const ask = fetch.bind(window);
  window.fetch = async (...request) => {
    const answer = await ask(...request);
    await new Promise((done) => setTimeout(done, drawn()));
    return answer;
  };

  // A socket's events stay in their order.
  window.WebSocket = class extends WebSocket {
    #last = Promise.resolve();
    #told = {};

    #later(type, event) {
      const come = new Promise((done) => setTimeout(done, drawn()));
      this.#last = Promise.all([this.#last, come]).then(() => void this.#told[type]?.call(this, event));
    }

    #set(type, told) {
      if (!(type in this.#told)) this.addEventListener(type, (event) => this.#later(type, event));
      this.#told[type] = told;
    }

    set onopen(told) { this.#set("open", told); }
    set onmessage(told) { this.#set("message", told); }
    set onclose(told) { this.#set("close", told); }
  };
}
