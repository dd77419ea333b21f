"""Models behind OpenAI-compatible endpoints: requests, costs, and the answers that were paid for."""
