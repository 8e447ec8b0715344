"""What ``edgecv benchmark`` measures of its rows beside their latency, one file each."""
