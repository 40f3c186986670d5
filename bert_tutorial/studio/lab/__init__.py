"""The sentence lab without its widgets, and what is asked of a network while it trains."""
