// The content of a row in the session browser.
import { counted, el } from "./dom";
import { when } from "./turns";

export interface Row {
  session_id: string;
  title: string;
  session_type: string;
  user_id: string | null;
  agent: string | null;
  num_runs: number;
  total_tokens: number | null;
  cost: number | null;
  updated_at: number;
  status: string | null;
  /** The status in words; empty for a session whose latest turn has completed. */
  state: string;
}

export function rowContent(row: Row): HTMLElement[] {
  const facts = [
    row.agent,
    row.user_id,
    counted(row.num_runs, "turn"),
    row.total_tokens === null ? null : counted(row.total_tokens, "token"),
    row.cost ? `$${row.cost.toPrecision(2)}` : null,
  ];
  const state = row.state
    ? [el("span", { class: `anb-badge anb-${row.status?.toLowerCase()}`, text: row.state })]
    : [];
  return [
    el(
      "span",
      { class: "anb-session-text" },
      el("span", { class: "anb-session-title", text: row.title, title: row.title }),
      el("span", { class: "anb-muted" }, ...state, facts.filter(Boolean).join(" · ")),
    ),
    el("span", { class: "anb-muted anb-when", text: when(row.updated_at) }),
  ];
}
