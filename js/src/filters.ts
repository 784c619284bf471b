// The filters and the order of the session browser.
import { button, el } from "./dom";

export interface Criteria {
  search: string;
  user_id: string | null;
  session_type: string | null;
  agent: string | null;
  notebook: string | null;
  status: string | null;
  days: number | null;
  sort: string;
  is_ascending: boolean;
}

const SORTS: [string, string][] = [
  ["updated_at", "Last used"],
  ["created_at", "Begun"],
  ["name", "Name"],
  ["num_runs", "Turns"],
  ["total_tokens", "Tokens"],
  ["cost", "Cost"],
];
const FILTERS: [keyof Criteria & string, string][] = [
  ["user_id", "Any user"],
  ["session_type", "Any kind"],
  ["agent", "Any agent"],
  ["notebook", "Any notebook"],
  ["status", "Any status"],
];
const TIMES: [string, string][] = [
  ["", "Any time"],
  ["1", "Last day"],
  ["7", "Last 7 days"],
  ["30", "Last 30 days"],
  ["365", "Last year"],
];

/** The controls above the list; filters without a choice are omitted. */
export function filterControls(
  criteria: Criteria,
  choices: Record<string, string[]>,
  find: (change: Partial<Criteria>) => void,
): HTMLElement[] {
  const select = (label: string, options: [string, string][], value: string, changed: (value: string) => void) => {
    const control = el(
      "select",
      { class: "anb-input", "aria-label": label },
      ...options.map(([key, name]) => el("option", { value: key, text: name })),
    );
    control.value = value;
    control.addEventListener("change", () => changed(control.value));
    return control;
  };
  return [
    ...FILTERS.filter(([name]) => (choices[name]?.length ?? 0) > 1 || criteria[name] !== null).map(([name, any]) => {
      const values = [...new Set([...(choices[name] ?? []), ...(criteria[name] === null ? [] : [String(criteria[name])])])];
      const options = values.map((value): [string, string] => [
        value,
        name === "notebook" ? (value.split("/").at(-1) ?? value) : value.length < 40 ? value : `${value.slice(0, 39)}…`,
      ]);
      return select(any, [["", any], ...options], String(criteria[name] ?? ""), (value) =>
        find({ [name]: value || null }),
      );
    }),
    select("Time", TIMES, String(criteria.days ?? ""), (value) => find({ days: value ? Number(value) : null })),
    el("span", { class: "anb-space" }),
    select("Sort by", SORTS, criteria.sort, (value) => find({ sort: value })),
    button(criteria.is_ascending ? "↑" : "↓", () => find({ is_ascending: !criteria.is_ascending }), {
      title: criteria.is_ascending ? "Ascending" : "Descending",
      "aria-label": "Reverse the order",
    }),
  ];
}
