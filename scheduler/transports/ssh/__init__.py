"""SSH by Paramiko: host keys, logins, jump hosts, channels. The only importer of paramiko."""
