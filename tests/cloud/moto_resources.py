"""What moto does not know of the template's resources: small models over its own back ends.

moto skips types that it does not know, and says that the stack is complete; so tests look at the
resources themselves.
"""

import json
import re
from types import SimpleNamespace
from typing import Any, ClassVar

from moto.core.common_models import CloudFormationModel

LABELS = r"emr-spark-8\.[01]\.0|emr-[0-9]\.[0-9]{1,2}\.0(-[0-9]{8})?"
"""Release labels that there are."""


class Resource(CloudFormationModel):
    """A resource that is nothing but its name and attributes."""

    TYPE = NAME = ""

    def __init__(self, name: str, account: str, region: str, **attributes: str) -> None:
        self.physical_resource_id = name
        self.attributes = attributes
        self.account, self.region = account, region

    @classmethod
    def cloudformation_name_type(cls) -> str:  # type: ignore[override]
        return cls.NAME

    @classmethod
    def cloudformation_type(cls) -> str:  # type: ignore[override]
        return cls.TYPE

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return True

    def get_cfn_attribute(self, name: str) -> str:
        return self.attributes[name]

    def is_created(self) -> bool:
        return True

    @classmethod
    def create_from_cloudformation_json(  # type: ignore[override]
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> "Resource":
        return cls.create(resource_name, cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(  # type: ignore[override]
        cls,
        original_resource: "Resource",
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> "Resource":
        original_resource.change(cloudformation_json["Properties"])
        return original_resource

    @classmethod
    def create(cls, name: str, wanted: Any, account: str, region: str) -> "Resource":
        raise NotImplementedError

    def change(self, wanted: Any) -> None:
        """Apply other properties; what cannot be changed is left."""

    def delete(self, account: str, region: str) -> None:
        """Delete it."""


class BucketPolicy(Resource):
    TYPE = "AWS::S3::BucketPolicy"

    @classmethod
    def create(cls, name: str, wanted: Any, account: str, region: str) -> "Resource":
        made = cls(wanted["Bucket"], account, region)
        made.change(wanted)
        return made

    def change(self, wanted: Any) -> None:
        from moto.s3.models import s3_backends

        policy = json.dumps(wanted["PolicyDocument"]).encode()
        s3_backends[self.account]["aws"].put_bucket_policy(self.physical_resource_id, policy)

    def delete(self, account: str, region: str) -> None:
        from moto.s3.models import s3_backends

        s3_backends[account]["aws"].delete_bucket_policy(self.physical_resource_id)


class SecurityGroupEgress(Resource):
    TYPE = "AWS::EC2::SecurityGroupEgress"
    rules: list[Any]
    rule: Any

    @classmethod
    def create(cls, name: str, wanted: Any, account: str, region: str) -> "Resource":
        from moto.ec2.models import ec2_backends

        ec2 = ec2_backends[account][region]
        allow_out(ec2, wanted["GroupId"], wanted)
        made = cls(name, account, region)
        made.rules = ec2.get_security_group_from_id(wanted["GroupId"]).egress_rules
        made.rule = made.rules[-1]
        return made

    def delete(self, account: str, region: str) -> None:
        self.rules.remove(self.rule)


class Application(Resource):
    TYPE = "AWS::EMRServerless::Application"
    NAME = "Name"

    @classmethod
    def create(cls, name: str, wanted: Any, account: str, region: str) -> "Resource":
        from moto.emrserverless.models import emrserverless_backends

        made = emrserverless_backends[account][region].create_application(
            name=name,
            release_label=wanted["ReleaseLabel"],
            application_type=wanted["Type"],
            client_token=name,
            initial_capacity={},
            maximum_capacity=_camel(wanted.get("MaximumCapacity")),
            tags={tag["Key"]: tag["Value"] for tag in wanted.get("Tags", ())},
            auto_start_configuration=_camel(wanted.get("AutoStartConfiguration")),
            auto_stop_configuration=_camel(wanted.get("AutoStopConfiguration")),
            network_configuration=None,
        )
        made.state = "CREATED"
        resource = cls(made.id, account, region, ApplicationId=made.id, Arn=made.arn)
        resource.change(wanted)
        return resource

    def change(self, wanted: Any) -> None:
        from moto.emrserverless.models import emrserverless_backends

        made: Any = emrserverless_backends[self.account][self.region].get_application(
            self.physical_resource_id
        )
        made.architecture = wanted.get("Architecture", "X86_64")
        made.interactive_configuration = _camel(wanted.get("InteractiveConfiguration"))
        made.monitoring_configuration = _camel(wanted.get("MonitoringConfiguration"))
        made.maximum_capacity = _camel(wanted.get("MaximumCapacity"))

    def delete(self, account: str, region: str) -> None:
        from moto.emrserverless.models import emrserverless_backends

        emrserverless_backends[account][region].delete_application(self.physical_resource_id)


class Budget(Resource):
    TYPE = "AWS::Budgets::Budget"

    @classmethod
    def create(cls, name: str, wanted: Any, account: str, region: str) -> "Resource":
        made = cls(wanted["Budget"]["BudgetName"], account, region)
        made.change(wanted)
        return made

    def change(self, wanted: Any) -> None:
        budgets = self._budgets()
        if self.physical_resource_id in budgets.budgets[self.account]:
            budgets.delete_budget(self.account, self.physical_resource_id)
        budget = json.loads(json.dumps(wanted["Budget"]))
        budget["BudgetLimit"]["Amount"] = str(budget["BudgetLimit"]["Amount"])
        budgets.create_budget(self.account, budget, wanted.get("NotificationsWithSubscribers", []))

    def delete(self, account: str, region: str) -> None:
        self._budgets().delete_budget(account, self.physical_resource_id)

    def _budgets(self) -> Any:
        from moto.budgets.models import budgets_backends

        return budgets_backends[self.account]["aws"]


class Studio(Resource):
    TYPE = "AWS::EMR::Studio"
    NAME = "Name"
    THERE: ClassVar[dict[str, Any]] = {}

    @classmethod
    def create(cls, name: str, wanted: Any, account: str, region: str) -> "Resource":
        identifier = f"es-{len(cls.THERE):025}"
        url = f"https://{identifier}.emrstudio-prod.{region}.amazonaws.com"
        arn = f"arn:aws:elasticmapreduce:{region}:{account}:studio/{identifier}"
        kept = {key: wanted[key] for key in wanted if key != "Tags"}
        cls.THERE[identifier] = {**kept, "StudioId": identifier, "Url": url, "StudioArn": arn}
        return cls(identifier, account, region, StudioId=identifier, Url=url, Arn=arn)

    def delete(self, account: str, region: str) -> None:
        del self.THERE[self.physical_resource_id]


def _camel(value: Any) -> Any:
    """The same with names as the API writes them."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: _camel(each) for key, each in value.items()}
    if isinstance(value, list) and value and set(value[0]) == {"Key", "Value"}:
        return {each["Key"]: each["Value"] for each in value}
    return value


def allow_out(ec2: Any, group: str, rule: Any) -> None:
    """Add a rule for what leaves a security group."""
    cidr, to = rule.get("CidrIp"), rule.get("DestinationSecurityGroupId")
    ec2.authorize_security_group_egress(
        group,
        rule["IpProtocol"],
        rule.get("FromPort"),
        rule.get("ToPort"),
        [{"CidrIp": cidr}] if cidr else [],
        source_groups=[{"GroupId": to}] if to else [],
    )


def install() -> None:
    """Add it to moto."""
    _values()
    _buckets()
    _applications()
    _budgets_and_studios()
    _roles()
    _networks()


def _values() -> None:
    from moto.cloudformation import parsing

    cleaned = parsing.clean_json

    def clean(value: Any, resources: Any) -> Any:
        found = cleaned(value, resources)
        # AWS::NoValue removes an element of a list too
        return [each for each in found if each is not None] if isinstance(found, list) else found

    known = parsing.get_model_list()
    parsing.clean_json = clean
    # moto looks for direct subclasses only
    parsing.get_model_list = lambda: [*known, *Resource.__subclasses__()]  # type: ignore
    parsing.get_model_map.cache_clear()
    parsing.get_name_type_map.cache_clear()


def _buckets() -> None:
    from moto.iam.access_control import PermissionResult
    from moto.s3.models import FakeBucket, s3_backends

    created: Any = FakeBucket.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]
    updated: Any = FakeBucket.update_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def complete(bucket: Any, wanted: Any, account: str) -> Any:
        s3: Any = s3_backends[account]["aws"]
        if "PublicAccessBlockConfiguration" in wanted:
            s3.put_public_access_block(bucket.name, wanted["PublicAccessBlockConfiguration"])
        if "VersioningConfiguration" in wanted:
            s3.put_bucket_versioning(bucket.name, wanted["VersioningConfiguration"]["Status"])
        if "OwnershipControls" in wanted:
            rule = wanted["OwnershipControls"]["Rules"][0]
            s3.put_bucket_ownership_controls(bucket.name, rule["ObjectOwnership"])
        if "LifecycleConfiguration" in wanted:
            rules = [_lifecycle(rule) for rule in wanted["LifecycleConfiguration"]["Rules"]]
            s3.put_bucket_lifecycle_configuration(bucket.name, rules)
        return bucket

    def create(cls: Any, name: str, resource: Any, account: str, region: str, **more: Any) -> Any:
        bucket = created(cls, name, resource, account, region, **more)
        return complete(bucket, resource.get("Properties", {}), account)

    def update(cls: Any, original_resource: Any, cloudformation_json: Any, **more: Any) -> Any:
        wanted = cloudformation_json["Properties"]
        # an update needs the name that it leaves out
        wanted.setdefault("BucketName", original_resource.name)
        bucket = updated(
            cls,
            original_resource=original_resource,
            cloudformation_json=cloudformation_json,
            **more,
        )
        return complete(bucket, wanted, more["account_id"])

    # moto looks at no condition, and takes "not without TLS" for "never"
    FakeBucket.get_permission = (  # type: ignore[method-assign]
        lambda self, action, resource: PermissionResult.NEUTRAL
    )
    FakeBucket.create_from_cloudformation_json = classmethod(create)  # type: ignore
    FakeBucket.update_from_cloudformation_json = classmethod(update)  # type: ignore


def _lifecycle(rule: Any) -> Any:
    """A rule as the API writes it."""
    expiration = {"Days": rule.get("ExpirationInDays")} if "ExpirationInDays" in rule else {}
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = rule["ExpiredObjectDeleteMarker"]
    same = ("Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    return {
        "ID": rule["Id"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
        **({"Expiration": expiration} if expiration else {}),
        **{key: rule[key] for key in same if key in rule},
    }


def _applications() -> None:
    from moto.emrserverless import models

    def match(_pattern: str, label: str) -> Any:
        return re.fullmatch(LABELS, label)

    models.re = SimpleNamespace(match=match)  # type: ignore[attr-defined]
    models.Application.architecture = "X86_64"  # type: ignore[attr-defined]
    started = models.EMRServerlessBackend.start_job_run

    def start_job_run(self: Any, application_id: str, **job: Any) -> Any:
        run = started(self, application_id, **job)
        # which an application does by itself, and has to be stopped before it can be deleted
        self.applications[application_id].state = "STARTED"
        return run

    models.EMRServerlessBackend.start_job_run = start_job_run  # type: ignore[method-assign]


def _budgets_and_studios() -> None:
    from moto.budgets.responses import BudgetsResponse
    from moto.core.responses import ActionResult
    from moto.emr.responses import ElasticMapReduceResponse

    def subscribers(self: Any) -> str:
        account, name = self._get_param("AccountId"), self._get_param("BudgetName")
        asked = self._get_param("Notification")
        there = self.backend.budgets[account][name].notifications
        found = next(each.subscribers for each in there if each.details == asked)
        return json.dumps({"Subscribers": found})

    def describe(self: Any) -> ActionResult:
        return ActionResult({"Studio": Studio.THERE[self._get_param("StudioId")]})

    budgets: Any = BudgetsResponse
    budgets.describe_subscribers_for_notification = subscribers
    emr: Any = ElasticMapReduceResponse
    emr.describe_studio = describe


def _roles() -> None:
    """Roles have the stack's managed policies that they are given, until they are deleted."""
    from moto.iam.models import Role, iam_backends

    made: Any = Role.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]
    deleted: Any = Role.delete_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def create(cls: Any, name: str, resource: Any, account: str, region: str, **more: Any) -> Any:
        role = made(cls, name, resource, account, region, **more)
        for arn in resource["Properties"].get("ManagedPolicyArns", []):
            # AWS' own policies are not there
            if arn in iam_backends[account]["aws"].managed_policies:
                role.managed_policies[arn] = iam_backends[account]["aws"].managed_policies[arn]
        return role

    def delete(cls: Any, name: str, resource: Any, account: str, region: str) -> None:
        iam_backends[account]["aws"].get_role(name).managed_policies.clear()
        deleted(cls, name, resource, account, region)

    Role.create_from_cloudformation_json = classmethod(create)  # type: ignore
    Role.delete_from_cloudformation_json = classmethod(delete)  # type: ignore


def _networks() -> None:
    """Security groups have the rules that they are given, and a network can be deleted again."""
    from moto.ec2 import models as ec2
    from moto.ec2.models.security_groups import SecurityGroup

    made: Any = SecurityGroup.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def create(cls: Any, name: str, resource: Any, account: str, region: str, **more: Any) -> Any:
        group, backend = made(cls, name, resource, account, region, **more), ec2.ec2_backends
        rules = resource["Properties"].get("SecurityGroupEgress", [])
        if rules:
            group.egress_rules.clear()
        for rule in rules:
            allow_out(backend[account][region], group.id, rule)
        return group

    SecurityGroup.create_from_cloudformation_json = classmethod(create)  # type: ignore
    _deletions()


def _deletions() -> None:
    """moto deletes none of these, nor then the network that they belong to.

    It goes in any order, so what something belongs to may be gone already.
    """
    from moto.ec2.models import (
        ec2_backends,
        internet_gateways,
        route_tables,
        security_groups,
        subnets,
        vpcs,
    )
    from moto.iam.models import ManagedPolicy

    def rule(self: Any, account: str, region: str) -> None:
        rules, wanted = self.security_group.ingress_rules, self.properties
        of = {"GroupId": wanted.get("SourceSecurityGroupId")}
        rules[:] = [
            each
            for each in rules
            if each.ip_protocol != wanted["IpProtocol"]
            or (each.source_group or {"GroupId": None})["GroupId"] != of["GroupId"]
        ]

    def gateway(self: Any, account: str, region: str) -> None:
        self.vpc = None
        ec2_backends[account][region].delete_internet_gateway(self.id)

    def association(self: Any, account: str, region: str) -> None:
        table: Any = ec2_backends[account][region].route_tables.get(self.route_table_id)
        if table is not None:
            table._associations.clear()

    def routes(self: Any, account: str, region: str) -> None:
        ec2_backends[account][region].delete_route_table(self.id)

    def endpoint(self: Any, account: str, region: str) -> None:
        del ec2_backends[account][region].vpc_end_points[self.id]

    def policy(self: Any, account: str, region: str) -> None:
        iam = self.backend
        for each in (*iam.roles.values(), *iam.users.values(), *iam.groups.values()):
            each.managed_policies.pop(self.arn, None)
        del iam.managed_policies[self.arn]

    for model, delete in (
        (security_groups.SecurityGroupIngress, rule),
        (internet_gateways.InternetGateway, gateway),
        (subnets.SubnetRouteTableAssociation, association),
        (route_tables.RouteTable, routes),
        (vpcs.VPCEndPoint, endpoint),
        (ManagedPolicy, policy),
    ):
        model.delete = delete  # type: ignore[attr-defined]
