// Saves the static view of an open widget instead of its live view.
//
// In a notebook file a live view is only the id of its model. Without the kernel, a reopened notebook shows "model not
// found" or "Loading widget..." forever, and ignores the HTML next to it. So JupyterLab and Notebook 7 write the current
// HTML and text of the widget to the file, with its id. If the page is reloaded while the kernel still has the widget,
// the id tells where to put its view.

export interface StaticView {
  id?: string;
  html?: string;
  text?: string;
}
interface Output {
  data?: Record<string, unknown>;
  metadata?: Record<string, unknown> & { agno_nb?: Record<string, unknown> };
}
interface Outputs {
  readonly length: number;
  get(place: number): { toJSON(): Output };
  set(place: number, output: Output): void;
}
interface Cell {
  outputs?: Output[];
}
interface Notebook {
  cells?: Cell[];
}
type Write = (() => Notebook) & { agnoNbStaticViews?: Set<() => StaticView> };
interface NotebookModel {
  toJSON: Write;
  dirty: boolean;
  readonly cells: { readonly length: number; get(place: number): { readonly outputs?: Outputs } };
}
interface Signal {
  connect(slot: (sender: unknown, state: unknown) => void): boolean;
  disconnect(slot: (sender: unknown, state: unknown) => void): boolean;
}
interface Context {
  model?: Partial<NotebookModel>;
  ready?: Promise<void>;
  sessionContext?: { statusChanged?: Signal };
}

const VIEW = "application/vnd.jupyter.widget-view+json";

const contextOf = (manager: unknown) => (manager as { context?: Context } | undefined)?.context;

/** The notebook of a widget, or undefined in front ends without such a model. */
function notebookOf(manager: unknown): NotebookModel | undefined {
  const model = contextOf(manager)?.model;
  return model?.toJSON && model.cells ? (model as NotebookModel) : undefined;
}

/** Replace the widget's view by its static view in each save from now on. */
export function saveStaticView(manager: unknown, staticView: () => StaticView): void {
  const notebook = notebookOf(manager);
  if (!notebook) return;
  // Each widget loads its own copy of this module, so shared state is a property of the shared function.
  let staticViews = notebook.toJSON.agnoNbStaticViews;
  if (!staticViews) {
    staticViews = new Set();
    const [write, known] = [notebook.toJSON.bind(notebook), staticViews];
    notebook.toJSON = Object.assign(() => withStaticViews(write(), known), { agnoNbStaticViews: staticViews });
  }
  staticViews.add(staticView);
}

function withStaticViews(notebook: Notebook, staticViews: Set<() => StaticView>): Notebook {
  const byId = new Map([...staticViews].map((each) => each()).map((staticView) => [staticView.id, staticView]));
  const saved = (output: Output): Output => {
    const view = output.data?.[VIEW] as { model_id?: string } | undefined;
    const staticView = view?.model_id ? byId.get(view.model_id) : undefined;
    if (!staticView) return output;
    const agno_nb = { ...output.metadata?.agno_nb, panel: staticView.id };
    return {
      ...output,
      data: { "text/html": staticView.html, "text/plain": staticView.text },
      metadata: { ...output.metadata, agno_nb },
    };
  };
  const cells = notebook.cells?.map((cell) =>
    cell.outputs ? { ...cell, outputs: cell.outputs.map(saved) } : cell,
  );
  return cells ? { ...notebook, cells } : notebook;
}

/** Restore the live view in a reloaded page whose file contains the static view of a widget that still exists. */
export async function restoreView(manager: unknown, id: string): Promise<void> {
  await contextOf(manager)?.ready;
  const notebook = notebookOf(manager);
  if (!notebook) return;
  const wasDirty = notebook.dirty;
  for (let at = 0; at < notebook.cells.length; at += 1) {
    const { outputs } = notebook.cells.get(at);
    for (let place = 0; outputs && place < outputs.length; place += 1) {
      const output = outputs.get(place).toJSON();
      const { panel, ...agno_nb } = output.metadata?.agno_nb ?? {};
      if (panel !== id) continue;
      outputs.set(place, {
        ...output,
        data: { [VIEW]: { version_major: 2, version_minor: 0, model_id: id }, ...output.data },
        metadata: { ...output.metadata, agno_nb },
      });
    }
  }
  // Only the display has changed, not the content of the file.
  notebook.dirty = wasDirty;
}

const GONE = ["restarting", "autorestarting", "terminating", "dead"];

/** Call back when the kernel of the widget ends, if the front end reports it. */
export function onKernelEnd(manager: unknown, gone: () => void, signal: AbortSignal): void {
  const changed = contextOf(manager)?.sessionContext?.statusChanged;
  const look = (_: unknown, status: unknown) => {
    if (GONE.includes(status as string)) gone();
  };
  changed?.connect(look);
  signal.addEventListener("abort", () => changed?.disconnect(look));
}
