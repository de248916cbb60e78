"""One set of promises for every transport, and what each of them promises beyond that."""
