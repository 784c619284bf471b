import { describe, expect, it } from "vitest";
import { keepTwin } from "../src/saved";

const MIME = "application/vnd.jupyter.widget-state+json";

function notebook(metadata: Record<string, unknown> = {}) {
  const slots = new Set<(sender: unknown, state: unknown) => void>();
  const model = {
    getMetadata: (key: string) => metadata[key],
    setMetadata: (key: string, value: unknown) => void (metadata[key] = value),
  };
  const saveState = {
    connect: (slot: never) => Boolean(slots.add(slot)),
    disconnect: (slot: never) => slots.delete(slot),
  };
  return {
    metadata,
    manager: { context: { model, saveState } },
    save: () => slots.forEach((slot) => slot(null, "started")),
    slots,
  };
}
const state = (metadata: Record<string, unknown>) =>
  (metadata["widgets"] as Record<string, { state: Record<string, { state: Record<string, unknown> }> }>)[MIME]!.state;

describe("a notebook that is saved while a panel is open", () => {
  it("keeps the panel's HTML under the id of its model, beside the widgets of others", () => {
    const { metadata, manager, save } = notebook({
      widgets: { [MIME]: { version_major: 2, version_minor: 0, state: { other: { state: {} } } } },
    });
    let html = "<p>one</p>";
    keepTwin(manager, "m1", () => html, new AbortController().signal);
    expect(Object.keys(state(metadata))).toEqual(["other"]);
    save();
    html = "<p>two</p>";
    save();
    expect(Object.keys(state(metadata))).toEqual(["other", "m1", "m1-layout", "m1-style"]);
    expect(state(metadata)["m1"]!.state["value"]).toBe("<p>two</p>");
  });

  it("keeps nothing of a panel that was closed", () => {
    const { metadata, manager, save, slots } = notebook();
    const ending = new AbortController();
    keepTwin(manager, "m1", () => "<p>one</p>", ending.signal);
    save();
    ending.abort();
    expect(Object.keys(state(metadata))).toEqual([]);
    expect(slots.size).toBe(0);
  });

  it.each([undefined, {}, { context: {} }])("is not touched by hosts that have no such notebook: %o", (manager) => {
    expect(() => keepTwin(manager, "m1", () => "", new AbortController().signal)).not.toThrow();
  });
});
