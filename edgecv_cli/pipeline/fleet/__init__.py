"""One job on many devices: a Job is data, its artifacts move once by hash."""
