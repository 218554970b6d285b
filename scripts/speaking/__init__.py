"""Speakers, synthesisers and clips of scripts.speak_text and scripts.generate_commands."""
