"""Label Studio's JSON: tasks with annotations."""
