import { describe, expect, it } from "vitest";
import { restoreView, saveStaticView } from "../src/saved";

const VIEW = "application/vnd.jupyter.widget-view+json";

const live = (id: string) => ({
  output_type: "display_data",
  data: { [VIEW]: { version_major: 2, version_minor: 0, model_id: id }, "text/html": "<p>at first</p>" },
  metadata: { agno_nb: { run_id: "r" } },
});

/** A notebook of one Markdown cell and one cell with these outputs. */
function notebook(...outputs: ReturnType<typeof live>[]) {
  const list: object[] = [...outputs];
  const area = {
    get length() {
      return list.length;
    },
    get: (place: number) => ({ toJSON: () => list[place]! }),
    set: (place: number, output: object) => void (list[place] = output),
  };
  const cells = [{}, { outputs: area }];
  const model = {
    dirty: false,
    cells: { length: cells.length, get: (place: number) => cells[place]! },
    toJSON: () => ({ nbformat: 4, cells: [{ source: "# A" }, { source: "chat()", outputs: list }] }),
  };
  return { model, list, manager: { context: { model, ready: Promise.resolve() } } };
}
const saved = (model: { toJSON(): unknown }) => (model.toJSON() as { cells: { outputs: object[] }[] }).cells[1]!.outputs;
const staticView = (id: string, content: string) => ({ id, html: `<p>${content}</p>`, text: content });
const kept = (id: string, content: string) => ({
  output_type: "display_data",
  data: { "text/html": `<p>${content}</p>`, "text/plain": content },
  metadata: { agno_nb: { run_id: "r", panel: id } },
});

describe("a notebook that is saved while panels are open", () => {
  it("keeps the HTML and the text of each as they are then, and nothing of what is on the page changes", () => {
    const { model, list, manager } = notebook(live("one"), live("two"), live("somebody else's"));
    let content = "first";
    saveStaticView(manager, () => staticView("one", content));
    saveStaticView(manager, () => staticView("two", "other"));
    expect(saved(model)).toEqual([kept("one", "first"), kept("two", "other"), live("somebody else's")]);
    content = "then";
    expect(saved(model)[0]).toEqual(kept("one", "then"));
    expect(list).toEqual([live("one"), live("two"), live("somebody else's")]);
    expect(model.toJSON()).toMatchObject({ nbformat: 4, cells: [{ source: "# A" }, { source: "chat()" }] });
  });

  it("has the live view again when the page is loaded again, where the kernel still has the panel", async () => {
    const { model, list, manager } = notebook(kept("one", "first") as never, kept("gone", "old") as never);
    await restoreView(manager, "one");
    expect(list).toEqual([{ ...live("one"), data: { ...live("one").data, ...kept("one", "first").data } }, kept("gone", "old")]);
    expect(model.dirty).toBe(false);
    saveStaticView(manager, () => staticView("one", "second"));
    expect(saved(model)).toEqual([kept("one", "second"), kept("gone", "old")]);
  });

  it.each([undefined, {}, { context: {} }])("is not touched by hosts that have no such notebook: %o", async (manager) => {
    expect(() => saveStaticView(manager, () => staticView("one", "first"))).not.toThrow();
    await expect(restoreView(manager, "one")).resolves.toBeUndefined();
  });
});
