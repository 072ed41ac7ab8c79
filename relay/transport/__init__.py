"""The shell around the media plane: the UDP port, ICE, DTLS, SRTP, SDP, and the native fan-out."""
