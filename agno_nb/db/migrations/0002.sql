-- The model that the server says it used, next to the requested one.
ALTER TABLE raw_runs ADD COLUMN served_model TEXT;

-- Annotations of runs.
CREATE TABLE raw_annotations (
    annotation_id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    label TEXT,
    score DOUBLE PRECISION,
    comment TEXT,
    annotated_by TEXT,
    created_at BIGINT NOT NULL
);
