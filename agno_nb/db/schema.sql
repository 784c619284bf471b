-- The store, version 1. This file is its documentation: the lines above a table or column say what it holds.
--
-- Plain SQL types only, so that DuckDB, SQLite and Postgres are given this same text (Postgres says BYTEA for BLOB).
-- Primary keys are the only constraint: foreign keys forbid too much in DuckDB. They are its only indexes too; stores
-- that keep rows rather than columns need those of indexes.sql.
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
    -- The last run of that session which this one has a copy of.
    forked_from_run_id TEXT,
    -- When the session began.
    created_at BIGINT NOT NULL,
    -- When the session last changed: it began, a run in it ended, or its name or state was set.
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
    -- The tool call of that run which asked for this one.
    parent_tool_call_id TEXT,
    -- The run of the turn that this one is a part of, at whatever depth. Of a turn: its own id.
    root_run_id TEXT NOT NULL,
    -- Of a run in a fork: the run that it is a copy of. Its tokens and cost were spent there, so sums over a store
    -- leave copies out.
    forked_from_run_id TEXT,
    -- Of a run made by a step of a workflow: the step's path.
    step TEXT,
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
    -- The Jupyter server's id of the kernel.
    kernel_id TEXT,
    -- What the model was sent, part by part with its source and size but without its text, and what was left out, as
    -- JSON.
    context TEXT,
    -- SHA-256, in hex, of everything that decides the answer: model, messages, tools, output schema, user.
    context_hash TEXT,
    -- The run whose stored answer this is, where no model was asked.
    replay_of_run_id TEXT,
    -- What the user attached to the run, as JSON.
    metadata TEXT,
    -- What the run had to ask of people, in all its pauses, and what they answered, as JSON.
    requirements TEXT,
    -- What changed in the session's state while it ran, value by value, as JSON: path, before, after. Null where nothing
    -- did.
    state_changes TEXT,
    -- The process that does the run, as host:pid:start.
    worker TEXT NOT NULL,
    -- When it was noticed that the process of a RUNNING run had died.
    interrupted_at BIGINT,
    -- When the run began.
    created_at BIGINT NOT NULL,
    -- When the run ended, or was paused.
    ended_at BIGINT
);

-- Messages to and from the model, written as soon as each is complete and never changed. An answer that takes longer
-- than two seconds to arrive is also written while it arrives, with finish_reason "interrupted", until the complete
-- answer replaces it.
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
    -- Of an assistant message: how many tool calls it asks for.
    num_tool_calls INTEGER NOT NULL,
    -- Of a user message: how many images, sounds and files were sent with the text.
    num_media INTEGER NOT NULL,
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

-- Steps of workflows, written as each ends and never changed. A step that is done again, when its run is continued, is
-- another row.
CREATE TABLE raw_steps (
    -- The workflow's run.
    run_id TEXT NOT NULL,
    -- Place in the order in which the steps of the run ended, from 0.
    step_index INTEGER NOT NULL,
    -- The session that the run belongs to.
    session_id TEXT NOT NULL,
    -- Name of the step.
    step_name TEXT NOT NULL,
    -- Names from the outermost step to this one, with the iterations of loops, as in refine[1]/write.
    path TEXT NOT NULL,
    -- What did the step: agent, team, workflow or function; or what chose among steps: condition, router or loop.
    kind TEXT NOT NULL,
    -- Of a step in a loop: which time round, from 0.
    iteration INTEGER,
    -- What the step was given.
    input TEXT NOT NULL,
    -- What came of it: text, or JSON where content_type is not "str". Of a condition true or false, of a router the
    -- names of the steps that it chose, of a loop whether it goes on.
    content TEXT,
    -- Type of what came of it: "str", or that of an object.
    content_type TEXT NOT NULL,
    -- COMPLETED; SKIPPED where it failed and the workflow went on; ERROR where the workflow failed with it.
    status TEXT NOT NULL,
    -- What went wrong.
    error TEXT,
    -- Whether it ended the workflow before its last step.
    stop BOOLEAN NOT NULL,
    -- The run of the agent, team or workflow that did it.
    child_run_id TEXT,
    -- Seconds that it took.
    duration_s DOUBLE PRECISION,
    -- When it began.
    created_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, step_index)
);

-- What happened in runs beside what was said: a model call that was tried again, another model that took over, what
-- was remembered of the user. Written as it happens and never changed.
CREATE TABLE raw_events (
    -- The run in which it happened.
    run_id TEXT NOT NULL,
    -- Its place among the events of the run, from 0.
    event_index INTEGER NOT NULL,
    -- The session that the run belongs to.
    session_id TEXT NOT NULL,
    -- What happened, in the words of a stream: ModelRequestRetried, ModelFallbackUsed,
    -- ToolCallLimitReached or MemoryUpdateCompleted.
    event TEXT NOT NULL,
    -- The same as a sentence: what, how long, why.
    content TEXT,
    -- What the sentence says, as JSON.
    details TEXT,
    -- Name of the model: the one that failed, or that did the work.
    model TEXT,
    -- Of work that a model did beside the run: tokens sent. They are not among those of the run.
    input_tokens BIGINT,
    -- Of work that a model did beside the run: tokens that came back.
    output_tokens BIGINT,
    -- Of work that a model did beside the run: price in US dollars. Null where unknown.
    cost DOUBLE PRECISION,
    -- Seconds that the work took, or of a retry, how long was waited.
    duration_s DOUBLE PRECISION,
    -- When it happened.
    created_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, event_index)
);

-- Images, sounds and files of messages.
CREATE TABLE raw_message_media (
    -- The message that it is a part of.
    message_id TEXT NOT NULL,
    -- Its place among the media of the message, from 0.
    media_index INTEGER NOT NULL,
    -- The run in which the message was said.
    run_id TEXT NOT NULL,
    -- The session that the run belongs to.
    session_id TEXT NOT NULL,
    -- What it is: image, audio, video or file.
    kind TEXT NOT NULL,
    -- The content, in raw_media. Null where it was given as a URL.
    media_id TEXT,
    -- Where it is, when it was given as a URL.
    url TEXT,
    -- Name of the file.
    filename TEXT,
    -- Type of the content, as in image/png.
    mime_type TEXT,
    -- Of an image: how closely the model should look: low, high or auto.
    detail TEXT,
    -- Bytes of the content. Null for a URL.
    size BIGINT,
    PRIMARY KEY (message_id, media_index)
);

-- What is in images, sounds and files, each stored once however often it was sent.
CREATE TABLE raw_media (
    -- SHA-256 of the content, in hex.
    media_id TEXT PRIMARY KEY,
    -- The bytes.
    content BLOB NOT NULL
);

-- What the variables in prompts stood for. The text itself is in the user's message.
CREATE TABLE raw_variables (
    -- The run whose prompt it was put into.
    run_id TEXT NOT NULL,
    -- The session that the run belongs to.
    session_id TEXT NOT NULL,
    -- Its place among the variables of the prompt, from 0.
    variable_index INTEGER NOT NULL,
    -- The expression between the braces, as in df or config["model"].
    name TEXT NOT NULL,
    -- Type of the value, as in str or pandas.DataFrame.
    type TEXT NOT NULL,
    -- Of a DataFrame, Series or array: its shape, as a JSON list.
    shape TEXT,
    -- Of a DataFrame: the dtype of each column that was shown, as JSON. Of a Series or array: its one, under the name "".
    dtypes TEXT,
    -- First 16 hex digits of the SHA-256 of what was put in.
    hash TEXT NOT NULL,
    -- Whether it was too long, and only the beginning was put in.
    cut BOOLEAN NOT NULL,
    -- Characters that it put into the prompt, at all its places together.
    chars BIGINT NOT NULL,
    -- When its run began.
    created_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, variable_index)
);

-- Condensed versions of sessions. A new version is a new row.
CREATE TABLE raw_summaries (
    -- The session that it condenses.
    session_id TEXT NOT NULL,
    -- The how-manieth summary of the session, from 0.
    version INTEGER NOT NULL,
    -- The text.
    summary TEXT NOT NULL,
    -- What the session is about, as a JSON list.
    topics TEXT NOT NULL,
    -- The first turn that it covers.
    from_run_index INTEGER,
    -- The last turn that it covers.
    to_run_index INTEGER,
    -- The model that wrote it.
    model TEXT,
    -- Who serves the model.
    model_provider TEXT,
    -- Tokens sent to write it. They are not among those of the session's runs.
    input_tokens BIGINT,
    -- Tokens that came back, reasoning included.
    output_tokens BIGINT,
    -- The part of input_tokens that the provider read from its cache.
    cache_read_tokens BIGINT,
    -- The part of input_tokens that the provider wrote to its cache.
    cache_write_tokens BIGINT,
    -- The part of output_tokens that was reasoning.
    reasoning_tokens BIGINT,
    -- Price of writing it in US dollars. Null where unknown.
    cost DOUBLE PRECISION,
    -- Seconds until its first piece.
    time_to_first_token_s DOUBLE PRECISION,
    -- Seconds that writing it took.
    duration_s DOUBLE PRECISION,
    -- When it was written.
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (session_id, version)
);

-- What is remembered of users, across sessions.
CREATE TABLE raw_memories (
    -- Id of the memory.
    memory_id TEXT PRIMARY KEY,
    -- Whose it is.
    user_id TEXT NOT NULL,
    -- What is remembered.
    memory TEXT NOT NULL,
    -- What it is about, as a JSON list.
    topics TEXT NOT NULL,
    -- What the user said when it was learnt.
    input TEXT,
    -- Id of the agent, team or workflow that learnt it.
    component_id TEXT,
    -- When it was learnt.
    created_at BIGINT NOT NULL,
    -- When it was last changed.
    updated_at BIGINT NOT NULL
);
