"""What a search key must read of a message: nothing, the file's size or date, the header, the whole."""

INDEX, FILE, HEADER, BODY = range(4)
