// What sessions can be chosen and sorted by.
import { button, el } from "./dom";

export interface Wanted {
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
const FILTERS: [keyof Wanted & string, string][] = [
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

/** The fields above the list: of the filters only those that leave a choice. */
export function filterControls(
  wanted: Wanted,
  choices: Record<string, string[]>,
  find: (change: Partial<Wanted>) => void,
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
    ...FILTERS.filter(([name]) => (choices[name]?.length ?? 0) > 1 || wanted[name] !== null).map(([name, any]) => {
      const values = [...new Set([...(choices[name] ?? []), ...(wanted[name] === null ? [] : [String(wanted[name])])])];
      const options = values.map((value): [string, string] => [
        value,
        name === "notebook" ? (value.split("/").at(-1) ?? value) : value.length < 40 ? value : `${value.slice(0, 39)}…`,
      ]);
      return select(any, [["", any], ...options], String(wanted[name] ?? ""), (value) =>
        find({ [name]: value || null }),
      );
    }),
    select("Time", TIMES, String(wanted.days ?? ""), (value) => find({ days: value ? Number(value) : null })),
    el("span", { class: "anb-space" }),
    select("Sort by", SORTS, wanted.sort, (value) => find({ sort: value })),
    button(wanted.is_ascending ? "↑" : "↓", () => find({ is_ascending: !wanted.is_ascending }), {
      title: wanted.is_ascending ? "Ascending" : "Descending",
      "aria-label": "Turn the order round",
    }),
  ];
}
