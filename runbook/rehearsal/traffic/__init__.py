"""Processes that carry load: server, generator, proxy, probe; standard library only."""
