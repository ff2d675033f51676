"""What is personal data and how it is masked on rehearsal clones: the methods, and the shipped rules.

Plain data. A rule of a service names columns; those that are shipped recognise them by name and by content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase

from django.db import models
from django.utils.translation import gettext_lazy as _


class Method(models.TextChoices):
    """What becomes of a value. The same value becomes the same everywhere in one clone; NULL stays NULL."""

    EMAIL = "email", _("e-mail address that reaches nobody")
    CARD = "card", _("card number of no bank, its check digit right")
    PHONE = "phone", _("other digits behind the first one")
    IBAN = "iban", _("account number of the same country, its check digits right")
    SCRAMBLE = "scramble", _("other letters and digits in the same places")
    ERASE = "erase", _("nothing: NULL, or empty")
    KEEP = "keep", _("left as it is")


@dataclass(frozen=True, slots=True)
class Rule:
    """Columns by `schema.table.column`, with * and ? for any, and what becomes of their values."""

    columns: str
    method: str

    def names(self, schema: str, table: str, column: str) -> bool:
        """Is this column meant? Names are compared as they are, upper and lower case included."""
        return fnmatchcase(f"{schema}.{table}.{column}", self.columns)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of personal data: how a column that holds it is called, and what its values look like.

    `column` and `table` are searched in names in lower case. `whole` is PostgreSQL's regular expression for
    a value that is nothing else, `share` the part of a column's values (0 to 1) that must be so; `inside` is
    one for a value that has it somewhere.
    """

    key: str
    method: str
    column: str
    table: str = ""
    whole: str = ""
    share: float = 1.0
    inside: str = ""

    def is_called(self, table: str, column: str) -> bool:
        """Does the name say so?"""
        return bool(re.search(self.column, column.lower()) and re.search(self.table, table.lower()))


_NUMBER = r"(_?(number|no|num|nr))?$"
_PEOPLE = (
    r"user|customer|person|people|employee|contact|member|client|holder|owner|beneficiar|patient|driver|"
    r"passenger|guest|student|subscriber|recipient|sender|payee|payer|agent|kyc"
)
# Given names of many places: enough to tell a column of people from one of things.
_GIVEN = (
    "abdul|achieng|adam|ahmed|aisha|ali|alice|amina|amy|ana|andrea|andrew|ann|anna|anne|antonio|arun|barbara|"
    "ben|brian|carlos|caroline|catherine|charles|chen|chidi|chloe|christine|daniel|david|deepak|diana|dmitri|"
    "edward|elena|elizabeth|emeka|emily|emma|eric|esther|eva|faith|fatima|fatou|felix|francis|frank|george|"
    "grace|hans|hassan|helen|henry|ibrahim|ines|isaac|ivan|jack|jacob|james|jan|jane|jean|jennifer|john|jose|"
    "joseph|joyce|juan|julia|kamau|karen|kenji|kevin|khadija|kofi|kwame|laura|lea|li|linda|lucas|lucy|luis|"
    "maria|mario|mark|martin|mary|mehmet|michael|michelle|miguel|mohamed|mohammed|moses|musa|mwangi|nadia|"
    "nancy|ngozi|njoroge|noah|ochieng|olga|oliver|omar|otieno|patricia|paul|pedro|peter|philip|priya|rachel|"
    "rahul|raj|rebecca|richard|robert|rosa|ruth|samuel|sandra|sarah|simon|sofia|sophie|stephen|susan|thomas|"
    "victor|wambui|wanjiku|wanjiru|wei|william|yusuf|zainab"
)

SHIPPED: tuple[Kind, ...] = (
    Kind(
        "e-mail",
        Method.EMAIL,
        column=r"(^|_)e?_?mail(_?addr(ess)?)?(_|$)",
        whole=r"^[^@\s]+@[^@\s]+\.[^@\s.]+$",
        share=0.8,
        inside=r"[^@\s]+@[^@\s]+\.[[:alpha:]]",
    ),
    Kind(
        "card number",
        Method.CARD,
        column=r"(^|_)pan$|(^|_)(credit|debit|payment|bank)?_?card_?(number|no|num|nr|pan)$|(^|_)cc_?(number|num|no)$",
        whole="luhn",
        share=0.8,
        inside=r"(?<![[:alnum:]-])[3-6][0-9]{3}([ -]?[0-9]{4}){3}(?![[:alnum:]-])",
    ),
    Kind(
        "IBAN",
        Method.IBAN,
        column=rf"(^|_)iban{_NUMBER}",
        whole="iban",
        share=0.8,
        inside=r"\m[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){3,7}( ?[A-Z0-9]{1,4})?\M",
    ),
    Kind(
        "phone number",
        Method.PHONE,
        column=rf"(^|_)(phone|mobile|msisdn|tel|telephone|fax|cell|cellphone){_NUMBER}",
        whole=r"^(\+|00)[0-9]([ ()./-]{0,2}[0-9]){7,14}$",
        share=0.8,
        inside=r"(^|\s)\+[0-9]([ ()./-]{0,2}[0-9]){8,14}(\s|$)",
    ),
    Kind(
        "person's name",
        Method.SCRAMBLE,
        column=(
            r"(^|_)(first|last|middle|given|family|full|maiden|sur|fore|holder|cardholder|customer|beneficiary|"
            r"contact|person|display|nick|legal|account_holder|account)_?names?$|(^|_)surname$"
        ),
        whole=rf"^({_GIVEN})( [[:alpha:].'’-]+){{0,4}}$",
        share=0.3,
    ),
    Kind("person's name", Method.SCRAMBLE, column=r"^names?$", table=_PEOPLE),
)
# What looks like personal data too, and is nobody's to mask by itself: such columns are named.
SUSPECT = re.compile(
    r"(^|_)(dob|birth|birthday|birthdate|date_of_birth|ssn|national_id|id_number|passport|tax_id|address|street|"
    r"post_?code|zip|zip_?code|salary|gender|religion|ip|ip_address|latitude|longitude)(_|$)"
)


@dataclass(frozen=True, slots=True)
class Masking:
    """How one clone is filled: with rows that are masked by these rules, or with its structure alone."""

    rules: tuple[Rule, ...] = ()
    with_rows: bool = True

    @property
    def digest(self) -> str:
        """The same exactly where two clones of one backup would be filled alike."""
        shipped = [asdict(kind) for kind in SHIPPED] if self.with_rows else []
        rules = [asdict(rule) for rule in self.rules] if self.with_rows else []
        text = json.dumps([VERSION, self.with_rows, shipped, SUSPECT.pattern, rules], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


VERSION = 1
"""Of the way in which methods work; a higher one makes clones anew."""


def named(rules: Iterable[Rule], schema: str, table: str, column: str) -> list[Rule]:
    """The rules of a service that mean this column; what keeps it comes last, so that masking wins."""
    found = [rule for rule in rules if rule.names(schema, table, column)]
    return sorted(found, key=lambda rule: rule.method == Method.KEEP)
