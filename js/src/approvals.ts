// The approval widget below a paused cell.
import { button, el, ownKeys, setHtml, setText } from "./dom";
import { Link, type View } from "./link";
import { type PendingItem, pendingCard } from "./pending";

interface Content {
  run_id: string;
  html: string;
  pending: PendingItem[];
}

export function renderApprovals({ model, el: root, signal }: View): void {
  const link = new Link(model, signal);
  const answer = el("div", { class: "anb-answer" });
  const pending = el("div", {});
  const errorBox = el("div", { class: "anb-alert", role: "alert" });
  const stop = button("Stop", () => void link.ask("stop").catch(showError), { hidden: true });
  const props = { class: "anb anb-approvals", "aria-label": "Decisions", tabindex: "-1" };
  const box = el("section", props, answer, pending, stop, errorBox);
  const showError = (error: Error) => setText(errorBox, error.message);
  link.onError = (text) => setText(errorBox, text);
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
      const decide = (decision: object) => {
        // The button is disabled, and the card goes away. Without a focus, keys would be commands of JupyterLab.
        box.focus();
        return link.ask("decide", { run_id: content.run_id, ...decision }, { patient: true });
      };
      pending.replaceChildren(...content.pending.map((item) => pendingCard(item, decide)));
    },
    signal,
  );
  link.follow<{ html?: string }>(
    "_arriving",
    ({ html }) => {
      stop.hidden = html === undefined;
      pending.hidden = html !== undefined;
      answer.setAttribute("aria-live", "polite");
      if (html) setHtml(answer, html);
    },
    signal,
  );
}
