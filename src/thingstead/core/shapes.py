"""From what core works with to what the store and the index keep, and back."""

from thingstead.model import objects as model
from thingstead.model import shadow as rules
from thingstead.model.objects import Object
from thingstead.model.shadow import Shadow
from thingstead.model.values import JsonObject
from thingstead.ports.index import Document, Removal
from thingstead.ports.store import Put, ShadowPut, StoredObject


def object_of(row: StoredObject) -> Object:
    """The object of a stored row."""
    return model.decode(row.app, row.public, row.private, docid=row.docid, rev=row.rev)


def document_of(obj: Object, seq: int, *, new: bool = False, fields: JsonObject | None = None) -> Document | Removal:
    """The index's form of an object; a removal if it is not to be found (objects.md 4).

    `new`: it replaces nothing. `fields`: its searchable form, where that was made already.
    """
    if not obj.indexed:
        return Removal(obj.app, obj.id, seq)
    return Document(obj.app, obj.id, obj.type, obj.docid, seq, obj.searchable() if fields is None else fields, new)


def document_of_put(put: Put, seq: int, *, new: bool) -> Document | Removal:
    """The index's form of an object that was written as bytes."""
    return document_of(model.decode(put.app, put.public, docid=put.docid), seq, new=new)


def shadow_put(app: str, thing: str, shadow: Shadow, expect: int) -> ShadowPut:
    """The write of a shadow row; its entity is listed once it is shown (doors.md 14)."""
    return ShadowPut(
        app,
        thing,
        rules.encode(shadow),
        expect=expect,
        entity_id=shadow.entity_id if shadow.shown else None,
        entity_type=shadow.entity_type if shadow.shown else None,
        entity_path=shadow.entity_path,
        updated=shadow.updated,
    )
