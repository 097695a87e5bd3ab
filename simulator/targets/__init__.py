"""Where frames are sent. A target counts what became of them."""
