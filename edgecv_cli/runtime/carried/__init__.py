"""Files that also run by themselves beside an engine: Python 3.8, numpy, and nothing of edgecv."""
