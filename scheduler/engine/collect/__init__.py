"""Collecting: the outputs of finished jobs are listed, downloaded, verified and renamed into place.

    collect(finished jobs that are not collected yet):
        manifest.sh lists their outputs          one remote command for up to 20,000 jobs: job, kind, name, size and
                                                 SHA-256 of each file
        for each output:                         local, no remote command
            reject a name that leaves the job's folder
            create it if it is empty; skip it if the local file has this size and SHA-256
        fetch.sh sends the others                one remote command, run once on each channel
            large file: resume at the end of its local part if the remote file begins with the same bytes,
                append each chunk to the part; the SHA-256 comes last; if it is equal, rename the part to the target
            small files: one tar stream; if the SHA-256 is equal, write a temporary file, rename it to the target
        record the results of each job whose files are in place; the ledger comes last: a crash repeats the above

A file that cannot be kept fails the collection of its own job alone. Nothing is deleted on the remote side.

Terms:
    part: a partial download on the local disk (``.NAME.SIGN.part``). The next collection resumes it.
    chunk: the bytes of a stream that are read or written at once.
    channel: one run of fetch.sh. A connection can carry several at once.
    stripe: the 2 MiB of a large file that a channel carries when it is its turn.
    block: 512 bytes of a tar archive, tar's own unit.
"""
