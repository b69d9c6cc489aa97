"""One thin operator a node of the graph: receive, call, emit."""
