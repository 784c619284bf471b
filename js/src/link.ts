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
export class RequestError extends Error {
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
const TIMEOUT_MS = 15_000;
let count = 0;

export class Link {
  readonly #model: Model;
  readonly #pending = new Map<string, { resolve(value: unknown): void; reject(error: RequestError): void }>();
  readonly #name = `${Date.now().toString(36)}-${(count += 1)}`;
  /** Told of what went wrong where nobody waits for an answer. */
  onError: (text: string) => void = () => {};

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
    return new Promise<T>((resolve, reject) => {
      const timer = options.patient
        ? undefined
        : setTimeout(() => {
            this.#pending.delete(id);
            reject(
              new RequestError(
                "The kernel does not answer: it may be busy with a cell, or was restarted; then run the cell again.",
                false,
              ),
            );
          }, TIMEOUT_MS);
      this.#pending.set(id, {
        resolve: (value) => (clearTimeout(timer), resolve(value as T)),
        reject: (error) => (clearTimeout(timer), reject(error)),
      });
      this.#model.send({ id, verb, fields }, undefined, options.files ?? []);
    });
  }

  #receive(reply: Reply): void {
    const request = typeof reply.re === "string" ? this.#pending.get(reply.re) : undefined;
    const error = typeof reply.error === "string" ? new RequestError(reply.error, reply.stored === true) : undefined;
    if (request) {
      this.#pending.delete(reply.re as string);
      if (error) request.reject(error);
      else request.resolve(reply.value);
    } else if (error && reply.re === null) {
      this.onError(error.message);
    }
  }

  #listen(event: string, handler: (...args: unknown[]) => void, signal: AbortSignal): void {
    this.#model.on(event, handler);
    signal.addEventListener("abort", () => this.#model.off(event, handler), { once: true });
  }
}
