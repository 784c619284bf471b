// The annotations of a run in the session browser: labels and comments, each of which can be removed, and a field for more.
import { el, iconButton } from "./dom";

export interface Annotation {
  id: string;
  /** Label and score. */
  text: string;
  comment: string;
  author: string;
}

type Change = (verb: "annotate" | "remove_annotation", fields: Record<string, unknown>) => Promise<unknown>;

const LIMIT = 200;

/** Return the annotations of a run, and a field that adds a label, or "label: comment". */
export function annotationBar(runId: string, annotations: Annotation[], labels: string[], change: Change): HTMLElement {
  const shown = annotations.map((each) =>
    el(
      "span",
      { class: "anb-annotation" },
      each.text && el("span", { class: "anb-badge", text: each.text }),
      [each.comment, each.author].filter(Boolean).join(" · "),
      iconButton("close", `Remove ${each.text || "the comment"}`, () =>
        void change("remove_annotation", { run_id: runId, annotation_id: each.id }),
      ),
    ),
  );
  const field = el("textarea", {
    class: "anb-input anb-label",
    rows: "1",
    placeholder: `Label, such as ${labels.slice(0, 3).join(", ")}`,
    title: "Enter adds a label, or a label and a comment: “wrong: the price is old”",
    "aria-label": "Annotate this answer",
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") field.value = "";
    if (event.key !== "Enter") return;
    event.preventDefault();
    const [label = "", ...rest] = field.value.slice(0, 10_000).split(":");
    const comment = rest.join(":").trim();
    // A long text is a comment without a label.
    const isComment = label.trim().length > LIMIT;
    const fields = isComment
      ? { label: "", comment: field.value.trim().slice(0, 10_000) }
      : { label: label.trim(), comment };
    if (fields.label || fields.comment) void change("annotate", { run_id: runId, ...fields });
  });
  return el("div", { class: "anb-annotations", "data-run": runId }, ...shown, field);
}
