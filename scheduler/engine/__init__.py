"""What is done for the jobs of one site: submit, poll, collect, cancel. The only package that acts on a cluster.

    submit(jobs):   render a bundle; record the intent; submit.sh submits its batches            see `submit`
    poll():         send interrupted bundles; query all unfinished jobs, settle their statuses   see `poll`
                    plan retries of failed jobs; submit waiting batches and retries that get a slot
    collect(jobs):  of finished jobs that are not due for a retry: download, verify, record      see `collect`
    cancel(jobs):   record that they are never submitted again; withdraw what never reached the site; cancel.sh
    wait(jobs):     poll and collect, more and more slowly while nothing changes, until all are collected

Jobs are rows of the ledger, so that any later process can continue. Intents are recorded before the site is contacted,
observations after it has replied. Each verb costs a fixed number of remote commands. A remote command is one of our sh
programs (``*.sh``, beside the module that reads its reply), and is safe to run twice.

`SiteContext` is what all of it needs; `SiteSession` has the verbs; `Dispatcher` decides when bundles are sent.
"""
