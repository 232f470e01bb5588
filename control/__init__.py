"""control: filled in below."""
