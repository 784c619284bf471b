// The timeline of a run, or of two side by side.
import { button, el, iconButton, ownKeys } from "./dom";
import { Link, type View } from "./link";

interface Step {
  kind: "run" | "model" | "tool";
  name: string;
  depth: number;
  from: number;
  to: number;
  first: number;
  tone: string;
  facts: string;
}
interface Timeline {
  title: string;
  duration_s: number;
  steps: Step[];
}
interface Part {
  source: string;
  detail: string;
  size: string;
  text: string;
}
interface Detail {
  title: string;
  text: string;
  parts: Part[];
}

const percent = (part: number) => `${Math.min(Math.max(part, 0), 1) * 100}%`;

export function renderTrace({ model, el: root, signal }: View): void {
  const link = new Link(model, signal);
  const sides = el("div", { class: "anb-sides" });
  const leave = iconButton("close", "Close and keep the timeline as text", () => void link.ask("leave"));
  const head = el(
    "div",
    { class: "anb-head" },
    el("span", { class: "anb-title", text: "Timeline" }),
    el("span", { class: "anb-space" }),
    leave,
  );
  const box = el("section", { class: "anb anb-trace", "aria-label": "Timeline" }, head, sides);
  ownKeys(box);
  root.append(box);
  link.follow<{ timelines: Timeline[] }>(
    "_content",
    ({ timelines }) => sides.replaceChildren(...timelines.map((timeline, place) => side(link, timeline, place))),
    signal,
  );
}

function shownDetail({ title, text, parts }: Detail): HTMLElement {
  const heading = el("div", { class: "anb-muted", text: title });
  if (parts.length === 0) return el("div", {}, heading, written(text));
  const about = text.split("\n").map((line) => el("div", { class: "anb-muted", text: line }));
  return el("div", {}, heading, el("div", { class: "anb-parts" }, ...parts.map(shownPart)), ...about);
}

/** One part of a request to a model, with its text folded. */
function shownPart({ source, detail, size, text }: Part): HTMLElement {
  const line = [
    el("span", { class: "anb-part-source", text: source }),
    el("span", { class: "anb-part-name anb-muted", text: detail || text.split("\n", 1)[0]! }),
    el("span", { class: "anb-muted", text: size }),
  ];
  if (!text) return el("div", { class: "anb-part anb-part-line" }, ...line);
  return el("details", { class: "anb-part" }, el("summary", { class: "anb-part-line" }, ...line), written(text));
}

const written = (text: string) => el("pre", { class: "anb-arguments", text, tabindex: "0" });

function side(link: Link, timeline: Timeline, place: number): HTMLElement {
  const detail = el("div", { class: "anb-detail", "aria-live": "polite" });
  const lines = el("div", { class: "anb-lines", role: "listbox", "aria-label": timeline.title });
  let chosen = -1;
  const choose = async (step: number) => {
    const buttons = [...lines.children] as HTMLElement[];
    buttons.forEach((each, at) => {
      each.setAttribute("aria-selected", String(at === step));
      each.tabIndex = at === step ? 0 : -1;
    });
    chosen = step;
    try {
      const details = await link.ask<Detail[]>("look", { timeline: place, step });
      if (chosen !== step) return;
      detail.replaceChildren(
        ...details.map(shownDetail),
        button("Close", () => detail.replaceChildren()),
      );
    } catch (error) {
      detail.replaceChildren(el("div", { class: "anb-alert", text: (error as Error).message }));
    }
  };
  timeline.steps.forEach((step, at) => {
    const bar = el("span", { class: `anb-bar-of anb-of-${step.kind}${step.tone && ` anb-${step.tone}`}` });
    bar.style.left = percent(Math.min(step.from, 0.995));
    bar.style.width = `max(3px, ${percent(step.to - step.from)})`;
    if (step.kind === "model" && step.first > 0) {
      const wait = el("span", { class: "anb-first" });
      wait.style.width = percent(step.first / Math.max(step.to - step.from, 1e-9));
      bar.append(wait);
    }
    const name = el("span", { class: "anb-step-name", text: step.name });
    name.style.paddingLeft = `${step.depth * 14}px`;
    lines.append(
      el(
        "button",
        {
          type: "button",
          class: "anb-step",
          role: "option",
          "aria-selected": "false",
          tabindex: at === 0 ? "0" : "-1",
          title: `${step.kind} ${step.name} · ${step.facts}`,
          onclick: () => void choose(at),
        },
        name,
        el("span", { class: "anb-track" }, bar),
        el("span", { class: "anb-muted anb-facts", text: step.facts }),
      ),
    );
  });
  lines.addEventListener("keydown", (event) => {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };
    const by = steps[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const buttons = [...lines.children] as HTMLElement[];
    const now = buttons.indexOf(document.activeElement as HTMLElement);
    buttons[Math.min(Math.max(now + by, 0), buttons.length - 1)]?.focus();
  });
  const heading = el(
    "div",
    { class: "anb-side-title" },
    el("span", { class: "anb-title", text: timeline.title }),
    el("span", { class: "anb-muted", text: `${timeline.duration_s.toFixed(2)} s` }),
  );
  return el("div", { class: "anb-side" }, heading, lines, detail);
}
