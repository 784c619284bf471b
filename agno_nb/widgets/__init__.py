"""Widgets: chat, session browser, timeline, usage and approvals. Each is a view of the store and keeps no data."""
