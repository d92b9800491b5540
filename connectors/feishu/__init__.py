"""Feishu: what is asked of its open platform, and what its answers become.

- `config`: what a connector is to bring, checked and with its defaults.
- `requests`: the requests, as the official SDK builds them. Nothing else imports it.
- `asking`: sends them through the guarded client: tokens, retries, what a refusal means.
- `listing`: what there is: folders, wikis, table apps.
- `reading`: what a document, a sheet, a table says, as parts.
"""
