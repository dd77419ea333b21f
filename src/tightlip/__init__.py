"""tightlip: teach a chat model to keep personal data to itself, and measure whether it does."""
