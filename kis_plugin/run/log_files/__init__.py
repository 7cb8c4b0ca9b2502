"""The files that runs are logged to: their records, a writer and readers in bounded memory."""
