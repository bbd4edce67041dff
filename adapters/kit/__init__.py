"""What several adapters need of the same thing. They take it from `adapters`, their one door."""
