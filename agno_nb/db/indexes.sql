-- Indexes for row stores (SQLite, Postgres), with which a turn, and the latest rows of a session or of the store, are
-- found without reading whole tables.

CREATE INDEX raw_sessions_by_time ON raw_sessions (created_at);
CREATE INDEX raw_sessions_by_change ON raw_sessions (updated_at);
CREATE INDEX raw_runs_of_session ON raw_runs (session_id, run_index, attempt);
CREATE INDEX raw_runs_of_session_by_time ON raw_runs (session_id, created_at);
CREATE INDEX raw_runs_of_tree ON raw_runs (root_run_id);
CREATE INDEX raw_runs_of_context ON raw_runs (context_hash);
CREATE INDEX raw_runs_by_time ON raw_runs (created_at);
CREATE INDEX raw_runs_by_end ON raw_runs (ended_at);
CREATE INDEX raw_runs_that_are_nested ON raw_runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX raw_runs_that_go_on ON raw_runs (status) WHERE status = 'RUNNING';
CREATE INDEX raw_runs_tried_again ON raw_runs (session_id) WHERE attempt > 0;
CREATE INDEX raw_variables_of_session ON raw_variables (session_id, created_at);
CREATE INDEX raw_variables_by_time ON raw_variables (created_at);
CREATE INDEX raw_messages_of_run ON raw_messages (session_id, run_id);
CREATE INDEX raw_messages_of_session_by_time ON raw_messages (session_id, created_at);
CREATE INDEX raw_messages_by_time ON raw_messages (created_at);
CREATE INDEX raw_tool_calls_of_session ON raw_tool_calls (session_id, created_at);
CREATE INDEX raw_tool_calls_by_time ON raw_tool_calls (created_at);
CREATE INDEX raw_steps_of_session ON raw_steps (session_id, created_at);
CREATE INDEX raw_steps_by_time ON raw_steps (created_at);
CREATE INDEX raw_events_of_session ON raw_events (session_id, created_at);
CREATE INDEX raw_events_by_time ON raw_events (created_at);
CREATE INDEX raw_message_media_of_session ON raw_message_media (session_id);
CREATE INDEX raw_message_media_of_media ON raw_message_media (media_id);
CREATE INDEX raw_summaries_by_time ON raw_summaries (updated_at);
CREATE INDEX raw_annotations_of_session ON raw_annotations (session_id, run_id);
CREATE INDEX raw_annotations_by_time ON raw_annotations (created_at);
CREATE INDEX raw_memories_of_user ON raw_memories (user_id);
CREATE INDEX raw_memories_by_time ON raw_memories (created_at);
