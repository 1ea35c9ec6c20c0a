"""Wire dialects: one file a format, pure. Request in, bytes out; bytes in, typed events out."""
