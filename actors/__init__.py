"""actors: filled in below."""
