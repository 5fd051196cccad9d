"""The process of a job: what runs in it, and the functions that jobs are made of."""
