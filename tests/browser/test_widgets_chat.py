"""The chat panel in JupyterLab: typed into, stopped, asked again, reloaded, saved and reopened."""
