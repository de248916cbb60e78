"""Submitting: a recorded bundle is uploaded, and each of its batches is handed to the batch system at most once.

    submit(bundle):
        write the bundle to the spool, and jobs, batches and token to the ledger: on disk, before any byte is sent
        in one transaction of the ledger: give a slot to waiting batches, oldest first, up to the site's queue limit
        upload.sh stores large files, range by range, if there are any; it can be resumed
        submit.sh, in one remote command:
            claim the bundle                             a link; only one process works on a bundle
            unpack it under another name, rename it
            for each batch that has a slot and no id:
                write `tried`                            from here on the outcome may be unknown
                sbatch, qsub, …; write the id, rename it
            print folder, and for each batch: exit code, output
        record the folder, the ids, and the new status of each job
        if every batch has a definite outcome: delete the bundle from the spool

    outcome accepted: queued · refused: failed · full: wait for a slot
    no reply, no exit code, an exit code with an id, or words that leave it open: unknown
    unknown: polls look for the id file, and for the batch's name (it has the token) in queue and history. After
    UNOBSERVED_POLLS answered polls without either, the batch is submitted once more; its scripts let only one run.
    After MOST_HANDOVERS submissions it is withdrawn, and has failed.
    cancelled while unknown: it is never submitted again, and withdrawn: its run-once guards lead to `cancelled`. If the
    queue shows it later, a poll cancels it there; if not, it is cancelled after UNOBSERVED_POLLS.
    A retry is a new bundle with the same jobs: it has new headers; submit.sh copies the rest from the earlier attempt.

Terms:
    chunk: the bytes of a stream that are read or written at once.
    range: the bytes of a large file, from an offset on, that are uploaded by one run of upload.sh.
    channel: one run of a program. A connection can carry several at once.
    to stage: to upload large files ahead of their bundle.
"""
