"""YAML of other people's hands: what is read is never larger than what is written."""

import yaml


class PlainLoader(yaml.SafeLoader):
    """Plain values, no aliases: nine lines of them mean 10⁹ values, and one may hold itself."""

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, f"the alias *{event.anchor}: values are written out", event.start_mark
            )
        return super().compose_node(parent, index)
