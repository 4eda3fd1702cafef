// Numbered messages of a Node.js server at a steady rate, as in cluster-node/traffic.go.

const tick = 5; // ms

export class Traffic {
  constructor(io, pub) {
    this.io = io;
    this.number = undefined; // of the message that is being published
    this.unanswered = new Set();
    this.#watch(pub);
  }

  /** Notes which messages Redis has confirmed. The adapter looks at no reply, and catches no rejection. */
  #watch(pub) {
    const publish = pub.publish.bind(pub);
    pub.publish = (...args) => {
      const { number, unanswered } = this;
      const reply = publish(...args);
      if (number !== undefined) unanswered.add(number);
      reply.then(() => unanswered.delete(number), () => {});
      return reply.catch(() => {});
    };
  }

  start({ from, rooms, rate }) {
    Object.assign(this, { from, rooms, published: 0, unanswered: new Set() });
    const began = performance.now();
    let steady = 0;
    this.timer = setInterval(() => {
      for (const due = (performance.now() - began) / 1_000 * rate; steady + 1 <= due; steady++) this.#publish(0);
    }, tick);
  }

  burst({ count, size }) {
    for (let i = 0; i < count; i++) this.#publish(size);
  }

  /** Ends the series. The messages without a reply may have been lost, or may have arrived. */
  end() {
    clearInterval(this.timer);
    return { published: this.published, refused: [], unanswered: [...this.unanswered] };
  }

  #publish(size) {
    this.number = this.published++;
    const to = this.io.in(this.rooms.slice(0, this.number % (this.rooms.length + 1)));
    to.emit("traffic", [this.from, this.number, Date.now(), "x".repeat(size)]);
    this.number = undefined;
  }
}
