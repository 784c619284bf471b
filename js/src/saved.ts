// What is saved of a live panel: never the live view, always its twin.
//
// A notebook file would keep a live view as the id of its model. Opened again it says "model not found" when the kernel
// has gone, and "Loading widget..." for ever when there is none, and does not look at the HTML beside it. So what
// JupyterLab and Notebook 7 write to the file is the panel's HTML and text as they are now, marked with the id of the
// panel. When the page is loaded again while the kernel still has the panel, the mark says where its view belongs.

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

/** The notebook that a panel is in; front ends without such a model have none. */
function notebookOf(manager: unknown): NotebookModel | undefined {
  const model = contextOf(manager)?.model;
  return model?.toJSON && model.cells ? (model as NotebookModel) : undefined;
}

/** Have the notebook's file keep the panel's twin in place of its view, in every save from now on. */
export function saveStaticView(manager: unknown, staticView: () => StaticView): void {
  const notebook = notebookOf(manager);
  if (!notebook) return;
  // Each panel has this module for itself, so what they share is a property of the function that they share.
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

/** Put the live view back where a file that was saved meanwhile has the twin of a panel that the kernel still has. */
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
  // That is how the page shows the file, and no change of it.
  notebook.dirty = wasDirty;
}

const GONE = ["restarting", "autorestarting", "terminating", "dead"];

/** Say once when the panel's kernel has gone, where the host tells. */
export function onKernelEnd(manager: unknown, gone: () => void, signal: AbortSignal): void {
  const changed = contextOf(manager)?.sessionContext?.statusChanged;
  const look = (_: unknown, status: unknown) => {
    if (GONE.includes(status as string)) gone();
  };
  changed?.connect(look);
  signal.addEventListener("abort", () => changed?.disconnect(look));
}
