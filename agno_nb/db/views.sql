-- Views for users: the tables of schema.sql with times as UTC timestamps and values derived from other rows.
--
-- The SQL is DuckDB's. A column without a comment is the column of that name in the view's raw table. Derived values
-- are not stored. Rows of a finished run never change, so a view cannot contradict them. Impossible usage is null here:
-- token counts below 0 or above 10^12, costs below 0 or above 10^9, and NaN. Older versions stored any value that a
-- server reported, and one such value breaks every sum.

-- Sessions with totals over their runs. The totals of a fork include its copied runs.
CREATE VIEW sessions AS
WITH answered AS (
    SELECT DISTINCT session_id, run_id FROM raw_messages WHERE role = 'assistant' AND NOT from_history
),
totals AS (
    SELECT
        session_id,
        count(DISTINCT run_index) AS num_runs,
        arg_min(input, (run_index, -attempt)) FILTER (WHERE run_index IS NOT NULL) AS first_input,
        sum(input_tokens) FILTER (WHERE input_tokens BETWEEN 0 AND 1000000000000) AS input_tokens,
        sum(output_tokens) FILTER (WHERE output_tokens BETWEEN 0 AND 1000000000000) AS output_tokens,
        sum(cost) FILTER (WHERE cost BETWEEN 0 AND 1000000000) AS known_cost,
        -- A workflow calls no model itself.
        count(*) FILTER (
            WHERE (cost BETWEEN 0 AND 1000000000) IS NOT TRUE AND kind <> 'workflow' AND answered.run_id IS NOT NULL
        ) AS num_unpriced,
        max(created_at) AS last_run_at
    FROM raw_runs LEFT JOIN answered USING (session_id, run_id)
    GROUP BY session_id
)
SELECT
    session_id,
    session_type,
    session_name,
    user_id,
    component_id,
    component_name,
    -- Number of turns. Superseded attempts and nested runs don't count.
    coalesce(num_runs, 0)::BIGINT AS num_runs,
    -- Input of the first turn.
    totals.first_input AS first_input,
    -- Input tokens of all runs, including superseded and nested ones, because they were paid for. Null if none are
    -- known.
    totals.input_tokens::BIGINT AS input_tokens,
    -- Output tokens of all runs.
    totals.output_tokens::BIGINT AS output_tokens,
    -- Input and output tokens of all runs.
    coalesce(totals.input_tokens + totals.output_tokens, totals.input_tokens, totals.output_tokens)::BIGINT
        AS total_tokens,
    -- Cost of all runs in US dollars. Null if the cost of any run with a model answer is unknown.
    CASE WHEN num_unpriced = 0 THEN known_cost END AS cost,
    -- Cost of the runs whose cost is known, in US dollars. Null if there are none.
    totals.known_cost AS known_cost,
    -- Number of runs with a model answer whose cost is unknown.
    coalesce(num_unpriced, 0)::BIGINT AS num_unpriced_runs,
    session_state,
    metadata,
    forked_from_session_id,
    forked_from_run_id,
    make_timestamptz(created_at) AS created_at,
    -- Last change of the session: the start or end of the session or of a run, or a change of its name or state.
    make_timestamptz(greatest(updated_at, last_run_at)) AS updated_at,
    -- Start of the latest run.
    make_timestamptz(last_run_at) AS last_run_at
FROM raw_sessions LEFT JOIN totals USING (session_id);

-- The windows only cover the few sessions with rerun turns, so that other sessions are read without windows.

-- Runs: one input and everything up to its answer, including nested runs and superseded attempts.
CREATE VIEW runs AS
WITH tried_again AS (
    SELECT
        session_id,
        run_id,
        lead(run_id) OVER (PARTITION BY session_id, run_index ORDER BY attempt) AS superseded_by,
        max(CASE WHEN attempt > 0 THEN created_at END) OVER (
            PARTITION BY session_id ORDER BY run_index RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) > created_at AS stale
    FROM raw_runs
    WHERE run_index IS NOT NULL AND session_id IN (SELECT session_id FROM raw_runs WHERE attempt > 0)
)
SELECT
    raw_runs.run_id,
    raw_runs.session_id,
    run_index,
    attempt,
    parent_run_id,
    parent_tool_call_id,
    root_run_id,
    step,
    kind,
    component_id,
    component_name,
    user_id,
    status,
    -- Whether the process died before the run ended. The status is then RUNNING.
    status = 'RUNNING' AND interrupted_at IS NOT NULL AS interrupted,
    -- Next attempt at the same turn, which replaced this one. Null for the current attempt. A nested run has the
    -- value of its turn.
    tried_again.superseded_by AS superseded_by,
    -- Whether an earlier turn was rerun after this run, so that the run answered a conversation that has since changed.
    -- A nested run has the value of its turn.
    coalesce(tried_again.stale, false) AS stale,
    forked_from_run_id,
    input,
    content,
    content_type,
    reasoning_content,
    model,
    served_model,
    model_provider,
    input_tokens,
    output_tokens,
    -- Input and output tokens.
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
    kernel_id,
    context,
    context_hash,
    replay_of_run_id,
    metadata,
    requirements,
    state_changes,
    make_timestamptz(created_at) AS created_at,
    make_timestamptz(ended_at) AS ended_at,
    make_timestamptz(interrupted_at) AS interrupted_at
FROM (
    SELECT * REPLACE (
        CASE WHEN input_tokens BETWEEN 0 AND 1000000000000 THEN input_tokens END AS input_tokens,
        CASE WHEN output_tokens BETWEEN 0 AND 1000000000000 THEN output_tokens END AS output_tokens,
        CASE WHEN cache_read_tokens BETWEEN 0 AND 1000000000000 THEN cache_read_tokens END AS cache_read_tokens,
        CASE WHEN cache_write_tokens BETWEEN 0 AND 1000000000000 THEN cache_write_tokens END AS cache_write_tokens,
        CASE WHEN reasoning_tokens BETWEEN 0 AND 1000000000000 THEN reasoning_tokens END AS reasoning_tokens,
        CASE WHEN cost BETWEEN 0 AND 1000000000 THEN cost END AS cost
    )
    FROM raw_runs
) AS raw_runs LEFT JOIN tried_again
    ON tried_again.session_id = raw_runs.session_id AND tried_again.run_id = raw_runs.root_run_id;

CREATE VIEW messages AS
SELECT
    message_id,
    run_id,
    session_id,
    message_index,
    role,
    content,
    reasoning_content,
    tool_call_id,
    tool_name,
    -- For a tool message, whether the tool failed, was rejected or got invalid arguments. Null for other messages.
    CASE WHEN role = 'tool' THEN tool_call_error END AS tool_call_error,
    finish_reason,
    model,
    CASE WHEN input_tokens BETWEEN 0 AND 1000000000000 THEN input_tokens END AS input_tokens,
    CASE WHEN output_tokens BETWEEN 0 AND 1000000000000 THEN output_tokens END AS output_tokens,
    CASE WHEN cache_read_tokens BETWEEN 0 AND 1000000000000 THEN cache_read_tokens END AS cache_read_tokens,
    CASE WHEN cache_write_tokens BETWEEN 0 AND 1000000000000 THEN cache_write_tokens END AS cache_write_tokens,
    CASE WHEN reasoning_tokens BETWEEN 0 AND 1000000000000 THEN reasoning_tokens END AS reasoning_tokens,
    CASE WHEN cost BETWEEN 0 AND 1000000000 THEN cost END AS cost,
    time_to_first_token_s,
    duration_s,
    provider_data,
    num_tool_calls,
    num_media,
    from_history,
    runs.run_index,
    runs.attempt,
    runs.superseded_by,
    runs.stale,
    runs.user_id,
    runs.component_name,
    raw_sessions.session_name,
    -- Model of the run.
    run_model,
    make_timestamptz(created_at) AS created_at
FROM raw_messages
LEFT JOIN (
    SELECT run_id, run_index, attempt, superseded_by, stale, user_id, component_name, model AS run_model FROM runs
) AS runs USING (run_id)
LEFT JOIN (SELECT session_id, session_name FROM raw_sessions) AS raw_sessions USING (session_id);

-- Tool calls with their results.
CREATE VIEW tool_calls AS
SELECT
    calls.tool_call_id,
    calls.run_id,
    calls.session_id,
    calls.message_id,
    calls.call_index,
    calls.tool_name,
    calls.arguments,
    -- Result sent to the model. Null if the call has no result so far.
    answers.content AS result,
    -- Whether the tool failed, was rejected or got invalid arguments. Null if the call has no result so far.
    answers.tool_call_error AS tool_call_error,
    -- Duration of the tool call in seconds.
    answers.duration_s AS duration_s,
    calls.extra,
    runs.run_index,
    runs.attempt,
    runs.superseded_by,
    runs.stale,
    runs.user_id,
    runs.component_name,
    raw_sessions.session_name,
    -- Model of the run.
    runs.model AS run_model,
    make_timestamptz(calls.created_at) AS created_at,
    -- Time at which the result was complete.
    make_timestamptz(answers.created_at) AS ended_at
FROM raw_tool_calls AS calls
LEFT JOIN raw_messages AS answers
    ON answers.session_id = calls.session_id
    AND answers.run_id = calls.run_id
    AND answers.tool_call_id = calls.tool_call_id
    AND answers.role = 'tool'
LEFT JOIN runs ON runs.run_id = calls.run_id
LEFT JOIN raw_sessions ON raw_sessions.session_id = calls.session_id;

CREATE VIEW steps AS
SELECT
    run_id,
    session_id,
    step_index,
    step_name,
    path,
    kind,
    iteration,
    input,
    content,
    content_type,
    status,
    error,
    stop,
    child_run_id,
    duration_s,
    make_timestamptz(created_at) AS created_at
FROM raw_steps;

-- Runs as trees: each turn, and the runs of its members, steps and tools.
CREATE VIEW run_tree AS
WITH RECURSIVE placed AS (
    SELECT run_id, 0 AS depth, coalesce(component_name, component_id, kind) AS path
    FROM raw_runs AS top
    WHERE NOT EXISTS (SELECT 1 FROM raw_runs AS above WHERE above.run_id = top.parent_run_id)
    UNION ALL
    SELECT nested.run_id, depth + 1, path || ' > ' || coalesce(nested.component_name, nested.component_id, nested.kind)
    FROM placed JOIN raw_runs AS nested ON nested.parent_run_id = placed.run_id
),
within AS (
    SELECT run_id AS ancestor_id, run_id FROM raw_runs
    UNION ALL
    SELECT ancestor_id, nested.run_id
    FROM within JOIN raw_runs AS nested ON nested.parent_run_id = within.run_id
),
answered AS (
    SELECT DISTINCT run_id FROM raw_messages WHERE role = 'assistant' AND NOT from_history
),
totals AS (
    SELECT
        ancestor_id AS run_id,
        sum(input_tokens) FILTER (WHERE input_tokens BETWEEN 0 AND 1000000000000) AS input_tokens,
        sum(output_tokens) FILTER (WHERE output_tokens BETWEEN 0 AND 1000000000000) AS output_tokens,
        sum(cost) FILTER (WHERE cost BETWEEN 0 AND 1000000000) AS known_cost,
        count(*) FILTER (
            WHERE (cost BETWEEN 0 AND 1000000000) IS NOT TRUE AND kind <> 'workflow' AND answered.run_id IS NOT NULL
        ) AS num_unpriced,
        count(*) - 1 AS num_nested
    FROM within JOIN raw_runs USING (run_id) LEFT JOIN answered USING (run_id)
    GROUP BY ancestor_id
)
SELECT
    session_id,
    root_run_id,
    run_id,
    parent_run_id,
    parent_tool_call_id,
    step,
    run_index,
    attempt,
    -- Nesting depth of the run.
    placed.depth AS depth,
    -- Names from the top-level run to this one.
    placed.path AS path,
    kind,
    component_name,
    status,
    -- Number of runs nested in this one, at any depth.
    totals.num_nested AS num_nested,
    CASE WHEN raw_runs.input_tokens BETWEEN 0 AND 1000000000000 THEN raw_runs.input_tokens END AS input_tokens,
    CASE WHEN raw_runs.output_tokens BETWEEN 0 AND 1000000000000 THEN raw_runs.output_tokens END AS output_tokens,
    CASE WHEN cost BETWEEN 0 AND 1000000000 THEN cost END AS cost,
    -- Input tokens of this run and its nested runs.
    totals.input_tokens::BIGINT AS tree_input_tokens,
    -- Output tokens of this run and its nested runs.
    totals.output_tokens::BIGINT AS tree_output_tokens,
    -- Cost of this run and its nested runs. Null if the cost of any run with a model answer is unknown.
    CASE WHEN num_unpriced = 0 THEN known_cost END AS tree_cost,
    -- Cost of this run and its nested runs as far as it is known, in US dollars.
    totals.known_cost AS tree_known_cost,
    -- Number of these runs with a model answer whose cost is unknown.
    totals.num_unpriced AS num_unpriced_runs,
    -- Seconds from the start to the end of the run, including nested runs.
    raw_runs.duration_s AS duration_s,
    make_timestamptz(created_at) AS created_at,
    make_timestamptz(ended_at) AS ended_at
FROM raw_runs JOIN placed USING (run_id) JOIN totals USING (run_id);

CREATE VIEW message_media AS
SELECT * FROM raw_message_media;

CREATE VIEW variables AS
SELECT * REPLACE (make_timestamptz(created_at) AS created_at) FROM raw_variables;

CREATE VIEW summaries AS
SELECT
    session_id,
    version,
    summary,
    topics,
    from_run_index,
    to_run_index,
    model,
    model_provider,
    CASE WHEN input_tokens BETWEEN 0 AND 1000000000000 THEN input_tokens END AS input_tokens,
    CASE WHEN output_tokens BETWEEN 0 AND 1000000000000 THEN output_tokens END AS output_tokens,
    CASE WHEN cache_read_tokens BETWEEN 0 AND 1000000000000 THEN cache_read_tokens END AS cache_read_tokens,
    CASE WHEN cache_write_tokens BETWEEN 0 AND 1000000000000 THEN cache_write_tokens END AS cache_write_tokens,
    CASE WHEN reasoning_tokens BETWEEN 0 AND 1000000000000 THEN reasoning_tokens END AS reasoning_tokens,
    CASE WHEN cost BETWEEN 0 AND 1000000000 THEN cost END AS cost,
    time_to_first_token_s,
    duration_s,
    raw_sessions.session_name,
    raw_sessions.session_type,
    raw_sessions.user_id,
    raw_sessions.component_id,
    raw_sessions.component_name,
    make_timestamptz(updated_at) AS updated_at
FROM raw_summaries
LEFT JOIN (
    SELECT session_id, session_name, session_type, user_id, component_id, component_name FROM raw_sessions
) AS raw_sessions USING (session_id);

CREATE VIEW annotations AS
SELECT
    annotation_id,
    run_id,
    session_id,
    label,
    score,
    comment,
    annotated_by,
    runs.run_index,
    runs.attempt,
    runs.superseded_by,
    runs.stale,
    runs.user_id,
    runs.component_name,
    raw_sessions.session_name,
    -- Model of the run.
    run_model,
    make_timestamptz(created_at) AS created_at
FROM raw_annotations
LEFT JOIN (
    SELECT run_id, run_index, attempt, superseded_by, stale, user_id, component_name, model AS run_model FROM runs
) AS runs USING (run_id)
LEFT JOIN (SELECT session_id, session_name FROM raw_sessions) AS raw_sessions USING (session_id);

CREATE VIEW memories AS
SELECT * REPLACE (make_timestamptz(created_at) AS created_at, make_timestamptz(updated_at) AS updated_at)
FROM raw_memories;

-- Timeline of events, derived from the other tables. Event names are the same as in a stream.
CREATE VIEW events AS
WITH happened AS (
    SELECT
        'RunStarted' AS event, run_id, NULL AS message_id, NULL AS tool_call_id, NULL AS tool_name, model,
        NULL AS input_tokens, NULL AS output_tokens, NULL AS cost, NULL AS duration_s, session_id, created_at,
        NULL AS content, NULL AS details
    FROM raw_runs
    UNION ALL
    SELECT
        CASE status
            WHEN 'COMPLETED' THEN 'RunCompleted'
            WHEN 'PAUSED' THEN 'RunPaused'
            WHEN 'CANCELLED' THEN 'RunCancelled'
            ELSE 'RunError'
        END AS event,
        run_id, NULL AS message_id, NULL AS tool_call_id, NULL AS tool_name, model,
        input_tokens, output_tokens, cost, duration_s, session_id, ended_at AS created_at,
        NULL AS content, NULL AS details
    FROM raw_runs
    WHERE ended_at IS NOT NULL AND status <> 'RUNNING'
    UNION ALL
    SELECT
        'ModelRequestCompleted' AS event, run_id, message_id, NULL AS tool_call_id, NULL AS tool_name, model,
        input_tokens, output_tokens, cost, duration_s, session_id, created_at,
        NULL AS content, NULL AS details
    FROM raw_messages
    WHERE role = 'assistant' AND NOT from_history
    UNION ALL
    SELECT
        'ToolCallStarted' AS event, run_id, message_id, tool_call_id, tool_name, NULL AS model,
        NULL AS input_tokens, NULL AS output_tokens, NULL AS cost, NULL AS duration_s, session_id, created_at,
        NULL AS content, NULL AS details
    FROM raw_tool_calls
    UNION ALL
    SELECT
        CASE WHEN tool_call_error THEN 'ToolCallError' ELSE 'ToolCallCompleted' END AS event,
        run_id, message_id, tool_call_id, tool_name, NULL AS model,
        NULL AS input_tokens, NULL AS output_tokens, NULL AS cost, duration_s, session_id, created_at,
        NULL AS content, NULL AS details
    FROM raw_messages
    WHERE role = 'tool' AND NOT from_history
    UNION ALL
    SELECT
        event, run_id, NULL AS message_id, NULL AS tool_call_id, NULL AS tool_name, model,
        input_tokens, output_tokens, cost, duration_s, session_id, created_at,
        content, details
    FROM raw_events
)
SELECT
    -- Event name, as in a stream: RunStarted, ModelRequestCompleted, ToolCallStarted, ToolCallCompleted, ToolCallError,
    -- RunCompleted, RunPaused (while the run waits), RunCancelled, RunError, and the values in raw_events.
    happened.event AS event,
    -- Run of the event.
    happened.run_id AS run_id,
    -- Session of the run.
    happened.session_id AS session_id,
    runs.parent_run_id,
    runs.component_name,
    -- For a request, the answer. For a tool call, the message with the call, and at its end the message with the
    -- result.
    happened.message_id AS message_id,
    -- For a tool call, its ID.
    happened.tool_call_id AS tool_call_id,
    -- For a tool call, the tool name.
    happened.tool_name AS tool_name,
    -- For a run or request, the model name.
    happened.model AS model,
    -- For a request, input tokens, including cached ones. For the end of a run, those of all its requests.
    (CASE WHEN happened.input_tokens BETWEEN 0 AND 1000000000000 THEN happened.input_tokens END)::BIGINT AS input_tokens,
    -- For a request or the end of a run, output tokens, including reasoning.
    (CASE WHEN happened.output_tokens BETWEEN 0 AND 1000000000000 THEN happened.output_tokens END)::BIGINT AS output_tokens,
    -- For a request or the end of a run, cost in US dollars. Null if unknown.
    (CASE WHEN happened.cost BETWEEN 0 AND 1000000000 THEN happened.cost END)::DOUBLE AS cost,
    -- Duration of the request, tool call or run in seconds; for a retry, the waiting time.
    happened.duration_s::DOUBLE AS duration_s,
    -- For an event of raw_events, its description.
    happened.content AS content,
    -- For an event of raw_events, its details as JSON.
    happened.details AS details,
    runs.run_index,
    runs.attempt,
    runs.superseded_by,
    runs.stale,
    runs.user_id,
    raw_sessions.session_name,
    -- Model of the run.
    runs.model AS run_model,
    -- Time of the event.
    make_timestamptz(happened.created_at) AS created_at
FROM happened
LEFT JOIN runs ON runs.run_id = happened.run_id
LEFT JOIN raw_sessions ON raw_sessions.session_id = happened.session_id;
