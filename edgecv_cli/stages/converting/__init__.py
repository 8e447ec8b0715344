"""What converters share: how a converted file is verified, judged and reported."""
