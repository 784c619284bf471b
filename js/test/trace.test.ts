import { describe, expect, it } from "vitest";
import view from "../src/index";
import { FakeModel, press } from "./fake";

const step = (name: string, more: object = {}) => ({
  kind: "tool",
  name,
  depth: 1,
  from: 0.25,
  to: 0.75,
  first: 0,
  tone: "",
  facts: "1 s",
  ...more,
});

describe("the timeline", () => {
  it("draws lines that are walked through and looked into, as text", async () => {
    const model = new FakeModel({
      _kind: "trace",
      _content: {
        timelines: [{ title: "How?", duration_s: 2, steps: [step("<b>one</b>", { tone: "rejected" }), step("two", { tone: "failed" })] }],
      },
    });
    const box = document.createElement("div");
    document.body.replaceChildren(box);
    const end = view.render({ model, el: box });
    const [first, second] = box.querySelectorAll<HTMLElement>(".anb-step");
    expect(first!.querySelector(".anb-step-name")?.textContent).toBe("<b>one</b>");
    expect(first!.querySelector<HTMLElement>(".anb-bar-of")?.style.left).toBe("25%");
    expect(first!.querySelector(".anb-rejected")).not.toBeNull();
    expect(second!.querySelector(".anb-failed")).not.toBeNull();
    first!.focus();
    press(first!, "ArrowDown");
    expect(document.activeElement).toBe(second);
    second!.click();
    expect(model.last("look").fields).toEqual({ timeline: 0, step: 1 });
    await model.answer("look", { value: [{ title: "Result", text: "<script>x</script>", parts: [] }] });
    expect(box.querySelector(".anb-arguments")?.textContent).toBe("<script>x</script>");

    const parts = [
      { source: "history", detail: "turn 0", size: "~3 tokens", text: "user: <b>Hi</b>" },
      { source: "media", detail: "image dot.png", size: "", text: "" },
    ];
    first!.click();
    await model.answer("look", { value: [{ title: "Was sent", text: "About 3 tokens.\nLeft out: turn 1.", parts }] });
    const [folded, media] = box.querySelectorAll<HTMLElement>(".anb-part");
    expect(folded!.querySelector("summary")?.textContent).toBe("historyturn 0~3 tokens");
    expect(folded!.querySelector("pre")?.textContent).toBe("user: <b>Hi</b>");
    expect([media!.tagName, media!.textContent]).toEqual(["DIV", "mediaimage dot.png"]);
    expect(box.querySelector(".anb-detail")?.textContent).toContain("Left out: turn 1.");
    end();
    expect(model.listeners()).toBe(0);
  });
});
