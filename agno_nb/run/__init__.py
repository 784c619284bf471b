"""The one pipeline that every agent, team and workflow runs on."""
