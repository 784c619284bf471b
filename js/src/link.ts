// The connection between a widget and the kernel: state arrives as traits, requests are verbs with small values.

/** The model that anywidget passes to a view. */
export interface Model {
  get(name: string): unknown;
  on(event: string, handler: (...args: unknown[]) => void): void;
  off(event: string, handler?: (...args: unknown[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
  readonly widget_manager?: unknown;
}

/** The element of a view, and the signal that ends it. */
export interface View {
  model: Model;
  el: HTMLElement;
  signal: AbortSignal;
}

/** The kernel rejected a request or failed to handle it. */
export class RequestError extends Error {
  constructor(
    message: string,
    /** Whether a run was stored, which shows the error itself. */
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

/** Time after which a quick request fails because the kernel does not respond. */
const TIMEOUT_MS = 15_000;
let count = 0;

export class Link {
  readonly #model: Model;
  readonly #pending = new Map<string, { resolve(value: unknown): void; reject(error: RequestError): void }>();
  readonly #name = `${Date.now().toString(36)}-${(count += 1)}`;
  /** Receives errors of the kernel that belong to no request. */
  onError: (text: string) => void = () => {};

  constructor(model: Model, signal: AbortSignal) {
    this.#model = model;
    this.#listen("msg:custom", (content) => this.#receive(content as Reply), signal);
  }

  /** Call back now and each time the trait changes. */
  follow<T>(trait: string, show: (value: T) => void, signal: AbortSignal): void {
    this.#listen(`change:${trait}`, () => show(this.#model.get(trait) as T), signal);
    show(this.#model.get(trait) as T);
  }

  get<T>(trait: string): T {
    return this.#model.get(trait) as T;
  }

  /**
   * Send a request and wait for its result.
   *
   * Requests that wait for a model are `patient` and have no timeout.
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
                "The kernel does not respond. It may be busy with a cell; if it was restarted, run the cell again.",
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
