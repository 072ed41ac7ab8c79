"""The data plane: everything that touches RTP or cached bytes."""
