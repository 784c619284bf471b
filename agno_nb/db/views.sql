-- What users read: the tables of schema.sql with times as UTC timestamps, and what follows from other rows.
--
-- In DuckDB's SQL. A column without a comment here is the column of that name in the view's raw table. Nothing that a
-- view derives is stored: rows of a finished run never change, so a view cannot contradict them.

CREATE VIEW sessions AS
WITH answered AS (
    SELECT DISTINCT run_id FROM raw_messages WHERE role = 'assistant' AND NOT from_history
),
totals AS (
    SELECT
        session_id,
        count(DISTINCT run_index) AS num_runs,
        arg_min(input, (run_index, -attempt)) FILTER (WHERE run_index IS NOT NULL) AS first_input,
        sum(input_tokens) AS input_tokens,
        sum(output_tokens) AS output_tokens,
        sum(cost) AS known_cost,
        count(*) FILTER (WHERE cost IS NULL AND answered.run_id IS NOT NULL) AS num_unpriced,
        max(created_at) AS last_run_at
    FROM raw_runs LEFT JOIN answered USING (run_id)
    GROUP BY session_id
)
SELECT
    session_id,
    session_type,
    session_name,
    user_id,
    component_id,
    component_name,
    -- Turns of the session. Other attempts at a turn and nested runs are not counted.
    coalesce(num_runs, 0)::BIGINT AS num_runs,
    -- What was asked in the first turn.
    totals.first_input AS first_input,
    -- Tokens sent in all runs, superseded and nested ones included: they were paid for. Null where none are known.
    totals.input_tokens::BIGINT AS input_tokens,
    -- Tokens that came back in all runs.
    totals.output_tokens::BIGINT AS output_tokens,
    -- Tokens sent and come back in all runs.
    coalesce(totals.input_tokens + totals.output_tokens, totals.input_tokens, totals.output_tokens)::BIGINT
        AS total_tokens,
    -- Price of all runs in US dollars. Null where that of any run in which the model answered is unknown.
    CASE WHEN num_unpriced = 0 THEN known_cost END AS cost,
    session_state,
    metadata,
    forked_from_session_id,
    forked_from_run_id,
    make_timestamptz(created_at) AS created_at,
    make_timestamptz(updated_at) AS updated_at,
    -- When the latest run began.
    make_timestamptz(last_run_at) AS last_run_at
FROM raw_sessions LEFT JOIN totals USING (session_id);

CREATE VIEW runs AS
SELECT
    run_id,
    session_id,
    run_index,
    attempt,
    parent_run_id,
    parent_tool_call_id,
    step,
    kind,
    component_id,
    component_name,
    user_id,
    status,
    -- Whether the process died before the run ended. The status is RUNNING then.
    status = 'RUNNING' AND interrupted_at IS NOT NULL AS interrupted,
    -- The next attempt at the same turn, which took this one's place. Null for the current attempt.
    CASE WHEN run_index IS NOT NULL
        THEN lead(run_id) OVER (PARTITION BY session_id, run_index ORDER BY attempt) END AS superseded_by,
    -- Whether an earlier turn got a new attempt after this run was made, so that the run answered to something else.
    coalesce(
        max(CASE WHEN attempt > 0 THEN created_at END) OVER (
            PARTITION BY session_id ORDER BY run_index RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) > created_at AND run_index IS NOT NULL,
        false
    ) AS stale,
    input,
    content,
    content_type,
    reasoning_content,
    model,
    model_provider,
    input_tokens,
    output_tokens,
    -- Tokens sent and come back.
    coalesce(input_tokens + output_tokens, input_tokens, output_tokens) AS total_tokens,
    cache_read_tokens,
    cache_write_tokens,
    reasoning_tokens,
    cost,
    time_to_first_token_s,
    duration_s,
    error_type,
    error,
    notebook,
    cell_id,
    execution_count,
    cell_hash,
    metadata,
    requirements,
    make_timestamptz(created_at) AS created_at,
    make_timestamptz(ended_at) AS ended_at,
    make_timestamptz(interrupted_at) AS interrupted_at
FROM raw_runs;

CREATE VIEW messages AS
SELECT * REPLACE (make_timestamptz(created_at) AS created_at) FROM raw_messages;

CREATE VIEW tool_calls AS
SELECT
    calls.tool_call_id,
    calls.run_id,
    calls.session_id,
    calls.message_id,
    calls.call_index,
    calls.tool_name,
    calls.arguments,
    -- What the model was told. Null while the call has no answer.
    answers.content AS result,
    -- Whether the tool failed, was refused or got arguments that it does not take. Null while the call has no answer.
    answers.tool_call_error AS tool_call_error,
    -- Seconds that the tool took.
    answers.duration_s AS duration_s,
    calls.extra,
    make_timestamptz(calls.created_at) AS created_at,
    -- When the answer was complete.
    make_timestamptz(answers.created_at) AS ended_at
FROM raw_tool_calls AS calls
LEFT JOIN raw_messages AS answers
    ON answers.session_id = calls.session_id
    AND answers.run_id = calls.run_id
    AND answers.tool_call_id = calls.tool_call_id
    AND answers.role = 'tool';

CREATE VIEW message_media AS
SELECT * FROM raw_message_media;

CREATE VIEW summaries AS
SELECT * REPLACE (make_timestamptz(updated_at) AS updated_at) FROM raw_summaries;

CREATE VIEW memories AS
SELECT * REPLACE (make_timestamptz(created_at) AS created_at, make_timestamptz(updated_at) AS updated_at)
FROM raw_memories;
