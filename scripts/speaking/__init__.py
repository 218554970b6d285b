"""What scripts.speak_text is made of: sentences, speakers, synthesisers, a corpus."""
