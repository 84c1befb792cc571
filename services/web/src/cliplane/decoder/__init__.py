"""The decoder: a child process that turns an untrusted file into views, and its parent's side."""
