import { beforeAll, describe, expect, it } from "vitest";
import { renderBrowse } from "../src/browse";
import { rowContent } from "../src/rows";
import { FakeModel, press, flush } from "./fake";

const row = (place: number) => ({
  session_id: `s${place}`,
  title: `Talk ${place}`,
  session_type: "agent",
  user_id: null,
  agent: "guide",
  num_runs: 2,
  total_tokens: 10,
  cost: null,
  updated_at: 0,
  status: "COMPLETED",
  state: "",
});
const criteria = {
  search: "",
  user_id: null,
  session_type: null,
  agent: null,
  notebook: null,
  status: null,
  days: null,
  sort: "updated_at",
  is_ascending: false,
};

beforeAll(() => {
  globalThis.ResizeObserver = class {
    observe() {}
    unobserve() {}
    disconnect() {}
  };
});

function open(total: number) {
  const rows = Array.from({ length: Math.min(total, 50) }, (_, place) => row(place));
  const model = new FakeModel({
    _content: { total, rows, selected: [], criteria, choices: { agent: ["guide", "other"] }, sql: "SELECT" },
  });
  const box = document.createElement("div");
  document.body.replaceChildren(box);
  renderBrowse({ model, el: box, signal: new AbortController().signal });
  const scroller = box.querySelector<HTMLElement>(".anb-scroller")!;
  Object.defineProperty(scroller, "clientHeight", { value: 540 });
  scroller.dispatchEvent(new Event("scroll"));
  return { model, box, scroller };
}

describe("a row of the list", () => {
  const texts = (change: object) => rowContent({ ...row(1), ...change }).map((each) => each.textContent);

  it("has the state of the latest turn in words, and counts of one in the singular", () => {
    expect(texts({ status: "RUNNING", state: "interrupted", num_runs: 1, total_tokens: 1 })[0]).toBe(
      "Talk 1interruptedguide · 1 turn · 1 token",
    );
    expect(texts({ num_runs: 1200 })[0]).toBe("Talk 1guide · 1,200 turns · 10 tokens");
  });
});

describe("the session browser", () => {
  it("draws the rows in sight only, and asks for those that are not here", async () => {
    const { model, box, scroller } = open(10_000);
    expect(box.querySelectorAll(".anb-session").length).toBeLessThan(30);
    const scrollTo = (place: number) => {
      scroller.scrollTop = 54 * place;
      scroller.dispatchEvent(new Event("scroll"));
    };
    const page = (first: number) => Array.from({ length: 50 }, (_, place) => row(first + place));
    // Those that are passed on the way are not asked for.
    [1_000, 2_000, 3_000, 5_004].forEach(scrollTo);
    expect(model.last("rows").fields).toEqual({ offset: 950, limit: 50 });
    await model.answer("rows", { value: page(950) });
    expect(model.last("rows").fields).toEqual({ offset: 5000, limit: 50 });
    await model.answer("rows", { value: page(5000) });
    expect(model.sent.filter((message) => message.verb === "rows").length).toBe(2);
    expect(box.textContent).toContain("Talk 5004");
    expect(box.querySelectorAll(".anb-session").length).toBeLessThan(30);
  });

  it("is used by the keyboard alone", async () => {
    const { model, box, scroller } = open(3);
    press(scroller, "ArrowDown");
    press(scroller, "ArrowDown");
    press(scroller, " ");
    expect(model.last("select").fields).toEqual({ session_ids: ["s1"] });
    press(scroller, "Delete");
    expect(box.querySelector("[role=alertdialog]")?.textContent).toContain(
      "Delete this session with all its messages?",
    );
    expect(document.activeElement?.textContent).toBe("Keep");
    expect(model.sent.some((message) => message.verb === "delete")).toBe(false);
    [...box.querySelectorAll("button")].find((each) => each.textContent === "Delete")!.click();
    expect(model.last("delete").fields).toEqual({ session_ids: ["s1"] });
    await flush();
  });

  it("keeps a question open that was asked before a preview arrived", async () => {
    const { model, box, scroller } = open(2);
    box.querySelectorAll<HTMLElement>(".anb-session")[0]!.click();
    press(scroller, "Delete");
    await model.answer("preview", { value: { title: "Talk 0", usage_line: "", earlier: 0, labels: [], turns: [] } });
    expect(box.querySelector("[role=alertdialog]")).not.toBeNull();
    // A session that is chosen while a question is open takes its place.
    box.querySelectorAll<HTMLElement>(".anb-session")[1]!.click();
    await model.answer("preview", { value: { title: "Talk 1", usage_line: "", earlier: 0, labels: [], turns: [] } });
    expect(box.querySelector("[role=alertdialog]")).toBeNull();
  });

  it("reads a session, with names as text", async () => {
    const { model, box } = open(2);
    box.querySelectorAll<HTMLElement>(".anb-session")[1]!.click();
    await model.answer("preview", {
      value: {
        usage_line: "9 tokens",
        earlier: 4,
        labels: ["good", "wrong"],
        turns: [{ run_id: "r1", question: "<i>hi</i>", html: "<p>hello</p>", annotations: [] }],
      },
    });
    expect(box.querySelector(".anb-talk")?.textContent).toBe("4 earlier turns<i>hi</i>hello");
  });

  it("shows the annotations of an answer as text, and adds and removes them", async () => {
    const { model, box } = open(1);
    box.querySelector<HTMLElement>(".anb-session")!.click();
    const note = { id: "a1", text: "<b>wrong</b>", comment: "<i>old</i>", author: "ada" };
    const turn = { run_id: "r1", question: "How much?", html: "<p>2.5</p>", annotations: [note] };
    const preview = { usage_line: "", earlier: 0, labels: ["<b>wrong</b>", "good"], turns: [turn] };
    await model.answer("preview", { value: preview });
    expect(box.querySelector(".anb-annotation")?.textContent).toBe("<b>wrong</b><i>old</i> · ada");
    const field = () => box.querySelector<HTMLTextAreaElement>(".anb-label")!;
    expect(field().getAttribute("aria-label")).toBe("Annotate this answer");
    press(field(), "Enter");
    expect(model.sent.some((message) => message.verb === "annotate")).toBe(false);
    for (const [typed, label, comment] of [
      ["good", "good", ""],
      [" wrong : it is 3:30 ", "wrong", "it is 3:30"],
      ["x".repeat(201), "", "x".repeat(201)],
    ] as const) {
      field().value = typed;
      press(field(), "Enter");
      expect(model.last("annotate").fields).toEqual({ session_id: "s0", run_id: "r1", label, comment });
      await model.answer("annotate", { value: true });
      await model.answer("preview", { value: preview });
      // The next answer of the list can be annotated without the mouse.
      expect(document.activeElement).toBe(field());
    }
    box.querySelector<HTMLElement>(".anb-annotation button")!.click();
    expect(model.last("remove_annotation").fields).toEqual({ session_id: "s0", run_id: "r1", annotation_id: "a1" });
    await flush();
  });

  it("chooses by what there is to choose from", () => {
    const { model, box } = open(2);
    const agent = box.querySelector<HTMLSelectElement>("select[aria-label='Any agent']")!;
    agent.value = "other";
    agent.dispatchEvent(new Event("change"));
    expect(model.last("find").fields).toEqual({ ...criteria, agent: "other" });
    expect(box.querySelector("select[aria-label='Any user']")).toBeNull();
  });
});
