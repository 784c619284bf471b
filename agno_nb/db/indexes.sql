-- For stores that keep rows, not columns (SQLite, Postgres): what a turn looks for is found without reading the table.

CREATE INDEX raw_runs_of_session ON raw_runs (session_id, run_index, attempt);
CREATE INDEX raw_runs_of_context ON raw_runs (context_hash);
CREATE INDEX raw_variables_of_session ON raw_variables (session_id);
CREATE INDEX raw_runs_that_go_on ON raw_runs (status) WHERE status = 'RUNNING';
CREATE INDEX raw_messages_of_run ON raw_messages (session_id, run_id);
CREATE INDEX raw_tool_calls_of_session ON raw_tool_calls (session_id);
CREATE INDEX raw_events_of_session ON raw_events (session_id);
CREATE INDEX raw_message_media_of_session ON raw_message_media (session_id);
CREATE INDEX raw_message_media_of_media ON raw_message_media (media_id);
CREATE INDEX raw_memories_of_user ON raw_memories (user_id);
