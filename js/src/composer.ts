// The input of the chat: write a message, attach images, send it, and stop the answer in progress.
import { el, growWithText, icon, iconButton } from "./dom";

/** Inputs that the model accepts in addition to text. */
export interface Limits {
  model: string;
  sees_images: boolean;
  files_size_limit: number;
}

/** Image types that models accept. The kernel checks the content again. */
const IMAGES = "image/png,image/jpeg,image/gif,image/webp";
const MAX_FILES = 4;
const MAX_HEIGHT_PX = 220;

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

  /** Attach all of the pasted, dropped or selected files, or none. */
  addFiles(files: File[], event?: Event): void {
    if (files.length === 0) return;
    event?.preventDefault();
    const all = [...this.#files, ...files.filter((file) => IMAGES.split(",").includes(file.type))];
    const refusal = this.#refusal(files, all);
    this.#showError(refusal);
    if (!refusal) this.setDraft(this.text, all);
  }

  /** Return why the files cannot be attached, if so. The kernel checks them again. */
  #refusal(files: File[], all: File[]): string {
    const { sees_images, model, files_size_limit } = this.#limits;
    const size = all.reduce((sum, file) => sum + file.size, 0);
    if (!sees_images) return `${model} does not see images, so nothing was attached.`;
    if (all.length < this.#files.length + files.length)
      return "Only images can be attached: PNG, JPEG, GIF or WebP.";
    if (all.length > MAX_FILES) return `A message can have at most ${MAX_FILES} images.`;
    if (size > files_size_limit)
      return `The images are too large: ${megabytes(size)}; a message can have ${megabytes(files_size_limit)}.`;
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
    growWithText(this.input, MAX_HEIGHT_PX);
  }
}
