"""Parts of scripts.prepare_data: fetching a corpus, telling what it holds."""
