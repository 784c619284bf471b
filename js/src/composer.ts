// Where a message is written and sent, with the images that go with it; and where an answer that arrives is stopped.
import { el, icon, iconButton } from "./dom";

/** What the model takes beside text. */
export interface Limits {
  model: string;
  sees_images: boolean;
  files_size_limit: number;
}

/** Images that models know. The kernel looks at the bytes again. */
const IMAGES = "image/png,image/jpeg,image/gif,image/webp";
const MAX_FILES = 4;

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

export class Composer {
  readonly input = el("textarea", {
    class: "anb-draft",
    rows: "1",
    "aria-label": "Message",
    placeholder: "Ask something…",
  });
  readonly #chips = el("div", { class: "anb-chips" });
  readonly #attach = iconButton("attach", "Attach images", () => this.#chooseFiles());
  readonly #send: HTMLButtonElement;
  readonly element: HTMLElement;
  readonly #showError: (text: string) => void;
  #files: readonly File[] = [];
  #limits: Limits = { model: "", sees_images: true, files_size_limit: 0 };

  constructor(sendOrStop: () => void, showError: (text: string) => void) {
    this.#showError = showError;
    this.#send = iconButton("send", "Send (Enter)", sendOrStop, { class: "anb-button anb-send" });
    this.element = el(
      "div",
      { class: "anb-composer" },
      this.#chips,
      el("div", { class: "anb-row" }, this.#attach, this.input, this.#send),
    );
    this.input.addEventListener("input", () => this.#fit());
    this.input.addEventListener("paste", (event) => this.addFiles([...(event.clipboardData?.files ?? [])], event));
  }

  get text(): string {
    return this.input.value;
  }

  get files(): readonly File[] {
    return this.#files;
  }

  setDraft(text: string, files: readonly File[] = []): void {
    this.input.value = text;
    this.#files = files;
    this.#fit();
    this.#chips.replaceChildren(...files.map((file) => this.#chip(file)));
  }

  setLimits(limits: Limits): void {
    this.#limits = limits;
    this.#attach.hidden = !limits.sees_images;
  }

  showAnswering(isAnswering: boolean): void {
    const label = isAnswering ? "Stop (Esc)" : "Send (Enter)";
    this.#send.replaceChildren(icon(isAnswering ? "stop" : "send"));
    this.#send.title = label;
    this.#send.setAttribute("aria-label", label);
  }

  /** Attach files that were pasted, dropped or chosen, all of them or none. */
  addFiles(files: File[], event?: Event): void {
    if (files.length === 0) return;
    event?.preventDefault();
    const all = [...this.#files, ...files.filter((file) => IMAGES.split(",").includes(file.type))];
    const refusal = this.#refusal(files, all);
    this.#showError(refusal);
    if (!refusal) this.setDraft(this.text, all);
  }

  /** Why these files cannot be attached to what is there, or nothing. The kernel looks at them again. */
  #refusal(files: File[], all: File[]): string {
    const { sees_images, model, files_size_limit } = this.#limits;
    const size = all.reduce((sum, file) => sum + file.size, 0);
    if (!sees_images) return `${model} does not see images, so nothing was attached.`;
    if (all.length < this.#files.length + files.length)
      return "Only images can be attached: PNG, JPEG, GIF or WebP.";
    if (all.length > MAX_FILES) return `At most ${MAX_FILES} images go with one message.`;
    if (size > files_size_limit)
      return `The images have ${megabytes(size)} together, and ${megabytes(files_size_limit)} go with one message.`;
    return "";
  }

  #chip(file: File): HTMLElement {
    const remove = () =>
      this.setDraft(
        this.text,
        this.#files.filter((each) => each !== file),
      );
    return el("span", { class: "anb-chip" }, file.name, iconButton("close", `Remove ${file.name}`, remove));
  }

  #chooseFiles(): void {
    const chooser = el("input", { type: "file", accept: IMAGES, multiple: true });
    chooser.addEventListener("change", () => this.addFiles([...(chooser.files ?? [])]));
    chooser.click();
  }

  #fit(): void {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, 220)}px`;
  }
}
