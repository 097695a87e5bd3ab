// The socket: what is wanted is asked for again after every reconnect.

const RETRY_MS = [250, 500, 1000, 2000, 4000];

export class Live {
  #wanted = new Map();
  #socket = null;
  #failures = 0;
  #handlers;

  // handlers: one function per message type, and `link(state)` with open or closed.
  constructor(handlers) {
    this.#handlers = handlers;
    this.#connect();
  }

  subscribe(message) {
    this.#wanted.set(message.subscribe, message);
    this.#send(message);
  }

  unsubscribe(topic, id = "") {
    this.#wanted.delete(topic);
    this.#send({ unsubscribe: topic, id });
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#failures = 0;
      this.#wanted.forEach((message) => this.#send(message));
      this.#handlers.link("open");
    };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      this.#handlers[message.type]?.(message);
    };
    socket.onclose = () => {
      this.#handlers.link("closed");
      const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)];
      setTimeout(() => this.#connect(), wait);
    };
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}
