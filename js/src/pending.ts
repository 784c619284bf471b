// The pending calls of a paused run, one card each. Arguments are shown as text, never as HTML.
import { button, el, growWithText, setText } from "./dom";

export interface PendingItem {
  id: string;
  kind: "confirmation" | "user_input" | "external_execution";
  who: string;
  tool: string;
  arguments: string;
  fields: { name: string; description: string; choices: string[]; type: string; value: string }[];
  is_resolved: boolean;
  is_refused: boolean;
}

export interface Decision {
  requirement_id: string;
  decision: "approve" | "reject";
  note: string;
  values: Record<string, string>;
}

const ASKS = { confirmation: "wants to call", user_input: "needs values for", external_execution: "asks you to run" };
const MAX_HEIGHT_PX = 220;
const YES = { confirmation: "Approve", user_input: "Send", external_execution: "Send result" };

export function pendingCard(item: PendingItem, decide: (decision: Decision) => Promise<unknown>): HTMLElement {
  const heading = el(
    "div",
    { class: "anb-pending-heading" },
    el("span", {}, `${item.who || "The agent"} ${ASKS[item.kind]} `),
    el("code", { text: item.tool }),
  );
  const card = el("div", { class: "anb-pending", role: "group", "aria-label": `${item.tool} waits for you` }, heading);
  if (item.arguments !== "{}") card.append(el("pre", { class: "anb-arguments", text: item.arguments, tabindex: "0" }));
  if (item.is_resolved) {
    card.append(el("div", { class: "anb-muted", text: item.is_refused ? "Rejected" : "Approved; other calls are pending" }));
    return card;
  }
  const inputs = new Map<string, () => string>();
  const field = (name: string, label: string, control: HTMLTextAreaElement | HTMLSelectElement) => {
    inputs.set(name, () => control.value);
    card.append(el("label", { class: "anb-field" }, el("span", { text: label }), control));
  };
  /** A field that grows with its text. Enter goes to the next empty value, or submits; Shift+Enter starts a new line. */
  const textField = (decision: Decision["decision"], props: Record<string, unknown>) => {
    const control = el("textarea", { class: "anb-input", rows: "1", ...props });
    control.addEventListener("input", () => growWithText(control, MAX_HEIGHT_PX));
    control.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      const empty = [...card.querySelectorAll<HTMLTextAreaElement>(".anb-field textarea")].find((each) => !each.value);
      if (decision === "approve" && empty && control.value) empty.focus();
      else if (!isSending) void act(decision);
    });
    return control;
  };
  for (const each of item.fields) {
    const label = each.description ? `${each.name}: ${each.description}` : each.name;
    if (each.choices.length > 0) {
      const options = each.choices.map((choice) => el("option", { value: choice, text: choice }));
      const select = el("select", { class: "anb-input" }, ...options);
      if (each.value) select.value = each.value;
      field(each.name, label, select);
    } else {
      field(each.name, label, textField("approve", { value: each.value }));
    }
  }
  if (item.kind === "external_execution") {
    field("result", "Result", el("textarea", { class: "anb-input", rows: "3" }));
  }
  const note = textField("reject", {
    placeholder: "Reason, or what to do instead (optional)",
    "aria-label": "Reason for rejection",
  });
  const errorBox = el("div", { class: "anb-alert", role: "alert" });
  let isSending = false;
  const act = async (decision: Decision["decision"]) => {
    isSending = true;
    card.querySelectorAll("button").forEach((each) => (each.disabled = true));
    errorBox.textContent = "";
    const values = decision === "approve" ? Object.fromEntries([...inputs].map(([name, read]) => [name, read()])) : {};
    try {
      await decide({ requirement_id: item.id, decision, note: decision === "reject" ? note.value : "", values });
    } catch (error) {
      setText(errorBox, (error as Error).message);
      isSending = false;
      card.querySelectorAll("button").forEach((each) => (each.disabled = false));
    }
  };
  card.append(
    el(
      "div",
      { class: "anb-pending-actions" },
      button(YES[item.kind], () => void act("approve"), { class: "anb-button anb-accept" }),
      button("Reject", () => void act("reject"), { class: "anb-button anb-reject" }),
      note,
    ),
    errorBox,
  );
  return card;
}
