"""kis-predict: how much domain knowledge a large model takes, learnt from a sweep of small ones, without torch."""
