"""What was found out with KIS: a folder for each study, and the commands that make its tables and pictures."""
