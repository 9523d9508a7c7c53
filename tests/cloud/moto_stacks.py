"""What moto does not know of stacks: all that a change set changes, and one word for keeping."""

from typing import Any


def install() -> None:
    """Add it to moto."""
    from moto.cloudformation import parsing
    from moto.cloudformation.models import ChangeSet
    from moto.cloudformation.parsing import ResourceMap
    from moto.cloudformation.responses import CloudFormationResponse

    updated = parsing.parse_and_update_resource
    deleted, loaded = ResourceMap.delete, ResourceMap.load_parameters
    compared = CloudFormationResponse._validate_different_update

    def apply(self: Any) -> None:
        stack = self.stack
        stack.tags = self.tags
        stack.resource_map.tags.update(self.tags or {})
        stack.resource_map.update(self.template_dict, self.parameters)
        stack.template_dict = self.template_dict
        stack.parameters = dict(stack.resource_map.resolved_parameters)
        stack.output_map = stack._create_output_map()

    def delete(self: Any) -> None:
        for resource in self._resource_json_map.values():
            if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
                resource["DeletionPolicy"] = "Retain"
        deleted(self)

    def load_parameters(self: Any) -> None:
        # the previous value of a list is given back as a list
        for name, value in self.input_parameters.items():
            if isinstance(value, list):
                self.input_parameters[name] = ",".join(value)
        loaded(self)

    def differs(self: Any, *others: Any) -> None:
        # AWS answers a change set that says so
        if self._get_param("ChangeSetName") is None:
            compared(self, *others)

    def update(name: str, wanted: Any, resources: Any, **where: str) -> Any:
        # what moto cannot change stays what it is; it would be forgotten
        return updated(name, wanted, resources, **where) or resources[name]

    parsing.parse_and_update_resource = update
    ChangeSet.apply = apply  # type: ignore[method-assign]
    ResourceMap.delete = delete  # type: ignore[method-assign]
    ResourceMap.load_parameters = load_parameters  # type: ignore[method-assign]
    CloudFormationResponse._validate_different_update = differs  # type: ignore[method-assign]
