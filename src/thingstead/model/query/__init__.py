"""The search query language (objects.md 6): one AST, its Lucene-syntax parser, the predicate, sorting and the query
types.

Promises: the predicate defines what matches; an engine that gives another answer is wrong. Does not touch any engine.
"""
