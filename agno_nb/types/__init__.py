"""The domain of agno_nb as plain values, without I/O.

A value is complete when it is created. Only :class:`RunOutput` and :class:`ToolCall` change during a run, and only the
pipeline (:mod:`agno_nb.run`) changes them; a :class:`Requirement` changes when a person answers it.

Each module imports only those before it: basics, metrics, messages, requirements, steps, step_requirements, runs,
events, sessions. Other packages import values from here.
"""

from __future__ import annotations

from agno_nb.types.annotation import Annotation
from agno_nb.types.basics import (
    Alias,
    JsonDict,
    SessionType,
    as_dict,
    as_list,
    counted,
    is_deeper,
    json_object,
    new_id,
    now,
    one_line,
    shorten,
    to_plain_text,
    whole_number,
    with_article,
    with_type,
)
from agno_nb.types.context_report import ContextPart, ContextReport, OmittedPart
from agno_nb.types.dicts import NOT_IN_DICTS, DictMethods
from agno_nb.types.events import (
    AGENT_EVENTS,
    CustomEvent,
    RunEvent,
    RunOutputEvent,
    TeamRunEvent,
    WorkflowRunEvent,
    event_classes,
)
from agno_nb.types.json_schema import import_jsonschema
from agno_nb.types.json_values import find_json, json_at
from agno_nb.types.messages import (
    INTERRUPTED_RESULT,
    LONGEST_TOOL_NAME,
    MEDIA_KEYWORDS,
    REFUSED,
    Media,
    Message,
    Role,
    ToolCall,
    ToolSpec,
    WithMedia,
    valid_tool_name,
)
from agno_nb.types.metrics import (
    MAX_COST,
    MAX_TOKENS,
    TOKEN_COUNTS,
    Budget,
    Metrics,
    ModelMetrics,
    ModelType,
    UsageTotals,
    metrics_by_model,
    to_amount,
)
from agno_nb.types.requirements import ApprovalKind, FeedbackOption, FeedbackQuestion, Requirement, UserInputField
from agno_nb.types.runs import (
    CellInfo,
    RunOutput,
    RunStatus,
    Variable,
    completed_turns,
    current_attempts,
)
from agno_nb.types.sessions import (
    SESSION_CLASSES,
    AgentSession,
    Session,
    SessionReader,
    SessionRows,
    SessionSummary,
    TeamSession,
    UserMemory,
    WorkflowSession,
    history_as_text,
    latest_messages,
)
from agno_nb.types.step_requirements import (
    ExecutorRequirement,
    OnError,
    OnReject,
    OnTimeout,
    StepInputField,
    StepPurpose,
    StepRequirement,
)
from agno_nb.types.steps import (
    ExecutorType,
    PauseKind,
    StepKind,
    StepOutput,
    StepStatus,
    StepType,
    last_name,
    name_in_path,
    outermost_step,
)

__all__ = [
    "AGENT_EVENTS", "INTERRUPTED_RESULT", "LONGEST_TOOL_NAME", "MAX_COST", "MAX_TOKENS", "MEDIA_KEYWORDS",
    "NOT_IN_DICTS", "REFUSED", "SESSION_CLASSES", "TOKEN_COUNTS", "AgentSession", "Alias", "Annotation", "ApprovalKind",
    "Budget", "CellInfo", "ContextPart", "ContextReport", "CustomEvent", "DictMethods", "ExecutorRequirement",
    "ExecutorType", "FeedbackOption", "FeedbackQuestion", "JsonDict", "Media", "Message", "Metrics", "ModelMetrics",
    "ModelType", "OmittedPart", "OnError", "OnReject", "OnTimeout", "PauseKind", "Requirement", "Role", "RunEvent",
    "RunOutput", "RunOutputEvent", "RunStatus", "Session", "SessionReader", "SessionRows", "SessionSummary",
    "SessionType", "StepInputField", "StepKind", "StepOutput", "StepPurpose", "StepRequirement", "StepStatus",
    "StepType", "TeamRunEvent", "TeamSession", "ToolCall", "ToolSpec", "UsageTotals", "UserInputField", "UserMemory",
    "Variable", "WithMedia", "WorkflowRunEvent", "WorkflowSession", "as_dict", "as_list", "completed_turns", "counted",
    "current_attempts", "event_classes", "find_json", "history_as_text", "import_jsonschema", "is_deeper", "json_at",
    "json_object", "last_name", "latest_messages", "metrics_by_model", "name_in_path", "new_id", "now", "one_line",
    "outermost_step", "shorten", "to_amount", "to_plain_text", "valid_tool_name", "whole_number", "with_article",
    "with_type",
]  # fmt: skip
