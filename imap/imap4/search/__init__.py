"""SEARCH, SORT and THREAD: the keys of a search, the text they look at, and the two orders (RFC 3501, RFC 5256)."""
