// What is saved of a live panel.
//
// A notebook file keeps a live view as the id of its model. When it is opened again and the kernel has gone, JupyterLab
// says "model not found" and does not look at the HTML beside it. But a model may also be found in the notebook's own
// widget state, which is where ipywidgets keeps models when it is told to. So at each save we put a plain HTML widget
// there, under the id of our model, that shows what the panel showed. With a live kernel the live model wins.

interface NotebookModel {
  getMetadata?(key: string): unknown;
  setMetadata?(key: string, value: unknown): void;
}
interface Signal {
  connect(slot: (sender: unknown, state: unknown) => void): boolean;
  disconnect(slot: (sender: unknown, state: unknown) => void): boolean;
}
interface Context {
  model?: NotebookModel;
  saveState?: Signal;
  sessionContext?: { statusChanged?: Signal };
}
interface WidgetState {
  version_major: number;
  version_minor: number;
  state: Record<string, unknown>;
}

const MIME = "application/vnd.jupyter.widget-state+json";

/** The state of an ipywidgets HTML widget, and of the layout without which it cannot be drawn. */
export function htmlWidget(id: string, html: string): Record<string, unknown> {
  const base = { model_module: "@jupyter-widgets/base", model_module_version: "2.0.0" };
  const controls = { model_module: "@jupyter-widgets/controls", model_module_version: "2.0.0" };
  return {
    [id]: {
      ...controls,
      model_name: "HTMLModel",
      state: { layout: `IPY_MODEL_${id}-layout`, style: `IPY_MODEL_${id}-style`, value: html },
    },
    [`${id}-layout`]: { ...base, model_name: "LayoutModel", state: {} },
    [`${id}-style`]: { ...controls, model_name: "HTMLStyleModel", state: {} },
  };
}

/** Write the twin into the widget state of a notebook, beside what others have there. */
export function writeTwin(notebook: NotebookModel, id: string, html: string): void {
  const widgets = (notebook.getMetadata?.("widgets") ?? {}) as Record<string, WidgetState | undefined>;
  const known = widgets[MIME];
  notebook.setMetadata?.("widgets", {
    ...widgets,
    [MIME]: { version_major: 2, version_minor: 0, state: { ...known?.state, ...htmlWidget(id, html) } },
  });
}

/** Take the twin away: the panel was closed, and its output is the HTML itself. */
export function removeTwin(notebook: NotebookModel, id: string): void {
  const widgets = (notebook.getMetadata?.("widgets") ?? {}) as Record<string, WidgetState | undefined>;
  const known = widgets[MIME];
  if (!known?.state || !(id in known.state)) return;
  const state = Object.fromEntries(Object.entries(known.state).filter(([key]) => !key.startsWith(id)));
  notebook.setMetadata?.("widgets", { ...widgets, [MIME]: { ...known, state } });
}

const GONE = ["restarting", "autorestarting", "terminating", "dead"];

/** Say once when the panel's kernel has gone, where the host tells. */
export function noticeEnd(manager: unknown, gone: () => void, signal: AbortSignal): void {
  const changed = (manager as { context?: Context } | undefined)?.context?.sessionContext?.statusChanged;
  const look = (_: unknown, status: unknown) => {
    if (GONE.includes(status as string)) gone();
  };
  changed?.connect(look);
  signal.addEventListener("abort", () => changed?.disconnect(look));
}

/** At each save of the notebook that the panel is in, keep its twin; front ends without such a notebook do nothing. */
export function keepTwin(manager: unknown, id: string, html: () => string, signal: AbortSignal): void {
  const context = (manager as { context?: Context } | undefined)?.context;
  const { model, saveState } = context ?? {};
  if (!model?.setMetadata || !saveState) return;
  const save = (_: unknown, state: unknown) => {
    if (state === "started") writeTwin(model, id, html());
  };
  saveState.connect(save);
  signal.addEventListener("abort", () => {
    saveState.disconnect(save);
    removeTwin(model, id);
  });
}
