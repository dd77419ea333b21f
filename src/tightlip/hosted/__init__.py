"""Models behind OpenAI-compatible endpoints: what is asked, what it costs, and the answers that were paid for."""
