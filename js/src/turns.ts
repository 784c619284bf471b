// The turns of a conversation, and the answer in progress.
import { el, icon, iconButton, setHtml } from "./dom";
import { type Decision, type PendingItem, pendingCard } from "./pending";

export interface Turn {
  run_id: string;
  attempts: string[];
  question: string;
  files: string[];
  html: string;
  status: string;
  cell: number | null;
  pending: PendingItem[];
}
export interface Arriving {
  question?: string;
  files?: string[];
  html?: string;
  in_place_of?: string | null;
}

export interface Actions {
  retry(turn: Turn): Promise<void>;
  edit(turn: Turn): void;
  copy(turn: Turn): Promise<void>;
  attempt(run_id: string): Promise<{ question: string; html: string }>;
  decide(turn: Turn, decision: Decision): Promise<unknown>;
  showError(text: string): void;
}

export class TurnView {
  readonly question = el("div", { class: "anb-question" });
  readonly answer = el("div", { class: "anb-answer" });
  readonly #bar = el("div", { class: "anb-bar", role: "toolbar", "aria-label": "This turn" });
  readonly #pending = el("div", {});
  readonly element = el("article", { class: "anb-turn" }, this.question, this.answer, this.#pending, this.#bar);
  #shown = "";
  #place = 0;

  constructor(readonly actions: Actions) {}

  show(turn: Turn): void {
    const now = JSON.stringify(turn);
    if (now === this.#shown) return;
    this.#shown = now;
    this.#place = turn.attempts.length - 1;
    showQuestion(this.question, turn.question, turn.files);
    setHtml(this.answer, turn.html);
    this.#pending.replaceChildren(
      ...turn.pending.map((item) => pendingCard(item, (decision) => this.actions.decide(turn, decision))),
    );
    this.#fillBar(turn);
  }

  #fillBar(turn: Turn): void {
    const copy = iconButton("copy", "Copy the answer", () => {
      this.actions.copy(turn).then(
        () => copy.replaceChildren(icon("done")),
        (error: Error) => this.actions.showError(error.message),
      );
    });
    const where = turn.cell === null ? "" : `cell [${turn.cell}]`;
    this.#bar.replaceChildren(
      copy,
      iconButton("retry", "Regenerate; this answer is kept", () => void this.actions.retry(turn)),
      iconButton("edit", "Edit and send again", () => this.actions.edit(turn)),
      ...(turn.attempts.length > 1 ? this.#switch(turn) : []),
      el("span", { class: "anb-muted", text: where }),
    );
  }

  #switch(turn: Turn): HTMLElement[] {
    const step = (by: number) => {
      const place = this.#place + by;
      const run = turn.attempts[place];
      if (run === undefined) return;
      this.actions.attempt(run).then(
        ({ question, html }) => {
          this.#place = place;
          showQuestion(this.question, question, turn.files);
          setHtml(this.answer, html);
          this.#fillBar(turn);
        },
        (error: Error) => this.actions.showError(error.message),
      );
    };
    return [
      iconButton("left", "Earlier attempt", () => step(-1), { disabled: this.#place === 0 }),
      el("span", { class: "anb-muted", text: `${this.#place + 1} / ${turn.attempts.length}` }),
      iconButton("right", "Later attempt", () => step(1), { disabled: this.#place === turn.attempts.length - 1 }),
    ];
  }
}

export class ArrivingView {
  readonly #question = el("div", { class: "anb-question" });
  readonly #answer = el("div", { class: "anb-answer" });
  readonly #wait = el("div", { class: "anb-wait", "aria-hidden": "true" }, el("i"), el("i"), el("i"));
  readonly element = el("article", { class: "anb-turn anb-arriving" }, this.#question, this.#answer, this.#wait);

  show(arriving: Arriving): HTMLElement {
    showQuestion(this.#question, arriving.question ?? "", arriving.files ?? []);
    setHtml(this.#answer, arriving.html ?? "");
    this.#wait.hidden = Boolean(arriving.html);
    return this.element;
  }

  clear(): void {
    this.#answer.replaceChildren();
  }
}

function showQuestion(element: HTMLElement, question: string, files: string[]): void {
  element.replaceChildren(question, ...files.map((name) => el("span", { class: "anb-chip", text: name })));
}

export function when(seconds: number): string {
  const time = new Date(seconds * 1000);
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday
    ? time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })
    : time.toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
}
