"""Functions, procedures and aggregates."""

from __future__ import annotations

from approvals.analysis import names
from approvals.analysis.kinds.common import Drop
from approvals.analysis.parser import pb
from approvals.analysis.registry import Kind, registered


@registered("create_function_stmt")
class CreateFunction(Kind):
    """CREATE FUNCTION and CREATE PROCEDURE: the body is not run."""

    hazard = "create-code"

    @property
    def _word(self) -> str:
        return "PROCEDURE" if self.node.is_procedure else "FUNCTION"

    @property
    def name(self) -> str:
        return f"CREATE {'OR REPLACE ' if self.node.replace else ''}{self._word}"

    @property
    def change(self) -> str:
        return "REPLACE FUNCTION" if self.node.replace else "CREATE FUNCTION"

    @property
    def tags(self) -> tuple[str, ...]:
        return (f"CREATE {self._word}",)

    @property
    def says(self) -> str:
        verb = "Creates or replaces" if self.node.replace else "Creates"
        inputs = (pb.FUNC_PARAM_IN, pb.FUNC_PARAM_INOUT, pb.FUNC_PARAM_VARIADIC, pb.FUNC_PARAM_DEFAULT)
        arguments = [
            names.type_name(each.function_parameter.arg_type)
            for each in self.node.parameters
            if each.function_parameter.mode in inputs
        ]
        return f"{verb} {self._word.lower()} {names.dotted(self.node.funcname)}({', '.join(arguments)})."


@registered("define_stmt", pb.OBJECT_AGGREGATE)
class CreateAggregate(Kind):
    """CREATE AGGREGATE."""

    hazard = "create-code"
    tags = ("CREATE AGGREGATE",)

    @property
    def name(self) -> str:
        return "CREATE OR REPLACE AGGREGATE" if self.node.replace else "CREATE AGGREGATE"

    @property
    def change(self) -> str:
        return "REPLACE FUNCTION" if self.node.replace else "CREATE FUNCTION"

    @property
    def says(self) -> str:
        return f"Creates aggregate {names.dotted(self.node.defnames)}."


@registered("drop_stmt", pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE, pb.OBJECT_ROUTINE, pb.OBJECT_AGGREGATE)
class DropFunction(Drop):
    """DROP FUNCTION, PROCEDURE, ROUTINE or AGGREGATE."""

    change = "DROP FUNCTION"


@registered("alter_function_stmt")
class AlterFunction(Kind):
    """ALTER FUNCTION: volatility, security, settings."""

    change = "ALTER FUNCTION"
    hazard = "create-code"

    @property
    def name(self) -> str:
        return "ALTER " + names.object_word(self.node.objtype).upper()

    @property
    def says(self) -> str:
        word = names.object_word(self.node.objtype)
        return f"Changes properties of {word} {names.signature(self.node.func)}."
