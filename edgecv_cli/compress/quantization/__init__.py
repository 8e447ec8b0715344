"""Post-training quantization: observe, place, plan, apply."""
