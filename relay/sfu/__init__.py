"""Who receives what: routers, viewers and the choice of layers. Pure: no sockets, no clock."""
