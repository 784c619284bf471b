// The chat panel.
import { button, copyText, el, icon, iconButton, moveFocus, ownKeys, setChildren } from "./dom";
import { Link, type Model, Refused } from "./link";
import { type Actions, type Arriving, ArrivingView, type Turn, TurnView, when } from "./turns";

interface Content {
  session_id: string;
  title: string;
  is_stored: boolean;
  agent: string;
  model: string;
  sees_images: boolean;
  files_size_limit: number;
  so_far: string;
  earlier: number;
  turns: Turn[];
}
interface Listed {
  session_id: string;
  title: string;
  num_runs: number;
  updated_at: number;
}

/** Images that models know. The kernel looks at the bytes again. */
const IMAGES = "image/png,image/jpeg,image/gif,image/webp";
const MOST_FILES = 4;
/** How near to the end, in pixels, counts as reading along. */
const NEAR_PX = 60;

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

export function renderChat({ model, el: root, signal }: { model: Model; el: HTMLElement; signal: AbortSignal }): void {
  const link = new Link(model, signal);
  new ChatView(root, link, signal);
}

class ChatView {
  readonly #link: Link;
  readonly #log = el("div", { class: "anb-log", role: "log", "aria-label": "Conversation", tabindex: "0" });
  readonly #said = el("div", { class: "anb-hidden", "aria-live": "polite" });
  readonly #title = el("span", { class: "anb-title" });
  readonly #picker = el(
    "button",
    {
      type: "button",
      class: "anb-button anb-bare anb-picker",
      "aria-haspopup": "listbox",
      "aria-expanded": "false",
      title: "Sessions",
    },
    this.#title,
    icon("down"),
  );
  readonly #head = el("div", { class: "anb-head" });
  readonly #list = el("div", { class: "anb-list", hidden: true });
  readonly #foot = el("div", { class: "anb-foot" });
  readonly #trouble = el("div", { class: "anb-trouble", role: "alert" });
  readonly #input = el("textarea", {
    class: "anb-draft",
    rows: "1",
    "aria-label": "Message",
    placeholder: "Ask something…",
  });
  readonly #chips = el("div", { class: "anb-chips" });
  readonly #send = iconButton("send", "Send (Enter)", () => this.#sendOrStop(), { class: "anb-button anb-send" });
  readonly #attach = iconButton("attach", "Attach images", () => this.#chooseFiles());
  readonly #earlier = button("", () => void this.#quick("show_earlier"), { class: "anb-button anb-earlier" });
  readonly #turns = new Map<string, TurnView>();
  readonly #arrivingTurn: ArrivingView = new ArrivingView();
  #content: Content = {
    session_id: "",
    title: "",
    is_stored: false,
    agent: "",
    model: "",
    sees_images: true,
    files_size_limit: 0,
    so_far: "",
    earlier: 0,
    turns: [],
  };
  #arriving: Arriving = {};
  #again: string | null = null;
  #files: File[] = [];
  #isSending = false;

  constructor(root: HTMLElement, link: Link, signal: AbortSignal) {
    this.#link = link;
    link.onTrouble = (text) => this.#complain(text);
    const box = el("section", { class: "anb anb-chat", "aria-label": "Chat" });
    ownKeys(box);
    this.#picker.addEventListener("click", () => void this.#togglePicker());
    this.#head.append(
      this.#picker,
      iconButton("edit", "Rename the session", () => this.#rename(), { class: "anb-button anb-bare anb-rename" }),
      el("span", { class: "anb-space" }),
      iconButton("new", "New session", () => void this.#quick("new").then(() => this.#input.focus())),
      iconButton("close", "Close: the conversation stays as text", () => void this.#quick("leave")),
    );
    const composer = el(
      "div",
      { class: "anb-composer" },
      this.#chips,
      el("div", { class: "anb-row" }, this.#attach, this.#input, this.#send),
    );
    box.append(this.#head, this.#list, this.#log, this.#trouble, composer, this.#foot, this.#said);
    root.append(box);
    this.#input.addEventListener("input", () => this.#fit());
    this.#input.addEventListener("paste", (event) => this.#addFiles([...(event.clipboardData?.files ?? [])], event));
    box.addEventListener("dragover", (event) => event.preventDefault());
    box.addEventListener("drop", (event) => this.#addFiles([...(event.dataTransfer?.files ?? [])], event));
    box.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("visibilitychange", () => document.hidden || void this.#quick("refresh"), { signal });
    link.follow<Content>("_content", (content) => this.#show(content), signal);
    link.follow<Arriving>("_arriving", (arriving) => this.#showArriving(arriving), signal);
    void this.#quick("refresh");
  }

  get #isAnswering(): boolean {
    return this.#arriving.html !== undefined;
  }

  #show(content: Content): void {
    const before = this.#content;
    this.#content = content;
    this.#title.textContent = content.title;
    this.#title.title = content.title;
    this.#head.querySelector<HTMLElement>(".anb-rename")!.hidden = !content.is_stored;
    this.#attach.hidden = !content.sees_images;
    this.#foot.textContent = [content.agent, content.model, content.so_far].filter(Boolean).join(" · ");
    if (before.session_id !== content.session_id) {
      this.#turns.clear();
      this.#stopEditing();
    }
    this.#layOut(before.session_id !== content.session_id);
    const last = content.turns.at(-1);
    if (last && before.turns.length > 0 && before.turns.at(-1)?.run_id !== last.run_id && last.status !== "RUNNING") {
      this.#said.textContent = this.#turns.get(last.run_id)?.answer.textContent ?? "";
    }
  }

  #showArriving(arriving: Arriving): void {
    const began = arriving.html !== undefined && !this.#isAnswering;
    this.#arriving = arriving;
    const label = this.#isAnswering ? "Stop (Esc)" : "Send (Enter)";
    this.#send.replaceChildren(icon(this.#isAnswering ? "stop" : "send"));
    this.#send.title = label;
    this.#send.setAttribute("aria-label", label);
    this.#log.setAttribute("aria-busy", String(this.#isAnswering));
    if (began) this.#said.textContent = "The answer is arriving.";
    this.#layOut(began);
  }

  /** Put the turns, and the answer that arrives, in their places. Whoever reads along at the end stays there. */
  #layOut(toTheEnd: boolean): void {
    const log = this.#log;
    const readsAlong = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
    const { turns, earlier } = this.#content;
    const nodes: Node[] = [];
    if (earlier > 0) {
      this.#earlier.textContent = `Show earlier turns (${earlier.toLocaleString()})`;
      nodes.push(this.#earlier);
    }
    for (const turn of turns) {
      let view = this.#turns.get(turn.run_id);
      if (!view) this.#turns.set(turn.run_id, (view = new TurnView(this.#actions)));
      view.show(turn);
      const isReplaced = this.#isAnswering && this.#arriving.in_place_of === turn.run_id;
      nodes.push(isReplaced ? this.#arrivingTurn.show(this.#arriving) : view.element);
    }
    const isShown = new Set(turns.map((turn) => turn.run_id));
    for (const run of this.#turns.keys()) if (!isShown.has(run)) this.#turns.delete(run);
    if (this.#isAnswering && !nodes.includes(this.#arrivingTurn.element))
      nodes.push(this.#arrivingTurn.show(this.#arriving));
    if (!this.#isAnswering) this.#arrivingTurn.clear();
    if (nodes.length === 0) nodes.push(this.#greeting());
    setChildren(log, nodes);
    if (readsAlong || toTheEnd) log.scrollTop = log.scrollHeight;
  }

  #greeting(): HTMLElement {
    return el(
      "div",
      { class: "anb-greeting" },
      el("div", { class: "anb-greeting-name", text: this.#content.agent || "Chat" }),
      el("div", {
        class: "anb-muted",
        text: "Everything that is said here is kept in the store, and %%agent cells see it.",
      }),
    );
  }

  readonly #actions: Actions = {
    retry: (turn) => this.#patient("retry", { run_id: turn.run_id }),
    edit: (turn) => this.#edit(turn),
    copy: async (turn) => copyText(await this.#link.ask<string>("copy", { run_id: turn.run_id })),
    attempt: (run_id) => this.#link.ask("attempt", { run_id }),
    decide: (turn, decision) => this.#link.ask("decide", { run_id: turn.run_id, ...decision }, { patient: true }),
    complain: (text) => this.#complain(text),
  };

  #sendOrStop(): void {
    if (this.#isAnswering) void this.#quick("stop");
    else void this.#sendDraft();
  }

  async #sendDraft(): Promise<void> {
    const asked = this.#input.value;
    if (!asked.trim() || this.#isAnswering || this.#isSending) return;
    const [files, again] = [this.#files, this.#again];
    this.#isSending = true;
    this.#complain("");
    this.#setDraft("", []);
    this.#stopEditing();
    try {
      const contents = await Promise.all(files.map((file) => file.arrayBuffer()));
      const names = Object.fromEntries(files.map((file, place) => [String(place), file.name.slice(0, 200)]));
      const sent = this.#link.ask("ask", { asked, again, names }, { files: contents, patient: true });
      this.#isSending = false;
      await sent;
    } catch (error) {
      this.#isSending = false;
      this.#complain((error as Error).message);
      // What was not stored is not lost either.
      if (!(error instanceof Refused && error.stored) && !this.#input.value) this.#setDraft(asked, files);
    }
  }

  #setDraft(text: string, files: File[]): void {
    this.#input.value = text;
    this.#files = files;
    this.#fit();
    this.#chips.replaceChildren(
      ...files.map((file) =>
        el(
          "span",
          { class: "anb-chip" },
          file.name,
          iconButton("close", `Remove ${file.name}`, () =>
            this.#setDraft(
              this.#input.value,
              this.#files.filter((each) => each !== file),
            ),
          ),
        ),
      ),
    );
  }

  #fit(): void {
    this.#input.style.height = "auto";
    this.#input.style.height = `${Math.min(this.#input.scrollHeight, 220)}px`;
  }

  #chooseFiles(): void {
    const chooser = el("input", { type: "file", accept: IMAGES, multiple: true });
    chooser.addEventListener("change", () => this.#addFiles([...(chooser.files ?? [])]));
    chooser.click();
  }

  #addFiles(files: File[], event?: Event): void {
    if (files.length === 0) return;
    event?.preventDefault();
    const all = [...this.#files, ...files.filter((file) => IMAGES.split(",").includes(file.type))];
    const refusal = this.#refusal(files, all);
    this.#complain(refusal);
    if (!refusal) this.#setDraft(this.#input.value, all);
  }

  /** Why these files cannot be attached to what is there, or nothing. The kernel looks at them again. */
  #refusal(files: File[], all: File[]): string {
    const { sees_images, model, files_size_limit } = this.#content;
    const size = all.reduce((sum, file) => sum + file.size, 0);
    if (!sees_images) return `${model} does not see images, so nothing was attached.`;
    if (all.length < this.#files.length + files.length)
      return "Only images can be attached: PNG, JPEG, GIF or WebP.";
    if (all.length > MOST_FILES) return `At most ${MOST_FILES} images go with one message.`;
    if (size > files_size_limit)
      return `The images have ${megabytes(size)} together, and ${megabytes(files_size_limit)} go with one message.`;
    return "";
  }

  #edit(turn: Turn): void {
    this.#again = turn.run_id;
    this.#setDraft(turn.asked, []);
    this.#turns.forEach((view, run) => view.element.classList.toggle("anb-edited", run === turn.run_id));
    this.#input.focus();
    this.#input.setSelectionRange(turn.asked.length, turn.asked.length);
    this.#foot.textContent = "Editing: Enter asks again from there, Esc leaves it as it was";
  }

  #stopEditing(): void {
    this.#again = null;
    this.#turns.forEach((view) => view.element.classList.remove("anb-edited"));
    const { agent, model, so_far } = this.#content;
    this.#foot.textContent = [agent, model, so_far].filter(Boolean).join(" · ");
  }

  #key(event: KeyboardEvent): void {
    const isDraft = event.target === this.#input;
    if (event.key === "Escape") {
      event.preventDefault();
      if (!this.#list.hidden) this.#closePicker();
      else if (this.#isAnswering) void this.#quick("stop");
      else if (this.#again) {
        this.#setDraft("", []);
        this.#stopEditing();
      }
    } else if (isDraft && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      void this.#sendDraft();
    } else if (isDraft && event.key === "ArrowUp" && !this.#input.value && !this.#isAnswering) {
      const last = this.#content.turns.at(-1);
      if (last) {
        event.preventDefault();
        this.#edit(last);
      }
    }
  }

  #rename(): void {
    const field = el("textarea", {
      class: "anb-input anb-rename-field",
      rows: "1",
      value: this.#content.title,
      "aria-label": "Name of the session",
    });
    const end = (isKept: boolean) => {
      field.replaceWith(this.#picker);
      if (isKept && field.value.trim() !== this.#content.title)
        void this.#quick("rename", { name: field.value.trim().slice(0, 200) });
      this.#picker.focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      end(event.key === "Enter");
    });
    this.#closePicker();
    this.#picker.replaceWith(field);
    field.focus();
    field.select();
  }

  async #togglePicker(): Promise<void> {
    if (!this.#list.hidden) return this.#closePicker();
    const search = el("textarea", {
      class: "anb-input",
      rows: "1",
      placeholder: "Search sessions",
      "aria-label": "Search sessions",
    });
    const found = el("div", { class: "anb-found", role: "listbox", "aria-label": "Sessions" });
    const look = async () => {
      const wanted = search.value;
      const sessions = await this.#link.ask<Listed[]>("sessions", { search: wanted.slice(0, 200) });
      if (search.value !== wanted) return;
      found.replaceChildren(
        ...sessions.map((each) => {
          const isHere = each.session_id === this.#content.session_id;
          const turns = `${each.num_runs} ${each.num_runs === 1 ? "turn" : "turns"} · ${when(each.updated_at)}`;
          const open = () => {
            this.#closePicker();
            void this.#quick("open", { session_id: each.session_id }).then(() => this.#input.focus());
          };
          return el(
            "button",
            { type: "button", class: "anb-option", role: "option", "aria-selected": String(isHere), onclick: open },
            el("span", { class: "anb-option-title", text: each.title }),
            el("span", { class: "anb-muted", text: turns }),
          );
        }),
      );
      if (sessions.length === 0) found.append(el("div", { class: "anb-muted anb-none", text: "No session found" }));
    };
    search.addEventListener("input", () => void look().catch((error: Error) => this.#complain(error.message)));
    this.#list.replaceChildren(search, found);
    this.#list.hidden = false;
    this.#picker.setAttribute("aria-expanded", "true");
    this.#list.onkeydown = (event) => moveFocus(event, this.#list);
    search.focus();
    await look().catch((error: Error) => this.#complain(error.message));
  }

  #closePicker(): void {
    this.#list.hidden = true;
    this.#picker.setAttribute("aria-expanded", "false");
  }

  async #quick(verb: string, fields: Record<string, unknown> = {}): Promise<void> {
    try {
      await this.#link.ask(verb, fields);
    } catch (error) {
      this.#complain((error as Error).message);
    }
  }

  async #patient(verb: string, fields: Record<string, unknown>): Promise<void> {
    this.#complain("");
    try {
      await this.#link.ask(verb, fields, { patient: true });
    } catch (error) {
      this.#complain((error as Error).message);
    }
  }

  #complain(text: string): void {
    this.#trouble.textContent = text;
  }
}
