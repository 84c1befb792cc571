"""Files of the kinds that people have, made by script, and what is right for each."""
