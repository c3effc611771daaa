"""The benchmark: what a mesh costs, measured with its uncertainty."""
