-- The store, version 1. This file is its documentation: the lines above a table or column say what it holds.
--
-- Plain SQL types only, so that DuckDB, SQLite and Postgres are given this same text. Primary keys are the only
-- constraint and the only index: foreign keys forbid too much in DuckDB, and more indexes do not pay there.
-- Times are microseconds since 1970 in UTC. JSON is text. The views of views.sql are what users read.

-- Versions of this schema that were applied to the store, the highest being the one it has.
CREATE TABLE raw_schema (
    -- Number of the version.
    version INTEGER PRIMARY KEY,
    -- When it was applied.
    applied_at BIGINT NOT NULL
);

-- Conversation threads. What can be summed up from runs is not kept here.
CREATE TABLE raw_sessions (
    -- Id of the session.
    session_id TEXT PRIMARY KEY,
    -- What runs in the session: agent, team or workflow.
    session_type TEXT NOT NULL,
    -- The owner: the first user who ran in the session. Null while only anonymous runs were made.
    user_id TEXT,
    -- Id of the agent, team or workflow that began the session.
    component_id TEXT,
    -- Name of the agent, team or workflow that began the session.
    component_name TEXT,
    -- Name given to the session by its user or by a model.
    session_name TEXT,
    -- The session's own dict, as JSON.
    session_state TEXT NOT NULL,
    -- What the user attached to the session, as JSON.
    metadata TEXT,
    -- The session that this one was forked from.
    forked_from_session_id TEXT,
    -- When the session began.
    created_at BIGINT NOT NULL,
    -- When the session last changed: a run began or ended, or it was renamed.
    updated_at BIGINT NOT NULL
);

-- One input each, and what came of it. A row is written when the run begins and filled when it ends.
CREATE TABLE raw_runs (
    -- Id of the run.
    run_id TEXT PRIMARY KEY,
    -- The session that the run belongs to.
    session_id TEXT NOT NULL,
    -- The turn: the place of the run in its session, from 0. Null for a run nested in another.
    run_index INTEGER,
    -- The how-manieth try at that turn, from 0.
    attempt INTEGER NOT NULL,
    -- The run whose tool, member or step asked for this one.
    parent_run_id TEXT,
    -- What ran: agent, team or workflow.
    kind TEXT NOT NULL,
    -- Id of the agent, team or workflow that ran.
    component_id TEXT,
    -- Name of the agent, team or workflow that ran.
    component_name TEXT,
    -- The user who asked. Null for an anonymous run.
    user_id TEXT,
    -- RUNNING, COMPLETED, PAUSED, CANCELLED or ERROR.
    status TEXT NOT NULL,
    -- What was asked.
    input TEXT NOT NULL,
    -- The answer: text, or JSON where content_type is not "str".
    content TEXT,
    -- Type of the answer: "str", or the name of the output schema.
    content_type TEXT NOT NULL,
    -- What the model said it was thinking before the answer.
    reasoning_content TEXT,
    -- Name of the model.
    model TEXT,
    -- Who serves the model.
    model_provider TEXT,
    -- Tokens sent, the cached part included. Null where the server did not report them.
    input_tokens BIGINT,
    -- Tokens that came back, reasoning included.
    output_tokens BIGINT,
    -- The part of input_tokens that the provider read from its cache.
    cache_read_tokens BIGINT,
    -- The part of input_tokens that the provider wrote to its cache.
    cache_write_tokens BIGINT,
    -- The part of output_tokens that was reasoning.
    reasoning_tokens BIGINT,
    -- Price in US dollars. Null where the price of any part is unknown.
    cost DOUBLE PRECISION,
    -- Seconds until the first piece of the answer.
    time_to_first_token_s DOUBLE PRECISION,
    -- Seconds from the beginning to the end of the run.
    duration_s DOUBLE PRECISION,
    -- Class of the error that ended the run.
    error_type TEXT,
    -- Text of the error that ended the run.
    error TEXT,
    -- Absolute path of the notebook in which the run was asked for.
    notebook TEXT,
    -- Id of the notebook's cell.
    cell_id TEXT,
    -- Execution count of the cell, as in In [7].
    execution_count INTEGER,
    -- First 16 hex digits of the SHA-256 of the cell's source.
    cell_hash TEXT,
    -- What the user attached to the run, as JSON.
    metadata TEXT,
    -- What a paused run waits for, as JSON.
    requirements TEXT,
    -- The process that does the run, as host:pid:start.
    worker TEXT NOT NULL,
    -- When it was noticed that the process of a RUNNING run had died.
    interrupted_at BIGINT,
    -- When the run began.
    created_at BIGINT NOT NULL,
    -- When the run ended, or was paused.
    ended_at BIGINT
);

-- Messages to and from the model, written as soon as each is complete and never changed.
CREATE TABLE raw_messages (
    -- Id of the message.
    message_id TEXT PRIMARY KEY,
    -- The run in which the message was said.
    run_id TEXT NOT NULL,
    -- The session that the run belongs to.
    session_id TEXT NOT NULL,
    -- Place of the message in its run. 0 is the system message's, whether there is one or not.
    message_index INTEGER NOT NULL,
    -- Who says it: system, user, assistant or tool.
    role TEXT NOT NULL,
    -- The text. Null for an assistant message that only calls tools.
    content TEXT,
    -- What the model said it was thinking.
    reasoning_content TEXT,
    -- Of a tool message: the call that it answers.
    tool_call_id TEXT,
    -- Of a tool message: the name of the tool.
    tool_name TEXT,
    -- Of a tool message: whether the tool failed, was refused or got arguments that it does not take.
    tool_call_error BOOLEAN NOT NULL,
    -- Of an assistant message: why the model stopped, in the provider's word; "interrupted" when it was cut off.
    finish_reason TEXT,
    -- Of an assistant message: the model that the server says it used.
    model TEXT,
    -- Of an assistant message: tokens sent, the cached part included.
    input_tokens BIGINT,
    -- Of an assistant message: tokens that came back, reasoning included.
    output_tokens BIGINT,
    -- Of an assistant message: the part of input_tokens that the provider read from its cache.
    cache_read_tokens BIGINT,
    -- Of an assistant message: the part of input_tokens that the provider wrote to its cache.
    cache_write_tokens BIGINT,
    -- Of an assistant message: the part of output_tokens that was reasoning.
    reasoning_tokens BIGINT,
    -- Of an assistant message: price in US dollars. Null where unknown.
    cost DOUBLE PRECISION,
    -- Of an assistant message: seconds until its first piece.
    time_to_first_token_s DOUBLE PRECISION,
    -- Seconds that the model call took, or for a tool message, the tool.
    duration_s DOUBLE PRECISION,
    -- Raw items that the provider wants back in later requests, as JSON.
    provider_data TEXT,
    -- Whether the message is a copy of one said in an earlier run.
    from_history BOOLEAN NOT NULL,
    -- When the message was complete.
    created_at BIGINT NOT NULL
);

-- Tool calls that the model asked for, written with the assistant message and never changed. What came of a call is
-- the message of role tool with its tool_call_id.
CREATE TABLE raw_tool_calls (
    -- The run in which the call was asked for.
    run_id TEXT NOT NULL,
    -- Id of the call, unique in its run.
    tool_call_id TEXT NOT NULL,
    -- The session that the run belongs to.
    session_id TEXT NOT NULL,
    -- The assistant message that asks for the call.
    message_id TEXT NOT NULL,
    -- Place of the call in that message, from 0.
    call_index INTEGER NOT NULL,
    -- Name of the tool.
    tool_name TEXT NOT NULL,
    -- The arguments as JSON text, exactly as the model wrote them (they need not be valid).
    arguments TEXT NOT NULL,
    -- What the provider wants back with the call, as JSON.
    extra TEXT,
    -- When the call was asked for.
    created_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, tool_call_id)
);
