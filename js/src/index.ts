// The module of all widgets. The kind of the model determines the view.
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
  const notice = element("div", { class: "anb-gone", role: "alert", text: "The kernel is gone; run the cell again." });
  for (const box of root.querySelectorAll<HTMLElement>(".anb")) box.inert = true;
  root.querySelector(".anb")?.prepend(notice);
}

const staticViewOf = (model: Model) => model.get("_saved") as StaticView;

export default {
  // Called once per model before its first view is drawn, and again after the page is reloaded.
  initialize({ model }: { model: Model }): void {
    saveStaticView(model.widget_manager, () => staticViewOf(model));
    const { id } = staticViewOf(model);
    if (id) void restoreView(model.widget_manager, id);
  },
  render(options: { model: Model; el: HTMLElement; signal?: AbortSignal }): () => void {
    // Hosts older than anywidget 0.11 pass no signal; all of them call the returned function.
    const ending = new AbortController();
    options.signal?.addEventListener("abort", () => ending.abort(), { once: true });
    const { model, el } = options;
    VIEWS[model.get("_kind") as string]?.({ model, el, signal: ending.signal });
    onKernelEnd(model.widget_manager, () => showKernelGone(el), ending.signal);
    return () => ending.abort();
  },
};
