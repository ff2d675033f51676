"""The registry: which family speaks for which kind of object."""

from __future__ import annotations

from executor.schema.inverse import (
    attached,
    columns,
    common,
    constraints,
    defaults,
    programs,
    rare,
    remote,
    sequences,
    tables,
    types,
    views,
)
from executor.schema.inverse.family import Family
from executor.schema.objects import Ref

FAMILIES: dict[str, Family] = {
    family.kind: family
    for family in (
        types.Schema(),
        types.Extension(),
        types.Type(),
        types.DomainConstraint(),
        tables.Table(),
        tables.Partition(),
        columns.Column(),
        defaults.Default(),
        sequences.Sequence(),
        constraints.Constraint(),
        constraints.Index(),
        attached.Rule(),
        attached.Trigger(),
        attached.Policy(),
        attached.Statistics(),
        views.View(),
        views.MaterializedView(),
        views.ViewColumn(),
        programs.Function(),
        programs.Aggregate(),
        programs.EventTrigger(),
        rare.Collation(),
        rare.Conversion(),
        rare.Language(),
        rare.AccessMethod(),
        rare.Cast(),
        rare.Transform(),
        rare.Operator(),
        rare.OperatorFamily(),
        rare.OperatorClass(),
        rare.TextSearchParser(),
        rare.TextSearchTemplate(),
        rare.TextSearchDictionary(),
        rare.TextSearchConfiguration(),
        remote.Publication(),
        remote.PublicationTable(),
        remote.PublicationSchema(),
        remote.Subscription(),
        remote.ForeignDataWrapper(),
        remote.Server(),
        remote.UserMapping(),
        common.DefaultPrivileges(),
    )
}


def family_of(ref: Ref) -> Family:
    """The family that speaks for an object."""
    return FAMILIES[ref.kind]
