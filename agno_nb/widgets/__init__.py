"""Panels to look at and to talk in. Each is one call in a cell and one view of the store: none has data of its own."""
