"""Objects of other packages that work here as they are. A module is imported when such an object is used."""
