"""Adopting: bundles of ours on a site that this ledger does not know, because it was lost, are recorded in it.

    adopt(site):
        adopt.sh, in one remote command: for each bundle in the work_dir that the ledger does not know:
            its jobs.json (campaign, job ids, working_dirs, declared outputs; older bundles: what their scripts show)
            for each batch: its id, or the batch system's refusal, or that it was tried, or that it never was
        leave out bundles that were submitted to another site (two clusters may share a file system)
        record them, oldest first; a bundle with retries moves the jobs of the earlier one to their next attempt

    It submits nothing and changes nothing remotely. The next poll finds out the states, from the same evidence as ever.
    Adopted jobs are not retried automatically, since another ledger may follow them too.

What the site sends is checked: job ids and patterns as in a job file. Where outputs go is for the user to confirm.
"""
