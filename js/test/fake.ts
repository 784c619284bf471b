// A model as anywidget gives it to a view, and the kernel behind it.
import type { Model } from "../src/link";

export class FakeModel implements Model {
  readonly sent: { id: string; verb: string; fields: Record<string, unknown> }[] = [];
  readonly files: ArrayBuffer[][] = [];
  readonly #handlers = new Map<string, Set<(...args: unknown[]) => void>>();
  readonly #traits: Record<string, unknown>;
  widget_manager: unknown;

  constructor(traits: Record<string, unknown>) {
    this.#traits = { _arriving: {}, _saved: {}, ...traits };
  }
  get(name: string): unknown {
    return this.#traits[name];
  }
  on(event: string, handler: (...args: unknown[]) => void): void {
    this.#handlers.set(event, (this.#handlers.get(event) ?? new Set()).add(handler));
  }
  off(event: string, handler: (...args: unknown[]) => void): void {
    this.#handlers.get(event)?.delete(handler);
  }
  send(content: unknown, _callbacks?: unknown, buffers: ArrayBuffer[] = []): void {
    this.sent.push(content as (typeof this.sent)[number]);
    this.files.push(buffers);
  }

  /** As the kernel sets a trait. */
  set(name: string, value: unknown): void {
    this.#traits[name] = value;
    this.#emit(`change:${name}`);
  }
  /** As the kernel answers the latest message of a verb. */
  async answer(
    verb: string,
    reply: { value?: unknown; error?: string; stored?: boolean } = { value: null },
  ): Promise<void> {
    this.#emit("msg:custom", { re: this.last(verb).id, ...reply });
    await flush();
  }
  last(verb: string): (typeof this.sent)[number] {
    const match = this.sent.filter((message) => message.verb === verb).at(-1);
    if (!match)
      throw new Error(`${verb} was not asked for, but ${this.sent.map((message) => message.verb).join(", ")}`);
    return match;
  }
  listeners(): number {
    return [...this.#handlers.values()].reduce((sum, handlers) => sum + handlers.size, 0);
  }
  #emit(event: string, ...args: unknown[]): void {
    this.#handlers.get(event)?.forEach((handler) => handler(...args));
  }
}

export const flush = () => new Promise((done) => setTimeout(done));

export function press(element: Element, key: string, more: KeyboardEventInit = {}): void {
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
}

export function type(element: HTMLTextAreaElement, text: string): void {
  element.value = text;
  element.dispatchEvent(new Event("input", { bubbles: true }));
}

/** The observers of the sizes of elements, which jsdom does not have. */
const observed = new Map<ResizeObserver, Element[]>();
const callbacks = new Map<ResizeObserver, () => void>();

globalThis.ResizeObserver = class implements ResizeObserver {
  constructor(callback: ResizeObserverCallback) {
    callbacks.set(this, () => callback([], this));
  }
  observe(element: Element): void {
    observed.set(this, [...(observed.get(this) ?? []), element]);
  }
  unobserve(element: Element): void {
    observed.set(this, (observed.get(this) ?? []).filter((each) => each !== element));
  }
  disconnect(): void {
    observed.delete(this);
  }
};

/** As the browser reports that the size of an element has changed. */
export function resize(element: Element): void {
  [...observed].forEach(([observer, elements]) => elements.includes(element) && callbacks.get(observer)!());
}
