"""Parts of quantize_vs_peers.py."""
