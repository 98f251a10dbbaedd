"""The wire format of the hypermedia door (hypermedia.md): documents, links, forms, pages, times, filters, negotiation. Pure."""
