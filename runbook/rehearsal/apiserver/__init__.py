"""The API server: requests in, answers and watch events out, objects in memory."""
