"""Polling: one remote command queries all unfinished jobs of a site; their new statuses follow from its reply.

    poll(site):
        claim the site in the ledger                no process polls it faster than its floor
        poll.sh gets a line for each batch with unfinished jobs, and prints, in this order:
            the live queue, all states              one query; its exit code is printed: an error is not evidence
                then it cancels                     jobs whose cancellation is recorded and not accepted yet; jobs that
                                                    can never start because of a failed dependency
            the end files                           read after the queue: a job that leaves it has written its end file
            the history                             only of jobs that are not in the queue and did not end by themselves
            log lines, ids, what has started        only where they matter
        for each batch whose lines differ from those that settled it last:
            for each of its unfinished jobs:
                settle(status before, evidence)     pure; order of precedence: the end file, unless the batch
                                                    system reports that it killed the job; the queue; the history; the
                                                    log. Silence of all of them makes a job LOST, but only over
                                                    SILENT_POLLS answered polls and SILENT_SECONDS.
        record in one transaction: statuses, observations, silences, new ids, and a digest of the lines of each batch
        for which the same lines would change nothing

A query that failed changes no status. A line that cannot be read is skipped and affects at most one job.
"""
