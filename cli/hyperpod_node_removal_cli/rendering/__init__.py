"""How findings are shown. Every module takes `Findings` and returns text; none gathers facts."""
