"""proxymap(8): one process that opens lookup tables for the others, which are kept inside their own files.

    protocol.py   what crosses the socket: Postfix's attributes, so that its programs and ours can ask each other
    access.py     which tables may be asked for: proxy_read_maps, proxy_write_maps
    server.py     requests to tables; each is opened once, whoever asks
    service.py    prepare(config, sockets), called by the supervisor

The asking side is mta.tables.proxy: `proxy:type:name` in a parameter.
"""
