// The session browser. The kernel keeps the list; only the visible rows, and some around them, are here.
import { annotationBar, type Annotation } from "./annotations";
import { renderChat } from "./chat";
import { button, counted, el, icon, iconButton, nameField, ownKeys, setHtml } from "./dom";
import { filterControls, type Criteria } from "./filters";
import { Link, type Model, type View } from "./link";
import { type Row, rowContent } from "./rows";

interface Content {
  total: number;
  rows: Row[];
  selected: string[];
  criteria: Criteria;
  choices: Record<string, string[]>;
  sql: string;
}
interface Preview {
  usage_line: string;
  earlier: number;
  labels: string[];
  turns: { run_id: string; question: string; html: string; annotations: Annotation[] }[];
}

const ROW_PX = 54;
const PAGE = 50;

export function renderBrowse({ model, el: root, signal }: View): void {
  new BrowserView(root, model, signal);
}

class BrowserView {
  readonly #link: Link;
  readonly #search = el("textarea", {
    class: "anb-input anb-search",
    rows: "1",
    placeholder: "Search names and messages",
    "aria-label": "Search",
  });
  readonly #filters = el("div", { class: "anb-filters" });
  readonly #space = el("div", { class: "anb-rows" });
  readonly #scroller = el(
    "div",
    { class: "anb-scroller", role: "listbox", tabindex: "0", "aria-label": "Sessions", "aria-multiselectable": "true" },
    this.#space,
  );
  readonly #pane = el("div", { class: "anb-pane" });
  readonly #status = el("div", { class: "anb-foot", role: "status" });
  readonly #errorBox = el("div", { class: "anb-alert", role: "alert" });
  readonly #chat = el("div", { class: "anb-opened" });
  readonly #rows = new Map<number, Row>();
  #isFetching = false;
  #content: Content = { total: 0, rows: [], selected: [], criteria: {} as Criteria, choices: {}, sql: "" };
  #selected = new Set<string>();
  #active = -1;
  #shown: string | null = null;
  #typing: ReturnType<typeof setTimeout> | undefined;
  #chatAbort: AbortController | undefined;

  constructor(
    root: HTMLElement,
    readonly model: Model,
    readonly signal: AbortSignal,
  ) {
    this.#link = new Link(model, signal);
    this.#link.onError = (text) => this.#showError(text);
    const head = el(
      "div",
      { class: "anb-head" },
      this.#search,
      iconButton("close", "Close and keep the list as text", () => void this.#do("leave")),
    );
    const box = el("section", { class: "anb anb-browse", "aria-label": "Sessions" });
    ownKeys(box);
    box.append(
      head,
      this.#filters,
      el("div", { class: "anb-panes" }, this.#scroller, this.#pane),
      this.#errorBox,
      this.#status,
    );
    root.append(box, this.#chat);
    this.#search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
      if (event.key === "ArrowDown") {
        event.preventDefault();
        this.#scroller.focus();
        this.#activate(Math.max(this.#active, 0));
      }
    });
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#find({ search: this.#search.value.slice(0, 1000) }), 250);
    });
    this.#scroller.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.#scroller.addEventListener("keydown", (event) => this.#key(event));
    const watch = new ResizeObserver(() => this.#draw());
    watch.observe(this.#scroller);
    signal.addEventListener("abort", () => (watch.disconnect(), this.#chatAbort?.abort()));
    this.#link.follow<Content>("_content", (content) => this.#show(content), signal);
    this.#showPane();
  }

  #show(content: Content): void {
    const isOtherList = content.sql !== this.#content.sql;
    this.#content = content;
    this.#selected = new Set(content.selected);
    this.#rows.clear();
    content.rows.forEach((row, place) => this.#rows.set(place, row));
    if (document.activeElement !== this.#search) this.#search.value = content.criteria.search;
    this.#showFilters();
    this.#space.style.height = `${Math.max(content.total, 1) * ROW_PX}px`;
    if (isOtherList) {
      this.#scroller.scrollTop = 0;
      this.#active = -1;
    }
    this.#draw();
    this.#showStatus();
    if (this.#selected.size === 0 && this.#shown === null) this.#showPane();
  }

  #showFilters(): void {
    const hadFocus = this.#filters.contains(document.activeElement)
      ? document.activeElement?.getAttribute("aria-label")
      : null;
    const { criteria, choices } = this.#content;
    this.#filters.replaceChildren(...filterControls(criteria, choices, (change) => this.#find(change)));
    if (hadFocus) this.#filters.querySelector<HTMLElement>(`[aria-label="${hadFocus}"]`)?.focus();
  }

  #find(change: Partial<Criteria>): void {
    void this.#do("find", { ...this.#content.criteria, ...change });
  }

  /** Draw the visible rows, and request missing ones from the kernel. */
  #draw(): void {
    const { total } = this.#content;
    if (total === 0) {
      this.#space.replaceChildren(el("div", { class: "anb-none anb-muted", text: "No sessions found" }));
      return;
    }
    const first = Math.max(0, Math.floor(this.#scroller.scrollTop / ROW_PX) - 4);
    const last = Math.min(total - 1, Math.ceil((this.#scroller.scrollTop + this.#scroller.clientHeight) / ROW_PX) + 4);
    const drawn: HTMLElement[] = [];
    for (let place = first; place <= last; place += 1) drawn.push(this.#drawRow(place));
    this.#space.replaceChildren(...drawn);
    const missing = Array.from({ length: last - first + 1 }, (_, place) => first + place).find(
      (place) => !this.#rows.has(place),
    );
    if (missing !== undefined && !this.#isFetching) void this.#fetch(Math.floor(missing / PAGE));
  }

  /** Fetch one page at a time, because pages that were scrolled past are no longer needed. */
  async #fetch(page: number): Promise<void> {
    this.#isFetching = true;
    const list = this.#content;
    try {
      const rows = await this.#link.ask<Row[]>("rows", { offset: page * PAGE, limit: PAGE });
      if (list === this.#content) rows.forEach((row, place) => this.#rows.set(page * PAGE + place, row));
      this.#isFetching = false;
      if (rows.length > 0) this.#draw();
    } catch (error) {
      this.#isFetching = false;
      this.#showError((error as Error).message);
    }
  }

  #drawRow(place: number): HTMLElement {
    const row = this.#rows.get(place);
    const isSelected = row !== undefined && this.#selected.has(row.session_id);
    const element = el("div", {
      class: `anb-session${place === this.#active ? " anb-active" : ""}${row && row.session_id === this.#shown ? " anb-shown" : ""}`,
      id: `${this.#name}-${place}`,
      role: "option",
      "aria-selected": String(isSelected),
      "aria-setsize": this.#content.total,
      "aria-posinset": place + 1,
    });
    element.style.top = `${place * ROW_PX}px`;
    if (!row) return element;
    const mark = el(
      "span",
      { class: "anb-mark", title: "Mark", onclick: (event: Event) => (event.stopPropagation(), this.#toggle(place)) },
      isSelected ? icon("done") : null,
    );
    element.append(mark, ...rowContent(row));
    element.addEventListener("click", () => {
      this.#activate(place);
      void this.#preview(row);
    });
    return element;
  }

  readonly #name = `anb-${Math.random().toString(36).slice(2)}`;

  #activate(place: number): void {
    this.#active = Math.max(0, Math.min(place, this.#content.total - 1));
    const top = this.#active * ROW_PX;
    const { scrollTop, clientHeight } = this.#scroller;
    if (top < scrollTop) this.#scroller.scrollTop = top;
    else if (top + ROW_PX > scrollTop + clientHeight) this.#scroller.scrollTop = top + ROW_PX - clientHeight;
    this.#draw();
    this.#scroller.setAttribute("aria-activedescendant", `${this.#name}-${this.#active}`);
  }

  #toggle(place: number): void {
    const id = this.#rows.get(place)?.session_id;
    if (id === undefined) return;
    if (!this.#selected.delete(id)) this.#selected.add(id);
    this.#showPane();
    this.#draw();
    this.#showStatus();
    void this.#do("select", { session_ids: [...this.#selected] });
  }

  #key(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this.#scroller.clientHeight / ROW_PX) - 1);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -1e9,
      End: 1e9,
    };
    const step = steps[event.key];
    const row = this.#rows.get(this.#active);
    if (step !== undefined) this.#activate(this.#active + step);
    else if (event.key === " ") this.#toggle(this.#active);
    else if (event.key === "Enter" && row) void this.#preview(row);
    else if (event.key === "Delete" && row)
      this.#askDelete(this.#selected.size > 0 ? [...this.#selected] : [row.session_id]);
    else return;
    event.preventDefault();
  }

  async #preview(row: Row): Promise<void> {
    this.#shown = row.session_id;
    this.#draw();
    const before = this.#pane.firstElementChild;
    try {
      const preview = await this.#link.ask<Preview>("preview", { session_id: row.session_id });
      const now = this.#pane.firstElementChild;
      // A question that was opened meanwhile stays open.
      if (this.#shown !== row.session_id || (now !== before && now?.getAttribute("role") === "alertdialog")) return;
      const id = row.session_id;
      const actions = el(
        "div",
        { class: "anb-actions" },
        button("Open in chat", () => void this.#open(id), { class: "anb-button anb-accept" }),
        button(
          "Resume here",
          () => void this.#do<string>("resume", { session_id: id }).then((message) => message && this.#setStatus(message)),
          { title: "Continue it in the %%agent cells of this notebook" },
        ),
        iconButton("edit", "Rename", () => this.#askName(row)),
        iconButton("delete", "Delete", () => this.#askDelete([id])),
      );
      const change = async (verb: string, fields: Record<string, unknown>) => {
        const place = this.#pane.querySelector(".anb-talk")?.scrollTop ?? 0;
        if ((await this.#do(verb, { session_id: id, ...fields })) === undefined) return;
        await this.#preview(row);
        const talk = this.#pane.querySelector(".anb-talk");
        if (talk) talk.scrollTop = place;
        const bars = [...this.#pane.querySelectorAll<HTMLElement>(".anb-annotations")];
        bars.find((bar) => bar.dataset.run === fields.run_id)?.querySelector("textarea")?.focus();
      };
      const talk = preview.turns.flatMap(({ run_id, question, html, annotations }) => {
        const answer = el("div", { class: "anb-answer" });
        setHtml(answer, html);
        const bar = annotationBar(run_id, annotations, preview.labels, change);
        return [el("div", { class: "anb-question", text: question }), answer, bar];
      });
      const earlier =
        preview.earlier > 0 && el("div", { class: "anb-muted", text: counted(preview.earlier, "earlier turn") });
      this.#pane.replaceChildren(
        el(
          "div",
          { class: "anb-pane-head" },
          el("div", { class: "anb-title", text: row.title }),
          el("div", { class: "anb-muted", text: preview.usage_line }),
          actions,
        ),
        el("div", { class: "anb-talk", tabindex: "0" }, earlier, ...talk),
      );
    } catch (error) {
      this.#showError((error as Error).message);
    }
  }

  #showPane(): void {
    if (this.#shown !== null && this.#selected.size === 0) return;
    this.#shown = null;
    const marked = [...this.#selected];
    this.#pane.replaceChildren(
      marked.length > 0
        ? el(
            "div",
            { class: "anb-pane-head" },
            el("div", { class: "anb-title", text: `${marked.length} marked` }),
            el("div", { class: "anb-muted", text: "In Python: .selected and .selected_df()" }),
            el(
              "div",
              { class: "anb-actions" },
              button("Delete", () => this.#askDelete(marked), { class: "anb-button anb-danger" }),
            ),
          )
        : el("div", { class: "anb-none anb-muted", text: "Select a session to read it here." }),
    );
  }

  #askDelete(ids: string[]): void {
    const what =
      ids.length === 1
        ? "this session with all its messages"
        : `these ${counted(ids.length, "session")} with all their messages`;
    const keep = button("Keep", () => ((this.#shown = null), this.#showPane()));
    this.#pane.replaceChildren(
      el(
        "div",
        { class: "anb-pane-head", role: "alertdialog", "aria-label": "Delete" },
        el("div", { class: "anb-title", text: `Delete ${what}?` }),
        el(
          "div",
          { class: "anb-actions" },
          button("Delete", () => void this.#delete(ids), { class: "anb-button anb-danger" }),
          keep,
        ),
      ),
    );
    keep.focus();
  }

  async #delete(ids: string[]): Promise<void> {
    this.#shown = null;
    this.#selected.clear();
    await this.#do("delete", { session_ids: ids });
    this.#showPane();
    this.#scroller.focus();
  }

  #askName(row: Row): void {
    const field = nameField(row.title, (name) => {
      if (name === null) void this.#preview(row);
      else
        void this.#do("rename", { session_id: row.session_id, name }).then(() =>
          this.#preview({ ...row, title: name || row.title }),
        );
    });
    this.#pane.querySelector(".anb-title")?.replaceWith(field);
    field.focus();
    field.select();
  }

  async #open(session_id: string): Promise<void> {
    const id = await this.#do<string>("open", { session_id });
    const manager = this.model.widget_manager as { get_model?(id: string): Promise<Model> } | undefined;
    if (id === undefined || !manager?.get_model) return;
    this.#chatAbort?.abort();
    this.#chatAbort = new AbortController();
    this.#chat.replaceChildren();
    renderChat({ model: await manager.get_model(id), el: this.#chat, signal: this.#chatAbort.signal });
    this.#chat.querySelector<HTMLElement>("textarea.anb-draft")?.focus();
  }

  #showStatus(): void {
    const { total } = this.#content;
    const marked = this.#selected.size > 0 ? ` · ${this.#selected.size} marked` : "";
    this.#setStatus(`${counted(total, "session")}${marked}`);
  }

  #setStatus(text: string): void {
    this.#status.textContent = text;
  }

  #showError(text: string): void {
    this.#errorBox.textContent = text;
  }

  async #do<T>(verb: string, fields: Record<string, unknown> = {}): Promise<T | undefined> {
    this.#showError("");
    try {
      return await this.#link.ask<T>(verb, fields);
    } catch (error) {
      this.#showError((error as Error).message);
      return undefined;
    }
  }
}
