"""What scripts.report puts on its page; docs/reports.md."""
