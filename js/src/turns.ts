// The turns of a conversation, and the answer that arrives.
import { el, icon, iconButton, setHtml } from "./dom";
import { type Decision, type Need, needCard } from "./needs";

export interface Turn {
  run_id: string;
  attempts: string[];
  asked: string;
  files: string[];
  html: string;
  status: string;
  cell: number | null;
  needs: Need[];
}
export interface Arriving {
  asked?: string;
  files?: string[];
  html?: string;
  in_place_of?: string | null;
}

export interface Actions {
  retry(turn: Turn): Promise<void>;
  edit(turn: Turn): void;
  copy(turn: Turn): Promise<void>;
  attempt(run_id: string): Promise<{ asked: string; html: string }>;
  decide(turn: Turn, decision: Decision): Promise<unknown>;
  complain(text: string): void;
}

export class TurnView {
  readonly asked = el("div", { class: "anb-asked" });
  readonly answer = el("div", { class: "anb-answer" });
  readonly #bar = el("div", { class: "anb-bar", role: "toolbar", "aria-label": "This turn" });
  readonly #needs = el("div", {});
  readonly element = el("article", { class: "anb-turn" }, this.asked, this.answer, this.#needs, this.#bar);
  #shown = "";
  #place = 0;

  constructor(readonly actions: Actions) {}

  show(turn: Turn): void {
    const now = JSON.stringify(turn);
    if (now === this.#shown) return;
    this.#shown = now;
    this.#place = turn.attempts.length - 1;
    showAsked(this.asked, turn.asked, turn.files);
    setHtml(this.answer, turn.html);
    this.#needs.replaceChildren(
      ...turn.needs.map((need) => needCard(need, (decision) => this.actions.decide(turn, decision))),
    );
    this.#fillBar(turn);
  }

  #fillBar(turn: Turn): void {
    const copy = iconButton("copy", "Copy the answer", () => {
      this.actions.copy(turn).then(
        () => copy.replaceChildren(icon("done")),
        (error: Error) => this.actions.complain(error.message),
      );
    });
    const where = turn.cell === null ? "" : `cell [${turn.cell}]`;
    this.#bar.replaceChildren(
      copy,
      iconButton("retry", "Ask again; this answer is kept", () => void this.actions.retry(turn)),
      iconButton("edit", "Edit and ask again", () => this.actions.edit(turn)),
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
        ({ asked, html }) => {
          this.#place = place;
          showAsked(this.asked, asked, turn.files);
          setHtml(this.answer, html);
          this.#fillBar(turn);
        },
        (error: Error) => this.actions.complain(error.message),
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
  readonly #asked = el("div", { class: "anb-asked" });
  readonly #answer = el("div", { class: "anb-answer" });
  readonly #wait = el("div", { class: "anb-wait", "aria-hidden": "true" }, el("i"), el("i"), el("i"));
  readonly element = el("article", { class: "anb-turn anb-arriving" }, this.#asked, this.#answer, this.#wait);

  show(arriving: Arriving): HTMLElement {
    showAsked(this.#asked, arriving.asked ?? "", arriving.files ?? []);
    setHtml(this.#answer, arriving.html ?? "");
    this.#wait.hidden = Boolean(arriving.html);
    return this.element;
  }

  clear(): void {
    this.#answer.replaceChildren();
  }
}

function showAsked(element: HTMLElement, asked: string, files: string[]): void {
  element.replaceChildren(asked, ...files.map((name) => el("span", { class: "anb-chip", text: name })));
}

export function when(seconds: number): string {
  const time = new Date(seconds * 1000);
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday
    ? time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })
    : time.toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
}
