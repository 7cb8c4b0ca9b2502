"""How far a sweep is: time spent on each run, time left, and the table that shows both."""
