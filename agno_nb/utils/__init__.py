"""agno's path of `pprint`."""
