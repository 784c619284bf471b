import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { renderChat } from "../src/chat";
import { FakeModel, press, flush, resize, type } from "./fake";

const turn = (run_id: string, more: object = {}) => ({
  run_id,
  attempts: [run_id],
  question: `asked ${run_id}`,
  files: [],
  html: `<p>said ${run_id}</p>`,
  status: "COMPLETED",
  cell: null,
  pending: [],
  ...more,
});
const content = (turns: object[], more: object = {}) => ({
  session_id: "s",
  title: "A talk",
  is_stored: true,
  agent: "guide",
  model: "demo model",
  sees_images: true,
  files_size_limit: 8_000_000,
  usage_line: "3 → 4 tokens",
  earlier: 0,
  turns,
  ...more,
});

describe("the chat widget", () => {
  let model: FakeModel;
  let box: HTMLElement;
  let ending: AbortController;
  const draft = () => box.querySelector<HTMLTextAreaElement>(".anb-draft")!;
  const labelled = (label: string) =>
    [...box.querySelectorAll<HTMLElement>("button")].find(
      (each) => each.getAttribute("aria-label") === label || each.textContent === label,
    )!;
  const open = (turns: object[], more: object = {}) => {
    model = new FakeModel({ _kind: "chat", _content: content(turns, more) });
    renderChat({ model, el: box, signal: ending.signal });
  };

  beforeEach(() => {
    box = document.createElement("div");
    document.body.append(box);
    ending = new AbortController();
  });
  afterEach(() => {
    ending.abort();
    box.remove();
  });

  it("is at the end when it is displayed after it was rendered", () => {
    open([turn("1"), turn("2")]);
    const log = box.querySelector<HTMLElement>(".anb-log")!;
    Object.defineProperty(log, "scrollHeight", { value: 900 });
    resize(log);
    expect(log.scrollTop).toBe(0);
    Object.defineProperty(log, "clientHeight", { value: 300 });
    resize(log);
    expect(log.scrollTop).toBe(900);
    log.scrollTop = 100;
    resize(log);
    expect(log.scrollTop).toBe(100);
  });

  it("shows the turns, the session, and who answers at which cost", () => {
    open([turn("1"), turn("2")]);
    expect([...box.querySelectorAll(".anb-turn .anb-question")].map((each) => each.textContent)).toEqual([
      "asked 1",
      "asked 2",
    ]);
    expect([...box.querySelectorAll(".anb-turn .anb-answer")].map((each) => each.textContent)).toEqual([
      "said 1",
      "said 2",
    ]);
    expect(box.querySelector(".anb-title")?.textContent).toBe("A talk");
    expect(box.querySelector(".anb-foot")?.textContent).toBe("guide · demo model · 3 → 4 tokens");
  });

  it("sends with Enter, breaks the line with Shift+Enter, and takes the draft back when nothing was stored", async () => {
    open([]);
    type(draft(), "Hello");
    press(draft(), "Enter", { shiftKey: true });
    press(draft(), "Enter", { isComposing: true });
    expect(model.sent.map((message) => message.verb)).toEqual(["refresh"]);
    press(draft(), "Enter");
    await flush();
    expect(model.last("ask").fields).toEqual({ question: "Hello", again: null, names: {} });
    expect(draft().value).toBe("");
    await model.answer("ask", { error: "the store is locked", stored: false });
    expect(box.querySelector(".anb-alert")?.textContent).toBe("the store is locked");
    expect(draft().value).toBe("Hello");
  });

  it("shows the answer that arrives, stops it with Esc, and keeps the turn's element when it is done", async () => {
    open([turn("1")]);
    const first = box.querySelector(".anb-turn");
    model.set("_arriving", { question: "And?", files: [], html: "<p>It gr</p>", in_place_of: null });
    expect([...box.querySelectorAll(".anb-turn")].map((each) => each.textContent)).toEqual([
      "asked 1said 1",
      "And?It gr",
    ]);
    expect(box.querySelector(".anb-log")?.getAttribute("aria-busy")).toBe("true");
    press(draft(), "Escape");
    expect(model.last("stop").fields).toEqual({});
    model.set("_content", content([turn("1"), turn("2")]));
    model.set("_arriving", {});
    expect(box.querySelectorAll(".anb-turn").length).toBe(2);
    expect(box.querySelector(".anb-turn")).toBe(first);
    expect(box.querySelector("[aria-live=polite]")?.textContent).toBe("said 2");
  });

  it("shows another try in the place of the one before", () => {
    open([turn("1"), turn("2")]);
    model.set("_arriving", { question: "asked 1", files: [], html: "<p>again</p>", in_place_of: "1" });
    expect([...box.querySelectorAll(".anb-turn .anb-answer")].map((each) => each.textContent)).toEqual([
      "again",
      "said 2",
    ]);
  });

  it("edits the last message with the arrow, and asks again from there", async () => {
    open([turn("1"), turn("2")]);
    press(draft(), "ArrowUp");
    expect(draft().value).toBe("asked 2");
    press(draft(), "Escape");
    expect(draft().value).toBe("");
    press(draft(), "ArrowUp");
    type(draft(), "asked better");
    press(draft(), "Enter");
    await flush();
    expect(model.last("ask").fields).toEqual({ question: "asked better", again: "2", names: {} });
  });

  it("looks at earlier attempts without asking again", async () => {
    open([turn("2", { attempts: ["1", "2"] })]);
    labelled("Earlier attempt").click();
    expect(model.last("attempt").fields).toEqual({ run_id: "1" });
    await model.answer("attempt", { value: { question: "asked first", html: "<p>said first</p>" } });
    expect(box.querySelector(".anb-turn")?.textContent).toContain("said first1 / 2");
    expect(labelled("Earlier attempt").hasAttribute("disabled")).toBe(true);
  });

  it("shows a waiting call's arguments as text and sends the decision", async () => {
    const item = {
      id: "q",
      kind: "confirmation",
      who: "guide",
      tool: "delete",
      arguments: '{"path": "<img src=x onerror=alert(1)>"}',
      fields: [],
      is_resolved: false,
      is_refused: false,
    };
    open([turn("1", { status: "PAUSED", pending: [item] })]);
    expect(box.querySelector(".anb-arguments")?.textContent).toBe(item.arguments);
    expect(box.querySelector(".anb-pending img")).toBeNull();
    box.querySelector<HTMLTextAreaElement>(".anb-pending textarea")!.value = "not that one";
    labelled("Reject").click();
    expect(model.last("decide").fields).toEqual({
      run_id: "1",
      requirement_id: "q",
      decision: "reject",
      note: "not that one",
      values: {},
    });
    expect(document.activeElement).toBe(draft());
    await model.answer("decide", { error: "it has already been continued; see `%agent pending` <b>now</b>" });
    const alert = box.querySelector(".anb-pending [role=alert]")!;
    expect(alert.innerHTML).toBe("it has already been continued; see <code>%agent pending</code> &lt;b&gt;now&lt;/b&gt;");
    expect(labelled("Approve").hasAttribute("disabled")).toBe(false);
  });

  it("announces the answer of a turn that was continued", () => {
    open([turn("1", { status: "PAUSED", html: "<p>waiting</p>" })]);
    const announced = () => box.querySelector("[aria-live=polite]")?.textContent;
    model.set("_arriving", { question: "asked 1", files: [], html: "" });
    expect(announced()).toBe("The answer is in progress.");
    model.set("_arriving", {});
    model.set("_content", content([turn("1", { html: "<p>done</p>" })]));
    expect(announced()).toBe("done");
  });

  it("rejects with Enter in the reason, and sends values with Enter in the last of them", () => {
    const item = {
      id: "q",
      kind: "user_input",
      who: "guide",
      tool: "order",
      arguments: "{}",
      fields: ["size", "note"].map((name) => ({ name, description: "", choices: [], type: "string", value: "" })),
      is_resolved: false,
      is_refused: false,
    };
    open([turn("1", { status: "PAUSED", pending: [item] })]);
    const [size, note, reason] = [...box.querySelectorAll<HTMLTextAreaElement>(".anb-pending textarea")];
    type(size!, "large");
    press(size!, "Enter");
    expect(document.activeElement).toBe(note);
    type(note!, "soon");
    press(note!, "Enter", { shiftKey: true });
    press(note!, "Enter", { isComposing: true });
    expect(model.sent.map((message) => message.verb)).toEqual(["refresh"]);
    press(note!, "Enter");
    expect(model.last("decide").fields).toMatchObject({ decision: "approve", values: { size: "large", note: "soon" } });

    open([turn("2", { status: "PAUSED", pending: [{ ...item, kind: "confirmation", fields: [] }] })]);
    const why = [...box.querySelectorAll<HTMLTextAreaElement>(".anb-pending textarea")].at(-1)!;
    type(why, "too early");
    press(why, "Enter");
    press(why, "Enter");
    const sent = model.sent.filter((message) => message.verb === "decide").map((message) => message.fields);
    expect(sent).toEqual([
      { run_id: "2", requirement_id: "q", decision: "reject", note: "too early", values: {} },
    ]);
    expect(reason!.value).toBe("");
  });

  it("says why Enter does not send during an answer, and keeps the message", async () => {
    open([turn("1")]);
    const foot = () => box.querySelector(".anb-foot")!.textContent;
    model.set("_arriving", { question: "asked 2", files: [], html: "" });
    type(draft(), "One more thing");
    press(draft(), "Enter");
    await flush();
    expect(foot()).toBe("Wait for the answer in progress, or stop it with Esc; your message stays here.");
    expect([draft().value, model.sent.map((message) => message.verb)]).toEqual(["One more thing", ["refresh"]]);
    model.set("_arriving", {});
    expect(foot()).toBe("guide · demo model · 3 → 4 tokens");
  });

  it("begins with the values that were given already, also among choices", () => {
    const field = { name: "size", description: "", choices: ["small", "large"], type: "string", value: "large" };
    const item = {
      id: "q",
      kind: "user_input",
      who: "guide",
      tool: "order",
      arguments: "{}",
      fields: [field, { ...field, name: "note", choices: [], value: "12" }, { ...field, name: "color", value: "" }],
      is_resolved: false,
      is_refused: false,
    };
    open([turn("1", { status: "PAUSED", pending: [item] })]);
    labelled("Send").click();
    expect(model.last("decide").fields).toMatchObject({ values: { size: "large", note: "12", color: "small" } });
  });

  it("finds sessions and opens one", async () => {
    open([turn("1")]);
    box.querySelector<HTMLElement>(".anb-picker")!.click();
    await model.answer("sessions", {
      value: [{ session_id: "t", title: "<b>Trains</b>", num_runs: 1, updated_at: 0 }],
    });
    const option = box.querySelector<HTMLElement>("[role=option]")!;
    expect(option.textContent).toContain("<b>Trains</b>1 turn");
    option.click();
    expect(model.last("open").fields).toEqual({ session_id: "t" });
  });

  it("keeps its keys to itself", () => {
    open([]);
    let isHeard = false;
    document.body.addEventListener("keydown", () => (isHeard = true), { once: true });
    press(draft(), "d");
    expect(isHeard).toBe(false);
  });

  it("takes images that the model sees, as many and as large as may go, and says why not others", () => {
    const png = (name: string, bytes = 10) => new File([new Uint8Array(bytes)], name, { type: "image/png" });
    const drop = (...files: File[]) => {
      const event = new Event("drop", { bubbles: true, cancelable: true });
      box.querySelector(".anb-chat")!.dispatchEvent(Object.assign(event, { dataTransfer: { files } }));
    };
    const chips = () => [...box.querySelectorAll(".anb-chip")].map((each) => each.textContent);
    const errorText = () => box.querySelector(".anb-alert")!.textContent;
    open([], { sees_images: true, files_size_limit: 2_000_000 });
    expect(labelled("Attach images").hidden).toBe(false);
    drop(png("a.png"));
    expect([chips(), errorText()]).toEqual([["a.png"], ""]);
    drop(new File(["x"], "x.pdf", { type: "application/pdf" }));
    expect([chips(), errorText()]).toEqual([["a.png"], "Only images can be attached: PNG, JPEG, GIF or WebP."]);
    drop(png("large.png", 2_100_000));
    expect([chips(), errorText()]).toEqual([["a.png"], "The images are too large: 2.1 MB; a message can have 2.0 MB."]);
    drop(png("b.png"), png("c.png"), png("d.png"), png("e.png"));
    expect([chips(), errorText()]).toEqual([["a.png"], "A message can have at most 4 images."]);

    model.set("_content", content([], { sees_images: false, model: "deaf" }));
    expect(labelled("Attach images").hidden).toBe(true);
    drop(png("b.png"));
    expect([chips(), errorText()]).toEqual([["a.png"], "deaf does not see images, so nothing was attached."]);
  });
});
