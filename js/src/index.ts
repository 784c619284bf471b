// The one module of all panels: which view is drawn depends on the model's kind.
import { renderApprovals } from "./approvals";
import { renderBrowse } from "./browse";
import { renderChat } from "./chat";
import type { Model } from "./link";
import { keepTwin } from "./saved";
import { renderTrace } from "./trace";

interface View {
  model: Model;
  el: HTMLElement;
  signal: AbortSignal;
}

const VIEWS: Record<string, (view: View) => void> = { approvals: renderApprovals, browse: renderBrowse, chat: renderChat, trace: renderTrace };

interface Saved {
  id?: string;
  html?: string;
}

export default {
  render(given: { model: Model; el: HTMLElement; signal?: AbortSignal }): () => void {
    // Hosts older than anywidget 0.11 give no signal; all of them call what is returned.
    const ending = new AbortController();
    given.signal?.addEventListener("abort", () => ending.abort(), { once: true });
    const { model, el } = given;
    VIEWS[model.get("_kind") as string]?.({ model, el, signal: ending.signal });
    const saved = model.get("_saved") as Saved;
    if (saved.id) {
      keepTwin(model.widget_manager, saved.id, () => (model.get("_saved") as Saved).html ?? "", ending.signal);
    }
    return () => ending.abort();
  },
};
