"""The stand-in for Traefik as a process. Standard library only: every rehearsal starts it."""
