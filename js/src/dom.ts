// Helpers that create elements. Text is set as text; HTML is inserted only with `setHtml`, which sanitizes it again.
import DOMPurify, { type Config } from "dompurify";

type Child = Node | string | false | null | undefined;
type Props = Record<string, unknown>;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (name === "class") element.className = String(value);
    else if (name === "text") element.textContent = String(value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else if (name === "value") (element as HTMLTextAreaElement).value = String(value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== false && child != null));
  return element;
}

/** Set text in which `commands` stand between backticks. */
export function setText(element: HTMLElement, text: string): void {
  element.replaceChildren(...text.split("`").map((part, place) => (place % 2 ? el("code", { text: part }) : part)));
}

/** A count with its noun, which takes an "s" in the plural. */
export const counted = (count: number, noun: string) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;

const ICONS = {
  send: "M8 13V3M3.5 7.5 8 3l4.5 4.5",
  stop: "M4.5 4.5h7v7h-7z",
  retry: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3",
  edit: "M3 13l.7-2.8L10.8 3a1.3 1.3 0 0 1 1.9 0l.3.3a1.3 1.3 0 0 1 0 1.9L5.8 12.3z",
  copy: "M6 6h7v7H6zM3 10V3h7",
  done: "M3.5 8.5 6.5 11.5 12.5 4.5",
  attach: "M12.5 7.5 7.7 12.300a3 3 0 0 1-4.3-4.300l5-5a2 2 0 0 1 2.9 2.900l-5 5a1 1 0 0 1-1.4-1.400l4.5-4.6",
  new: "M8 3v10M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  down: "M4 6l4 4 4-4",
  left: "M10 4 6 8l4 4",
  right: "M6 4l4 4-4 4",
  delete: "M3 4.500h10M6 4.500V3h4v1.500M4.5 4.500l.6 8.500h5.800l.6-8.5",
} as const;
export type Icon = keyof typeof ICONS;

export function icon(name: Icon): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", class: "anb-icon", "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function iconButton(name: Icon, label: string, onclick: () => void, props: Props = {}): HTMLButtonElement {
  return el(
    "button",
    { type: "button", class: "anb-button anb-bare", title: label, "aria-label": label, onclick, ...props },
    icon(name),
  );
}

export function button(label: string, onclick: () => void, props: Props = {}): HTMLButtonElement {
  return el("button", { type: "button", class: "anb-button", onclick, ...props }, label);
}

/** A field for the name of a session: Enter accepts it, Esc cancels. */
export function nameField(name: string, end: (typed: string | null) => void, props: Props = {}): HTMLTextAreaElement {
  const field = el("textarea", {
    class: "anb-input",
    rows: "1",
    value: name,
    "aria-label": "Name of the session",
    ...props,
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    end(event.key === "Enter" ? field.value.trim().slice(0, 200) : null);
  });
  return field;
}

/** Let a field grow with its text, up to a height in pixels. */
export function growWithText(field: HTMLTextAreaElement, maxPx: number): void {
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, maxPx)}px`;
}

const RULES: Config = {
  ALLOWED_TAGS: (
    "a blockquote br code details div em hr li ol p pre s span strong summary table tbody td th thead tr ul " +
    "h1 h2 h3 h4 h5 h6"
  ).split(" "),
  ALLOWED_ATTR: ["href", "title", "style", "start", "rel"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
};

const purifier = DOMPurify(window);
purifier.addHook("afterSanitizeAttributes", (node) => {
  // Styles from the kernel contain no addresses, so one that does is not from there.
  if (/url|image|expression|@|\\/i.test(node.getAttribute("style") ?? "")) node.removeAttribute("style");
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
});

/**
 * Show HTML from the kernel. Details that a reader has opened stay open, so that nothing jumps while an answer
 * grows.
 */
export function setHtml(element: HTMLElement, html: string): void {
  if (!purifier.isSupported) {
    element.textContent = html;
    return;
  }
  const open = [...element.querySelectorAll("details")].map((details) => details.open);
  element.innerHTML = purifier.sanitize(html, RULES) as unknown as string;
  element.querySelectorAll("details").forEach((details, place) => {
    details.open = open[place] ?? false;
  });
}

/** Replace the children without touching those that stay. */
export function setChildren(element: HTMLElement, children: Node[]): void {
  children.forEach((child, place) => {
    if (element.childNodes[place] !== child) element.insertBefore(child, element.childNodes[place] ?? null);
  });
  while (element.childNodes.length > children.length) element.lastChild?.remove();
}

export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages served over plain http have no clipboard API.
  const area = el("textarea", { value: text, class: "anb-hidden" });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** Keep keys typed in a widget from triggering shortcuts of the notebook. */
export function ownKeys(element: HTMLElement): void {
  element.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const kind of ["keydown", "keypress", "keyup"])
    element.addEventListener(kind, (event) => event.stopPropagation());
}

/** Move through the fields and buttons of a list with the arrow keys. */
export function moveFocus(event: KeyboardEvent, list: HTMLElement): void {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  event.preventDefault();
  const stops = [...list.querySelectorAll<HTMLElement>("textarea, button")];
  const place = stops.indexOf(document.activeElement as HTMLElement);
  stops.at((place + (event.key === "ArrowDown" ? 1 : -1)) % stops.length)?.focus();
}
