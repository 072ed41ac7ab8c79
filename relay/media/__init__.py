"""RTP, RTCP and codec knowledge. Pure: bytes and a time in seconds go in, values come out."""
