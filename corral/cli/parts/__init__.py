"""Parts: what the commands share. A noun is a file beside this directory; nothing here knows any of them."""
