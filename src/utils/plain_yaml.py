"""YAML of other people's hands: what is read is never larger than what is written."""

from typing import Any

import yaml


def plain_yaml(text: str) -> Any:
    """The values that a text spells out.

    Raises:
        yaml.YAMLError, ValueError, TypeError, RecursionError: no YAML; or an alias, of which nine
            lines mean 10⁹ values; or a key that stands twice.
    """
    return yaml.load(text, _PlainLoader)


class _PlainLoader(yaml.SafeLoader):
    """Plain values only, no aliases, and no key twice: YAML would take the last."""

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, f"the alias *{event.anchor}: values are written out", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "duplicate key", node.start_mark)
        return mapping
