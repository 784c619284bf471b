import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { el, setHtml } from "../src/dom";

// The payloads of the cell outputs, as Python has them.
const source = readFileSync("../tests/notebook/hostile.py", "utf8");
const HOSTILE = [...source.matchAll(/^ {4}(?:f|r|rf)?(["'])(.*)\1,?$/gm)].map((found) => found[2] ?? "");

describe("HTML that comes from the kernel", () => {
  it("has the payloads of the other suites", () => expect(HOSTILE.length).toBeGreaterThan(20));

  it.each(HOSTILE)("is cleaned once more: %s", (payload) => {
    const box = el("div");
    setHtml(box, payload);
    const elements = [...box.querySelectorAll("*")];
    const live = elements.filter((element) =>
      element.matches("script,iframe,object,embed,form,input,img,svg,math,video,audio,style,link,meta,base,template"),
    );
    expect(live).toEqual([]);
    const attributes = elements.flatMap((element) => element.getAttributeNames());
    expect(attributes.filter((name) => !["href", "title", "style", "start", "rel", "target"].includes(name))).toEqual(
      [],
    );
    const addresses = elements.map((element) => element.getAttribute("href")).filter((address) => address !== null);
    expect(addresses.filter((address) => !/^(https?|mailto):/.test(address))).toEqual([]);
    expect(box.innerHTML).not.toMatch(/style="[^"]*url\(/i);
  });

  it("keeps what Markdown becomes, and opens links elsewhere", () => {
    const box = el("div");
    setHtml(
      box,
      '<p><strong>a</strong> <a href="https://ok.example/">b</a></p><table><tbody><tr><td style="text-align:left">1</td></tr></tbody></table>',
    );
    expect(box.innerHTML).toBe(
      '<p><strong>a</strong> <a href="https://ok.example/" target="_blank" rel="noopener noreferrer nofollow">b</a></p>' +
        '<table><tbody><tr><td style="text-align:left">1</td></tr></tbody></table>',
    );
  });

  it("leaves unfolded what a reader has unfolded", () => {
    const box = el("div");
    setHtml(box, "<details><summary>a</summary>1</details><details><summary>b</summary>2</details>");
    box.querySelectorAll("details")[1]!.open = true;
    setHtml(box, "<details><summary>a</summary>1</details><details><summary>b</summary>2, 3</details><p>more</p>");
    expect([...box.querySelectorAll("details")].map((each) => each.open)).toEqual([false, true]);
  });

  it("sets text as text", () => {
    expect(el("div", { text: "<img src=x>" }, "<b>").innerHTML).toBe("&lt;img src=x&gt;&lt;b&gt;");
  });
});
