// The session picker, opened from the title of the current session.
import { counted, el, icon, moveFocus } from "./dom";
import type { Link } from "./link";
import { when } from "./turns";

interface Listed {
  session_id: string;
  title: string;
  num_runs: number;
  updated_at: number;
}

export class Picker {
  readonly #title = el("span", { class: "anb-title" });
  readonly button = el(
    "button",
    {
      type: "button",
      class: "anb-button anb-bare anb-picker",
      "aria-haspopup": "listbox",
      "aria-expanded": "false",
      title: "Sessions",
      onclick: () => (this.isOpen ? this.close() : this.#open()),
    },
    this.#title,
    icon("down"),
  );
  readonly list = el("div", { class: "anb-list", hidden: true });
  readonly #link: Link;
  readonly #choose: (session_id: string) => void;
  readonly #showError: (text: string) => void;
  #current = "";

  constructor(link: Link, choose: (session_id: string) => void, showError: (text: string) => void) {
    this.#link = link;
    this.#choose = choose;
    this.#showError = showError;
  }

  get isOpen(): boolean {
    return !this.list.hidden;
  }

  /** Show the current session. */
  show(session_id: string, title: string): void {
    this.#current = session_id;
    this.#title.textContent = title;
    this.#title.title = title;
  }

  close(): void {
    this.list.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
  }

  #open(): void {
    const search = el("textarea", {
      class: "anb-input",
      rows: "1",
      placeholder: "Search sessions",
      "aria-label": "Search sessions",
    });
    const results = el("div", { class: "anb-results", role: "listbox", "aria-label": "Sessions" });
    const look = () => void this.#look(search, results).catch((error: Error) => this.#showError(error.message));
    search.addEventListener("input", look);
    this.list.replaceChildren(search, results);
    this.list.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.list.onkeydown = (event) => moveFocus(event, this.list);
    search.focus();
    look();
  }

  /** List the search results, unless the query has changed since. */
  async #look(search: HTMLTextAreaElement, results: HTMLElement): Promise<void> {
    const query = search.value;
    const sessions = await this.#link.ask<Listed[]>("sessions", { search: query.slice(0, 200) });
    if (search.value !== query) return;
    results.replaceChildren(...sessions.map((session) => this.#option(session)));
    if (sessions.length === 0) results.append(el("div", { class: "anb-muted anb-none", text: "No sessions found" }));
  }

  #option({ session_id, title, num_runs, updated_at }: Listed): HTMLElement {
    const choose = () => {
      this.close();
      this.#choose(session_id);
    };
    return el(
      "button",
      {
        type: "button",
        class: "anb-option",
        role: "option",
        "aria-selected": String(session_id === this.#current),
        onclick: choose,
      },
      el("span", { class: "anb-option-title", text: title }),
      el("span", {
        class: "anb-muted",
        text: `${counted(num_runs, "turn")} · ${when(updated_at)}`,
      }),
    );
  }
}
