// The chat widget.
import { Composer, type Limits } from "./composer";
import { button, copyText, el, iconButton, nameField, ownKeys, setChildren, setText } from "./dom";
import { Link, RequestError, type View } from "./link";
import { Picker } from "./picker";
import { type Actions, type Arriving, ArrivingView, type Turn, TurnView } from "./turns";

interface Content extends Limits {
  session_id: string;
  title: string;
  is_stored: boolean;
  agent: string;
  usage_line: string;
  earlier: number;
  turns: Turn[];
}

/** Distance to the end, in pixels, within which the view follows a growing answer. */
const NEAR_PX = 60;

export function renderChat({ model, el: root, signal }: View): void {
  const link = new Link(model, signal);
  new ChatView(root, link, signal);
}

class ChatView {
  readonly #link: Link;
  readonly #log = el("div", { class: "anb-log", role: "log", "aria-label": "Conversation", tabindex: "0" });
  readonly #announcement = el("div", { class: "anb-hidden", "aria-live": "polite" });
  readonly #foot = el("div", { class: "anb-foot" });
  readonly #errorBox = el("div", { class: "anb-alert", role: "alert" });
  readonly #composer = new Composer(
    () => this.#sendOrStop(),
    (text) => this.#showError(text),
  );
  readonly #picker: Picker;
  readonly #renameButton = iconButton("edit", "Rename the session", () => this.#rename());
  readonly #earlier = button("", () => void this.#request("show_earlier"), { class: "anb-button anb-earlier" });
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
    usage_line: "",
    earlier: 0,
    turns: [],
  };
  #arriving: Arriving = {};
  #again: string | null = null;
  #isSending = false;

  constructor(root: HTMLElement, link: Link, signal: AbortSignal) {
    this.#link = link;
    link.onError = (text) => this.#showError(text);
    const box = el("section", { class: "anb anb-chat", "aria-label": "Chat" });
    ownKeys(box);
    this.#picker = new Picker(
      link,
      (session_id) => void this.#request("open", { session_id }).then(() => this.#composer.input.focus()),
      (text) => this.#showError(text),
    );
    const head = el(
      "div",
      { class: "anb-head" },
      this.#picker.button,
      this.#renameButton,
      el("span", { class: "anb-space" }),
      iconButton("new", "New session", () => void this.#request("new").then(() => this.#composer.input.focus())),
      iconButton("close", "Close and keep the conversation as text", () => void this.#request("leave")),
    );
    box.append(head, this.#picker.list, this.#log, this.#errorBox, this.#composer.element, this.#foot, this.#announcement);
    root.append(box);
    box.addEventListener("dragover", (event) => event.preventDefault());
    box.addEventListener("drop", (event) => this.#composer.addFiles([...(event.dataTransfer?.files ?? [])], event));
    box.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("visibilitychange", () => document.hidden || void this.#request("refresh"), { signal });
    // JupyterLab attaches the view after it was rendered; only then does it have a size and can be scrolled.
    const observer = new ResizeObserver(() => {
      if (this.#log.clientHeight === 0) return;
      observer.disconnect();
      this.#log.scrollTop = this.#log.scrollHeight;
    });
    observer.observe(this.#log);
    signal.addEventListener("abort", () => observer.disconnect());
    link.follow<Content>("_content", (content) => this.#show(content), signal);
    link.follow<Arriving>("_arriving", (arriving) => this.#showArriving(arriving), signal);
    void this.#request("refresh");
  }

  get #isAnswering(): boolean {
    return this.#arriving.html !== undefined;
  }

  #show(content: Content): void {
    const before = this.#content;
    this.#content = content;
    this.#picker.show(content.session_id, content.title);
    this.#renameButton.hidden = !content.is_stored;
    this.#composer.setLimits(content);
    this.#showFooter();
    if (before.session_id !== content.session_id) {
      this.#turns.clear();
      this.#stopEditing();
    }
    this.#layOut(before.session_id !== content.session_id);
    const [was, last] = [before.turns.at(-1), content.turns.at(-1)];
    // A turn that was continued is the same run with another status.
    if (last && was && (was.run_id !== last.run_id || was.status !== last.status) && last.status !== "RUNNING") {
      this.#announcement.textContent = this.#turns.get(last.run_id)?.answer.textContent ?? "";
    }
  }

  #showArriving(arriving: Arriving): void {
    const hasStarted = arriving.html !== undefined && !this.#isAnswering;
    this.#arriving = arriving;
    this.#composer.showAnswering(this.#isAnswering);
    this.#log.setAttribute("aria-busy", String(this.#isAnswering));
    if (hasStarted) this.#announcement.textContent = "The answer is in progress.";
    if (!this.#isAnswering && !this.#again) this.#showFooter();
    this.#layOut(hasStarted);
  }

  /** Show the turns and the answer in progress. A view at the end stays at the end. */
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
        text: "Messages are stored, and the %%agent cells of this session see them.",
      }),
    );
  }

  readonly #actions: Actions = {
    retry: (turn) => this.#requestLong("retry", { run_id: turn.run_id }),
    edit: (turn) => this.#edit(turn),
    copy: async (turn) => copyText(await this.#link.ask<string>("copy", { run_id: turn.run_id })),
    attempt: (run_id) => this.#link.ask("attempt", { run_id }),
    decide: (turn, decision) => {
      // The button is disabled, and the card goes away. Without a focus, keys would be commands of JupyterLab.
      this.#composer.input.focus();
      return this.#link.ask("decide", { run_id: turn.run_id, ...decision }, { patient: true });
    },
    showError: (text) => this.#showError(text),
  };

  #sendOrStop(): void {
    if (this.#isAnswering) void this.#request("stop");
    else void this.#sendDraft();
  }

  async #sendDraft(): Promise<void> {
    const { text: question, files } = this.#composer;
    if (!question.trim() || this.#isSending) return;
    if (this.#isAnswering) {
      this.#foot.textContent = this.#announcement.textContent =
        "Wait for the answer in progress, or stop it with Esc; your message stays here.";
      return;
    }
    const again = this.#again;
    this.#isSending = true;
    this.#showError("");
    this.#composer.setDraft("");
    this.#stopEditing();
    try {
      const contents = await Promise.all(files.map((file) => file.arrayBuffer()));
      const names = Object.fromEntries(files.map((file, place) => [String(place), file.name.slice(0, 200)]));
      const sent = this.#link.ask("ask", { question, again, names }, { files: contents, patient: true });
      this.#isSending = false;
      await sent;
    } catch (error) {
      this.#isSending = false;
      this.#showError((error as Error).message);
      // Restore the draft if nothing was stored.
      if (!(error instanceof RequestError && error.stored) && !this.#composer.text) this.#composer.setDraft(question, files);
    }
  }

  #edit(turn: Turn): void {
    this.#again = turn.run_id;
    this.#composer.setDraft(turn.question);
    this.#turns.forEach((view, run) => view.element.classList.toggle("anb-edited", run === turn.run_id));
    this.#composer.input.focus();
    this.#composer.input.setSelectionRange(turn.question.length, turn.question.length);
    this.#foot.textContent = "Editing: Enter sends it again, Esc cancels";
  }

  #stopEditing(): void {
    this.#again = null;
    this.#turns.forEach((view) => view.element.classList.remove("anb-edited"));
    this.#showFooter();
  }

  /** Show the agent, the model and the usage of the session. */
  #showFooter(): void {
    const { agent, model, usage_line } = this.#content;
    this.#foot.textContent = [agent, model, usage_line].filter(Boolean).join(" · ");
  }

  #key(event: KeyboardEvent): void {
    const isDraft = event.target === this.#composer.input;
    if (event.key === "Escape") {
      event.preventDefault();
      if (this.#picker.isOpen) this.#picker.close();
      else if (this.#isAnswering) void this.#request("stop");
      else if (this.#again) {
        this.#composer.setDraft("");
        this.#stopEditing();
      }
    } else if (isDraft && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      void this.#sendDraft();
    } else if (isDraft && event.key === "ArrowUp" && !this.#composer.text && !this.#isAnswering) {
      const last = this.#content.turns.at(-1);
      if (last) {
        event.preventDefault();
        this.#edit(last);
      }
    }
  }

  #rename(): void {
    const field = nameField(
      this.#content.title,
      (name) => {
        field.replaceWith(this.#picker.button);
        if (name !== null && name !== this.#content.title) void this.#request("rename", { name });
        this.#picker.button.focus();
      },
      { class: "anb-input anb-rename-field" },
    );
    this.#picker.close();
    this.#picker.button.replaceWith(field);
    field.focus();
    field.select();
  }

  async #request(verb: string, fields: Record<string, unknown> = {}): Promise<void> {
    try {
      await this.#link.ask(verb, fields);
    } catch (error) {
      this.#showError((error as Error).message);
    }
  }

  async #requestLong(verb: string, fields: Record<string, unknown>): Promise<void> {
    this.#showError("");
    try {
      await this.#link.ask(verb, fields, { patient: true });
    } catch (error) {
      this.#showError((error as Error).message);
    }
  }

  #showError(text: string): void {
    setText(this.#errorBox, text);
  }
}
