"""PDFs into memory: by MinerU's service where there is a key for it, by our own reader where there is none."""
