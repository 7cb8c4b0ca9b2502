"""Learning efficiency of several models together: how quickly each learns facts from how often it was shown them."""
