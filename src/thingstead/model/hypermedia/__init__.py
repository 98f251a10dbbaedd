"""Hypermedia on the wire (hypermedia.md): documents, links, forms, pages, times, filters, negotiation. Pure."""
