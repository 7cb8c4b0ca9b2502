"""What the model is asked, how answers are scored, and what is done about them."""
