"""Pure rules of the agent door: what may be provisioned, how payloads read, what a measure becomes (agent.md)."""
