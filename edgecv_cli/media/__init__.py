"""Images, videos and annotated datasets: read, checked as hostile input, drawn, written."""
