"""Context door: the NGSIv2 context broker (spec/agent.md section 17)."""
