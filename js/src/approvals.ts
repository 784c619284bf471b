// The panel that ends a paused cell.
import { button, el, ownKeys, setHtml } from "./dom";
import { Link, type View } from "./link";
import { type Need, needCard } from "./needs";

interface Content {
  run_id: string;
  html: string;
  needs: Need[];
}

export function renderApprovals({ model, el: root, signal }: View): void {
  const link = new Link(model, signal);
  const answer = el("div", { class: "anb-answer" });
  const needs = el("div", {});
  const trouble = el("div", { class: "anb-trouble", role: "alert" });
  const stop = button("Stop", () => void link.ask("stop").catch(complain), { hidden: true });
  const box = el("section", { class: "anb anb-approvals", "aria-label": "Decisions" }, answer, needs, stop, trouble);
  const complain = (error: Error) => (trouble.textContent = error.message);
  link.onTrouble = (text) => (trouble.textContent = text);
  ownKeys(box);
  root.append(box);
  let shown = "";
  link.follow<Content>(
    "_content",
    (content) => {
      const now = JSON.stringify(content);
      if (now === shown) return;
      shown = now;
      setHtml(answer, content.html);
      const decide = (decision: object) =>
        link.ask("decide", { run_id: content.run_id, ...decision }, { patient: true });
      needs.replaceChildren(...content.needs.map((need) => needCard(need, decide)));
    },
    signal,
  );
  link.follow<{ html?: string }>(
    "_arriving",
    ({ html }) => {
      stop.hidden = html === undefined;
      needs.hidden = html !== undefined;
      answer.setAttribute("aria-live", "polite");
      if (html) setHtml(answer, html);
    },
    signal,
  );
}
