"""simulation: filled in below."""
