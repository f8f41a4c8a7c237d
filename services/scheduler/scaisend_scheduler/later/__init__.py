"""Role later: the one waiting room. Jobs that wait become rows, due rows become jobs again."""
