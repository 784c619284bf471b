import { afterEach, describe, expect, it, vi } from "vitest";
import { Link } from "../src/link";
import { FakeModel } from "./fake";

afterEach(() => void vi.useRealTimers());

describe("a request", () => {
  const made = () => {
    const model = new FakeModel({ _content: 1 });
    const ending = new AbortController();
    return { model, ending, link: new Link(model, ending.signal) };
  };

  it("is a verb with fields, and answered by its id", async () => {
    const { model, link } = made();
    const [first, second] = [link.ask("one", { a: 1 }), link.ask("two")];
    expect(model.sent.map(({ verb, fields }) => ({ verb, fields }))).toEqual([
      { verb: "one", fields: { a: 1 } },
      { verb: "two", fields: {} },
    ]);
    await model.answer("two", { value: "second" });
    await model.answer("one", { value: "first" });
    expect(await Promise.all([first, second])).toEqual(["first", "second"]);
  });

  it("fails with the kernel's sentence", async () => {
    const { model, link } = made();
    const question = expect(link.ask("one")).rejects.toThrow("it may not");
    await model.answer("one", { error: "it may not" });
    await question;
  });

  it("fails when the kernel is silent, but not while a model answers", async () => {
    vi.useFakeTimers();
    const { link } = made();
    const quick = expect(link.ask("one")).rejects.toThrow("It may be busy with a cell; if it was restarted, run the cell again.");
    let isOver = false;
    void link.ask("two", {}, { patient: true }).finally(() => (isOver = true));
    await vi.advanceTimersByTimeAsync(60_000);
    await quick;
    expect(isOver).toBe(false);
  });

  it("leaves nothing behind when the view has gone", () => {
    const { model, ending, link } = made();
    const seen: number[] = [];
    link.follow<number>("_content", (value) => seen.push(value), ending.signal);
    model.set("_content", 2);
    ending.abort();
    model.set("_content", 3);
    expect(seen).toEqual([1, 2]);
    expect(model.listeners()).toBe(0);
  });
});
