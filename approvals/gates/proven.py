"""Gates that look at proofs: is everything undone or declared, and is the way back proven."""

from __future__ import annotations

from django.utils.translation import gettext as _

from approvals import proofs
from approvals.known import Known
from approvals.models import Proof, RollbackItem

from .gate import NAMES, Gate, Needed, judged

LONGEST_WHY = 400


def _examined(known: Known) -> list[tuple[RollbackItem, Proof | None, str]]:
    """Each item with a script, once for each target: the answered proof of exactly that script, that file and
    the files below it, or why there is none."""
    found: list[tuple[RollbackItem, Proof | None, str]] = []
    for item in known.items:
        for where in known.proven_on if item.script_id is not None else ():
            answered = known.proofs.get((item.script_id or 0, where.target_id))
            newest = known.newest_proofs.get(item.script_id or 0)
            why = proofs.why_none(item, where.target, answered, newest, known.present)
            found.append((item, None if why else answered, why))
    return found


def _all_examined(known: Known, examined: list[tuple[RollbackItem, Proof | None, str]]) -> bool:
    return bool(examined) and len(examined) == len(known.items) * len(known.proven_on)


def complete(known: Known) -> Gate:
    lacking, examined = [], _examined(known)
    for item, proof, why in examined:
        left = proofs.not_undone(proof, item.script.left) if proof and item.script else []
        if left:
            told = "; ".join(effect["text"] for effect in left[:NAMES])
            more = len(left) - NAMES
            lacking.append(
                _("%(migration)s: not undone: %(effects)s")
                % {"migration": item.migration, "effects": f"{told}; …(+{more})" if more > 0 else told}
            )
        elif why:
            lacking.append(why)
    return judged(
        "completeness",
        _("Everything is undone or declared"),
        holds=_all_examined(known, examined) and not lacking,
        yes=_("Each effect of the migrations is undone by a step, or left on purpose with a reason."),
        no=" ".join(dict.fromkeys(lacking)) or _("No script that could be examined."),
        who=_("%(name)s: undo it, or declare that it stays, with the reason")
        % {"name": known.rollback.requester},
        at=min((proof.at for _item, proof, _why in examined if proof and proof.at), default=None),
    )


def proven(known: Known) -> Gate:
    said, lacking, examined = [], [], _examined(known)
    for item, proof, why in examined:
        if proof is None:
            lacking.append(why)
            continue
        words = {"migration": item.migration, "verdict": proof.get_verdict_display(), "why": ""}
        unproven = item.script.unproven if item.script else ""
        if proof.holds or (proof.verdict == Proof.Verdict.NOT_PROVABLE and unproven):
            said.append(_("%(migration)s: %(verdict)s.") % words)
        else:
            words["why"] = proof.proof.get("reason", "")[:LONGEST_WHY]
            lacking.append(_("%(migration)s: %(verdict)s. %(why)s") % words)
    needed = known.rule.rehearsal_required
    return judged(
        "proof",
        _("The way back is proven"),
        holds=not needed or (_all_examined(known, examined) and not lacking),
        yes=" ".join(dict.fromkeys(said)) if said and not lacking else _("The policy asks for none here."),
        no=" ".join(dict.fromkeys(lacking)) or _("No script that could be proven."),
        who=_("%(name)s: mend the script, or say why it may go without a proof where none is possible")
        % {"name": known.rollback.requester},
        needed=Needed.APPROVE,
        at=min((proof.at for _item, proof, _why in examined if proof and proof.at), default=None),
    )
