// The line between a panel and the kernel: state comes as traits, requests go as verbs with small values.

/** What anywidget gives a view of its model. */
export interface Model {
  get(name: string): unknown;
  on(event: string, handler: (...args: unknown[]) => void): void;
  off(event: string, handler?: (...args: unknown[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
  readonly widget_manager?: unknown;
}

/** Where a panel is drawn, and until when. */
export interface View {
  model: Model;
  el: HTMLElement;
  signal: AbortSignal;
}

/** The kernel has refused, or failed at, what was asked. */
export class Refused extends Error {
  constructor(
    message: string,
    /** Whether a run came of it, which then shows the error itself. */
    readonly stored: boolean,
  ) {
    super(message);
  }
}

interface Reply {
  re?: unknown;
  error?: unknown;
  stored?: unknown;
  value?: unknown;
}

/** How long a quick question may take before the panel says that the kernel is silent. */
const PATIENCE_MS = 15_000;
let count = 0;

export class Link {
  readonly #model: Model;
  readonly #waiting = new Map<string, { done(value: unknown): void; failed(error: Refused): void }>();
  readonly #name = `${Date.now().toString(36)}-${(count += 1)}`;
  /** Told of what went wrong where nobody waits for an answer. */
  onTrouble: (text: string) => void = () => {};

  constructor(model: Model, signal: AbortSignal) {
    this.#model = model;
    this.#listen("msg:custom", (content) => this.#receive(content as Reply), signal);
  }

  /** Call back now, and whenever the trait changes. */
  follow<T>(trait: string, show: (value: T) => void, signal: AbortSignal): void {
    this.#listen(`change:${trait}`, () => show(this.#model.get(trait) as T), signal);
    show(this.#model.get(trait) as T);
  }

  get<T>(trait: string): T {
    return this.#model.get(trait) as T;
  }

  /**
   * Ask for something.
   *
   * `patient` is for what may take as long as a model takes.
   */
  ask<T>(
    verb: string,
    fields: Record<string, unknown> = {},
    options: { files?: ArrayBuffer[]; patient?: boolean } = {},
  ) {
    const id = `${this.#name}-${(count += 1)}`;
    return new Promise<T>((done, failed) => {
      const timer = options.patient
        ? undefined
        : setTimeout(() => {
            this.#waiting.delete(id);
            failed(
              new Refused(
                "The kernel does not answer: it may be busy with a cell, or was restarted; then run the cell again.",
                false,
              ),
            );
          }, PATIENCE_MS);
      this.#waiting.set(id, {
        done: (value) => (clearTimeout(timer), done(value as T)),
        failed: (error) => (clearTimeout(timer), failed(error)),
      });
      this.#model.send({ id, verb, fields }, undefined, options.files ?? []);
    });
  }

  #receive(reply: Reply): void {
    const waiting = typeof reply.re === "string" ? this.#waiting.get(reply.re) : undefined;
    const refused = typeof reply.error === "string" ? new Refused(reply.error, reply.stored === true) : undefined;
    if (waiting) {
      this.#waiting.delete(reply.re as string);
      if (refused) waiting.failed(refused);
      else waiting.done(reply.value);
    } else if (refused && reply.re === null) {
      this.onTrouble(refused.message);
    }
  }

  #listen(event: string, handler: (...args: unknown[]) => void, signal: AbortSignal): void {
    this.#model.on(event, handler);
    signal.addEventListener("abort", () => this.#model.off(event, handler), { once: true });
  }
}
