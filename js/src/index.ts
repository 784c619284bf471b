// The one module of all panels: which view is drawn depends on the model's kind.
import { renderApprovals } from "./approvals";
import { renderBrowse } from "./browse";
import { renderChat } from "./chat";
import { el as element } from "./dom";
import type { Model } from "./link";
import { keepTwin, noticeEnd } from "./saved";
import { renderTrace } from "./trace";

interface View {
  model: Model;
  el: HTMLElement;
  signal: AbortSignal;
}

const VIEWS: Record<string, (view: View) => void> = {
  approvals: renderApprovals,
  browse: renderBrowse,
  chat: renderChat,
  trace: renderTrace,
};

interface Saved {
  id?: string;
  html?: string;
}

function sayGone(root: HTMLElement): void {
  if (root.querySelector(".anb-gone")) return;
  const said = element("div", { class: "anb-gone", role: "alert", text: "The kernel has gone: run the cell again." });
  for (const box of root.querySelectorAll<HTMLElement>(".anb")) box.inert = true;
  root.querySelector(".anb")?.prepend(said);
}

export default {
  render(given: { model: Model; el: HTMLElement; signal?: AbortSignal }): () => void {
    // Hosts older than anywidget 0.11 give no signal; all of them call what is returned.
    const ending = new AbortController();
    given.signal?.addEventListener("abort", () => ending.abort(), { once: true });
    const { model, el } = given;
    VIEWS[model.get("_kind") as string]?.({ model, el, signal: ending.signal });
    noticeEnd(model.widget_manager, () => sayGone(el), ending.signal);
    const saved = model.get("_saved") as Saved;
    if (saved.id) {
      keepTwin(model.widget_manager, saved.id, () => (model.get("_saved") as Saved).html ?? "", ending.signal);
    }
    return () => ending.abort();
  },
};
