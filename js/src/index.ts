// The one module of all panels: which view is drawn depends on the model's kind.
import { renderApprovals } from "./approvals";
import { renderBrowse } from "./browse";
import { renderChat } from "./chat";
import { el as element } from "./dom";
import type { Model, View } from "./link";
import { restoreView, onKernelEnd, saveStaticView, type StaticView } from "./saved";
import { renderTrace } from "./trace";

const VIEWS: Record<string, (view: View) => void> = {
  approvals: renderApprovals,
  browse: renderBrowse,
  chat: renderChat,
  trace: renderTrace,
};

function showKernelGone(root: HTMLElement): void {
  if (root.querySelector(".anb-gone")) return;
  const notice = element("div", { class: "anb-gone", role: "alert", text: "The kernel has gone: run the cell again." });
  for (const box of root.querySelectorAll<HTMLElement>(".anb")) box.inert = true;
  root.querySelector(".anb")?.prepend(notice);
}

const staticViewOf = (model: Model) => model.get("_saved") as StaticView;

export default {
  // Once for each model, before the first view of it is drawn, and again when the page is loaded again.
  initialize({ model }: { model: Model }): void {
    saveStaticView(model.widget_manager, () => staticViewOf(model));
    const { id } = staticViewOf(model);
    if (id) void restoreView(model.widget_manager, id);
  },
  render(options: { model: Model; el: HTMLElement; signal?: AbortSignal }): () => void {
    // Hosts older than anywidget 0.11 give no signal; all of them call what is returned.
    const ending = new AbortController();
    options.signal?.addEventListener("abort", () => ending.abort(), { once: true });
    const { model, el } = options;
    VIEWS[model.get("_kind") as string]?.({ model, el, signal: ending.signal });
    onKernelEnd(model.widget_manager, () => showKernelGone(el), ending.signal);
    return () => ending.abort();
  },
};
